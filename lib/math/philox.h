// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a stateless generator.
// Every random number of the project is a function of what it is for, never of thread, worker or batch position.
#pragma once

#include <array>
#include <cstdint>

#include "math/host_device.h"

namespace dcl {

struct PhiloxBlock {
  uint32_t x[4];
};

/// Ten rounds over `counter` with `key`; known-answer tested against the authors' vectors.
DCL_HD PhiloxBlock philox4x32_10(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.x[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.x[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.x[1] ^ key0, static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.x[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/// What a stream of numbers is used for. Values are part of the reproducibility contract: never renumber.
enum class RandomPurpose : uint16_t {
  shuffle = 1,
  augment = 2,
  weight_init = 3,
  shapes_data = 4,
  classifier_init = 5,
  test = 6,
  principal_components = 7,
  label_noise = 8,
  label_fraction = 9,
};

/// The numbers of one (seed, purpose, epoch, sample, view): drawn in order, independent of every other stream.
class RandomStream {
 public:
  DCL_HD RandomStream(uint64_t seed, RandomPurpose purpose, uint32_t epoch = 0, uint32_t sample = 0, uint16_t view = 0)
      : key0_(static_cast<uint32_t>(seed)),
        key1_(static_cast<uint32_t>(seed >> 32)),
        epoch_(epoch),
        sample_(sample),
        what_(static_cast<uint32_t>(purpose) << 16 | view) {}

  DCL_HD uint32_t next_u32() {
    if (used_ == 4) {
      block_ = philox4x32_10({{index_++, sample_, epoch_, what_}}, key0_, key1_);
      used_ = 0;
    }
    return block_.x[used_++];
  }

  DCL_HD uint64_t next_u64() {
    const uint64_t low = next_u32();
    return low | static_cast<uint64_t>(next_u32()) << 32;
  }

  /// Uniform in [0, 1) with 53 bits.
  DCL_HD double uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

  /// Uniform in [low, high).
  DCL_HD double uniform(double low, double high) { return low + (high - low) * uniform(); }

  /// Uniform integer in [0, bound), bound > 0, without modulo bias (rejection).
  DCL_HD uint64_t below(uint64_t bound) {
    const uint64_t limit = ~uint64_t{0} - ~uint64_t{0} % bound;
    for (;;) {
      const uint64_t value = next_u64();
      if (value < limit) return value % bound;
    }
  }

 private:
  uint32_t key0_, key1_, epoch_, sample_, what_;
  uint32_t index_ = 0;
  uint32_t used_ = 4;
  PhiloxBlock block_{};
};

}  // namespace dcl
