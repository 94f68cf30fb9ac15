#include "onednn/matrix_convolution.h"

#include <algorithm>

namespace dcl::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

bool has_few_pixels(const ConvDesc& d) {
  const int64_t pixels = d.out_h() * d.out_w();
  return pixels < kFewPixels || (d.stride > 1 && pixels == kFewPixels);
}

dnnl::matmul::primitive_desc product_desc(const ConvDesc& d, const Columns& columns, const Desc& filter,
                                          Epilogue epilogue) {
  const Desc y({columns.pixels(), d.k}, Type::bf16, Tag::ab);
  dnnl::post_ops ops;
  if (epilogue.residual == Residual::in_y) ops.append_sum(1.0f);
  if (epilogue.residual == Residual::apart) ops.append_binary(dnnl::algorithm::binary_add, y);
  if (epilogue.relu) append_relu(ops);
  dnnl::primitive_attr attr = user_scratchpad();
  attr.set_post_ops(ops);
  return fast([&] {
    return matmul_desc(cpu_engine(), Desc({columns.pixels(), columns.width()}, Type::bf16, Tag::ab), filter,
                       epilogue.bias ? Desc({1, d.k}, Type::f32, Tag::ab) : Desc(), y, attr);
  });
}

Desc any_matrix(const ConvDesc& d) { return {{d.r * d.s * d.c, d.k}, Type::bf16, Tag::any}; }

/// With the filter as it comes, where a product can use it.
dnnl::matmul::primitive_desc product_desc_for(const ConvDesc& d, const Columns& columns, const Desc& filter,
                                              Epilogue epilogue) {
  const bool packed = type_of(filter) == Type::bf16;
  try {
    return product_desc(d, columns, packed ? filter : any_matrix(d), epilogue);
  } catch (const NotFast&) {
    if (!packed) throw;
    return product_desc(d, columns, any_matrix(d), epilogue);
  }
}

std::vector<int> arguments_of(Epilogue epilogue) {
  std::vector<int> arguments{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
  if (epilogue.bias) arguments.push_back(DNNL_ARG_BIAS);
  if (epilogue.residual == Residual::apart) arguments.push_back(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1);
  return arguments;
}

/// The gradient of x as the forward pass of another convolution.
ConvDesc backward(ConvDesc d) {
  std::swap(d.c, d.k);
  return d;
}

}  // namespace

bool product_pays(const ConvDesc& d) {
  return columns_fill_tiles(d) && d.k >= kTileChannels && (d.r * d.s == 1 || has_few_pixels(d));
}

Product::Product(const ConvDesc& d, const Layout& filter, Epilogue epilogue, int threads)
    : batch_(d.n), y_elements_(d.out_h() * d.out_w() * d.k), threads_(threads), epilogue_(epilogue), columns_(d) {
  const CallerThreads scope(threads);
  const auto descriptor = product_desc_for(d, columns_, filter, epilogue);
  execution_ = Execution(descriptor, arguments_of(epilogue), 1, threads);
  reorder_ = FilterReorder(filter, descriptor.weights_desc(), threads);
  workspace_bytes_ = reorder_.copy_bytes() + columns_.bytes() +
                     padded(std::max(execution_.scratchpad_bytes(), reorder_.scratchpad_bytes()));
}

void Product::run(const void* x, const void* filter, const float* bias, const void* residual, void* y,
                  void* workspace) {
  execution_.prepare();
  void* room = at(workspace, reorder_.copy_bytes());
  void* scratch = at(room, columns_.bytes());
  filter = reorder_.apply(filter, workspace, scratch);
  for (int64_t image = 0; image < batch_; image += columns_.images()) {
    const void* rows = columns_.of(x, image, room);
    void* to = static_cast<uint16_t*>(y) + image * y_elements_;
    const void* added =
        epilogue_.residual == Residual::apart ? static_cast<const uint16_t*>(residual) + image * y_elements_ : nullptr;
    const CallerThreads scope(threads_);
    if (epilogue_.bias && added)
      execution_.run(0, {rows, filter, to, bias, added}, scratch);
    else if (epilogue_.bias)
      execution_.run(0, {rows, filter, to, bias}, scratch);
    else
      execution_.run(0, {rows, filter, to}, scratch);
  }
}

Product::Layout plain_matrix(const ConvDesc& d) {
  const int64_t width = d.r * d.s * d.c;
  return {{width, d.k}, Type::f32, dnnl::memory::dims{1, width}};
}

Product::Layout packed_matrix(const ConvDesc& d, Epilogue epilogue, int threads) {
  const CallerThreads scope(threads);
  return product_desc(d, Columns(d), any_matrix(d), epilogue).weights_desc();
}

bool MatrixForward::pays(const ConvDesc& d) { return product_pays(d) && has_few_pixels(d); }

MatrixForward::MatrixForward(const ConvDesc& d, int threads) : product_(d, plain_matrix(d), {}, threads) {
  workspace_bytes_ = product_.workspace_bytes();
}

PointwiseBackwardData::PointwiseBackwardData(const ConvDesc& d, int threads)
    : overwriting_(backward(d), Desc({d.k, d.c}, Type::f32, Tag::ab), {}, threads),
      adding_(backward(d), Desc({d.k, d.c}, Type::f32, Tag::ab), {.residual = Residual::in_y}, threads) {
  workspace_bytes_ = std::max(overwriting_.workspace_bytes(), adding_.workspace_bytes());
}

FoldedBackwardData::FoldedBackwardData(const ConvDesc& d, int threads)
    : batch_(d.n),
      dy_elements_(d.out_h() * d.out_w() * d.k),
      threads_(threads),
      columns_(d),
      columns_bytes_(padded(static_cast<size_t>(columns_.pixels() * columns_.width()) * sizeof(float))) {
  const CallerThreads scope(threads);
  const int64_t pixels = columns_.pixels(), width = columns_.width();
  const auto descriptor = fast([&] {
    return matmul_desc(cpu_engine(), Desc({pixels, d.k}, Type::bf16, Tag::ab), Desc({d.k, width}, Type::bf16, Tag::any),
                       Desc(), Desc({pixels, width}, Type::f32, Tag::ab), user_scratchpad());
  });
  execution_ = Execution(descriptor, arguments_of({}), 1, threads);
  reorder_ = FilterReorder(Desc({d.k, width}, Type::f32, Tag::ab), descriptor.weights_desc(), threads);
  workspace_bytes_ = reorder_.copy_bytes() + columns_bytes_ +
                     padded(std::max(execution_.scratchpad_bytes(), reorder_.scratchpad_bytes()));
}

void FoldedBackwardData::run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) {
  execution_.prepare();
  void* columns = at(workspace, reorder_.copy_bytes());
  void* scratch = at(columns, columns_bytes_);
  filter = reorder_.apply(filter, workspace, scratch);
  for (int64_t image = 0; image < batch_; image += columns_.images()) {
    {
      const CallerThreads scope(threads_);
      execution_.run(0, {static_cast<const uint16_t*>(dy) + image * dy_elements_, filter, columns}, scratch);
    }
    columns_.fold(static_cast<float*>(columns), image, dx, accum);
  }
}

std::unique_ptr<BackwardDataPlan> matrix_backward_data(const ConvDesc& d, int threads) {
  if (!product_pays(d)) return nullptr;
  if (Columns(d).gathers()) return std::make_unique<FoldedBackwardData>(d, threads);
  return std::make_unique<PointwiseBackwardData>(d, threads);
}

MatrixFused::MatrixFused(const FusedConvDesc& d, const Product::Layout& packed, Epilogue epilogue, int threads)
    : product_(d.conv, packed, epilogue, threads) {
  workspace_bytes_ = product_.workspace_bytes();
}

}  // namespace dcl::onednn
