// Which of a library's engines is taken, on the emulated device: a fast one that is wrong must not win.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/error.h"
#include "cuda/composition_choice.h"
#include "cuda/conv_planner.h"
#include "cuda/elementwise.h"
#include "cuda/engine_trial.h"
#include "math/bfloat16.h"

namespace dcl::cuda {
namespace {

using std::chrono::milliseconds;

ConvDesc conv() {
  ConvDesc d;
  d.n = 4, d.h = 6, d.w = 5, d.c = 16, d.k = 24, d.r = d.s = 3, d.stride = 1, d.pad = 1, d.dtype = DType::bf16;
  return d;
}

/// Whatever `run` does.
class TestPlan final : public ConvPlan {
 public:
  using Run = std::function<void(const ConvOperands&, void* workspace)>;
  explicit TestPlan(Run run, size_t workspace_bytes) : run_(std::move(run)) { workspace_bytes_ = workspace_bytes; }
  void run(const ConvOperands& operands, void* workspace) override { run_(operands, workspace); }

 private:
  Run run_;
};

class EngineTrial : public testing::Test {
 protected:
  Engine engine(const char* name, TestPlan::Run run, size_t workspace_bytes = 1024) {
    return {name, plans_.emplace_back(std::make_unique<TestPlan>(std::move(run), workspace_bytes)).get()};
  }
  /// Computes what `computes` asks for, later changed by `fault`, in at least this time.
  Engine engine(const char* name, const ConvPattern& computes, milliseconds time,
                std::function<void(TensorRef result)> fault = {}) {
    return engine(name, [=, this](const ConvOperands& o, void* workspace) {
      std::this_thread::sleep_for(time);
      planner_.find(computes)->run(o, workspace);
      const bool data = computes.pass == ConvPass::backward_data;
      if (fault)
        fault({const_cast<void*>(data ? o.x : o.y), data ? computes.conv.x_shape() : computes.conv.y_shape(),
               DType::bf16});
    });
  }
  std::optional<size_t> fastest(const ConvPattern& pattern, const std::vector<Engine>& engines) {
    return tried(fastest_engine(context_, pattern, engines, report_));
  }
  std::optional<size_t> first(const ConvPattern& pattern, const std::vector<Engine>& engines) {
    return tried(first_engine(context_, pattern, engines, report_));
  }
  static std::optional<size_t> tried(const std::optional<EngineVerdict>& verdict) {
    if (!verdict) return {};
    EXPECT_TRUE(verdict->tried);
    return verdict->engine;
  }

  std::vector<std::unique_ptr<TestPlan>> plans_;
  Context context_;
  ConvPlanner planner_{context_};
  TrialReport report_;
  const ConvPattern forward_ = pattern_of(conv(), ConvPass::forward, Accum::overwrite, F32Math::exact);
  const ConvPattern data_ = pattern_of(conv(), ConvPass::backward_data, Accum::overwrite, F32Math::exact);
  const ConvPattern adding_ = pattern_of(conv(), ConvPass::backward_data, Accum::add, F32Math::exact);
};

TEST_F(EngineTrial, TheFastestOfThoseThatAreRightIsTaken) {
  EXPECT_EQ(fastest(forward_, {engine("slow", forward_, milliseconds(60)), engine("fast", forward_, milliseconds(0)),
                               engine("middle", forward_, milliseconds(30))}),
            1);
}

TEST_F(EngineTrial, AnEngineThatOverwritesWhereItShouldAddIsNotTaken) {
  EXPECT_EQ(fastest(adding_, {engine("adds", adding_, milliseconds(40)), engine("78", data_, milliseconds(0))}), 0);
  EXPECT_EQ(report_.failure.substr(0, 40), "engine 78 of cuDNN gives wrong results f") << report_.failure;
  ASSERT_EQ(report_.rejected.size(), 1u);
  EXPECT_EQ(report_.rejected[0].engine, 1u);
  EXPECT_EQ(fastest(data_, {engine("adds", adding_, milliseconds(0)), engine("78", data_, milliseconds(40))}), 1);
}

TEST_F(EngineTrial, AnEngineThatForgetsWhatIsFusedIsNotTaken) {
  const ConvPattern fused = pattern_of(FusedConvDesc{conv(), true, true}, F32Math::exact);
  const ConvPattern without_residual = pattern_of(FusedConvDesc{conv(), true, false}, F32Math::exact);
  EXPECT_EQ(fastest(fused, {engine("whole", fused, milliseconds(40)), engine("bare", forward_, milliseconds(0)),
                            engine("no residual", without_residual, milliseconds(0))}),
            0);
}

TEST_F(EngineTrial, AnEngineThatLeavesResultsOutIsNotTakenForThoseOfAnother) {
  const Engine idle = engine("idle", [](auto...) {});
  EXPECT_EQ(fastest(forward_, {engine("whole", forward_, milliseconds(20)), idle}), 0);
  const auto wipe_the_end = [this](TensorRef y) {
    const int64_t last = y.shape.elements() / 4;
    fill(context_, {y.as<bf16>() + 3 * last, {last}, y.dtype}, 0.0f);
  };
  EXPECT_EQ(fastest(forward_, {engine("whole", forward_, milliseconds(20)),
                               engine("partial", forward_, milliseconds(0), wipe_the_end)}),
            0);
}

TEST_F(EngineTrial, AnEngineWhoseBitsVaryIsNotTaken) {
  // By the last bit of one result, and only after the runs on whole numbers, of which sums in any order are the same.
  int runs = 0;
  const auto vary = [&](TensorRef y) {
    if (++runs <= 3 || runs % 2 == 0) return;
    bf16 value(0.0f);
    copy_to_host(&value, y.data, sizeof value, context_.stream());
    value.bits ^= 1;
    copy_to_device(y.data, &value, sizeof value, context_.stream());
  };
  EXPECT_EQ(fastest(forward_,
                    {engine("steady", forward_, milliseconds(10)), engine("varying", forward_, milliseconds(0), vary)}),
            0);
  EXPECT_NE(report_.failure.find("other bits every time"), report_.failure.npos) << report_.failure;
}

TEST_F(EngineTrial, EnginesThatFailToRunArePassedOver) {
  const Engine broken = engine("broken", [](auto...) { fail(ErrorKind::environment, "this one does not run"); });
  EXPECT_EQ(fastest(forward_, {broken, engine("works", forward_, milliseconds(5))}), 1);
  EXPECT_EQ(fastest(forward_, {broken, broken}), std::nullopt);
  EXPECT_NE(report_.failure.find("this one does not run"), report_.failure.npos) << report_.failure;
  EXPECT_EQ(first(forward_, {broken, engine("works", forward_, milliseconds(5))}), 1);
}

TEST_F(EngineTrial, UntimedTheFirstThatIsRightIsTaken) {
  EXPECT_EQ(first(adding_, {engine("78", data_, milliseconds(0)), engine("adds", adding_, milliseconds(20)),
                            engine("adds", adding_, milliseconds(0))}),
            1);
  EXPECT_EQ(first(adding_, {engine("78", data_, milliseconds(0))}), std::nullopt);
}

/// What the CUDA context is lost to.
TEST_F(EngineTrial, TheEngineThatRanLastIsKnown) {
  struct Lost {};
  int runs = 0;
  const std::vector<Engine> engines{engine("slow", forward_, milliseconds(30)),
                                    engine("fatal",
                                           [&](const ConvOperands& o, void* workspace) {
                                             planner_.find(forward_)->run(o, workspace);
                                             if (++runs == 3) throw Lost();  // no Error: nothing goes on after it
                                           }),
                                    engine("fast", forward_, milliseconds(5))};
  EXPECT_THROW(fastest_engine(context_, forward_, engines, report_), Lost);
  EXPECT_EQ(report_.last, 1);
}

/// A result takes its residual's memory in a network.
TEST_F(EngineTrial, AnEngineThatWritesBeforeItHasReadTheResidualIsNotTaken) {
  const ConvPattern fused = pattern_of(FusedConvDesc{conv(), true, true}, F32Math::exact);
  const Engine hasty = engine("hasty", [&](const ConvOperands& o, void* workspace) {
    fill(context_, {const_cast<void*>(o.y), conv().y_shape(), conv().dtype}, 0.0f);
    planner_.find(fused)->run(o, workspace);
  });
  EXPECT_EQ(fastest(fused, {engine("careful", fused, milliseconds(40)), hasty}), 0);
  EXPECT_NE(report_.failure.find("engine hasty of cuDNN gives wrong results"), report_.failure.npos) << report_.failure;
}

/// So that it is not remembered as if it had been tried.
TEST_F(EngineTrial, WhereMemoryDoesNotSufficeTheFirstIsTakenUntried) {
  constexpr size_t kMoreThanThereIs = size_t{1} << 60;
  const std::vector<Engine> engines{engine(
      "first", [](auto...) { FAIL() << "it was tried"; }, kMoreThanThereIs)};
  EXPECT_EQ(fastest_engine(context_, forward_, engines, report_), (EngineVerdict{0, false}));
  EXPECT_EQ(first_engine(context_, forward_, engines, report_), (EngineVerdict{0, false}));
}

/// A pass for bias, residual and ReLU is taken where that is faster than an engine for everything, and only there.
TEST_F(EngineTrial, APatternIsComposedWhereItsPartsAreFaster) {
  ConvDesc d = conv();
  d.dtype = DType::f32;
  const ConvPattern fused = pattern_of(FusedConvDesc{d, true, true}, F32Math::exact), alone = *convolution_alone(fused);
  const auto pays = [&](milliseconds whole, milliseconds convolution) {
    const Engine both = engine("whole", [=](auto...) { std::this_thread::sleep_for(whole); });
    const Engine one = engine("alone", alone, convolution);
    return time_composition(context_, fused, *both.plan, *one.plan)->composition_pays();
  };
  EXPECT_TRUE(pays(milliseconds(200), milliseconds(0)));
  EXPECT_FALSE(pays(milliseconds(0), milliseconds(50)));
  EXPECT_FALSE(pays(milliseconds(100), milliseconds(100)));
}

}  // namespace
}  // namespace dcl::cuda
