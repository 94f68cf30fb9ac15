// The judge of a library's engines, on the emulated device: what the reference kernels compute passes, faults do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cuda/composed_plan.h"
#include "cuda/conv_planner.h"
#include "cuda/conv_samples.h"
#include "cuda/elementwise.h"
#include "math/bfloat16.h"

namespace dcl::cuda {
namespace {

constexpr ConvDesc conv(DType dtype) {
  ConvDesc d;
  d.n = 6, d.h = 7, d.w = 5, d.c = 16, d.k = 24, d.r = d.s = 3, d.stride = 2, d.pad = 1, d.dtype = dtype;
  return d;
}

constexpr size_t kWorkspaceBytes = 1 << 16;

/// Device memory for every operand of a pattern, filled with whole numbers.
class Memory {
 public:
  Memory(Context& context, const ConvPattern& pattern) : context_(context), pattern_(pattern) {
    const ConvDesc& d = pattern.conv;
    operands_.x = add(d.x_shape(), d.dtype), operands_.y = add(d.y_shape(), d.dtype);
    operands_.filter = add(d.filter_shape(), d.dtype);
    operands_.bias = add({d.k}, DType::f32), operands_.residual = add(d.y_shape(), d.dtype);
    before_ = allocate(result().bytes(), context.stream());
    copy_on_device(before_, result().data, result().bytes(), context.stream());
    workspace_ = allocate(kWorkspaceBytes, context.stream());
  }
  ~Memory() {
    for (const TensorRef& t : tensors_) release(t.data);
    release(before_), release(workspace_);
  }

  TensorRef result() const {
    return tensors_[pattern_.pass == ConvPass::forward ? 1 : pattern_.pass == ConvPass::backward_data ? 0 : 2];
  }
  void run() {
    ConvPlanner planner(context_);
    if (ConvPlan* whole = planner.find(pattern_)) return whole->run(operands_, workspace_);
    run_composed();
  }
  void run_composed() {
    ConvPlanner planner(context_);
    ComposedPlan plan(context_, pattern_, *planner.find(*convolution_alone(pattern_)));
    ASSERT_LE(plan.workspace_bytes(), kWorkspaceBytes);
    plan.run(operands_, workspace_);
  }
  int64_t wrong(Operands numbers = Operands::integers) {
    return count_wrong(context_, pattern_, operands_, before_, numbers);
  }

  void use_fractions() {
    for (size_t i = 0; i < tensors_.size(); ++i)
      fill_operand(context_, tensors_[i], Operands::fractions, static_cast<uint32_t>(i));
    copy_on_device(before_, result().data, result().bytes(), context_.stream());
  }

  /// The forward pass of a pointwise convolution, every partial sum rounded.
  void sum_up_in_bf16() {
    const ConvDesc& d = pattern_.conv;
    const std::vector<float> x = host(tensors_[0]), filter = host(tensors_[2]);
    for (int64_t at = 0; at < result().shape.elements(); ++at) {
      bf16 sum(0.0f);
      for (int64_t c = 0; c < d.c; ++c)
        sum = bf16(static_cast<float>(sum) +
                   x[static_cast<size_t>(at / d.k * d.c + c)] * filter[static_cast<size_t>(at % d.k * d.c + c)]);
      plant(at, at + 1, static_cast<float>(sum));
    }
  }

  /// Puts `value` in the place of results [begin, end).
  void plant(int64_t begin, int64_t end, float value) {
    const size_t size = size_of(result().dtype);
    std::vector<char> values(static_cast<size_t>(end - begin) * size);
    const bf16 narrow(value);
    for (size_t at = 0; at < values.size(); at += size)
      std::memcpy(values.data() + at, size == 2 ? static_cast<const void*>(&narrow) : &value, size);
    copy_to_device(static_cast<char*>(result().data) + static_cast<size_t>(begin) * size, values.data(), values.size(),
                   context_.stream());
  }

 private:
  void* add(Shape shape, DType dtype) {
    const TensorRef t{allocate(static_cast<size_t>(shape.elements()) * size_of(dtype), context_.stream()), shape,
                      dtype};
    fill_operand(context_, t, Operands::integers, static_cast<uint32_t>(tensors_.size()));
    return tensors_.emplace_back(t).data;
  }

  std::vector<float> host(const TensorRef& t) const {
    const auto read = [&]<class T>(T) {
      std::vector<T> values(static_cast<size_t>(t.shape.elements()));
      copy_to_host(values.data(), t.data, t.bytes(), context_.stream());
      return std::vector<float>(values.begin(), values.end());
    };
    return t.dtype == DType::bf16 ? read(bf16(0.0f)) : read(0.0f);
  }

  Context& context_;
  ConvPattern pattern_;
  ConvOperands operands_;
  std::vector<TensorRef> tensors_;
  void *before_ = nullptr, *workspace_ = nullptr;
};

class ConvSamples : public testing::TestWithParam<DType> {
 protected:
  std::vector<ConvPattern> patterns() const {
    const ConvDesc d = conv(GetParam());
    std::vector<ConvPattern> all;
    for (const ConvPass pass : {ConvPass::forward, ConvPass::backward_data, ConvPass::backward_filter})
      all.push_back(pattern_of(d, pass, Accum::overwrite, F32Math::exact));
    all.push_back(pattern_of(d, ConvPass::backward_data, Accum::add, F32Math::exact));
    for (const bool residual : {false, true})
      for (const bool relu : {false, true}) all.push_back(pattern_of(FusedConvDesc{d, relu, residual}, F32Math::exact));
    return all;
  }
  Context context_;
};

TEST_P(ConvSamples, WhatTheDefinitionGivesIsRight) {
  for (const ConvPattern& pattern : patterns()) {
    SCOPED_TRACE(key_text(pattern));
    Memory memory(context_, pattern);
    memory.run();
    EXPECT_EQ(memory.wrong(), 0);
  }
}

TEST_P(ConvSamples, WhatIsComposedIsRight) {
  int composed = 0;
  for (const ConvPattern& pattern : patterns()) {
    if (!convolution_alone(pattern)) continue;
    SCOPED_TRACE(key_text(pattern));
    Memory memory(context_, pattern);
    memory.run_composed();
    EXPECT_EQ(memory.wrong(), 0);
    Memory fractions(context_, pattern);
    fractions.use_fractions();
    fractions.run_composed();
    EXPECT_EQ(fractions.wrong(Operands::fractions), 0);
    ++composed;
  }
  EXPECT_EQ(composed, GetParam() == DType::f32 ? 5 : 1) << "of bf16 only what may be rounded twice";
}

TEST_P(ConvSamples, FaultsAreSeen) {
  for (const ConvPattern& pattern : patterns()) {
    SCOPED_TRACE(key_text(pattern));
    const int64_t results = Memory(context_, pattern).result().shape.elements();
    const auto planted = [&](int64_t begin, int64_t end, float value) {
      Memory memory(context_, pattern);
      memory.run();
      memory.plant(begin, end, value);
      return memory.wrong();
    };
    EXPECT_GT(planted(0, 1, 99), 0) << "the first result";
    EXPECT_GT(planted(results - 1, results, 99), 0) << "the last result";
    EXPECT_GT(planted(results / 2, results / 2 + results / 50, 0), 0) << "a fiftieth of them left out";
    EXPECT_GT(planted(0, results, std::numeric_limits<float>::quiet_NaN()), 1000) << "no numbers";
    Memory untouched(context_, pattern);
    EXPECT_GT(untouched.wrong(), 100) << "nothing computed";
  }
}

TEST_P(ConvSamples, FractionsMayBeRounded) {
  for (const ConvPattern& pattern : patterns()) {
    SCOPED_TRACE(key_text(pattern));
    Memory memory(context_, pattern);
    memory.use_fractions();
    memory.run();
    EXPECT_EQ(memory.wrong(Operands::fractions), 0);
    const int64_t results = memory.result().shape.elements();
    memory.plant(results / 2, results / 2 + results / 50, 0.1f);
    EXPECT_GT(memory.wrong(Operands::fractions), 0);
  }
}

TEST_P(ConvSamples, SumsInLessThanF32AreSeen) {
  ConvDesc d = conv(GetParam());
  d.c = 512, d.r = d.s = 1, d.pad = 0, d.stride = 1;
  const ConvPattern pattern = pattern_of(d, ConvPass::forward, Accum::overwrite, F32Math::exact);
  Memory memory(context_, pattern);
  memory.use_fractions();
  memory.run();
  EXPECT_EQ(memory.wrong(Operands::fractions), 0);
  memory.sum_up_in_bf16();
  EXPECT_GT(memory.wrong(Operands::fractions), 500);
}

TEST_P(ConvSamples, OtherBitsAreCounted) {
  const ConvPattern pattern = pattern_of(conv(GetParam()), ConvPass::forward, Accum::overwrite, F32Math::exact);
  Memory one(context_, pattern), two(context_, pattern);
  one.plant(0, one.result().shape.elements(), 0);
  two.plant(0, one.result().shape.elements(), 0);
  EXPECT_EQ(count_differing(context_, one.result(), two.result()), 0);
  two.plant(17, 19, 3);
  two.plant(two.result().shape.elements() - 1, two.result().shape.elements(), -0.0f);
  EXPECT_EQ(count_differing(context_, one.result(), two.result()), 3);
}

TEST_P(ConvSamples, NumbersAreSparseAndDifferFromTensorToTensor) {
  constexpr int64_t kCount = 4096;
  std::vector<std::vector<float>> drawn;
  for (const uint32_t seed : {1u, 2u}) {
    const TensorRef t{allocate(kCount * sizeof(float), context_.stream()), {kCount}, DType::f32};
    fill_operand(context_, t, Operands::integers, seed);
    copy_to_host(drawn.emplace_back(kCount).data(), t.data, t.bytes(), context_.stream());
    release(t.data);
  }
  EXPECT_NE(drawn[0], drawn[1]);
  const auto count = [&](float value) { return std::count(drawn[0].begin(), drawn[0].end(), value); };
  EXPECT_EQ(count(-1) + count(0) + count(1), kCount);
  EXPECT_NEAR(static_cast<double>(count(1)), kCount / 16.0, 60);
  EXPECT_NEAR(static_cast<double>(count(-1)), kCount / 16.0, 60);
}

TEST(Scratch, OfOneOpIsNoneOfTheNextOne) {
  Context context;
  float* first = context.scratch<float>(2);
  fill(context, {first, {2}, DType::f32}, 1.0f);
  const float* second = context.scratch<float>(1);
  float values[2];
  copy_to_host(values, second, sizeof values, context.stream());
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], 1.0f) << "not asked for";
}

INSTANTIATE_TEST_SUITE_P(Types, ConvSamples, testing::Values(DType::f32, DType::bf16),
                         [](const auto& info) { return std::string(name_of(info.param)); });

}  // namespace
}  // namespace dcl::cuda
