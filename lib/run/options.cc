#include "run/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>

#include "core/error.h"
#include "io/csv.h"
#include "run/config_file.h"
#include "run/version.h"

namespace dcl {
namespace {

[[noreturn]] void fail_usage(const std::string& what) { fail(ErrorKind::usage, what); }

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

std::string environment_name(std::string_view name) {
  std::string out = "DCL_";
  for (const char c : name) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

// ---- One option -----------------------------------------------------------------------------------------------------

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
    fail_usage(where + ": " + text + " is out of range, expected " + number_text(low_) + " to " + number_text(high_));
}

void Option::assign_one(const std::string& text, const std::string& where) {
  const auto fail_value = [&](const std::string& expected) {
    fail_usage(where + ": expected " + expected + ", got '" + text + "'");
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
  if (!is_list() && texts.size() != 1) fail_usage(where + ": expected one value, got " + std::to_string(texts.size()));
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

// ---- All options of an app ------------------------------------------------------------------------------------------

Options::Options(std::string program, std::string purpose, std::vector<std::string> examples)
    : program_(std::move(program)), purpose_(std::move(purpose)), examples_(std::move(examples)) {
  group("General");
  add("config", &config_, "TOML file of option = value; the command line and DCL_* variables override it").transient();
  add("color", &color_, "coloured messages").choices({"auto", "always", "never"}).transient();
}
Options::~Options() = default;

void Options::group(std::string title) { group_ = std::move(title); }

Option& Options::add(const std::string& name, Option::Target target, const std::string& help) {
  if (find(name)) fail(ErrorKind::internal, "option " + name + " is added twice");
  auto option = std::make_unique<Option>();
  option->name_ = name;
  option->group_ = group_;
  option->help_ = help;
  option->target_ = target;
  return *options_.emplace_back(std::move(option));
}

Option* Options::find(std::string_view name) const {
  for (const auto& option : options_)
    if (option->name_ == name) return option.get();
  return nullptr;
}

const Option& Options::option(std::string_view name) const {
  const Option* found = find(name);
  if (!found) fail(ErrorKind::internal, "no option is named " + std::string(name));
  return *found;
}

std::vector<std::string> Options::names() const {
  std::vector<std::string> out;
  for (const auto& option : options_)
    if (!option->positional_) out.push_back(option->name_);
  return out;
}

std::string Options::suggestion(std::string_view name, const char* dashes) const {
  std::string lookup(name);
  std::ranges::replace(lookup, '-', '_');
  std::string near = nearest_name(lookup, names());
  if (name.find('-') != name.npos) std::ranges::replace(near, '_', '-');  // in the spelling of who asked
  return near.empty() ? "; " + program_ + " --help lists all" : "; did you mean " + (dashes + near) + "?";
}

/// The parser of the command line: every option is text there, so that values from all sources are read by one
/// function.
struct Options::CommandLine {
  CLI::App app;
  std::map<const Option*, std::vector<std::string>> given;
  bool help = false, version = false;

  explicit CommandLine(const Options& options) : app(options.purpose_, options.program_) {
    std::string head = options.purpose_;
    if (!options.examples_.empty()) head += "\n\nExamples:";
    for (const std::string& example : options.examples_) head += "\n  " + example;
    app.description(head);
    app.footer(
        "Names may be written with - or _. Each option is also read from the environment (--batch_size from\n"
        "DCL_BATCH_SIZE) and from the file given with --config; the command line comes first.");
    app.set_help_flag();
    app.get_formatter()->column_width(40);
    app.add_flag("-h,--help", help, "print this and exit")->group("General");
    app.add_flag("--version", version, "print version, compiler and backends, and exit")->group("General");
    for (const auto& option : options.options_) add(*option);
  }

  void add(const Option& option) {
    CLI::Option* added = app.add_option((option.positional_ ? "" : "--") + option.name_, given[&option], option.help_);
    added->group(option.group_)->type_name(option.type_text())->default_str(option.value_text());
    if (option.is_list())
      added->expected(1, CLI::detail::expected_max_vector_size);
    else
      added->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
};

std::string Options::help_text() const { return CommandLine(*this).app.help(); }

/// Spells every name with underscores and every boolean as --name=true or --name=false.
std::vector<std::string> Options::normalised(int argc, const char* const* argv) const {
  std::vector<std::string> out;
  for (int i = 1; i < argc; ++i) {
    const std::string token = argv[i];
    if (!token.starts_with("--") || token.size() == 2) {
      out.push_back(token);
      continue;
    }
    const size_t equals = token.find('=');
    std::string name = token.substr(2, equals == token.npos ? token.npos : equals - 2);
    std::ranges::replace(name, '-', '_');
    const bool negated =
        !find(name) && name.starts_with("no_") && find(name.substr(3)) && find(name.substr(3))->is_flag();
    if (negated) name.erase(0, 3);
    const Option* option = find(name);
    if (option ? option->positional_ : name != "help" && name != "version")
      fail_usage("unknown option " + token.substr(0, equals) + suggestion(token.substr(0, equals).substr(2), "--"));
    const char* next = i + 1 < argc ? argv[i + 1] : nullptr;
    if (option && next && std::string_view(next) == "=")
      fail_usage("--" + name + " = VALUE: write it without the equals sign or without the spaces");
    if (!option || !option->is_flag()) {
      out.push_back("--" + name);
      if (equals != token.npos) out.push_back(token.substr(equals + 1));  // CLI11 takes --name= for --name
      continue;
    }
    bool ok = true;
    bool value = true;
    if (equals != token.npos)
      value = boolean_value(token.substr(equals + 1), ok);
    else if (!negated && next && (boolean_value(next, ok), ok))
      value = boolean_value(argv[++i], ok);
    else
      ok = true;
    if (!ok) fail_usage("--" + name + ": expected true or false, got '" + token.substr(equals + 1) + "'");
    out.push_back("--" + name + (value != negated ? "=true" : "=false"));
  }
  return out;
}

bool Options::parse(int argc, const char* const* argv, std::string& reply) {
  CommandLine line(*this);
  std::vector<std::string> arguments = normalised(argc, argv);
  std::ranges::reverse(arguments);  // the order CLI11 takes a vector in
  try {
    line.app.parse(arguments);
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> extras = line.app.remaining();
    fail_usage("unexpected argument '" + (extras.empty() ? std::string() : extras.front()) +
               "': every value follows the name of its option");
  } catch (const CLI::ParseError& error) {
    fail_usage(std::string(error.what()));
  }
  if (line.help || line.version) {
    reply = line.help ? line.app.help() : version_text(program_);
    return false;
  }
  for (const auto& option : options_)
    if (const auto& texts = line.given[option.get()]; !texts.empty())
      option->assign(texts, OptionSource::command_line, (option->positional_ ? "" : "--") + option->name_);
  apply_environment();
  if (!config_.empty()) apply_file(config_);
  for (const auto& option : options_)
    if (option->required_ && !option->given())
      fail_usage((option->positional_ ? "" : "--") + option->name_ + " is needed: " + option->help_);
  return true;
}

void Options::apply_environment() {
  for (const auto& option : options_) {
    if (option->given() || option->positional_) continue;
    const std::string variable = environment_name(option->name_);
    const char* text = std::getenv(variable.c_str());
    if (text && *text) option->assign({text}, OptionSource::environment, "environment variable " + variable);
  }
}

void Options::apply_file(const std::filesystem::path& path) {
  const std::string file = path.native();
  std::set<std::string> names;
  for (const ConfigEntry& entry : read_config(path)) {
    std::string name = entry.key;
    std::ranges::replace(name, '-', '_');
    const std::string where = file + ":" + std::to_string(entry.line);
    Option* option = find(name);
    if (!option || option->positional_) fail_usage(where + ": unknown key " + entry.key + suggestion(name, ""));
    if (name == "config") fail_usage(where + ": a configuration file cannot name another");
    if (!names.insert(name).second) fail_usage(where + ": " + entry.key + " stands twice, once with _ and once with -");
    if (!option->given()) option->assign(entry.values, OptionSource::file, where + ": " + entry.key);
  }
}

std::string Options::config_text() const {
  std::string out =
      "# Effective configuration of " + program_ + " " + version() + "; --config with this file repeats the run.\n";
  std::string group;
  for (const auto& option : options_) {
    if (option->transient_) continue;
    if (option->group_ != group) out += "\n# ---- " + (group = option->group_) + "\n";
    out += "# " + option->help_ + "\n" + option->name_ + " = " + option->toml_value() + "\n";
  }
  return out;
}

// ---- Words ----------------------------------------------------------------------------------------------------------

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

}  // namespace dcl
