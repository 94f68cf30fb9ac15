// Where tensors of limited life lie in one block of memory.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace dcl {

/// A tensor that must exist from op `first` to op `last`, both included.
struct Lifetime {
  size_t bytes = 0;
  int first = 0, last = 0;
};

struct ArenaLayout {
  std::vector<size_t> offsets;  ///< one per lifetime, multiples of 64
  size_t bytes = 0;             ///< of the block
  size_t live_peak = 0;         ///< most bytes alive at any op: no layout can be smaller
};

/// Largest first, each at the lowest offset where nothing alive at the same time lies.
ArenaLayout lay_out(std::span<const Lifetime> lifetimes);

}  // namespace dcl
