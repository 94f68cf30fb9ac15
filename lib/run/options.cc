#include "run/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "core/environment.h"
#include "core/error.h"
#include "run/config_file.h"
#include "run/version.h"

namespace dcl {
namespace {

[[noreturn]] void fail_usage(const std::string& what) { fail(ErrorKind::usage, what); }

std::string environment_name(std::string_view name) {
  std::string out = "DCL_";
  for (const char c : name) out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

/// What other trainers call an option, and what it is called here; of several that a program has, the first.
constexpr std::pair<std::string_view, std::string_view> kNamesElsewhere[] = {
    {"model", "model_path"},     {"model", "arch"},          {"backbone", "arch"},      {"checkpoint", "model_path"},
    {"dataset_name", "dataset"}, {"root", "data"},           {"data_dir", "data"},      {"estimator", "objective"},
    {"loss", "objective"},       {"anneal", "beta_anneal"},  {"learning_rate", "lr"},   {"wd", "weight_decay"},
    {"num_workers", "threads"},  {"workers", "threads"},     {"gpu", "device"},         {"precision", "dtype"},
    {"output_dir", "run_dir"},   {"save_dir", "run_dir"},    {"log_dir", "run_dir"},    {"output", "out"},
    {"reps", "repeats"},         {"repetitions", "repeats"}, {"iterations", "repeats"}, {"shape", "image_size"},
};

}  // namespace

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
  std::string near;
  for (const auto& [theirs, ours] : kNamesElsewhere)
    if (near.empty() && lookup == theirs && find(ours)) near = ours;
  if (near.empty()) near = nearest_name(lookup, names());
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

Options::Named Options::named_by(std::string_view token) const {
  const size_t equals = token.find('=');
  std::string name(token.substr(2, equals - 2));
  std::ranges::replace(name, '-', '_');
  const bool negated =
      !find(name) && name.starts_with("no_") && find(name.substr(3)) && find(name.substr(3))->is_flag();
  if (negated) name.erase(0, 3);
  const Option* option = find(name);
  std::optional<std::string> value;
  if (equals != token.npos) value = token.substr(equals + 1);
  return {std::move(name), option, negated, std::move(value)};
}

/// An option in the place of a value, as behind a variable of the shell that is empty, was not meant as one.
void Options::check_value_follows(const Option& option, const char* next) const {
  const std::string name = "--" + option.name_;
  if (!next) fail_usage(name + " needs a value: " + option.type_text());
  const std::string_view token(next);
  if (!token.starts_with("--") || token.size() == 2) return;
  const Named named = named_by(token);
  if (named.option || named.name == "help" || named.name == "version")
    fail_usage(name + " needs a value, and " + next + " is an option; " + name + "=" + next +
               " takes it for the value");
}

/// That there is such an option, and that its value is where it may be. next: the token behind it, or null.
void Options::check_named(const Named& named, std::string_view token, const char* next) const {
  const Option* option = named.option;
  if (option ? option->positional_ : named.name != "help" && named.name != "version") {
    const std::string_view written = token.substr(0, token.find('='));
    fail_usage("unknown option " + std::string(written) + suggestion(written.substr(2), "--"));
  }
  if (!option) return;
  if (next && std::string_view(next) == "=")
    fail_usage("--" + named.name + " = VALUE: write it without the equals sign or without the spaces");
  if (!option->is_flag() && !named.value) check_value_follows(*option, next);
}

/// Spells every name with underscores and every boolean as --name=true or --name=false.
std::vector<std::string> Options::normalised(int argc, const char* const* argv) const {
  std::vector<std::string> out;
  for (int i = 1; i < argc; ++i) {
    const std::string_view token = argv[i];
    if (!token.starts_with("--") || token.size() == 2) {
      out.emplace_back(token);
      continue;
    }
    const Named named = named_by(token);
    const char* next = i + 1 < argc ? argv[i + 1] : nullptr;
    check_named(named, token, next);
    if (!named.option || !named.option->is_flag()) {
      out.push_back("--" + named.name);
      if (named.value) out.push_back(*named.value);  // CLI11 takes --name= for --name
      continue;
    }
    std::optional<bool> value = true;
    if (named.value) {
      value = boolean_of(*named.value);
      if (!value) fail_usage("--" + named.name + ": expected true or false, got '" + *named.value + "'");
    } else if (const auto following = named.negated || !next ? std::nullopt : boolean_of(next)) {
      value = following;
      ++i;
    }
    out.push_back("--" + named.name + (*value != named.negated ? "=true" : "=false"));
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
    const std::string text = environment_variable(variable.c_str());
    if (!text.empty()) option->assign({text}, OptionSource::environment, "environment variable " + variable);
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

}  // namespace dcl
