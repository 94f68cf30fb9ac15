#include "onednn/matrix_filter.h"

#include <algorithm>
#include <cstring>

namespace dcl::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Type = dnnl::memory::data_type;

constexpr int64_t kMostColumnBytes = 8 << 20;  // beside dy in the last-level cache
constexpr int64_t kFewPixels = 64;             // of an image, over which gathering pays for a window

int64_t column_elements(const ConvDesc& d) { return d.r * d.s * d.c; }

/// Images whose columns are gathered at a time.
int64_t images_at_once(const ConvDesc& d, bool gathers) {
  if (!gathers) return d.n;
  const int64_t image_bytes = d.out_h() * d.out_w() * column_elements(d) * static_cast<int64_t>(sizeof(uint16_t));
  int64_t images = std::clamp<int64_t>(kMostColumnBytes / image_bytes, 1, d.n);
  while (d.n % images != 0) --images;
  return images;
}

Execution product(const ConvDesc& d, int64_t images, bool add, int threads) {
  const ThreadScope scope(threads);
  const int64_t pixels = images * d.out_h() * d.out_w(), columns = column_elements(d);
  dnnl::primitive_attr attr = user_scratchpad();
  dnnl::post_ops ops;
  if (add) ops.append_sum(1.0f);
  attr.set_post_ops(ops);
  const auto descriptor = fast([&] {
    return matmul_desc(cpu_engine(), Desc({d.k, pixels}, Type::bf16, {1, d.k}),
                       Desc({pixels, columns}, Type::bf16, {columns, 1}), Desc({d.k, columns}, Type::f32, {columns, 1}),
                       attr);
  });
  return Execution(descriptor, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 1, threads);
}

}  // namespace

bool MatrixBackwardFilter::pays(const ConvDesc& d) {
  if (d.dtype != DType::bf16 || !multiplies_bf16_tiles() || d.c < 16) return false;
  return d.r * d.s == 1 || d.stride > 1 || d.out_h() * d.out_w() <= kFewPixels;
}

MatrixBackwardFilter::MatrixBackwardFilter(const ConvDesc& d, int threads)
    : d_(d),
      threads_(threads),
      gathers_(!(d.r == 1 && d.s == 1 && d.stride == 1 && d.pad == 0)),
      images_(images_at_once(d, gathers_)),
      overwriting_(product(d, images_, false, threads)),
      adding_(product(d, images_, true, threads)) {
  if (gathers_)
    columns_bytes_ =
        padded(static_cast<size_t>(images_ * d.out_h() * d.out_w() * column_elements(d)) * sizeof(uint16_t));
  workspace_bytes_ = columns_bytes_ + padded(std::max(overwriting_.scratchpad_bytes(), adding_.scratchpad_bytes()));
}

/// The windows of some images' pixels; zeros outside the image.
void MatrixBackwardFilter::gather(const uint16_t* x, int64_t first_image, uint16_t* columns) const {
  const int64_t out_h = d_.out_h(), out_w = d_.out_w();
  parallel_for(images_ * out_h, [&](int64_t line) {
    const uint16_t* image = x + (first_image + line / out_h) * d_.h * d_.w * d_.c;
    uint16_t* to = columns + line * out_w * column_elements(d_);
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

void MatrixBackwardFilter::run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) {
  overwriting_.prepare();
  adding_.prepare();
  void* scratch = at(workspace, columns_bytes_);
  auto* columns = static_cast<uint16_t*>(workspace);
  const int64_t pixels = d_.out_h() * d_.out_w();
  for (int64_t image = 0; image < d_.n; image += images_) {
    if (gathers_) gather(static_cast<const uint16_t*>(x), image, columns);
    const void* right = gathers_ ? columns : x;
    const bool add = accum == Accum::add || image > 0;
    const ThreadScope scope(threads_);
    (add ? adding_ : overwriting_)
        .run(0, {static_cast<const uint16_t*>(dy) + image * pixels * d_.k, right, dfilter}, scratch);
  }
}

}  // namespace dcl::onednn
