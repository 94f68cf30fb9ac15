#include <algorithm>

#include "onednn/conv_plans.h"
#include "onednn/filter_gradient.h"
#include "onednn/kernels.h"
#include "onednn/widening.h"
#include "onednn/winograd.h"

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
  PieceExecutions pieces_;
  PieceSide x_, y_;
  FilterReorder reorder_;
  size_t filter_bytes_, scratch_bytes_;
};

DirectForward::DirectForward(const ConvDesc& d, int threads)
    : pieces_(split_batch(computed(d), threads), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
              [&, filter = Desc()](int64_t images) mutable {
                ConvSpec spec = spec_for(computed(d), images);
                if (!filter.is_zero()) spec.weights = filter;
                const auto descriptor = training_desc(spec);
                filter = descriptor.weights_desc();
                return descriptor;
              }),
      x_(d, false, pieces_.split().largest()),
      y_(d, true, pieces_.split().largest()),
      reorder_(plain_filter(d), pieces_.argument(DNNL_ARG_WEIGHTS), threads),
      filter_bytes_(reorder_.copy_bytes()),
      scratch_bytes_(padded(pieces_.scratchpad_bytes())) {
  const size_t slot_bytes = scratch_bytes_ + x_.bytes() + y_.bytes();
  workspace_bytes_ =
      filter_bytes_ + std::max(static_cast<size_t>(pieces_.split().slots()) * slot_bytes, reorder_.scratchpad_bytes());
}

void DirectForward::run(const void* x, const void* filter, void* y, void* workspace) {
  char* scratch = at(workspace, filter_bytes_);
  filter = reorder_.apply(filter, workspace, scratch);
  pieces_.prepare();
  const BatchSplit& split = pieces_.split();
  split.for_each([&](int slot, int64_t piece) {
    const int64_t first = split.begin(piece), images = split.size(piece);
    char* own = at(scratch, static_cast<size_t>(slot) * (scratch_bytes_ + x_.bytes() + y_.bytes()));
    char* own_x = at(own, scratch_bytes_);
    char* own_y = at(own_x, x_.bytes());
    const void* from = x_.read(x, first, images, own_x);
    pieces_.of(piece).run(slot, {from, filter, y_.target(y, first, own_y)}, own);
    y_.store(y, first, images, own_y);
  });
}

// ---- Backward: data -------------------------------------------------------------------------------------------------

class DirectBackwardData final : public BackwardDataPlan {
 public:
  DirectBackwardData(const ConvDesc& d, int threads);
  void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) override;

 private:
  void run_adding(const void* dy, const void* filter, void* dx, char* scratch);

  char* of_slot(char* scratch, int slot) const { return at(scratch, static_cast<size_t>(slot) * slot_bytes_); }

  ConvDesc d_;
  PieceExecutions overwriting_, adding_;  // adding_ gives f32 sums for the images of a piece
  PieceSide dy_, dx_;
  FilterReorder reorder_;
  size_t filter_bytes_, scratch_bytes_, slot_bytes_;  // of a slot: scratchpad, dy, sums or dx
};

PieceExecutions backward_data_pieces(const ConvDesc& d, int threads, Type dx_type, Desc filter) {
  return PieceExecutions(
      split_batch(computed(d), threads), {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}, [&](int64_t images) {
        ConvSpec spec = spec_for(computed(d), images);
        const auto hint = training_desc(spec);
        spec.src = Desc({images, d.c, d.h, d.w}, dx_type, Tag::nhwc);
        if (!filter.is_zero()) spec.weights = filter;
        const auto descriptor = fast([&] { return backward_data_desc(cpu_engine(), spec, hint, user_scratchpad()); });
        filter = descriptor.weights_desc();
        return descriptor;
      });
}

DirectBackwardData::DirectBackwardData(const ConvDesc& d, int threads)
    : d_(d),
      overwriting_(backward_data_pieces(d, threads, data_type_of(computed(d).dtype), Desc())),
      adding_(backward_data_pieces(d, threads, Type::f32, overwriting_.argument(DNNL_ARG_WEIGHTS))),
      dy_(d, true, overwriting_.split().largest()),
      dx_(d, false, overwriting_.split().largest()),
      reorder_(plain_filter(d), overwriting_.argument(DNNL_ARG_WEIGHTS), threads),
      filter_bytes_(reorder_.copy_bytes()),
      scratch_bytes_(padded(std::max(overwriting_.scratchpad_bytes(), adding_.scratchpad_bytes()))),
      slot_bytes_(scratch_bytes_ + dy_.bytes() +
                  padded(static_cast<size_t>(overwriting_.split().largest() * d.h * d.w * d.c) * sizeof(float))) {
  workspace_bytes_ = filter_bytes_ + std::max(static_cast<size_t>(overwriting_.split().slots()) * slot_bytes_,
                                              reorder_.scratchpad_bytes());
}

void DirectBackwardData::run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) {
  char* scratch = at(workspace, filter_bytes_);
  filter = reorder_.apply(filter, workspace, scratch);
  if (accum == Accum::add) return run_adding(dy, filter, dx, scratch);
  overwriting_.prepare();
  const BatchSplit& split = overwriting_.split();
  split.for_each([&](int slot, int64_t piece) {
    const int64_t first = split.begin(piece), images = split.size(piece);
    char* own = of_slot(scratch, slot);
    char* own_dy = at(own, scratch_bytes_);
    char* own_dx = at(own_dy, dy_.bytes());
    const void* from = dy_.read(dy, first, images, own_dy);
    overwriting_.of(piece).run(slot, {from, filter, dx_.target(dx, first, own_dx)}, own);
    dx_.store(dx, first, images, own_dx);
  });
}

void DirectBackwardData::run_adding(const void* dy, const void* filter, void* dx, char* scratch) {
  adding_.prepare();
  const BatchSplit& split = adding_.split();
  split.for_each([&](int slot, int64_t piece) {
    const int64_t first = split.begin(piece), images = split.size(piece);
    char* own = of_slot(scratch, slot);
    char* own_dy = at(own, scratch_bytes_);
    auto* sums = reinterpret_cast<float*>(at(own_dy, dy_.bytes()));
    const void* from = dy_.read(dy, first, images, own_dy);
    adding_.of(piece).run(slot, {from, filter, sums}, own);
    add_to(at(dx, static_cast<size_t>(first) * image_bytes(d_, false)), d_.dtype, sums, images * d_.h * d_.w * d_.c);
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
      x_(d, false, d.n),
      dy_(d, true, d.n) {
  const ThreadScope scope(threads);
  ConvSpec spec = spec_for(computed(d), d.n);
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
    const ThreadScope scope(threads_);
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

/// Where the processor multiplies bf16, two or more products in the time of one in f32, only the filter gradient is
/// left to gain from: 4x4 tiles need a quarter of the products, and nothing of theirs is written per pixel. Not with
/// AMX.
bool winograd_pays(const ConvDesc& d, ConvPass pass) {
  if (!winograd_supports(d)) return false;
  if (computed(d).dtype == DType::f32) return true;
  return pass == ConvPass::backward_filter && dnnl::get_effective_cpu_isa() == dnnl::cpu_isa::avx512_core_bf16;
}

class WinogradForward final : public ForwardPlan {
 public:
  WinogradForward(const ConvDesc& d, int threads) : own_(WinogradConvolution::forward(d, threads)) {
    workspace_bytes_ = own_.workspace_bytes();
  }
  void run(const void* x, const void* filter, void* y, void* workspace) override {
    own_.run(x, static_cast<const float*>(filter), y, {}, workspace);
  }

 private:
  WinogradConvolution own_;
};

class WinogradBackwardData final : public BackwardDataPlan {
 public:
  WinogradBackwardData(const ConvDesc& d, int threads) : own_(WinogradConvolution::backward_data(d, threads)) {
    workspace_bytes_ = own_.workspace_bytes();
  }
  void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) override {
    own_.run(dy, static_cast<const float*>(filter), dx, {.add = accum == Accum::add}, workspace);
  }

 private:
  WinogradConvolution own_;
};

/// Kernels: FilterGradient or WinogradFilterGradient.
template <class Kernels>
class OwnBackwardFilter final : public BackwardFilterPlan {
 public:
  OwnBackwardFilter(const ConvDesc& d, int threads) : own_(d, threads) { workspace_bytes_ = own_.workspace_bytes(); }
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) override {
    own_.run(x, dy, dfilter, accum, workspace);
  }

 private:
  Kernels own_;
};

}  // namespace

std::unique_ptr<ForwardPlan> ForwardPlan::make(const ConvDesc& d, int threads) {
  if (winograd_pays(d, ConvPass::forward)) return std::make_unique<WinogradForward>(d, threads);
  return std::make_unique<DirectForward>(d, threads);
}

std::unique_ptr<BackwardDataPlan> BackwardDataPlan::make(const ConvDesc& d, int threads) {
  if (winograd_pays(d, ConvPass::backward_data)) return std::make_unique<WinogradBackwardData>(d, threads);
  return std::make_unique<DirectBackwardData>(d, threads);
}

std::unique_ptr<BackwardFilterPlan> BackwardFilterPlan::make(const ConvDesc& d, int threads) {
  if (winograd_pays(d, ConvPass::backward_filter))
    return std::make_unique<OwnBackwardFilter<WinogradFilterGradient>>(d, threads);
  if (FilterGradient::supports(d)) return std::make_unique<OwnBackwardFilter<FilterGradient>>(d, threads);
  return std::make_unique<DirectBackwardFilter>(d, threads);
}

}  // namespace dcl::onednn
