#include <algorithm>

#include "eigen/winograd.h"
#include "onednn/conv_plans.h"
#include "onednn/matrix_convolution.h"
#include "onednn/pieces.h"

namespace dcl::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

Forward::primitive_desc fused_desc(const FusedConvDesc& d, Residual residual, int64_t images, const Desc& filter) {
  // oneDNN 2.6 adds the wrong values to what is there in the last channels of such a block on SSE4.1.
  if (residual == Residual::in_y && d.conv.k % 8 != 0) throw NotFast();
  ConvSpec spec = spec_for(d.conv, images);
  spec.weights = filter;
  spec.bias = Desc({d.conv.k}, Type::f32, Tag::x);
  dnnl::post_ops ops;
  if (residual == Residual::in_y) ops.append_sum(1.0f);
  if (residual == Residual::apart) ops.append_binary(dnnl::algorithm::binary_add, spec.dst);
  if (d.relu) append_relu(ops);
  dnnl::primitive_attr attr = user_scratchpad();
  attr.set_post_ops(ops);
  return fast([&] { return forward_desc(cpu_engine(), dnnl::prop_kind::forward_inference, spec, attr); });
}

Desc any_layout(const ConvDesc& d) { return {{d.k, d.c, d.r, d.s}, data_type_of(computed(d).dtype), Tag::any}; }

bool by_winograd(const ConvDesc& d) { return computed(d).dtype == DType::f32 && winograd_supports_fused(d); }

Epilogue epilogue_of(const FusedConvDesc& d, Residual residual) {
  return {.bias = true, .relu = d.relu, .residual = residual};
}

std::vector<int> fused_arguments(Residual residual) {
  std::vector<int> arguments{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
  if (residual == Residual::apart) arguments.push_back(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1);
  return arguments;
}

PieceExecutions fused_pieces(const FusedConvDesc& d, Residual residual, const Desc& filter, int threads) {
  const BatchSplit split = split_batch(computed(d.conv), threads);
  // The larger pieces choose the layout, which the others have to take.
  return PieceExecutions(split, fused_arguments(residual), [&, layout = filter](int64_t images) mutable {
    const auto descriptor = fused_desc(d, residual, images, layout);
    layout = descriptor.weights_desc();
    return descriptor;
  });
}

/// How a filter is packed: as the convolution likes best that adds to y, or that has no residual.
Desc packed_layout(const FusedConvDesc& d, int threads) {
  const Residual residual = d.residual ? Residual::in_y : Residual::none;
  if (product_pays(d.conv)) return packed_matrix(d.conv, epilogue_of(d, residual), threads);
  if (by_winograd(d.conv)) return plain_filter(d.conv);
  return fused_pieces(d, residual, any_layout(d.conv), threads).argument(DNNL_ARG_WEIGHTS);
}

/// Where y is a copy in f32, the residual is copied into it.
Residual residual_for(const FusedConvDesc& d, Residual residual) {
  return residual == Residual::apart && computed(d.conv).dtype != d.conv.dtype ? Residual::in_y : residual;
}

class DirectFused final : public FusedForm {
 public:
  /// packed: the filter's layout.
  DirectFused(const FusedConvDesc& d, Residual residual, const Desc& packed, int threads);
  void run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
           void* workspace) override;

 private:
  Residual residual_;  // for oneDNN
  PieceConvolution pieces_;
  FilterReorder reorder_;  // where a residual apart wants another layout than the packed one
};

/// With a filter as it is packed, where the convolution takes that.
PieceExecutions pieces_for(const FusedConvDesc& d, Residual residual, const Desc& packed, int threads) {
  try {
    return fused_pieces(d, residual, packed, threads);
  } catch (const NotFast&) {
    return fused_pieces(d, residual, any_layout(d.conv), threads);
  }
}

DirectFused::DirectFused(const FusedConvDesc& d, Residual residual, const Desc& packed, int threads)
    : residual_(residual_for(d, residual)),
      pieces_(d.conv, false, Accum::overwrite, pieces_for(d, residual_, packed, threads)),
      reorder_(packed, pieces_.filter_layout(), threads) {
  workspace_bytes_ = reorder_.copy_bytes() + std::max(pieces_.workspace_bytes(), reorder_.scratchpad_bytes());
}

void DirectFused::run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
                      void* workspace) {
  void* scratch = at(workspace, reorder_.copy_bytes());
  packed = reorder_.apply(packed, workspace, scratch);
  pieces_.run(x, y, scratch, [&](const Piece& piece) {
    const void* added = nullptr;
    if (residual_ != Residual::none) added = pieces_.out().read(residual, piece.first, piece.images, piece.out);
    if (residual_ == Residual::apart)
      piece.run({piece.in, packed, bias, piece.out, added});
    else
      piece.run({piece.in, packed, bias, piece.out});
  });
}

class WinogradFused final : public FusedForm {
 public:
  WinogradFused(const FusedConvDesc& d, Residual residual, int threads)
      : relu_(d.relu), residual_(residual), own_(WinogradConvolution::forward(d.conv, threads)) {
    workspace_bytes_ = own_.workspace_bytes();
  }

  void run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
           void* workspace) override {
    kernels::WinogradEpilogue epilogue{.add = residual_ == Residual::in_y, .relu = relu_, .bias = bias};
    if (residual_ == Residual::apart) epilogue.residual = static_cast<const char*>(residual);
    own_.run(x, static_cast<const float*>(packed), y, epilogue, workspace);
  }

 private:
  bool relu_;
  Residual residual_;
  WinogradConvolution own_;
};

/// packed: the filter's layout.
std::unique_ptr<FusedForm> form_of(const FusedConvDesc& d, Residual residual, const Desc& packed, int threads) {
  if (by_winograd(d.conv)) return std::make_unique<WinogradFused>(d, residual, threads);
  if (product_pays(d.conv)) return std::make_unique<MatrixFused>(d, packed, epilogue_of(d, residual), threads);
  return std::make_unique<DirectFused>(d, residual, packed, threads);
}

}  // namespace

FusedPlan::FusedPlan(const FusedConvDesc& d, int threads)
    : layout_(packed_layout(d, threads)),
      packing_(product_pays(d.conv) ? plain_matrix(d.conv) : plain_filter(d.conv), layout_, threads) {
  for (const Residual residual : {Residual::none, Residual::in_y, Residual::apart}) {
    if (d.residual == (residual == Residual::none)) continue;
    auto& form = forms_.at(static_cast<size_t>(residual)) = form_of(d, residual, layout_, threads);
    workspace_bytes_ = std::max(workspace_bytes_, form->workspace_bytes());
  }
}

void FusedPlan::pack(const float* filter, void* packed) {
  if (!packing_.needed()) {
    std::copy_n(filter, layout_.get_size() / sizeof(float), static_cast<float*>(packed));
    return;
  }
  std::vector<char> scratchpad(packing_.scratchpad_bytes());
  packing_.run(filter, packed, scratchpad.data());
}

void FusedPlan::run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
                    void* workspace) {
  const Residual where = !residual ? Residual::none : residual == y ? Residual::in_y : Residual::apart;
  forms_.at(static_cast<size_t>(where))->run(x, packed, bias, residual, y, workspace);
}

}  // namespace dcl::onednn
