#include "cuda/emulation/tensor_core.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"

namespace dcl::cuda::emulation {
namespace {

constexpr unsigned kBelowTf32 = 0x1fff;

float factor(unsigned bits) {
  if (bits & kBelowTf32) fail(ErrorKind::internal, "a tensor core is given a factor that is no tf32 number");
  return std::bit_cast<float>(bits);
}

void multiply_one(const WarpProduct* const (&lanes)[32], int product) {
  float a[16][8], b[8][8];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const WarpProduct& part = lanes[lane][product];
    const unsigned g = lane / 4, t = lane % 4;
    for (unsigned i = 0; i < 4; ++i) a[g + i % 2 * 8][t + i / 2 * 4] = factor(part.a[i]);
    for (unsigned i = 0; i < 2; ++i) b[t + i * 4][g] = factor(part.b[i]);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    float* c = lanes[lane][product].c;
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      float sum = c[i];
      for (unsigned k = 0; k < 8; ++k) sum += a[row][k] * b[k][column];
      c[i] = sum;
    }
  }
}

}  // namespace

void multiply(const WarpProduct* const (&lanes)[32], int products) {
  for (int product = 0; product < products; ++product) multiply_one(lanes, product);
}

void PendingCopies::await(unsigned underway) {
  const auto arrives = [&](const Copy& copy) { return copy.group + underway < groups_; };
  for (const Copy& copy : copies_) {
    if (!arrives(copy)) continue;
    if (copy.from)
      std::memcpy(copy.to, copy.from, copy.bytes);
    else
      std::memset(copy.to, 0, copy.bytes);
  }
  std::erase_if(copies_, arrives);
}

}  // namespace dcl::cuda::emulation
