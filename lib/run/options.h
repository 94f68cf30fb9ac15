// Command-line options with one rule for every app: a value comes from the command line, else from the environment
// (DCL_NAME), else from the configuration file, else it is the default. Names are the published ones with underscores;
// hyphens are accepted wherever an underscore stands.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace dcl {

enum class OptionSource { default_value, file, environment, command_line };

/// One option; the target keeps its default until Options::parse writes it. Modifiers return the option for chaining.
class Option {
 public:
  using Target = std::variant<bool*, int*, int64_t*, uint64_t*, double*, std::string*, std::filesystem::path*,
                              std::vector<std::string>*>;

  /// Inclusive limits of a number.
  Option& range(double low, double high);
  /// Words a string may be.
  Option& choices(std::vector<std::string> words);
  /// Must be given somewhere.
  Option& required();
  /// Belongs to one invocation, not to the experiment: left out of config.toml.
  Option& transient();
  /// A value without a name, on the command line only, in the order in which such options were added.
  Option& positional();

  const std::string& name() const { return name_; }
  OptionSource source() const { return source_; }
  /// Given anywhere, rather than left at its default.
  bool given() const { return source_ != OptionSource::default_value; }

 private:
  friend class Options;
  bool is_flag() const { return std::holds_alternative<bool*>(target_); }
  bool is_list() const { return std::holds_alternative<std::vector<std::string>*>(target_); }
  void assign(const std::vector<std::string>& texts, OptionSource source, const std::string& where);
  /// A value as text, and in words where it was given.
  struct Given {
    const std::string &text, &where;
  };
  template <class T>
  void take(const Given& given, T& target) const;
  void check_word(const Given& given) const;
  void check_range(const Given& given, double value) const;
  [[noreturn]] static void fail_value(const Given& given, const std::string& expected);
  std::string type_text() const;
  std::string value_text() const;
  std::string toml_value() const;

  std::string name_, group_, help_;
  Target target_;
  double low_ = 0, high_ = 0;
  bool limited_ = false, required_ = false, transient_ = false, positional_ = false;
  std::vector<std::string> words_;
  OptionSource source_ = OptionSource::default_value;
};

/// The options of an app. Every app has --help, --version, --color and --config as well.
class Options {
 public:
  /// examples: lines shown first in the help.
  Options(std::string program, std::string purpose, std::vector<std::string> examples = {});
  ~Options();
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  /// Heading of the options added from here on.
  void group(std::string title);
  /// `name` has underscores and no dashes ("batch_size"); `target` holds the default and must outlive this object.
  /// A bool is both --name / --no_name and --name true|false|1|0|yes|no|on|off|'' (any case; '' is false).
  Option& add(const std::string& name, Option::Target target, const std::string& help);

  /// Resolves every option. Throws Error{usage} naming option, source and expectation, with the nearest name for an
  /// unknown one. Returns false when --help or --version was asked for (its text is then in `reply`).
  bool parse(int argc, const char* const* argv, std::string& reply);

  const Option& option(std::string_view name) const;
  bool given(std::string_view name) const { return option(name).given(); }
  /// The effective configuration as TOML: every option that is not transient, with its help as a comment. A file with
  /// this text, given to --config, repeats the run.
  std::string config_text() const;
  /// use(name, value) for each of these options, by the type of its target.
  template <class Use>
  void for_each_setting(Use&& use) const {
    for (const auto& option : options_)
      if (!option->transient_) std::visit([&](const auto* value) { use(option->name_, *value); }, option->target_);
  }
  /// "auto", "always" or "never".
  const std::string& color() const { return color_; }

 private:
  struct CommandLine;
  Option* find(std::string_view name) const;
  /// What a token "--NAME" or "--NAME=VALUE" means: the name with underscores and without no_, its option or null.
  struct Named {
    std::string name;
    const Option* option;
    bool negated;
    std::optional<std::string> value;
  };
  Named named_by(std::string_view token) const;
  void check_named(const Named& named, std::string_view token, const char* next) const;
  void check_value_follows(const Option& option, const char* next) const;
  std::vector<std::string> normalised(int argc, const char* const* argv) const;
  void apply_file(const std::filesystem::path& path);
  void apply_environment();
  std::string suggestion(std::string_view name, const char* dashes) const;
  std::vector<std::string> names() const;

  std::string program_, purpose_, group_ = "Options";
  std::vector<std::string> examples_;
  std::vector<std::unique_ptr<Option>> options_;
  std::filesystem::path config_;
  std::string color_ = "auto";
};

/// The candidate nearest to `word` by edit distance (hyphens equal underscores, prefixes count), or "" when none is
/// near.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);

/// What a boolean text means, of any case; nothing for another text.
std::optional<bool> boolean_of(std::string_view text);

}  // namespace dcl
