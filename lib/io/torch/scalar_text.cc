#include "io/torch/scalar_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace dcl {
namespace {

/// The shortest digits that read back to the same number, as Python's repr() arranges them.
std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto text = [&](std::chars_format format) {
    return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, value, format).ptr);
  };
  const std::string scientific = text(std::chars_format::scientific);
  const size_t mark = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + mark + 1);
  if (exponent < -4 || exponent >= 16) return scientific;
  const std::string fixed = text(std::chars_format::fixed);
  return fixed.find('.') == fixed.npos ? fixed + ".0" : fixed;
}

/// Decimal digits.
std::string integer_text(std::string_view twos_complement) {
  std::vector<uint8_t> magnitude(twos_complement.begin(), twos_complement.end());
  const bool negative = !magnitude.empty() && magnitude.back() >= 0x80;
  bool carry = negative;
  for (uint8_t& byte : magnitude) {
    if (negative) byte = static_cast<uint8_t>(~byte + carry);
    carry = carry && byte == 0;
  }
  std::string digits;  // the last one first
  do {
    unsigned rest = 0;
    for (size_t i = magnitude.size(); i-- > 0;) {
      rest = rest << 8 | magnitude[i];
      magnitude[i] = static_cast<uint8_t>(rest / 10);
      rest %= 10;
    }
    digits += static_cast<char>('0' + rest);
    while (!magnitude.empty() && magnitude.back() == 0) magnitude.pop_back();
  } while (!magnitude.empty());
  if (negative) digits += '-';
  return {digits.rbegin(), digits.rend()};
}

/// That of values with a scalar_text.
bool is_scalar(PickleKind kind) {
  using enum PickleKind;
  return kind == none || kind == boolean || kind == integer || kind == real || kind == text || kind == global;
}

std::string quoted_text(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

}  // namespace

std::optional<std::string> scalar_text(const PickleValue& value) {
  switch (value.kind) {
    case PickleKind::none:
      return "None";
    case PickleKind::boolean:
      return value.integer ? "True" : "False";
    case PickleKind::integer:
      return value.text.empty() ? std::to_string(value.integer) : value.text;
    case PickleKind::real:
      return real_text(value.real);
    case PickleKind::text:
    case PickleKind::global:
      return value.text;
    default:
      return std::nullopt;
  }
}

std::optional<std::string> sequence_text(const PickleDocument& document, const PickleValue& sequence, size_t most) {
  const auto kind_of = [&](PickleRef item) { return document.at(item).kind; };
  if (!std::ranges::all_of(sequence.items, is_scalar, kind_of)) return std::nullopt;
  std::string out;
  for (const PickleRef item : sequence.items) {
    if (out.size() > most) break;
    const PickleValue& value = document.at(item);
    const std::string text = *scalar_text(value);
    out += (out.empty() ? "" : ", ") + (value.kind == PickleKind::text ? quoted_text(text) : text);
  }
  if (sequence.kind == PickleKind::list) return "[" + out + "]";
  if (sequence.kind == PickleKind::set) return "{" + out + "}";
  return "(" + out + (sequence.items.size() == 1 ? ",)" : ")");
}

PickleValue long_integer(std::string bytes) {
  PickleValue out{PickleKind::integer};
  const auto negative = [](char top) { return static_cast<signed char>(top) < 0; };
  const char fill = !bytes.empty() && negative(bytes.back()) ? '\xFF' : '\0';
  const auto repeats_the_sign = [&](size_t at) {
    return bytes[at] == fill && negative(bytes[at - 1]) == negative(fill);
  };
  while (bytes.size() > sizeof out.integer && repeats_the_sign(bytes.size() - 1)) bytes.pop_back();
  if (bytes.size() > sizeof out.integer) {
    out.text = integer_text(bytes);
  } else {
    bytes.resize(sizeof out.integer, fill);
    std::memcpy(&out.integer, bytes.data(), sizeof out.integer);
  }
  return out;
}

}  // namespace dcl
