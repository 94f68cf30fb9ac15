// The convolutions that matter, one per line, shared by the conformance suite and the benchmarks.
// Line: n2 h32 w32 c64 k64 r3 s3 stride1 pad1 NAME   (# starts a comment; NAME may hold no blanks)
#pragma once

#include <string>
#include <vector>

#include "core/ops.h"

namespace dcl::test {

struct ConvProblem {
  ConvDesc desc;
  std::string name;
};

/// Throws Error{data} naming file and line. Reads $DCL_CONV_PROBLEMS, else tests/conformance/problems.txt of the source
/// tree.
std::vector<ConvProblem> read_conv_problems();

}  // namespace dcl::test
