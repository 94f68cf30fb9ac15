#include "data/shuffle.h"

#include <numeric>
#include <utility>

#include "math/philox.h"

namespace dcl {

void epoch_permutation(uint64_t seed, uint32_t epoch, std::span<int32_t> order) {
  std::iota(order.begin(), order.end(), 0);
  RandomStream random(seed, RandomPurpose::shuffle, epoch);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
}

}  // namespace dcl
