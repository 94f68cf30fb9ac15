// A step whose loss is not finite changes nothing and can say where that began.
#include "train/pretrain_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/registry.h"
#include "io/fault.h"
#include "train/on_nan.h"

namespace dcl {
namespace {

class PretrainStepTest : public testing::TestWithParam<DType> {
 protected:
  PretrainStepTest() : backend_(make_backend("eigen")) {
    settings_.model.arch = "resnet18";
    settings_.augment.size = 16;
    settings_.batch = 2;
    settings_.dtype = GetParam();
    step_.emplace(*backend_, settings_);
    views_.resize(2 * 2 * 16 * 16 * 3 * sizeof(float));
    fill(0.25f);
  }
  ~PretrainStepTest() override { set_fault_plan(""); }

  /// Images of this value in one corner, zero elsewhere.
  void fill(float corner) {
    if (GetParam() == DType::bf16) {
      *reinterpret_cast<bf16*>(views_.data()) = bf16(corner);
    } else {
      *reinterpret_cast<float*>(views_.data()) = corner;
    }
  }
  ObjectiveReport run() {
    static constexpr int32_t kImages[] = {0, 1, 2, 3};
    Batch batch;
    batch.images = settings_.batch;
    batch.views = {views_.data(), {2 * settings_.batch, 16, 16, 3}, GetParam()};
    batch.indices = batch.labels = std::span(kImages).first(static_cast<size_t>(settings_.batch));
    step_->run(batch, 0, 1e-3);
    return step_->report();
  }
  /// Every tensor of a checkpoint, as bytes.
  std::string everything() const {
    std::string bytes;
    const auto append = [&](const std::vector<TensorSource>& sources) {
      for (const TensorSource& source : sources)
        source.produce([&](const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); });
    };
    append(step_->model_tensors());
    append(step_->state_tensors());
    return bytes;
  }

  std::unique_ptr<Backend> backend_;
  PretrainSettings settings_;
  std::optional<PretrainStep> step_;
  std::vector<uint8_t> views_;
};

TEST_P(PretrainStepTest, WithoutAFiniteLossEverythingStaysAsItWas) {
  ASSERT_TRUE(std::isfinite(run().loss));
  const std::string before = everything();
  set_fault_plan("embeddings:1:NAN");
  EXPECT_FALSE(std::isfinite(run().loss));
  EXPECT_TRUE(everything() == before);
  EXPECT_EQ(step_->first_non_finite(), "embeddings");
  EXPECT_EQ(step_->non_finite_state(), "");
  ASSERT_TRUE(std::isfinite(run().loss));
  EXPECT_FALSE(everything() == before) << "and then it goes on";
}

TEST_P(PretrainStepTest, SaysWhatWasTheFirstThatIsNotFinite) {
  const float infinite = std::numeric_limits<float>::infinity();
  set_fault_plan("embeddings:1+:NAN");  // rectifiers may swallow what is planted before them
  fill(infinite);
  EXPECT_FALSE(std::isfinite(run().loss));
  EXPECT_EQ(step_->first_non_finite(), "input images");
  fill(0.25f);
  run();
  const ParameterEntry& weight = step_->parameters().entry("g.3.weight");
  backend_->copy_in({const_cast<void*>(step_->parameters().tensor(weight).data), {1}, DType::f32}, &infinite);
  EXPECT_EQ(step_->first_non_finite(), "weights");
  EXPECT_EQ(step_->non_finite_state(), "weights");
}

TEST_P(PretrainStepTest, LooksForWhatIsNotFiniteInEveryPart) {
  settings_.batch = 4, settings_.micro_batch = 2;
  step_.emplace(*backend_, settings_);
  views_.assign(2 * 4 * 16 * 16 * 3 * sizeof(float), 0);
  fill(std::numeric_limits<float>::infinity());  // of the first part; the second is the last in the network
  set_fault_plan("embeddings:1+:NAN");
  EXPECT_FALSE(std::isfinite(run().loss));
  EXPECT_EQ(step_->first_non_finite(), "input images");
  fill(0.25f);
  EXPECT_FALSE(std::isfinite(run().loss));
  EXPECT_EQ(step_->first_non_finite(), "embeddings");
}

INSTANTIATE_TEST_SUITE_P(Types, PretrainStepTest, testing::Values(DType::f32, DType::bf16));

TEST(OnNan, Words) {
  EXPECT_EQ(on_nan_of("stop").action, OnNan::Action::stop);
  EXPECT_EQ(on_nan_of("skip:12").action, OnNan::Action::skip);
  EXPECT_EQ(on_nan_of("skip:12").limit, 12);
  EXPECT_EQ(on_nan_of("rollback").action, OnNan::Action::rollback);
  EXPECT_EQ(on_nan_of("rollback").limit, 3);
  EXPECT_EQ(on_nan_of("rollback:1").limit, 1);
  for (const char* bad : {"", "skip", "skip:", "skip:0", "skip:-1", "skip:1x", "rollback:0", "go on"})
    EXPECT_THROW(on_nan_of(bad), Error) << bad;
}

}  // namespace
}  // namespace dcl
