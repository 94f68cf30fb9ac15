// What a file of tensors may hold at most, whatever its format: bounds what a hostile file can make a reader allocate.
// Private to lib/io.
#pragma once

#include <cstddef>

namespace dcl {

inline constexpr size_t kMaxTensors = 100'000;
inline constexpr size_t kMaxNameBytes = 1024;
inline constexpr size_t kMaxRank = 8;
inline constexpr size_t kMaxTextBytes = size_t{24} << 20;  ///< names, keys and values of metadata together

}  // namespace dcl
