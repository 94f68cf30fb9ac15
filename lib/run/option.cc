#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/number.h"
#include "run/config_file.h"
#include "run/options.h"

namespace dcl {
namespace {

std::string lower_case(std::string_view text) {
  std::string out;
  for (const char c : text) out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// What a number is called in messages.
template <class Number>
std::string kind_of_number() {
  if (std::is_unsigned_v<Number>) return "a whole number of 0 or more";
  return std::is_integral_v<Number> ? "a whole number" : "a number";
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn a into b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  return cost[a.size()][b.size()];
}

}  // namespace

std::optional<bool> boolean_of(std::string_view text) {
  static const std::set<std::string, std::less<>> yes = {"true", "1", "yes", "on"},
                                                  no = {"false", "0", "no", "off", ""};
  const std::string word = lower_case(text);
  return yes.contains(word) || no.contains(word) ? std::optional(yes.contains(word)) : std::nullopt;
}

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string wanted = lower_case(word.substr(0, 64));
  std::ranges::replace(wanted, '-', '_');
  const size_t tail = wanted.rfind('.');
  if (tail != wanted.npos) wanted.erase(0, tail + 1);
  std::string best;
  size_t least = std::max<size_t>(2, wanted.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    size_t distance = edit_distance(wanted, candidate);
    if (wanted.size() >= 3 && candidate.starts_with(wanted)) distance = 1;
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

Option& Option::range(double low, double high) {
  low_ = low;
  high_ = high;
  limited_ = true;
  return *this;
}
Option& Option::choices(std::vector<std::string> words) {
  words_ = std::move(words);
  return *this;
}
Option& Option::required() {
  required_ = true;
  return *this;
}
Option& Option::transient() {
  transient_ = true;
  return *this;
}

Option& Option::positional() {
  positional_ = transient_ = true;
  return *this;
}

void Option::check_range(const Given& given, double value) const {
  if (limited_ && !(value >= low_ && value <= high_))
    fail(ErrorKind::usage, given.where + ": " + given.text + " is out of range, expected " + number_text(low_) +
                               " to " + number_text(high_));
}

void Option::fail_value(const Given& given, const std::string& expected) {
  fail(ErrorKind::usage, given.where + ": expected " + expected + ", got '" + given.text + "'");
}

void Option::check_word(const Given& given) const {
  if (words_.empty() || std::ranges::find(words_, given.text) != words_.end()) return;
  const std::string near = nearest_name(given.text, words_);
  fail_value(given,
             fmt::format("one of {}{}", fmt::join(words_, ", "), near.empty() ? "" : " (did you mean " + near + "?)"));
}

template <class T>
void Option::take(const Given& given, T& target) const {
  if constexpr (std::is_same_v<T, bool>) {
    const std::optional<bool> value = boolean_of(given.text);
    if (!value) fail_value(given, "true or false");
    target = *value;
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    target = given.text;
  } else if constexpr (std::is_same_v<T, std::string>) {
    check_word(given);
    target = given.text;
  } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
    check_word(given);
    target.push_back(given.text);
  } else {
    const std::optional<T> value = parse_number<T>(without_plus(given.text));
    if (!value) fail_value(given, kind_of_number<T>());
    if (!std::isfinite(static_cast<double>(*value))) fail_value(given, "a finite number");
    check_range(given, static_cast<double>(*value));
    target = *value;
  }
}

void Option::assign(const std::vector<std::string>& texts, OptionSource source, const std::string& where) {
  if (!is_list() && texts.size() != 1)
    fail(ErrorKind::usage, where + ": expected one value, got " + std::to_string(texts.size()));
  if (is_list()) std::get<std::vector<std::string>*>(target_)->clear();
  for (const std::string& text : texts) std::visit([&](auto* target) { take({text, where}, *target); }, target_);
  source_ = source;
}

std::string Option::type_text() const {
  if (!words_.empty()) return "{" + fmt::format("{}", fmt::join(words_, ",")) + "}";
  if (is_flag()) return "BOOL";
  if (std::holds_alternative<double*>(target_)) return "NUMBER";
  if (std::holds_alternative<std::filesystem::path*>(target_)) return "PATH";
  if (std::holds_alternative<std::string*>(target_) || is_list()) return "TEXT";
  return "INT";
}

std::string Option::value_text() const {
  return std::visit(
      [](const auto* value) -> std::string {
        using T = std::remove_cvref_t<decltype(*value)>;
        if constexpr (std::is_same_v<T, bool>)
          return *value ? "true" : "false";
        else if constexpr (std::is_same_v<T, double>)
          return number_text(*value);
        else if constexpr (std::is_integral_v<T>)
          return std::to_string(*value);
        else if constexpr (std::is_same_v<T, std::filesystem::path>)
          return value->native();
        else if constexpr (std::is_same_v<T, std::string>)
          return *value;
        else
          return fmt::format("{}", fmt::join(*value, " "));
      },
      target_);
}

std::string Option::toml_value() const {
  if (is_list()) {
    std::string out = "[";
    for (const std::string& text : *std::get<std::vector<std::string>*>(target_))
      out += (out.size() > 1 ? ", " : "") + toml_string(text);
    return out + "]";
  }
  const bool text =
      std::holds_alternative<std::string*>(target_) || std::holds_alternative<std::filesystem::path*>(target_);
  return text ? toml_string(value_text()) : value_text();
}

}  // namespace dcl
