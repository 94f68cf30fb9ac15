// The order of an epoch: a function of seed and epoch alone, so that any position can be resumed.
#pragma once

#include <cstdint>
#include <span>

namespace dcl {

/// order[i] = the image at position i: a uniformly random permutation of 0 .. order.size()-1 (Fisher-Yates).
void epoch_permutation(uint64_t seed, uint32_t epoch, std::span<int32_t> order);

}  // namespace dcl
