#include "onednn/onednn_backend.h"

#include <array>
#include <map>
#include <mutex>

#include "core/parallel.h"
#include "core/registry.h"
#include "onednn/conv_plans.h"

namespace dcl {

using namespace onednn;

namespace {

enum PlanKind : int { kForward, kBackwardData, kBackwardFilter, kFused };

}  // namespace

/// Plans by what they were made for. A null plan means that the base class does it.
class OneDnnBackend::Plans {
 public:
  template <class Plan, class... Rest>
  Plan* get(const ConvDesc& d, std::array<int, 3> kind, Rest... make_arguments) {
    const int threads = thread_count();
    const Key key{d.n,     d.h,     d.w,     d.c,    d.k, d.r, d.s, d.stride, d.pad, static_cast<int64_t>(d.dtype),
                  kind[0], kind[1], kind[2], threads};
    const std::lock_guard lock(mutex_);
    auto entry = plans_.find(key);
    if (entry == plans_.end()) entry = plans_.emplace(key, make<Plan>(make_arguments..., threads)).first;
    return static_cast<Plan*>(entry->second.get());
  }
  FusedPlan* fused(const FusedConvDesc& d) { return get<FusedPlan>(d.conv, {kFused, d.relu, d.residual}, d); }

 private:
  using Key = std::array<int64_t, 14>;

  template <class Plan, class... Arguments>
  static std::unique_ptr<ConvPlan> make(Arguments... arguments) {
    return translated("plan", [&]() -> std::unique_ptr<ConvPlan> {
      try {
        return Plan::make(arguments...);
      } catch (const NotFast&) {
        return nullptr;
      }
    });
  }

  std::mutex mutex_;
  std::map<Key, std::unique_ptr<ConvPlan>> plans_;
};

namespace {

std::string version_text(const dnnl_version_t& v) {
  return std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
}

std::string runtime_text(unsigned runtime) {
  switch (runtime) {
    case DNNL_RUNTIME_SEQ:
      return "one thread";
    case DNNL_RUNTIME_OMP:
      return "OpenMP";
    default:
      return "unknown threads";
  }
}

std::string isa_text() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "SSE4.1";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx512_core:
      return "AVX-512";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX-512 VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX-512 BF16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "AMX";
    default:
      return "instruction set " + std::to_string(static_cast<int>(dnnl::get_effective_cpu_isa()));
  }
}

}  // namespace

OneDnnBackend::OneDnnBackend() : plans_(std::make_unique<Plans>()) {
  const dnnl_version_t& have = *dnnl_version();
  if (have.major != DNNL_VERSION_MAJOR)
    fail(ErrorKind::environment, "oneDNN " + version_text(have) +
                                     " was found at run time, but this backend was built for " +
                                     std::to_string(DNNL_VERSION_MAJOR) + ".x: install that version or build again");
  if (have.cpu_runtime != DNNL_RUNTIME_OMP && have.cpu_runtime != DNNL_RUNTIME_SEQ)
    fail(ErrorKind::environment, "oneDNN " + version_text(have) +
                                     " uses another thread library: expected a build for OpenMP or for one thread");
}

OneDnnBackend::~OneDnnBackend() = default;

BackendInfo OneDnnBackend::info() const {
  BackendInfo info = EigenBackend::info();
  const dnnl_version_t& version = *dnnl_version();
  info.name = "onednn";
  info.libraries.emplace_back(
      "oneDNN", version_text(version) + " (" + runtime_text(version.cpu_runtime) + ", " + isa_text() + ")");
  info.bits_depend_on.emplace_back(info.libraries.back());
  info.bits_depend_on.emplace_back("threads", std::to_string(thread_count()));
  info.overrides = {"conv_forward", "conv_backward_data", "conv_backward_filter", "pack_filter", "fused_conv"};
  return info;
}

size_t OneDnnBackend::do_conv_workspace(const ConvDesc& d, ConvPass pass) const {
  const ConvPlan* plan = nullptr;
  switch (pass) {
    case ConvPass::forward:
      plan = plans_->get<ForwardPlan>(d, {kForward}, d);
      break;
    case ConvPass::backward_data:
      plan = plans_->get<BackwardDataPlan>(d, {kBackwardData}, d);
      break;
    case ConvPass::backward_filter:
      plan = plans_->get<BackwardFilterPlan>(d, {kBackwardFilter}, d);
      break;
  }
  return plan ? plan->workspace_bytes() : EigenBackend::do_conv_workspace(d, pass);
}

void OneDnnBackend::do_conv_forward(const ConvDesc& d, ConstTensorRef x, ConstTensorRef filter, TensorRef y,
                                    Workspace workspace) {
  auto* plan = plans_->get<ForwardPlan>(d, {kForward}, d);
  if (!plan) return EigenBackend::do_conv_forward(d, x, filter, y, workspace);
  plan->run(x.data, filter.data, y.data, workspace.data);
}

void OneDnnBackend::do_conv_backward_data(const ConvDesc& d, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx,
                                          Accum accum, Workspace workspace) {
  auto* plan = plans_->get<BackwardDataPlan>(d, {kBackwardData}, d);
  if (!plan) return EigenBackend::do_conv_backward_data(d, dy, filter, dx, accum, workspace);
  plan->run(dy.data, filter.data, dx.data, accum, workspace.data);
}

void OneDnnBackend::do_conv_backward_filter(const ConvDesc& d, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter,
                                            Accum accum, Workspace workspace) {
  auto* plan = plans_->get<BackwardFilterPlan>(d, {kBackwardFilter}, d);
  if (!plan) return EigenBackend::do_conv_backward_filter(d, x, dy, dfilter, accum, workspace);
  plan->run(x.data, dy.data, dfilter.as<float>(), accum, workspace.data);
}

size_t OneDnnBackend::do_packed_filter_bytes(const FusedConvDesc& d) const {
  const FusedPlan* plan = plans_->fused(d);
  return plan ? plan->packed_bytes() : EigenBackend::do_packed_filter_bytes(d);
}

void OneDnnBackend::do_pack_filter(const FusedConvDesc& d, ConstTensorRef filter, TensorRef packed) {
  FusedPlan* plan = plans_->fused(d);
  if (!plan) return EigenBackend::do_pack_filter(d, filter, packed);
  plan->pack(filter.as<float>(), packed.data);
}

size_t OneDnnBackend::do_fused_conv_workspace(const FusedConvDesc& d) const {
  const FusedPlan* plan = plans_->fused(d);
  return plan ? plan->workspace_bytes() : EigenBackend::do_fused_conv_workspace(d);
}

void OneDnnBackend::do_fused_conv(const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                                  ConstTensorRef residual, TensorRef y, Workspace workspace) {
  FusedPlan* plan = plans_->fused(d);
  if (!plan) return EigenBackend::do_fused_conv(d, x, packed, bias, residual, y, workspace);
  plan->run(x.data, packed.data, bias.as<float>(), residual.data, y.data, workspace.data);
}

const BackendModule* onednn_backend_module() {
  static const BackendModule module{kBackendInterface, "onednn",
                                    []() -> std::unique_ptr<Backend> { return std::make_unique<OneDnnBackend>(); }};
  return &module;
}

}  // namespace dcl
