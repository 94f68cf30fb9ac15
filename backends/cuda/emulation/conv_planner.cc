// The planner without cuDNN: the reference kernels compute each pattern, with the roundings that cuDNN has.
#include "cuda/conv_planner.h"

#include <list>

#include "cuda/conv_reference.h"
#include "cuda/elementwise.h"

namespace dcl::cuda {
namespace {

/// So that the room for the library's workspace is tested too: every byte is written.
constexpr size_t kWorkspace = 64;

/// What cuDNN is told of its operands (cudnn_graph.cc), or takes for granted.
void require_alignment(const void* data, uintptr_t alignment, const char* what) {
  if (reinterpret_cast<uintptr_t>(data) % alignment != 0)
    fail(ErrorKind::internal, std::string("the ") + what + " of a convolution is not aligned");
}

class ReferencePlan final : public ConvPlan {
 public:
  ReferencePlan(Context& context, const ConvPattern& pattern) : context_(context), pattern_(pattern) {
    workspace_bytes_ = kWorkspace;
  }

  const ConvPattern& pattern() const { return pattern_; }

  void run(const ConvOperands& o, void* workspace) override {
    require_alignment(workspace, kWorkspaceAlignment, "workspace");
    for (const void* operand : {o.x, o.filter, o.y, o.bias, o.residual}) require_alignment(operand, 16, "operand");
    fill(context_, {workspace, {kWorkspace / sizeof(float)}, DType::f32}, 1.0f);
    const ConvDesc& d = pattern_.conv;
    const Shape filter = d.filter_shape();
    // f32 where the reference kernels want it: the filter, or its gradient.
    TensorRef wide{const_cast<void*>(o.filter), filter, DType::f32};
    const bool narrow = d.dtype != DType::f32;
    if (narrow) wide.data = context_.scratch<float>(filter.elements());
    if (narrow && pattern_.pass != ConvPass::backward_filter) cast(context_, {o.filter, filter, d.dtype}, wide);
    const TensorRef x{const_cast<void*>(o.x), d.x_shape(), d.dtype}, y{const_cast<void*>(o.y), d.y_shape(), d.dtype};
    switch (pattern_.pass) {
      case ConvPass::forward:
        if (!pattern_.bias) return reference::conv_forward(context_, d, x, wide, y);
        return reference::fused_conv(context_, {d, pattern_.relu, pattern_.residual}, x, wide,
                                     {o.bias, {d.k}, DType::f32},
                                     {pattern_.residual ? o.residual : nullptr, d.y_shape(), d.dtype}, y);
      case ConvPass::backward_data:
        return reference::conv_backward_data(context_, d, y, wide, x, pattern_.add ? Accum::add : Accum::overwrite);
      case ConvPass::backward_filter:
        reference::conv_backward_filter(context_, d, x, y, wide, Accum::overwrite);
        if (narrow) cast(context_, wide, {const_cast<void*>(o.filter), filter, d.dtype});
    }
  }

 private:
  Context& context_;
  ConvPattern pattern_;
};

}  // namespace

class ConvPlanner::Plans {
 public:
  explicit Plans(Context& context) : context_(context) {}
  ConvPlan* find(const ConvPattern& pattern) {
    // As if the library had nothing for it, or only what adds.
    if (pattern.conv.c % 2 == 1 && pattern.conv.c > 3) return nullptr;
    if (pattern.pass == ConvPass::backward_data && !pattern.add && pattern.conv.k == 6) return nullptr;
    // As if it had the convolution, but not with everything around it.
    if (pattern.conv.dtype == DType::f32 && (pattern.residual || (pattern.add && pattern.conv.r == 1))) return nullptr;
    for (ReferencePlan& plan : plans_)
      if (plan.pattern() == pattern) return &plan;
    return &plans_.emplace_back(context_, pattern);
  }

 private:
  Context& context_;
  std::list<ReferencePlan> plans_;
};

ConvPlanner::ConvPlanner(Context& context) : plans_(std::make_unique<Plans>(context)) {}
ConvPlanner::~ConvPlanner() = default;
std::vector<std::pair<std::string, std::string>> ConvPlanner::libraries() const { return {}; }
ConvPlan* ConvPlanner::find(const ConvPattern& pattern) { return plans_->find(pattern); }
void ConvPlanner::expect(const ConvPattern&) {}

}  // namespace dcl::cuda
