#include <algorithm>

#include "eigen/winograd.h"
#include "onednn/conv_plans.h"
#include "onednn/filter_gradient.h"
#include "onednn/kernels.h"
#include "onednn/matrix_convolution.h"
#include "onednn/matrix_filter.h"
#include "onednn/pieces.h"

namespace dcl::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

Forward::primitive_desc training_desc(const ConvSpec& spec) {
  return fast([&] { return forward_desc(cpu_engine(), dnnl::prop_kind::forward_training, spec, user_scratchpad()); });
}

// ---- Forward --------------------------------------------------------------------------------------------------------

class DirectForward final : public ForwardPlan {
 public:
  DirectForward(const ConvDesc& d, int threads);
  void run(const void* x, const void* filter, void* y, void* workspace) override;

 private:
  PieceConvolution pieces_;
  FilterReorder reorder_;
};

PieceExecutions forward_pieces(const ConvDesc& d, int threads) {
  return PieceExecutions(split_batch(computed(d), threads), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                         [&, filter = Desc()](int64_t images) mutable {
                           ConvSpec spec = spec_for(d, images);
                           if (!filter.is_zero()) spec.weights = filter;
                           const auto descriptor = training_desc(spec);
                           filter = descriptor.weights_desc();
                           return descriptor;
                         });
}

DirectForward::DirectForward(const ConvDesc& d, int threads)
    : pieces_(d, false, Accum::overwrite, forward_pieces(d, threads)),
      reorder_(plain_filter(d), pieces_.filter_layout(), threads) {
  workspace_bytes_ = reorder_.copy_bytes() + std::max(pieces_.workspace_bytes(), reorder_.scratchpad_bytes());
}

void DirectForward::run(const void* x, const void* filter, void* y, void* workspace) {
  void* scratch = at(workspace, reorder_.copy_bytes());
  filter = reorder_.apply(filter, workspace, scratch);
  pieces_.run(x, y, scratch, [&](const Piece& piece) { piece.run({piece.in, filter, piece.out}); });
}

// ---- Backward: data -------------------------------------------------------------------------------------------------

class DirectBackwardData final : public BackwardDataPlan {
 public:
  DirectBackwardData(const ConvDesc& d, int threads);
  void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) override;

 private:
  PieceConvolution overwriting_, adding_;
  FilterReorder reorder_;
};

PieceExecutions backward_data_pieces(const ConvDesc& d, int threads, Type dx_type, Desc filter) {
  return PieceExecutions(
      split_batch(computed(d), threads), {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}, [&](int64_t images) {
        ConvSpec spec = spec_for(d, images);
        const auto hint = training_desc(spec);
        spec.src = Desc({images, d.c, d.h, d.w}, dx_type, Tag::nhwc);
        if (!filter.is_zero()) spec.weights = filter;
        const auto descriptor = fast([&] { return backward_data_desc(cpu_engine(), spec, hint, user_scratchpad()); });
        filter = descriptor.weights_desc();
        return descriptor;
      });
}

DirectBackwardData::DirectBackwardData(const ConvDesc& d, int threads)
    : overwriting_(d, true, Accum::overwrite,
                   backward_data_pieces(d, threads, data_type_of(computed(d).dtype), Desc())),
      adding_(d, true, Accum::add, backward_data_pieces(d, threads, Type::f32, overwriting_.filter_layout())),
      reorder_(plain_filter(d), overwriting_.filter_layout(), threads) {
  workspace_bytes_ = reorder_.copy_bytes() +
                     std::max({overwriting_.workspace_bytes(), adding_.workspace_bytes(), reorder_.scratchpad_bytes()});
}

void DirectBackwardData::run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) {
  void* scratch = at(workspace, reorder_.copy_bytes());
  filter = reorder_.apply(filter, workspace, scratch);
  (accum == Accum::add ? adding_ : overwriting_).run(dy, dx, scratch, [&](const Piece& piece) {
    piece.run({piece.in, filter, piece.out});
  });
}

// ---- Backward: filter -----------------------------------------------------------------------------------------------

class DirectBackwardFilter final : public BackwardFilterPlan {
 public:
  DirectBackwardFilter(const ConvDesc& d, int threads);
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) override;

 private:
  int threads_;
  int64_t filter_elements_;
  int64_t images_;
  PieceSide x_, dy_;
  Execution execution_;
  FilterReorder reorder_;
  size_t filter_bytes_ = 0, plain_bytes_ = 0, scratch_bytes_ = 0;
};

DirectBackwardFilter::DirectBackwardFilter(const ConvDesc& d, int threads)
    : threads_(threads),
      filter_elements_(d.filter_shape().elements()),
      images_(d.n),
      x_(d, false, d.n, Accum::overwrite),
      dy_(d, true, d.n, Accum::overwrite) {
  const CallerThreads scope(threads);
  ConvSpec spec = spec_for(d, d.n);
  const auto hint = training_desc(spec);
  spec.weights = Desc({d.k, d.c, d.r, d.s}, Type::f32, Tag::any);
  const auto descriptor = fast([&] { return backward_filter_desc(cpu_engine(), spec, hint, user_scratchpad()); });
  execution_ = Execution(descriptor, {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS}, 1, threads);
  reorder_ = FilterReorder(descriptor.diff_weights_desc(), plain_filter(d), threads);
  filter_bytes_ = padded(descriptor.diff_weights_desc().get_size());
  plain_bytes_ = padded(static_cast<size_t>(filter_elements_) * sizeof(float));
  scratch_bytes_ = padded(std::max(execution_.scratchpad_bytes(), reorder_.scratchpad_bytes()));
  workspace_bytes_ = filter_bytes_ + plain_bytes_ + scratch_bytes_ + x_.bytes() + dy_.bytes();
}

void DirectBackwardFilter::run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) {
  execution_.prepare();
  char* scratch = at(workspace, filter_bytes_ + plain_bytes_);
  char* own_x = at(scratch, scratch_bytes_);
  x = x_.read(x, 0, images_, own_x);
  dy = dy_.read(dy, 0, images_, at(own_x, x_.bytes()));
  {
    const CallerThreads scope(threads_);
    execution_.run(0, {x, dy, workspace}, scratch);
  }
  const float* sums = static_cast<const float*>(workspace);
  if (accum == Accum::overwrite && reorder_.needed()) return reorder_.run(sums, dfilter, scratch);
  if (reorder_.needed()) {
    void* plain = at(workspace, filter_bytes_);
    reorder_.run(sums, plain, scratch);
    sums = static_cast<const float*>(plain);
  }
  parallel_chunks(filter_elements_, int64_t{1} << 16, [&](int64_t begin, int64_t end) {
    if (accum == Accum::add)
      add_to(dfilter + begin, DType::f32, sums + begin, end - begin);
    else
      std::copy(sums + begin, sums + end, dfilter + begin);
  });
}

// ---- By kernels of our own ------------------------------------------------------------------------------------------

/// Without the tiles of AMX, which oneDNN's have.
class OwnBackwardFilter final : public BackwardFilterPlan {
 public:
  OwnBackwardFilter(const ConvDesc& d, int threads) : own_(d, threads) { workspace_bytes_ = own_.workspace_bytes(); }
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) override {
    own_.run(x, dy, dfilter, accum, workspace);
  }

 private:
  FilterGradient own_;
};

/// The base class's, with fewer products. Where the processor multiplies bf16, two in the time of one in f32, only the
/// filter gradient is left to gain from: 4x4 tiles need a quarter of the products, and nothing of theirs is written per
/// pixel. Not with AMX.
bool winograd_pays(const ConvDesc& d, ConvPass pass) {
  if (!winograd_supports(d)) return false;
  if (computed(d).dtype == DType::f32) return true;
  return pass == ConvPass::backward_filter && !multiplies_bf16_tiles();
}

}  // namespace

std::unique_ptr<ForwardPlan> ForwardPlan::make(const ConvDesc& d, int threads) {
  if (MatrixForward::pays(d)) return std::make_unique<MatrixForward>(d, threads);
  if (winograd_pays(d, ConvPass::forward)) return nullptr;
  return std::make_unique<DirectForward>(d, threads);
}

std::unique_ptr<BackwardDataPlan> BackwardDataPlan::make(const ConvDesc& d, int threads) {
  if (auto product = matrix_backward_data(d, threads)) return product;
  if (winograd_pays(d, ConvPass::backward_data)) return nullptr;
  return std::make_unique<DirectBackwardData>(d, threads);
}

std::unique_ptr<BackwardFilterPlan> BackwardFilterPlan::make(const ConvDesc& d, int threads) {
  if (MatrixBackwardFilter::pays(d)) return std::make_unique<MatrixBackwardFilter>(d, threads);
  if (winograd_pays(d, ConvPass::backward_filter)) return nullptr;
  const bool tiles = d.dtype == DType::bf16 && multiplies_bf16_tiles();
  if (!tiles && FilterGradient::supports(d)) return std::make_unique<OwnBackwardFilter>(d, threads);
  return std::make_unique<DirectBackwardFilter>(d, threads);
}

}  // namespace dcl::onednn
