#include "support/problems.h"

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

namespace dcl::test {
namespace {

ConvProblem parse(const std::string& line, const std::string& where) {
  ConvProblem problem;
  ConvDesc& d = problem.desc;
  const std::map<std::string, int64_t*> fields = {{"n", &d.n}, {"h", &d.h},           {"w", &d.w},
                                                  {"c", &d.c}, {"k", &d.k},           {"r", &d.r},
                                                  {"s", &d.s}, {"stride", &d.stride}, {"pad", &d.pad}};
  std::istringstream words(line);
  size_t seen = 0;
  for (std::string word; words >> word;) {
    const size_t digits = word.find_first_of("0123456789");
    const auto field = fields.find(word.substr(0, digits));
    const bool number =
        digits != std::string::npos && word.find_first_not_of("0123456789", digits) == std::string::npos;
    if (field == fields.end() || !number) {
      problem.name = word;
      break;
    }
    *field->second = std::stoll(word.substr(digits));
    ++seen;
  }
  std::string rest;
  if (seen != fields.size() || problem.name.empty() || words >> rest)
    fail(ErrorKind::data, where + ": expected 'n2 h32 w32 c64 k64 r3 s3 stride1 pad1 NAME'");
  return problem;
}

}  // namespace

std::vector<ConvProblem> read_conv_problems() {
  const char* elsewhere = std::getenv("DCL_CONV_PROBLEMS");
  const std::string path = elsewhere ? elsewhere : DCL_CONV_PROBLEMS;
  std::ifstream file(path);
  if (!file) fail(ErrorKind::data, "cannot read " + path);
  std::vector<ConvProblem> problems;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    problems.push_back(parse(line, path + ":" + std::to_string(number)));
  }
  return problems;
}

}  // namespace dcl::test
