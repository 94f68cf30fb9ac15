// Numbers from text and as text, whatever the locale.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace dcl {

/// The whole text as a decimal number; nothing when it is something else, or T does not hold it.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc() && end == last ? std::optional(value) : std::nullopt;
}

/// The text without a sign that people may write before a number, and std::from_chars does not take.
inline std::string_view without_plus(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return text;
}

/// Shortest text that reads back as the same number; "nan", "inf", "-inf".
std::string number_text(double value);
std::string number_text(float value);
std::string number_text(int64_t value);
/// Rounded to so many significant digits, as "%.4g" of C has it.
std::string rounded_text(double value, int digits);

inline constexpr char kHexDigits[] = "0123456789abcdef";

/// \xff of 255: how texts show a byte that is no character of theirs.
inline std::string escaped_byte(unsigned char byte) {
  return {'\\', 'x', kHexDigits[byte >> 4], kHexDigits[byte & 15]};
}

}  // namespace dcl
