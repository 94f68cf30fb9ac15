// Validity of UTF-8, as RFC 3629 has it: shortest forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/number.h"

namespace dcl {

/// Bytes of the character at the start of `text`, which is not empty; 0 when none is there.
inline size_t utf8_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  const size_t more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
  if (first < 0xC2 || first > 0xF4 || text.size() <= more) return 0;
  uint32_t code = first & (0x3Fu >> more);
  for (size_t at = 1; at <= more; ++at) {
    const auto next = static_cast<unsigned char>(text[at]);
    if ((next & 0xC0) != 0x80) return 0;
    code = code << 6 | (next & 0x3Fu);
  }
  constexpr uint32_t kSmallest[] = {0x80, 0x800, 0x10000};
  const bool valid = code >= kSmallest[more - 1] && (code < 0xD800 || code > 0xDFFF) && code <= 0x10FFFF;
  return valid ? more + 1 : 0;
}

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Whether a byte begins a character rather than going on with one.
inline bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

/// Characters of a text, each a column of a terminal.
inline int count_characters(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), begins_character));
}

/// The first so many characters; all of a shorter text.
inline std::string_view first_characters(std::string_view text, int count) {
  size_t end = 0;
  for (; end < text.size(); ++end)
    if (begins_character(text[end]) && count-- <= 0) break;
  return text.substr(0, end);
}

/// The text with \xff for a byte 255 that belongs to no character, and so on, as "backslashreplace" of Python's
/// decode(): for readers that refuse the whole file otherwise. Names that differ stay different.
inline std::string made_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    if (length > 0)
      out += text.substr(0, length);
    else
      out += escaped_byte(static_cast<unsigned char>(text[0]));
    text.remove_prefix(length > 0 ? length : 1);
  }
  return out;
}

}  // namespace dcl
