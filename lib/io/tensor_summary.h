// What is worth knowing of a tensor's values, in one pass over the file.
#pragma once

#include <cstdint>
#include <string>

#include "io/tensor_file.h"

namespace dcl {

struct TensorSummary {
  std::string hash;                           ///< XXH3-128 of its bytes in C order, as `xxhsum -H2` prints it
  int64_t finite = 0, nan = 0, infinite = 0;  ///< elements
  double norm = 0, mean = 0;                  ///< Euclidean norm and mean of the finite ones
  double min = 0, max = 0;                    ///< of the finite ones; 0 when there is none
};
TensorSummary summarize(const TensorFile& file, const FileTensor& tensor);

/// XXH3-128 of a whole file.
std::string hash_of(const ByteSource& file);

}  // namespace dcl
