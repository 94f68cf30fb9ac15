#include "core/number.h"

#include <cmath>

namespace dcl {
namespace {

/// 64 characters hold every number as to_chars() is asked for it here.
template <class T, class... How>
std::string text_of(T value, How... how) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value, how...).ptr};
}

template <class T, class... How>
std::string finite_or_word(T value, How... how) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return text_of(value, how...);
}

}  // namespace

std::string number_text(double value) { return finite_or_word(value); }
std::string number_text(float value) { return finite_or_word(value); }
std::string number_text(int64_t value) { return text_of(value); }
std::string rounded_text(double value, int digits) { return finite_or_word(value, std::chars_format::general, digits); }

}  // namespace dcl
