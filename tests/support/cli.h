// What tests of the programs expect of an outcome.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/process.h"

namespace dcl::test {

/// It ended with `code`, has all of `words` in one line of error, which is the last, and nothing on standard output.
inline void expect_refused(const Outcome& outcome, int code, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.exit_code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  const size_t at = outcome.err.find("error: ");
  ASSERT_NE(at, std::string::npos) << outcome.err;
  const std::string message = outcome.err.substr(at);
  EXPECT_EQ(std::ranges::count(message, '\n'), 1) << message;
  for (const std::string& word : words)
    EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' is not in: " << message;
}

inline void expect_refused(const std::vector<std::string>& argv, int code, const std::vector<std::string>& words) {
  expect_refused(run(argv), code, words);
}

/// What a program that succeeds prints, with --json among its arguments.
inline nlohmann::json json_of(const std::vector<std::string>& argv) {
  const Outcome outcome = run(argv);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  return outcome.exit_code == 0 ? nlohmann::json::parse(outcome.out) : nlohmann::json::object();
}

}  // namespace dcl::test
