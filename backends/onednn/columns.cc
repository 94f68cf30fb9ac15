#include "onednn/columns.h"

#include <algorithm>
#include <cstring>

#include "core/extent.h"
#include "core/parallel.h"
#include "onednn/compat.h"
#include "onednn/kernels.h"

namespace dcl::onednn {
namespace {

constexpr int64_t kMostBytes = 8 << 20;  // beside the other operands in the last-level cache

}  // namespace

bool columns_fill_tiles(const ConvDesc& d) {
  return d.dtype == DType::bf16 && multiplies_bf16_tiles() && d.c >= kTileChannels;
}

Columns::Columns(const ConvDesc& d)
    : d_(d), gathers_(!(d.r == 1 && d.s == 1 && d.stride == 1 && d.pad == 0)), images_(d.n) {
  if (!gathers_) return;
  const int64_t image_bytes = d.out_h() * d.out_w() * width() * static_cast<int64_t>(sizeof(uint16_t));
  images_ = std::clamp<int64_t>(kMostBytes / image_bytes, 1, d.n);
  while (d.n % images_ != 0) --images_;
  bytes_ = padded(static_cast<size_t>(images_ * image_bytes));
}

const uint16_t* Columns::of(const void* x, int64_t first, void* room) const {
  const auto* from = static_cast<const uint16_t*>(x);
  if (!gathers_) return from + first * d_.h * d_.w * d_.c;
  gather(from, first, static_cast<uint16_t*>(room));
  return static_cast<const uint16_t*>(room);
}

void Columns::gather(const uint16_t* x, int64_t first, uint16_t* all) const {
  const int64_t out_h = d_.out_h(), out_w = d_.out_w();
  parallel_for(images_ * out_h, [&](int64_t line) {
    const uint16_t* image = x + (first + line / out_h) * d_.h * d_.w * d_.c;
    uint16_t* to = all + line * out_w * width();
    for (int64_t j = 0; j < out_w; ++j)
      for (int64_t r = 0; r < d_.r; ++r) {
        const int64_t row = line % out_h * d_.stride - d_.pad + r;
        for (int64_t s = 0; s < d_.s; ++s, to += d_.c) {
          const int64_t column = j * d_.stride - d_.pad + s;
          if (row < 0 || row >= d_.h || column < 0 || column >= d_.w)
            std::fill(to, to + d_.c, uint16_t{0});
          else
            std::memcpy(to, image + (row * d_.w + column) * d_.c, static_cast<size_t>(d_.c) * sizeof *to);
        }
      }
  });
}

void Columns::fold(float* columns, int64_t first, void* dx, Accum accum) const {
  const int64_t image_columns = d_.out_h() * d_.out_w() * width();
  parallel_for(images_ * d_.h, [&](int64_t line) {
    auto* to = static_cast<uint16_t*>(dx) + (first * d_.h + line) * d_.w * d_.c;
    for (int64_t w = 0; w < d_.w; ++w, to += d_.c)
      fold_pixel(line % d_.h, w, columns + line / d_.h * image_columns, to, accum);
  });
}

/// The sum grows in the first of the pixel's places among the columns, which no other pixel has.
void Columns::fold_pixel(int64_t h, int64_t w, float* columns, uint16_t* dx, Accum accum) const {
  float* sum = nullptr;
  for (int64_t r = 0; r < d_.r; ++r) {
    const int64_t row = h + d_.pad - r;
    if (row < 0 || row % d_.stride != 0 || row / d_.stride >= d_.out_h()) continue;
    for (int64_t s = 0; s < d_.s; ++s) {
      const int64_t column = w + d_.pad - s;
      if (column < 0 || column % d_.stride != 0 || column / d_.stride >= d_.out_w()) continue;
      float* tap = columns + (row / d_.stride * d_.out_w() + column / d_.stride) * width() + (r * d_.s + s) * d_.c;
      if (sum)
        add_to(sum, DType::f32, tap, d_.c);
      else
        sum = tap;
    }
  }
  if (accum == Accum::add) {
    if (sum) add_to(dx, DType::bf16, sum, d_.c);
  } else if (sum) {
    round_to_bf16(sum, dx, d_.c);
  } else {
    std::fill(dx, dx + d_.c, uint16_t{0});
  }
}

}  // namespace dcl::onednn
