#include "onednn/matrix_filter.h"

#include <algorithm>

namespace dcl::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Type = dnnl::memory::data_type;

Execution product(const ConvDesc& d, const Columns& columns, bool add, int threads) {
  const CallerThreads scope(threads);
  const int64_t pixels = columns.pixels(), width = columns.width();
  dnnl::primitive_attr attr = user_scratchpad();
  dnnl::post_ops ops;
  if (add) ops.append_sum(1.0f);
  attr.set_post_ops(ops);
  const auto descriptor = fast([&] {
    return matmul_desc(cpu_engine(), Desc({d.k, pixels}, Type::bf16, {1, d.k}),
                       Desc({pixels, width}, Type::bf16, {width, 1}), Desc(), Desc({d.k, width}, Type::f32, {width, 1}),
                       attr);
  });
  return Execution(descriptor, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST}, 1, threads);
}

}  // namespace

bool MatrixBackwardFilter::pays(const ConvDesc& d) {
  return columns_fill_tiles(d) && (d.r * d.s == 1 || d.stride > 1 || d.out_h() * d.out_w() <= kFewPixels);
}

MatrixBackwardFilter::MatrixBackwardFilter(const ConvDesc& d, int threads)
    : d_(d),
      threads_(threads),
      columns_(d),
      overwriting_(product(d, columns_, false, threads)),
      adding_(product(d, columns_, true, threads)) {
  workspace_bytes_ = columns_.bytes() + padded(std::max(overwriting_.scratchpad_bytes(), adding_.scratchpad_bytes()));
}

void MatrixBackwardFilter::run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) {
  overwriting_.prepare();
  adding_.prepare();
  void* scratch = at(workspace, columns_.bytes());
  const int64_t pixels = d_.out_h() * d_.out_w();
  for (int64_t image = 0; image < d_.n; image += columns_.images()) {
    const void* right = columns_.of(x, image, workspace);
    const bool add = accum == Accum::add || image > 0;
    const CallerThreads scope(threads_);
    (add ? adding_ : overwriting_)
        .run(0, {static_cast<const uint16_t*>(dy) + image * pixels * d_.k, right, dfilter}, scratch);
  }
}

}  // namespace dcl::onednn
