#include "cuda/convolution.h"

#include <algorithm>

#include "core/log.h"
#include "cuda/composed_plan.h"
#include "cuda/conv_reference.h"
#include "cuda/elementwise.h"

namespace dcl::cuda {
namespace {

size_t aligned(size_t bytes) { return padded(bytes, kWorkspaceAlignment); }
void* at(void* workspace, size_t offset) { return static_cast<char*>(workspace) + offset; }

/// Room for `bytes` from an aligned address on, in a workspace that need not begin at one.
size_t with_slack(size_t bytes) { return bytes == 0 ? 0 : bytes + kWorkspaceAlignment - kCacheLine; }
void* aligned_start(const Workspace& workspace) {
  return reinterpret_cast<void*>(aligned(reinterpret_cast<uintptr_t>(workspace.data)));
}

size_t filter_bytes(const ConvDesc& d, DType type) {
  return static_cast<size_t>(d.filter_shape().elements()) * size_of(type);
}
/// Of the copy of the filter in the workspace.
size_t typed_filter_bytes(const ConvDesc& d) { return d.dtype == DType::f32 ? 0 : aligned(filter_bytes(d, d.dtype)); }

}  // namespace

void Convolutions::expect(std::span<const ConvUse> uses, F32Math math) {
  struct Expect {
    ConvPlanner& planner;
    F32Math math;
    void operator()(const ConvPassUse& use) {
      planner.expect(pattern_of(use.conv, use.pass, Accum::overwrite, math));
      if (use.pass == ConvPass::backward_data) planner.expect(pattern_of(use.conv, use.pass, Accum::add, math));
    }
    void operator()(const FusedConvDesc& use) { planner.expect(pattern_of(use, math)); }
  };
  for (const ConvUse& use : uses) std::visit(Expect{planner_, math}, use);
}

ConvPlan* Convolutions::plan_of(const ConvPattern& pattern) {
  if (ConvPlan* whole = planner_.find(pattern)) return whole;
  for (const auto& [known, plan] : composed_)
    if (known == pattern) return plan.get();
  const std::optional<ConvPattern> alone = convolution_alone(pattern);
  ConvPlan* convolution = alone ? planner_.find(*alone) : nullptr;
  auto plan = convolution ? std::make_unique<ComposedPlan>(context_, pattern, *convolution) : nullptr;
  if (!plan) log(LogLevel::warning, "no engine runs " + key_text(pattern) + ": the slow reference kernel serves it");
  return composed_.emplace_back(pattern, std::move(plan)).second.get();
}

size_t Convolutions::workspace(const ConvDesc& d, ConvPass pass, F32Math math) {
  const size_t of_filter =
      pass == ConvPass::backward_filter ? aligned(filter_bytes(d, d.dtype)) : typed_filter_bytes(d);
  const auto bytes = [&](Accum accum) {
    const ConvPlan* plan = plan_of(pattern_of(d, pass, accum, math));
    return plan ? with_slack(of_filter + plan->workspace_bytes()) : 0;
  };
  // Which way a data gradient is written is said when it runs, and either may be the one that the library does not
  // take.
  return pass == ConvPass::backward_data ? std::max(bytes(Accum::overwrite), bytes(Accum::add))
                                         : bytes(Accum::overwrite);
}

const void* Convolutions::typed_filter(const ConvDesc& d, ConstTensorRef filter, void* workspace) {
  if (filter.dtype == d.dtype) return filter.data;
  cast(context_, filter, {workspace, filter.shape, d.dtype});
  return workspace;
}

ConstTensorRef Convolutions::wide_filter(ConstTensorRef filter) {
  if (filter.dtype == DType::f32) return filter;
  const TensorRef wide{context_.scratch<float>(filter.shape.elements()), filter.shape, DType::f32};
  cast(context_, filter, wide);
  return wide;
}

void Convolutions::forward(const ConvDesc& d, F32Math math, ConstTensorRef x, ConstTensorRef filter, TensorRef y,
                           Workspace workspace) {
  ConvPlan* plan = plan_of(pattern_of(d, ConvPass::forward, Accum::overwrite, math));
  if (!plan) return reference::conv_forward(context_, d, x, wide_filter(filter), y);
  void* room = aligned_start(workspace);
  const void* typed = typed_filter(d, filter, room);
  plan->run({.x = x.data, .filter = typed, .y = y.data}, at(room, typed_filter_bytes(d)));
}

void Convolutions::backward_data(const ConvDesc& d, F32Math math, ConstTensorRef dy, ConstTensorRef filter,
                                 TensorRef dx, Accum accum, Workspace workspace) {
  ConvPlan* plan = plan_of(pattern_of(d, ConvPass::backward_data, accum, math));
  if (!plan) return reference::conv_backward_data(context_, d, dy, wide_filter(filter), dx, accum);
  void* room = aligned_start(workspace);
  const void* typed = typed_filter(d, filter, room);
  plan->run({.x = dx.data, .filter = typed, .y = dy.data}, at(room, typed_filter_bytes(d)));
}

void Convolutions::backward_filter(const ConvDesc& d, F32Math math, ConstTensorRef x, ConstTensorRef dy,
                                   TensorRef dfilter, Accum accum, Workspace workspace) {
  ConvPlan* plan = plan_of(pattern_of(d, ConvPass::backward_filter, Accum::overwrite, math));
  if (!plan) {
    TensorRef wide = dfilter;
    if (dfilter.dtype != DType::f32)
      wide = {context_.scratch<float>(dfilter.shape.elements()), dfilter.shape, DType::f32};
    reference::conv_backward_filter(context_, d, x, dy, wide, accum);
    if (wide.data != dfilter.data) cast(context_, wide, dfilter);
    return;
  }
  void* room = aligned_start(workspace);
  const bool in_place = dfilter.dtype == d.dtype && accum == Accum::overwrite;
  const TensorRef sums{in_place ? dfilter.data : room, dfilter.shape, d.dtype};
  plan->run({.x = x.data, .filter = sums.data, .y = dy.data}, at(room, aligned(filter_bytes(d, d.dtype))));
  if (accum == Accum::add)
    accumulate(context_, sums, dfilter);
  else if (!in_place)
    cast(context_, sums, dfilter);
}

size_t Convolutions::packed_filter_bytes(const FusedConvDesc& d) const { return filter_bytes(d.conv, d.conv.dtype); }

void Convolutions::pack_filter(const FusedConvDesc& d, ConstTensorRef filter, TensorRef packed) {
  if (d.conv.dtype == DType::f32) return copy_on_device(packed.data, filter.data, filter.bytes(), context_.stream());
  cast(context_, filter, {packed.data, filter.shape, d.conv.dtype});
}

size_t Convolutions::fused_workspace(const FusedConvDesc& d, F32Math math) {
  const ConvPlan* plan = plan_of(pattern_of(d, math));
  return plan ? with_slack(plan->workspace_bytes()) : 0;
}

void Convolutions::fused(const FusedConvDesc& d, F32Math math, ConstTensorRef x, ConstTensorRef packed,
                         ConstTensorRef bias, ConstTensorRef residual, TensorRef y, Workspace workspace) {
  if (ConvPlan* plan = plan_of(pattern_of(d, math)))
    return plan->run({.x = x.data, .filter = packed.data, .y = y.data, .bias = bias.data, .residual = residual.data},
                     aligned_start(workspace));
  const ConstTensorRef filter{packed.data, d.conv.filter_shape(), d.conv.dtype};
  reference::fused_conv(context_, d, x, wide_filter(filter), bias, residual, y);
}

}  // namespace dcl::cuda
