#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/error.h"
#include "io/csv.h"
#include "run/config_file.h"
#include "run/options.h"

namespace dcl {
namespace {

std::string joined(const std::vector<std::string>& words, const char* separator) {
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += separator;
    out += word;
  }
  return out;
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  return status == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

bool boolean_value(std::string_view text, bool& ok) {
  std::string lower;
  for (const char c : text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  static const std::set<std::string, std::less<>> yes = {"true", "1", "yes", "on"},
                                                  no = {"false", "0", "no", "off", ""};
  ok = yes.contains(lower) || no.contains(lower);
  return yes.contains(lower);
}

namespace {

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

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string wanted(word.substr(0, 64));
  std::ranges::replace(wanted, '-', '_');
  for (char& c : wanted) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
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

void Option::check_range(double value, const std::string& text, const std::string& where) const {
  if (limited_ && !(value >= low_ && value <= high_))
    fail(ErrorKind::usage,
         where + ": " + text + " is out of range, expected " + number_text(low_) + " to " + number_text(high_));
}

void Option::assign_one(const std::string& text, const std::string& where) {
  const auto fail_value = [&](const std::string& expected) {
    fail(ErrorKind::usage, where + ": expected " + expected + ", got '" + text + "'");
  };
  const auto number = [&](auto* to) {
    std::remove_pointer_t<decltype(to)> value{};
    using Number = decltype(value);
    if (!parse_number(text, value))
      fail_value(std::is_unsigned_v<Number>   ? "a whole number of 0 or more"
                 : std::is_integral_v<Number> ? "a whole number"
                                              : "a number");
    if (!std::isfinite(static_cast<double>(value))) fail_value("a finite number");
    check_range(static_cast<double>(value), text, where);
    *to = value;
  };
  const auto word = [&] {
    if (words_.empty() || std::ranges::find(words_, text) != words_.end()) return;
    const std::string near = nearest_name(text, words_);
    fail_value("one of " + joined(words_, ", ") + (near.empty() ? "" : " (did you mean " + near + "?)"));
  };
  if (auto* const* flag = std::get_if<bool*>(&target_)) {
    bool ok = false;
    **flag = boolean_value(text, ok);
    if (!ok) fail_value("true or false");
  } else if (auto* const* path = std::get_if<std::filesystem::path*>(&target_)) {
    **path = text;
  } else if (auto* const* string = std::get_if<std::string*>(&target_)) {
    word();
    **string = text;
  } else if (auto* const* list = std::get_if<std::vector<std::string>*>(&target_)) {
    word();
    (*list)->push_back(text);
  } else if (auto* const* i = std::get_if<int*>(&target_)) {
    number(*i);
  } else if (auto* const* l = std::get_if<int64_t*>(&target_)) {
    number(*l);
  } else if (auto* const* u = std::get_if<uint64_t*>(&target_)) {
    number(*u);
  } else {
    number(std::get<double*>(target_));
  }
}

void Option::assign(const std::vector<std::string>& texts, OptionSource source, const std::string& where) {
  if (!is_list() && texts.size() != 1)
    fail(ErrorKind::usage, where + ": expected one value, got " + std::to_string(texts.size()));
  if (is_list()) std::get<std::vector<std::string>*>(target_)->clear();
  for (const std::string& text : texts) assign_one(text, where);
  source_ = source;
}

std::string Option::type_text() const {
  if (!words_.empty()) return "{" + joined(words_, ",") + "}";
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
          return joined(*value, " ");
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
