#include "onednn/conv_plans.h"

#include "onednn/kernels.h"

namespace dcl::onednn {
namespace {

using Desc = dnnl::memory::desc;
using Tag = dnnl::memory::format_tag;
using Type = dnnl::memory::data_type;

/// Where the caller's workspace is split: filter in the primitive's layout first, then scratchpads.
char* at(void* workspace, size_t offset) { return static_cast<char*>(workspace) + offset; }
const char* at(const void* data, size_t offset) { return static_cast<const char*>(data) + offset; }

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

/// `images` of d, activations NHWC. The filter may have any layout. Left to the base class, since no network here has
/// them, is what oneDNN 2.6 computes wrong sums for: filters that are not square (padded 1x3 on AVX-512, brgconv) and
/// padding wider than half the filter (5x5 padded by 4 with a sum, on AVX2).
ConvSpec spec_for(const ConvDesc& d, int64_t images) {
  if (d.r != d.s || 2 * d.pad > d.r) throw NotFast();
  const Type type = data_type_of(d.dtype);
  ConvSpec spec;
  spec.src = Desc({images, d.c, d.h, d.w}, type, Tag::nhwc);
  spec.weights = Desc({d.k, d.c, d.r, d.s}, type, Tag::any);
  spec.dst = Desc({images, d.k, d.out_h(), d.out_w()}, type, Tag::nhwc);
  set_geometry(d, spec);
  return spec;
}

Forward::primitive_desc training_desc(const ConvSpec& spec) {
  return fast([&] { return forward_desc(cpu_engine(), dnnl::prop_kind::forward_training, spec, user_scratchpad()); });
}

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

size_t image_bytes(const ConvDesc& d, bool of_y) {
  return static_cast<size_t>(of_y ? d.out_h() * d.out_w() * d.k : d.h * d.w * d.c) * size_of(d.dtype);
}

}  // namespace

size_t PieceExecutions::scratchpad_bytes() const {
  return std::max(larger_.scratchpad_bytes(), smaller_.scratchpad_bytes());
}

void PieceExecutions::prepare() {
  larger_.prepare();
  if (split_.larger > 0) smaller_.prepare();
}

// ---- Forward --------------------------------------------------------------------------------------------------------

ForwardPlan::ForwardPlan(const ConvDesc& d, int threads)
    : x_bytes_(image_bytes(d, false)),
      y_bytes_(image_bytes(d, true)),
      pieces_(split_batch(d, threads), {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
              [&, filter = Desc()](int64_t images) mutable {
                ConvSpec spec = spec_for(d, images);
                if (!filter.is_zero()) spec.weights = filter;
                const auto descriptor = training_desc(spec);
                filter = descriptor.weights_desc();
                return descriptor;
              }),
      reorder_(plain_filter(d), pieces_.argument(DNNL_ARG_WEIGHTS), threads),
      filter_bytes_(reorder_.needed() ? padded(pieces_.argument(DNNL_ARG_WEIGHTS).get_size()) : 0),
      scratch_bytes_(padded(pieces_.scratchpad_bytes())) {
  workspace_bytes_ = filter_bytes_ + std::max(static_cast<size_t>(pieces_.split().slots()) * scratch_bytes_,
                                              reorder_.scratchpad_bytes());
}

void ForwardPlan::run(const void* x, const void* filter, void* y, void* workspace) {
  char* scratch = at(workspace, filter_bytes_);
  if (reorder_.needed()) {
    reorder_.run(filter, workspace, scratch);
    filter = workspace;
  }
  pieces_.prepare();
  const BatchSplit& split = pieces_.split();
  split.for_each([&](int slot, int64_t piece) {
    const auto first = static_cast<size_t>(split.begin(piece));
    pieces_.of(piece).run(slot, {at(x, first * x_bytes_), filter, at(y, first * y_bytes_)},
                          scratch + static_cast<size_t>(slot) * scratch_bytes_);
  });
}

// ---- Backward: data -------------------------------------------------------------------------------------------------

namespace {

PieceExecutions backward_data_pieces(const ConvDesc& d, int threads, Type dx_type, Desc filter) {
  return PieceExecutions(
      split_batch(d, threads), {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC}, [&](int64_t images) {
        ConvSpec spec = spec_for(d, images);
        const auto hint = training_desc(spec);
        spec.src = Desc({images, d.c, d.h, d.w}, dx_type, Tag::nhwc);
        if (!filter.is_zero()) spec.weights = filter;
        const auto descriptor = fast([&] { return backward_data_desc(cpu_engine(), spec, hint, user_scratchpad()); });
        filter = descriptor.weights_desc();
        return descriptor;
      });
}

}  // namespace

BackwardDataPlan::BackwardDataPlan(const ConvDesc& d, int threads)
    : d_(d),
      overwriting_(backward_data_pieces(d, threads, data_type_of(d.dtype), Desc())),
      adding_(backward_data_pieces(d, threads, Type::f32, overwriting_.argument(DNNL_ARG_WEIGHTS))),
      reorder_(plain_filter(d), overwriting_.argument(DNNL_ARG_WEIGHTS), threads),
      filter_bytes_(reorder_.needed() ? padded(overwriting_.argument(DNNL_ARG_WEIGHTS).get_size()) : 0),
      scratch_bytes_(padded(std::max(overwriting_.scratchpad_bytes(), adding_.scratchpad_bytes()))),
      piece_bytes_(padded(static_cast<size_t>(overwriting_.split().largest() * d.h * d.w * d.c) * sizeof(float))) {
  workspace_bytes_ =
      filter_bytes_ + std::max(static_cast<size_t>(overwriting_.split().slots()) * (scratch_bytes_ + piece_bytes_),
                               reorder_.scratchpad_bytes());
}

void BackwardDataPlan::run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) {
  char* scratch = at(workspace, filter_bytes_);
  if (reorder_.needed()) {
    reorder_.run(filter, workspace, scratch);
    filter = workspace;
  }
  if (accum == Accum::add) return run_adding(dy, filter, dx, scratch);
  overwriting_.prepare();
  const BatchSplit& split = overwriting_.split();
  split.for_each([&](int slot, int64_t piece) {
    const auto first = static_cast<size_t>(split.begin(piece));
    overwriting_.of(piece).run(slot,
                               {at(dy, first * image_bytes(d_, true)), filter, at(dx, first * image_bytes(d_, false))},
                               scratch + static_cast<size_t>(slot) * scratch_bytes_);
  });
}

void BackwardDataPlan::run_adding(const void* dy, const void* filter, void* dx, char* scratch) {
  adding_.prepare();
  const BatchSplit& split = adding_.split();
  split.for_each([&](int slot, int64_t piece) {
    const auto first = static_cast<size_t>(split.begin(piece));
    char* own = scratch + static_cast<size_t>(slot) * (scratch_bytes_ + piece_bytes_);
    auto* sums = reinterpret_cast<float*>(own + scratch_bytes_);
    adding_.of(piece).run(slot, {at(dy, first * image_bytes(d_, true)), filter, sums}, own);
    add_to(at(dx, first * image_bytes(d_, false)), d_.dtype, sums, split.size(piece) * d_.h * d_.w * d_.c);
  });
}

// ---- Backward: filter -----------------------------------------------------------------------------------------------

BackwardFilterPlan::BackwardFilterPlan(const ConvDesc& d, int threads)
    : threads_(threads), filter_elements_(d.filter_shape().elements()) {
  if (FilterGradient::supports(d)) {
    own_.emplace(d, threads);
    workspace_bytes_ = own_->workspace_bytes();
    return;
  }
  const ThreadScope scope(threads);
  ConvSpec spec = spec_for(d, d.n);
  const auto hint = training_desc(spec);
  spec.weights = Desc({d.k, d.c, d.r, d.s}, Type::f32, Tag::any);
  const auto descriptor = fast([&] { return backward_filter_desc(cpu_engine(), spec, hint, user_scratchpad()); });
  execution_ = Execution(descriptor, {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS}, 1, threads);
  reorder_ = FilterReorder(descriptor.diff_weights_desc(), plain_filter(d), threads);
  filter_bytes_ = padded(descriptor.diff_weights_desc().get_size());
  plain_bytes_ = padded(static_cast<size_t>(filter_elements_) * sizeof(float));
  workspace_bytes_ =
      filter_bytes_ + plain_bytes_ + std::max(execution_.scratchpad_bytes(), reorder_.scratchpad_bytes());
}

void BackwardFilterPlan::run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) {
  if (own_) return own_->run(x, dy, dfilter, accum, workspace);
  execution_.prepare();
  void* scratch = at(workspace, filter_bytes_ + plain_bytes_);
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

// ---- Inference ------------------------------------------------------------------------------------------------------

namespace {

/// The packed layout: what one image alone would like, whatever the batch.
Desc packed_layout(const FusedConvDesc& d) {
  const ThreadScope scope(1);
  const Desc any({d.conv.k, d.conv.c, d.conv.r, d.conv.s}, data_type_of(d.conv.dtype), Tag::any);
  return fused_desc(d, d.residual ? Residual::in_y : Residual::none, 1, any).weights_desc();
}

std::vector<int> fused_arguments(Residual residual) {
  std::vector<int> arguments{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
  if (residual == Residual::apart) arguments.push_back(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1);
  return arguments;
}

}  // namespace

FusedPlan::FusedPlan(const FusedConvDesc& d, Residual residual, int threads)
    : residual_(residual),
      x_bytes_(image_bytes(d.conv, false)),
      y_bytes_(image_bytes(d.conv, true)),
      pieces_(split_batch(d.conv, threads), fused_arguments(residual),
              [&, filter = packed_layout(d)](int64_t images) mutable {
                try {
                  return fused_desc(d, residual, images, filter);
                } catch (const NotFast&) {
                  const Desc any({d.conv.k, d.conv.c, d.conv.r, d.conv.s}, data_type_of(d.conv.dtype), Tag::any);
                  const auto descriptor = fused_desc(d, residual, images, any);
                  filter = descriptor.weights_desc();
                  return descriptor;
                }
              }),
      reorder_(packed_layout(d), pieces_.argument(DNNL_ARG_WEIGHTS), threads),
      filter_bytes_(reorder_.needed() ? padded(pieces_.argument(DNNL_ARG_WEIGHTS).get_size()) : 0),
      scratch_bytes_(padded(pieces_.scratchpad_bytes())) {
  workspace_bytes_ = filter_bytes_ + std::max(static_cast<size_t>(pieces_.split().slots()) * scratch_bytes_,
                                              reorder_.scratchpad_bytes());
}

void FusedPlan::run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
                    void* workspace) {
  char* scratch = at(workspace, filter_bytes_);
  if (reorder_.needed()) {
    reorder_.run(packed, workspace, scratch);
    packed = workspace;
  }
  pieces_.prepare();
  const BatchSplit& split = pieces_.split();
  split.for_each([&](int slot, int64_t piece) {
    const auto first = static_cast<size_t>(split.begin(piece));
    const void* piece_x = at(x, first * x_bytes_);
    const void* piece_y = at(y, first * y_bytes_);
    char* own = scratch + static_cast<size_t>(slot) * scratch_bytes_;
    if (residual_ == Residual::apart)
      pieces_.of(piece).run(slot, {piece_x, packed, bias, piece_y, at(residual, first * y_bytes_)}, own);
    else
      pieces_.of(piece).run(slot, {piece_x, packed, bias, piece_y}, own);
  });
}

PackPlan::PackPlan(const FusedConvDesc& d, int threads)
    : layout_(packed_layout(d)), reorder_(plain_filter(d.conv), layout_, threads) {}

void PackPlan::run(const float* filter, void* packed) {
  if (!reorder_.needed()) {
    std::copy_n(filter, layout_.get_size() / sizeof(float), static_cast<float*>(packed));
    return;
  }
  std::vector<char> scratchpad(reorder_.scratchpad_bytes());
  reorder_.run(filter, packed, scratchpad.data());
}

}  // namespace dcl::onednn
