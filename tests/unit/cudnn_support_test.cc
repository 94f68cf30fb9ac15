// What the backend asks of cuDNN is asked here without a GPU: engines are proposed, checked and planned for the
// description of an H200. Skipped where cuDNN is not installed.
//
// Precompiled engines become whole plans. Engines compiled at run time need the driver's library: the toolkit's stub
// lets them compile, and then refuses to load what was compiled, which is as far as one comes without a device.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>

#include "cuda/engine_candidates.h"
#include "support/problems.h"

#ifdef __SANITIZE_ADDRESS__
/// cuDNN keeps what it compiled at run time.
extern "C" int __lsan_is_turned_off() { return 1; }
#endif

namespace dcl::cuda {
namespace {

constexpr int64_t kBatch = 512;

DeviceProperties described_device() {
  std::ifstream file(DCL_GPU_DESCRIPTION);
  std::ostringstream text;
  text << file.rdbuf();
  return DeviceProperties(text.str());
}

class CudnnSupport : public testing::Test {
 protected:
  void SetUp() override {
    // The driver's own library where there is one; both answer to the name that cuDNN asks for.
    if (!dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL)) dlopen(DCL_CUDA_STUBS "/libcuda.so", RTLD_NOW | RTLD_GLOBAL);
    try {
      cudnn();
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
};

struct Arithmetic {
  DType dtype;
  F32Math math;
};
constexpr Arithmetic kArithmetics[] = {
    {DType::f32, F32Math::exact}, {DType::f32, F32Math::tf32}, {DType::bf16, F32Math::exact}};

/// The convolutions of the networks, once each, in the batch of a training step.
std::vector<ConvDesc> network_convolutions(DType dtype) {
  std::vector<ConvDesc> all;
  for (const test::ConvProblem& problem : test::read_conv_problems()) {
    if (problem.name.rfind("edge/", 0) == 0) continue;
    ConvDesc d = problem.desc;
    d.n = kBatch;
    d.dtype = dtype;
    all.push_back(d);
  }
  return all;
}

/// Images of 24 pixels and less after the ImageNet stem: the same channels as with the CIFAR stem, at other extents.
bool repeats_channels(const ConvDesc& d) { return d.h % 3 == 0 && d.c > 3; }

/// Every pattern that training and inference can ask for; inference only once per combination of channels.
std::vector<ConvPattern> patterns(const ConvDesc& d, F32Math math) {
  std::vector<ConvPattern> all;
  for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_filter, ConvPass::backward_data})
    all.push_back(pattern_of(d, pass, Accum::overwrite, math));
  all.push_back(pattern_of(d, ConvPass::backward_data, Accum::add, math));
  if (repeats_channels(d)) return all;
  for (const bool relu : {false, true})
    for (const bool residual : {false, true}) all.push_back(pattern_of(FusedConvDesc{d, relu, residual}, math));
  return all;
}

/// The first admissible engine that this cuDNN takes for the pattern, or nothing.
std::optional<EngineConfig> first_supported(const ConvPattern& pattern, const DeviceProperties& device,
                                            const std::shared_ptr<OperationGraph>& graph) {
  const bool f32_products = graph_of(pattern).f32_products;
  for (const EngineConfig& proposal : propose_engines(*graph, device)) {
    if (!is_admissible(proposal.traits(), f32_products)) continue;
    if (auto config = find_engine(*graph, device, proposal.choice())) return config;
  }
  return {};
}

/// Whether an engine uses them where that is allowed: others take several times as long.
bool offers_tensor_cores(const ConvPattern& pattern, const DeviceProperties& device, const OperationGraph& graph) {
  if (graph_of(pattern).f32_products || pattern.conv.c % 8 != 0) return true;
  for (const EngineConfig& proposal : propose_engines(graph, device))
    if (const EngineTraits traits = proposal.traits(); traits.tensor_cores && is_admissible(traits, false)) return true;
  return false;
}

TEST_F(CudnnSupport, EveryConvolutionOfTheNetworksHasAnEngine) {
  const DeviceProperties device = described_device();
  int planned = 0, compiled_later = 0;
  for (const Arithmetic& arithmetic : kArithmetics)
    for (const ConvDesc& d : network_convolutions(arithmetic.dtype))
      for (const ConvPattern& pattern : patterns(d, arithmetic.math)) {
        SCOPED_TRACE(key_text(pattern));
        const auto graph = std::make_shared<OperationGraph>(graph_of(pattern));
        auto config = first_supported(pattern, device, graph);
        ASSERT_TRUE(config);
        EXPECT_TRUE(offers_tensor_cores(pattern, device, *graph));
        if (config->traits().compiles) {
          ++compiled_later;
          continue;
        }
        ExecutionPlan plan(graph, std::move(*config), device);
        EXPECT_EQ(plan.finalize(), CUDNN_STATUS_SUCCESS);
        ++planned;
      }
  RecordProperty("planned", planned);
  RecordProperty("compiled_later", compiled_later);
  EXPECT_GT(planned, compiled_later);
}

/// Engines for f32 products bring operands into another layout, but for two that need no memory and up to fifty times
/// as long: none is to be kept from it by the room it takes.
TEST_F(CudnnSupport, EnginesForF32HaveRoomForOtherLayouts) {
  const DeviceProperties device = described_device();
  size_t largest = 0;
  for (const ConvDesc& d : network_convolutions(DType::f32)) {
    if (repeats_channels(d)) continue;
    for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data}) {
      const ConvPattern pattern = pattern_of(d, pass, Accum::overwrite, F32Math::exact);
      SCOPED_TRACE(key_text(pattern));
      const auto graph = std::make_shared<OperationGraph>(graph_of(pattern));
      for (EngineConfig& proposal : propose_engines(*graph, device)) {
        const EngineTraits traits = proposal.traits();
        if (!is_admissible(traits, true) || traits.compiles) continue;
        ExecutionPlan plan(graph, std::move(proposal), device);
        if (plan.finalize() != CUDNN_STATUS_SUCCESS) continue;
        EXPECT_LE(plan.workspace_bytes(), most_workspace(pattern));
        largest = std::max(largest, plan.workspace_bytes());
      }
    }
  }
  EXPECT_GT(largest, size_t{768} << 20);  // else it was tried on nothing large
}

/// cuDNN refuses what it cannot do: an engine index that no graph has.
TEST_F(CudnnSupport, RefusesAnEngineThatDoesNotExist) {
  const DeviceProperties device = described_device();
  const OperationGraph graph(graph_of(
      pattern_of(network_convolutions(DType::bf16).at(1), ConvPass::forward, Accum::overwrite, F32Math::exact)));
  try {
    EngineConfig(graph, device, {100000, {}});
    FAIL() << "an engine that does not exist was taken";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("engine"), std::string::npos) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

/// The choice that the plan cache keeps leads to the same plan again.
TEST_F(CudnnSupport, ARememberedChoiceGivesTheSamePlan) {
  const DeviceProperties device = described_device();
  const ConvPattern pattern =
      pattern_of(network_convolutions(DType::bf16).at(1), ConvPass::backward_filter, Accum::overwrite, F32Math::exact);
  const auto graph = std::make_shared<OperationGraph>(graph_of(pattern));
  size_t compared = 0;
  for (EngineConfig& proposal : propose_engines(*graph, device)) {
    if (proposal.traits().compiles || compared == 8) continue;
    const EngineChoice choice = proposal.choice();
    ExecutionPlan first(graph, std::move(proposal), device),
        second(graph, EngineConfig(*graph, device, choice), device);
    const cudnnStatus_t status = first.finalize();
    EXPECT_EQ(second.finalize(), status);
    EXPECT_EQ(second.workspace_bytes(), first.workspace_bytes());
    compared += status == CUDNN_STATUS_SUCCESS;
  }
  EXPECT_EQ(compared, 8u);
}

/// Plans of several graphs at once, as when a network is prepared: each is what it is when it is made alone.
TEST_F(CudnnSupport, PlansMadeTogetherAreThoseMadeAlone) {
  PlanBuilder builder(described_device(), [] {});
  std::vector<EngineCandidates> asked;
  const std::vector<ConvDesc> all = network_convolutions(DType::bf16);
  for (size_t i = 1; i <= 8; ++i) {
    // The last two compile, and end as nothing without a device to load them.
    const ConvPattern pattern = i > 6 ? pattern_of(FusedConvDesc{all.at(i), true, true}, F32Math::exact)
                                      : pattern_of(all.at(i), ConvPass(i % 3), Accum::overwrite, F32Math::exact);
    asked.emplace_back(builder, graph_of(pattern), std::nullopt);
    ASSERT_FALSE(asked.back().plans().empty());
  }
  size_t usable = 0;
  for (const EngineCandidates& one : asked)
    for (const auto& future : one.plans()) {
      const PlanBuilder::Plan plan = future.get();
      if (!plan) continue;
      ++usable;
      ExecutionPlan alone(one.graph(), EngineConfig(*one.graph(), builder.device(), plan->config().choice()),
                          builder.device());
      ASSERT_EQ(alone.finalize(), CUDNN_STATUS_SUCCESS);
      EXPECT_EQ(alone.workspace_bytes(), plan->workspace_bytes());
    }
  EXPECT_GE(usable, 6u);
}

/// Nobody waits for what was not begun.
TEST_F(CudnnSupport, APlanBuilderEndsWithPlansWaiting) {
  const ConvPattern pattern =
      pattern_of(FusedConvDesc{network_convolutions(DType::bf16).at(1), true, true}, F32Math::exact);
  std::vector<std::shared_future<PlanBuilder::Plan>> plans;
  {
    PlanBuilder builder(described_device(), [] {});
    for (int i = 0; i < 100; ++i) {
      const EngineCandidates candidates(builder, graph_of(pattern), std::nullopt);
      plans.insert(plans.end(), candidates.plans().begin(), candidates.plans().end());
    }
  }
  size_t given_up = 0;
  for (const auto& plan : plans) {
    ASSERT_EQ(plan.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    try {
      plan.get();
    } catch (const std::future_error&) {
      ++given_up;
    }
  }
  EXPECT_GT(given_up, plans.size() / 2);
}

/// Where all engines are compiled, few are at first, or the one that serves a convolution like this; then others, and
/// none twice but that one.
TEST_F(CudnnSupport, CompiledEnginesAreTriedFewAtATime) {
  const ConvDesc conv = network_convolutions(DType::bf16).at(2);
  const ConvGraph fused = graph_of(pattern_of(FusedConvDesc{conv, true, false}, F32Math::exact)),
                  plain = graph_of(pattern_of(conv, ConvPass::forward, Accum::overwrite, F32Math::exact));
  const DeviceProperties device = described_device();
  std::vector<EngineChoice> all;
  const OperationGraph graph(fused);
  for (const EngineConfig& proposal : propose_engines(graph, device)) {
    ASSERT_TRUE(proposal.traits().compiles);
    all.push_back(proposal.choice());
  }
  PlanBuilder builder(described_device(), [] {});
  EngineCandidates some(builder, fused, std::nullopt);
  const size_t first = some.plans().size();
  EXPECT_FALSE(some.inherited());
  EXPECT_GT(first, 0u);
  EXPECT_LE(first, 4u);
  ASSERT_LT(first, all.size());
  ASSERT_TRUE(some.next());
  EXPECT_EQ(some.plans().size(), all.size() - first);
  EXPECT_FALSE(some.next());

  EngineCandidates like(builder, fused, all.at(1));
  EXPECT_EQ(like.plans().size(), 1u);
  EXPECT_TRUE(like.inherited());
  ASSERT_TRUE(like.next());
  EXPECT_FALSE(like.inherited());
  EXPECT_EQ(like.plans().size(), first);

  const EngineChoice no_engine{100000, {}};
  EXPECT_EQ(EngineCandidates(builder, fused, no_engine).plans().size(), first);
  const size_t usual = EngineCandidates(builder, plain, std::nullopt).plans().size();
  EXPECT_GT(usual, 12u) << "most of them are not compiled";
  const OperationGraph plain_graph(plain);
  const EngineChoice precompiled = propose_engines(plain_graph, device).front().choice();
  EXPECT_EQ(EngineCandidates(builder, plain, precompiled).plans().size(), usual) << "trying the others costs little";
}

/// A few of the patterns that only run-time compilation serves, all the way.
TEST_F(CudnnSupport, FusedPatternsCompile) {
  const DeviceProperties device = described_device();
  ConvDesc d{
      .n = kBatch, .h = 8, .w = 8, .c = 256, .k = 256, .r = 3, .s = 3, .stride = 1, .pad = 1, .dtype = DType::bf16};
  std::vector<ConvPattern> fused = {pattern_of(FusedConvDesc{d, true, true}, F32Math::exact),
                                    pattern_of(FusedConvDesc{d, true, false}, F32Math::exact)};
  for (const ConvPattern& pattern : fused) {
    SCOPED_TRACE(key_text(pattern));
    const auto graph = std::make_shared<OperationGraph>(graph_of(pattern));
    auto config = first_supported(pattern, device, graph);
    ASSERT_TRUE(config);
    ExecutionPlan plan(graph, std::move(*config), device);
    const cudnnStatus_t status = plan.finalize();
    EXPECT_TRUE(status == CUDNN_STATUS_SUCCESS || status == CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER) << status;
  }
}

}  // namespace
}  // namespace dcl::cuda
