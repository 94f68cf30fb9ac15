// What the emulator knows of tensor cores and of copies that arrive later (language of tensor_product.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda/emulation/emulator.h"

namespace dcl::cuda::emulation {

/// One lane's part of c += a b, as PTX's mma.m16n8k8 for tf32 distributes it.
struct WarpProduct {
  float* c;           // 4
  const unsigned* a;  // 4
  const unsigned* b;  // 2
};
/// `products` one after the other, of each of which the lanes of a warp have a part. Throws Error{internal} when a
/// factor is no tf32 number.
void multiply(const WarpProduct* const (&lanes)[32], int products);

/// Products of one lane, made together at the end: a change of threads for each would take most of the time.
template <int Most>
class WarpProducts {
 public:
  void add(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { products_[count_++] = {c, a, b}; }
  void end() { warp_products(products_, count_); }

 private:
  WarpProduct products_[Most];
  int count_ = 0;
};

/// Copies of one thread to shared memory; they are made as late as the kernel allows.
class PendingCopies {
 public:
  void add(void* to, const void* from, size_t bytes) { copies_.push_back({to, from, bytes, groups_}); }
  void end_group() { ++groups_; }
  /// Makes those of all ended groups but the last `underway`.
  void await(unsigned underway);
  void clear() { copies_.clear(), groups_ = 0; }

 private:
  struct Copy {
    void* to;
    const void* from;  // null: zeros
    size_t bytes;
    unsigned group;
  };
  std::vector<Copy> copies_;
  unsigned groups_ = 0;  // ended
};

}  // namespace dcl::cuda::emulation
