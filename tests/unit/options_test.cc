// Where an option's value comes from and what its text means.
#include "run/options.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"
#include "run/config_file.h"
#include "support/process.h"

namespace dcl {
namespace {

/// The options of a small app and their targets.
struct App {
  int batch_size = 256;
  int64_t steps = -1;
  uint64_t seed = 0;
  double tau_plus = 0.1;
  bool debiased = true, json = false;
  std::string dataset = "stl10";
  std::filesystem::path data = "data";
  std::vector<std::string> names;
  Options options{"dcl-test", "Tests options.", {"dcl-test --batch_size 8"}};
  std::string reply;

  App() {
    options.group("Group");
    options.add("batch_size", &batch_size, "images per step").range(1, 100000);
    options.add("max_steps", &steps, "steps");
    options.add("seed", &seed, "seed");
    options.add("tau_plus", &tau_plus, "class prior").range(0, 0.999);
    options.add("debiased", &debiased, "debias");
    options.add("json", &json, "print JSON").transient();
    options.add("dataset", &dataset, "which").choices({"stl10", "cifar10", "shapes"});
    options.add("data", &data, "folder");
    options.add("names", &names, "several");
  }
  bool parse(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "dcl-test");
    std::vector<const char*> argv;
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return options.parse(static_cast<int>(argv.size()), argv.data(), reply);
  }
  /// The message of the usage error; "" when there is none.
  std::string refusal(const std::vector<std::string>& arguments) {
    try {
      parse(arguments);
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
  }
};

void refused(const std::vector<std::string>& arguments, const std::string& words) {
  const std::string message = App().refusal(arguments);
  EXPECT_NE(message.find(words), std::string::npos) << "expected '" << words << "' in '" << message << "'";
}

/// Sets an environment variable for a scope.
struct Variable {
  Variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name_); }
  const char* name_;
};

TEST(CommandLine, BothSpellingsAndForms) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"--batch_size", "8"},
                                                    {"--batch-size", "8"},
                                                    {"--batch_size=8"},
                                                    {"--batch-size=8"},
                                                    {"--batch_size", "4", "--batch-size", "8"}}) {
    App app;
    EXPECT_TRUE(app.parse(arguments));
    EXPECT_EQ(app.batch_size, 8);
    EXPECT_TRUE(app.options.given("batch_size"));
    EXPECT_FALSE(app.options.given("seed"));
  }
}

TEST(CommandLine, EveryType) {
  App app;
  app.parse({"--max_steps", "-1", "--seed", "18446744073709551615", "--tau-plus", "5e-2", "--data", "a b/\xC3\xA9",
             "--names", "x", "y z", "--dataset", "shapes"});
  EXPECT_EQ(app.steps, -1);
  EXPECT_EQ(app.seed, UINT64_MAX);
  EXPECT_EQ(app.tau_plus, 0.05);
  EXPECT_EQ(app.data, "a b/\xC3\xA9");
  EXPECT_EQ(app.names, (std::vector<std::string>{"x", "y z"}));
  EXPECT_EQ(app.dataset, "shapes");
}

TEST(CommandLine, EmptyAndOddValues) {
  App app;
  app.parse({"--data=", "--batch_size", "8"});
  EXPECT_EQ(app.data, "");
  EXPECT_EQ(app.batch_size, 8);
  app.parse({"--data=--odd=x"});
  EXPECT_EQ(app.data, "--odd=x");
}

TEST(CommandLine, BooleansMeanWhatTheySay) {
  const auto value = [](const std::vector<std::string>& arguments) {
    App app;
    app.debiased = arguments.empty() || arguments[0].find("no") != std::string::npos;
    app.parse(arguments);
    return app.debiased;
  };
  for (const char* text : {"true", "True", "TRUE", "1", "yes", "on"}) {
    EXPECT_TRUE(value({"--debiased", text})) << text;
    EXPECT_TRUE(value({std::string("--debiased=") + text})) << text;
  }
  for (const char* text : {"false", "False", "0", "no", "off", ""}) {
    EXPECT_FALSE(value({"--debiased", text})) << text;
    EXPECT_FALSE(value({std::string("--debiased=") + text})) << text;
  }
  EXPECT_TRUE(value({"--debiased"}));
  EXPECT_FALSE(value({"--no-debiased"}));
  EXPECT_FALSE(value({"--no_debiased"}));
  App app;
  app.parse({"--debiased", "--batch_size", "8"});  // does not take the next option for its value
  EXPECT_EQ(app.batch_size, 8);
  refused({"--debiased=maybe"}, "--debiased: expected true or false, got 'maybe'");
  refused({"--debiased", "maybe"}, "unexpected argument 'maybe'");
}

TEST(CommandLine, RefusesWhatItDoesNotUnderstand) {
  refused({"--bath_size", "8"}, "unknown option --bath_size; did you mean --batch_size?");
  refused({"--batch", "8"}, "did you mean --batch_size?");
  refused({"--tau-pluss=1"}, "did you mean --tau-plus?");
  refused({"--qqqqqqqq"}, "dcl-test --help lists all");
  refused({"--no_seed"}, "unknown option --no_seed");
  refused({"--batch_size"}, "--batch_size needs a value: INT");
  for (const char* option : {"--seed", "--no-debiased", "--debiased=false", "--help"})
    refused({"--batch_size", option, "8"}, "--batch_size needs a value, and " + std::string(option) + " is an option");
  refused({"--batch_size", "many"}, "--batch_size: expected a whole number, got 'many'");
  refused({"--batch_size", "8.5"}, "expected a whole number");
  refused({"--batch_size", "8x"}, "expected a whole number");
  refused({"--batch_size", ""}, "expected a whole number");
  refused({"--batch_size", "99999999999999999999"}, "expected a whole number");
  refused({"--batch_size", "0"}, "0 is out of range, expected 1 to 1e+05");
  refused({"--seed", "-1"}, "expected a whole number");
  refused({"--tau_plus", "1"}, "out of range");
  refused({"--tau_plus", "nan"}, "finite");
  refused({"--tau_plus", "0,1"}, "expected a number");
  refused({"--tau_plus", "=", "0.1"}, "without the equals sign");
  refused({"--dataset", "shape"}, "expected one of stl10, cifar10, shapes (did you mean shapes?), got 'shape'");
  refused({"stray"}, "unexpected argument 'stray'");
  refused({"-x"}, "unexpected argument '-x'");
}

TEST(CommandLine, RequiredOptionsMayComeFromAnywhere) {
  App app;
  std::string path;
  app.options.add("model_path", &path, "an encoder").required();
  EXPECT_NE(app.refusal({}).find("--model_path is needed"), std::string::npos);
  const Variable variable("DCL_MODEL_PATH", "x");
  EXPECT_EQ(app.refusal({}), "");
  EXPECT_EQ(path, "x");
}

TEST(CommandLine, HelpAndVersion) {
  App app;
  app.batch_size = 512;
  EXPECT_FALSE(app.parse({"--help"}));
  for (const char* words : {"Tests options.", "dcl-test --batch_size 8", "--batch_size", "512", "images per step",
                            "{stl10,cifar10,shapes}"})
    EXPECT_NE(app.reply.find(words), std::string::npos) << words << " in\n" << app.reply;
  EXPECT_FALSE(App().parse({"-h"}));
  App other;
  EXPECT_FALSE(other.parse({"--version"}));
  EXPECT_EQ(other.reply.find("dcl-test "), 0u);
  EXPECT_NE(other.reply.find("eigen"), std::string::npos);
}

TEST(Precedence, CommandLineThenEnvironmentThenFileThenDefault) {
  const test::TemporaryFolder folder;
  const std::string file = folder / "run.toml";
  test::write_text(file, "batch_size = 1\nseed = 1\ntau-plus = 0.25\n");
  const Variable batch("DCL_BATCH_SIZE", "2"), seed("DCL_SEED", "2"), empty("DCL_TAU_PLUS", "");
  App app;
  app.parse({"--config", file, "--batch-size", "3"});
  EXPECT_EQ(app.batch_size, 3);
  EXPECT_EQ(app.seed, 2u);
  EXPECT_EQ(app.tau_plus, 0.25);
  EXPECT_EQ(app.steps, -1);
  EXPECT_EQ(app.options.option("batch_size").source(), OptionSource::command_line);
  EXPECT_EQ(app.options.option("seed").source(), OptionSource::environment);
  EXPECT_EQ(app.options.option("tau_plus").source(), OptionSource::file);
}

TEST(Precedence, ErrorsNameTheSource) {
  const test::TemporaryFolder folder;
  const std::string file = folder / "run.toml";
  test::write_text(file, "# comment\nbath_size = 1\n");
  refused({"--config", file}, file + ":2: unknown key bath_size; did you mean batch_size?");
  test::write_text(file, "[train]\nbatch_size = 1\n");
  refused({"--config", file}, "unknown key train.batch_size; did you mean batch_size?");
  test::write_text(file, "batch_size = \"many\"\n");
  refused({"--config", file}, file + ":1: batch_size: expected a whole number");
  const Variable variable("DCL_BATCH_SIZE", "many");
  refused({}, "environment variable DCL_BATCH_SIZE: expected a whole number, got 'many'");
}

TEST(Config, WhatAFileCannotSay) {
  const test::TemporaryFolder folder;
  const std::string file = folder / "run.toml";
  const auto refused_file = [&](const std::string& text, const std::string& words) {
    test::write_text(file, text);
    refused({"--config", file}, words);
  };
  refused_file("tau_plus = 0.1\ntau-plus = 0.2\n", ":2: tau-plus stands twice");
  refused_file("seed = 1\n\"seed\" = 2\n", "seed stands twice");
  refused_file("config = \"other.toml\"\n", "cannot name another");
  refused_file("data = \"a\\u0000b\"\n", "NUL");
  refused_file(std::string("data = 'a\0b'\n", 13), "NUL");
  refused_file("seed = -1\n", "a whole number of 0 or more");
  refused({"--config", folder / "missing.toml"}, "configuration file: ");
  refused({"--config", folder.path()}, "is a folder, expected a file");
  test::write_text(file, "\"tau_plus\" = 0.25\n'seed' = 3\n");
  App app;
  app.parse({"--config", file});
  EXPECT_EQ(app.tau_plus, 0.25);
  EXPECT_EQ(app.seed, 3u);
}

TEST(Config, EffectiveConfigurationRepeatsTheRun) {
  App app;
  app.parse({"--batch_size", "7", "--tau_plus", "0.07", "--no-debiased", "--data", "we\"ird\\ pa\nth\xC3\xA9", "--seed",
             "18446744073709551615", "--names", "a,b", "c#d", "--json", "--max_steps", "-1"});
  const test::TemporaryFolder folder;
  const std::string file = folder / "config.toml";
  test::write_text(file, app.options.config_text());
  App again;
  again.parse({"--config", file});
  EXPECT_EQ(again.options.config_text(), app.options.config_text());
  EXPECT_EQ(again.batch_size, 7);
  EXPECT_EQ(again.tau_plus, 0.07);
  EXPECT_FALSE(again.debiased);
  EXPECT_EQ(again.data, app.data);
  EXPECT_EQ(again.seed, UINT64_MAX);
  EXPECT_EQ(again.names, (std::vector<std::string>{"a,b", "c#d"}));
  EXPECT_FALSE(again.json) << "options of one invocation are not kept";
}

TEST(Config, ReadsTheSubsetOfToml) {
  const std::vector<ConfigEntry> entries = parse_config(
      "\xEF\xBB\xBF# head\r\n a = 1_000 # tail\r\nb=\"x # \\\"y\\\" \\u00e9\\t\"\nc = 'lit\\eral'\n\nd = [1, \"two\", "
      "]\ne = []\n[t]\nf = -1.5e-3",
      "f.toml");
  ASSERT_EQ(entries.size(), 6u);
  EXPECT_EQ(entries[0].values, std::vector<std::string>{"1000"});
  EXPECT_EQ(entries[1].values, std::vector<std::string>{"x # \"y\" \xC3\xA9\t"});
  EXPECT_EQ(entries[2].values, std::vector<std::string>{"lit\\eral"});
  EXPECT_EQ(entries[3].values, (std::vector<std::string>{"1", "two"}));
  EXPECT_TRUE(entries[4].values.empty());
  EXPECT_EQ(entries[5].key, "t.f");
  EXPECT_EQ(entries[5].line, 9);
  EXPECT_EQ(entries[5].values, std::vector<std::string>{"-1.5e-3"});
}

TEST(Config, RefusesTheRestWithItsLine) {
  for (const char* text :
       {"a", "a =", "a = b", "= 1", "a = \"x", "a = 'x", "a = 1 2", "a = [1", "a = [1 2]", "[t", "[]", "a = \"\\q\"",
        "a = \"\\ud800\"", "a = \"\\u00g0\"", "a = 1\na = 2", "a = \"\"\"x\"\"\"", "a = {b = 1}", "\"a = 1", "'a'"}) {
    try {
      parse_config(std::string("\n") + text, "f.toml");
      ADD_FAILURE() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_EQ(std::string(error.what()).find("f.toml:"), 0u) << error.what();
    }
  }
}

TEST(Words, Nearest) {
  EXPECT_EQ(nearest_name("LEARNING-RTAE", {"learning_rate", "seed"}), "learning_rate");
  EXPECT_EQ(nearest_name("sed", {"learning_rate", "seed"}), "seed");
  EXPECT_EQ(nearest_name("completely", {"learning_rate", "seed"}), "");
}

TEST(Positional, ValuesWithoutNamesComeInOrderAndFromTheCommandLineAlone) {
  std::filesystem::path input, output;
  bool json = false;
  Options options("dcl-test", "Tests options.");
  options.add("input", &input, "the file to read").required().positional();
  options.add("output", &output, "the file to write").required().positional();
  options.add("json", &json, "print JSON");
  const auto parse = [&](std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "dcl-test");
    std::string reply;
    options.parse(static_cast<int>(arguments.size()), arguments.data(), reply);
  };
  parse({"a.pth", "--json", "b.pth"});
  EXPECT_EQ(input, "a.pth");
  EXPECT_EQ(output, "b.pth");
  EXPECT_TRUE(json);
  EXPECT_EQ(options.config_text().find("input"), std::string::npos);
  EXPECT_THROW(parse({"a", "b", "c"}), Error);
  EXPECT_THROW(parse({"--input", "a", "b"}), Error);
}

TEST(Positional, MissingOneIsNamed) {
  std::filesystem::path input;
  Options options("dcl-test", "Tests options.");
  options.add("input", &input, "the file to read").required().positional();
  setenv("DCL_INPUT", "x", 1);
  const char* arguments[] = {"dcl-test"};
  std::string reply;
  try {
    options.parse(1, arguments, reply);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_STREQ(error.what(), "input is needed: the file to read");
  }
  unsetenv("DCL_INPUT");
}

}  // namespace
}  // namespace dcl
