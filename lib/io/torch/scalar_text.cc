#include "io/torch/scalar_text.h"

#include <charconv>
#include <cmath>

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

std::optional<std::string> sequence_text(const PickleDocument& document, const PickleValue& sequence) {
  std::string out;
  for (const PickleRef item : sequence.items) {
    const PickleValue& value = document.at(item);
    const std::optional<std::string> text = scalar_text(value);
    if (!text) return std::nullopt;
    out += (out.empty() ? "" : ", ") + (value.kind == PickleKind::text ? quoted_text(*text) : *text);
  }
  if (sequence.kind == PickleKind::list) return "[" + out + "]";
  if (sequence.kind == PickleKind::set) return "{" + out + "}";
  return "(" + out + (sequence.items.size() == 1 ? ",)" : ")");
}

}  // namespace dcl
