// Every convolution of problems.txt, every pass, on every backend that works here, against the double oracle.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>
#include <tuple>

#include "support/backends.h"
#include "support/op_run.h"
#include "support/oracle_conv.h"
#include "support/problems.h"

namespace dcl::test {
namespace {

const std::vector<ConvProblem>& problems() {
  static const std::vector<ConvProblem> all = read_conv_problems();
  return all;
}

/// How a convolution is computed. tf32 is tested on values that bf16 can hold: their products are those of f32.
struct Arithmetic {
  DType dtype;
  F32Math math = F32Math::exact;
  DType values() const { return math == F32Math::tf32 ? DType::bf16 : dtype; }
  std::string name() const { return math == F32Math::tf32 ? "tf32" : std::string(name_of(dtype)); }
  auto operator<=>(const Arithmetic&) const = default;
};

/// Operands and sums of one problem with one fill, shared by all backends; sums are computed when first asked for.
/// The filter, stored as f32, has values of the activations' type: a backend may round it to bf16.
class Case {
 public:
  Case(const ConvDesc& d, const Arithmetic& arithmetic, Fill fill)
      : x(filled(d.x_shape(), arithmetic.values(), fill, 1)),
        filter(filled(d.filter_shape(), arithmetic.values(), fill, 2)),
        dy(filled(d.y_shape(), arithmetic.values(), fill, 3)),
        desc_(d),
        magnitude_(fill == Fill::uniform) {
    filter.dtype = DType::f32;
    x.dtype = dy.dtype = arithmetic.dtype;
  }

  const Expected& sums(ConvPass pass) {
    if (!sums_.count(pass)) sums_.emplace(pass, compute(pass));
    return sums_.at(pass);
  }

  Values x, filter, dy;

 private:
  Expected compute(ConvPass pass) const {
    switch (pass) {
      case ConvPass::forward:
        return oracle_conv_forward(desc_, x, filter, magnitude_);
      case ConvPass::backward_data:
        return oracle_conv_backward_data(desc_, dy, filter, magnitude_);
      case ConvPass::backward_filter:
        return oracle_conv_backward_filter(desc_, x, dy, magnitude_);
    }
    return {};
  }

  ConvDesc desc_;
  bool magnitude_;
  std::map<ConvPass, Expected> sums_;
};

/// Consecutive tests differ in the backend only, so the last problem's cases are kept.
Case& case_of(size_t problem, const Arithmetic& arithmetic, Fill fill) {
  static size_t current = 0;
  static std::map<std::pair<Arithmetic, Fill>, Case> cases;
  if (problem != current) cases.clear();
  current = problem;
  return cases.try_emplace({arithmetic, fill}, problems()[problem].desc, arithmetic, fill).first->second;
}

/// Adds `more` to the expected sums.
void add_to(Expected& expected, const Values& more) {
  for (size_t i = 0; i < expected.value.size(); ++i) expected.value[i] += more.v[i];
  for (size_t i = 0; i < expected.magnitude.size(); ++i) expected.magnitude[i] += std::abs(more.v[i]);
}

/// A filter gradient, added to `start`. `rounded`: its sums may have been rounded to bf16 first.
std::string judge_gradient(std::vector<double> got, const Expected& sums, const Values& start, int64_t roundings,
                           bool rounded, Fill fill) {
  Expected expected = sums;
  add_to(expected, start);
  const std::string unrounded = judge(got, expected, DType::f32, roundings, fill);
  if (unrounded.empty() || !rounded) return unrounded;
  if (fill == Fill::integers) {
    expected = sums;
    for (double& sum : expected.value) sum = round_to(sum, DType::bf16);
    add_to(expected, start);
    return judge(got, expected, DType::f32, roundings, fill);
  }
  for (size_t i = 0; i < got.size(); ++i) got[i] -= start.v[i];
  expected.value = sums.value;
  return judge(got, expected, DType::bf16, roundings, fill);
}

/// A data gradient, added to `start`. `rounded`: the convolution may have been rounded to its type first.
std::string judge_added(const std::vector<double>& got, const Expected& sums, const Values& start, DType storage,
                        int64_t roundings, bool rounded, Fill fill) {
  Expected expected = sums;
  add_to(expected, start);
  const std::string unrounded = judge(got, expected, storage, roundings, fill);
  if (unrounded.empty() || !rounded) return unrounded;
  Expected twice = sums;
  for (size_t i = 0; i < sums.value.size(); ++i) {
    if (fill == Fill::integers) twice.value[i] = round_to(sums.value[i], storage);
    if (fill == Fill::uniform) twice.magnitude[i] = std::abs(sums.value[i]);
    twice.value[i] += start.v[i];
  }
  if (fill == Fill::integers) return compare_exact(got, twice.value, storage);
  return compare(got, twice, {storage, 1, storage});
}

class Convolution : public testing::TestWithParam<std::tuple<size_t, std::string>> {
 protected:
  size_t problem() const { return std::get<0>(GetParam()); }
  std::unique_ptr<Backend> backend_ = make_backend(std::get<1>(GetParam()));

  void SetUp() override {
    constexpr int64_t kEmulatedProducts = 600'000;
    const ConvDesc& d = problems()[problem()].desc;
    if (is_emulated(*backend_) && d.y_shape().elements() * d.r * d.s * d.c > kEmulatedProducts)
      GTEST_SKIP() << "too large to emulate";
  }

  /// cuDNN's filter gradient of a bf16 convolution is bf16; the emulated backend rounds as it does.
  bool rounds_gradient(DType dtype) const {
    return dtype == DType::bf16 && std::get<1>(GetParam()).rfind("cuda", 0) == 0;
  }

  /// Some of cuDNN's engines round a data gradient before they add it to what is there, as PyTorch's autograd does;
  /// in f32 that is one rounding among many.
  bool rounds_before_adding(DType dtype) const { return dtype == DType::bf16 && std::get<1>(GetParam()) == "cuda"; }

  template <class Body>
  void each_case(Body&& body) {
    for (const Arithmetic& arithmetic : arithmetics())
      for (const Fill fill : {Fill::integers, Fill::uniform}) {
        SCOPED_TRACE(arithmetic.name() + (fill == Fill::integers ? " integers" : " uniform"));
        ConvDesc d = problems()[problem()].desc;
        d.dtype = arithmetic.dtype;
        backend_->set_f32_math(arithmetic.math);
        body(d, case_of(problem(), arithmetic, fill), fill);
      }
  }

 private:
  std::vector<Arithmetic> arithmetics() const {
    std::vector<Arithmetic> all = {{DType::f32}, {DType::bf16}};
    if (std::get<1>(GetParam()) == "cuda") all.push_back({DType::f32, F32Math::tf32});
    return all;
  }
};

TEST_P(Convolution, Forward) {
  each_case([&](const ConvDesc& d, Case& c, Fill fill) {
    OpRun run(*backend_);
    const auto x = run.input(c.x), filter = run.input(c.filter);
    const auto y = run.output(d.y_shape(), d.dtype);
    const Workspace workspace = run.workspace([&] { return backend_->conv_workspace(d, ConvPass::forward); });
    run.run([&] { backend_->conv_forward(d, x, filter, y, workspace); });
    EXPECT_EQ(judge(run.result(y), c.sums(ConvPass::forward), d.dtype, conv_terms(d, ConvPass::forward) + 1, fill), "");
  });
}

TEST_P(Convolution, BackwardData) {
  each_case([&](const ConvDesc& d, Case& c, Fill fill) {
    for (const Accum accum : {Accum::overwrite, Accum::add}) {
      SCOPED_TRACE(accum == Accum::add ? "add" : "overwrite");
      OpRun run(*backend_);
      const Values before = filled(d.x_shape(), d.dtype, fill, 4);
      const auto dy = run.input(c.dy), filter = run.input(c.filter);
      const auto dx = accum == Accum::add ? run.in_out(before) : run.output(d.x_shape(), d.dtype);
      const Workspace workspace = run.workspace([&] { return backend_->conv_workspace(d, ConvPass::backward_data); });
      run.run([&] { backend_->conv_backward_data(d, dy, filter, dx, accum, workspace); });
      const Values start = accum == Accum::add ? before : constant(d.x_shape(), d.dtype, 0);
      EXPECT_EQ(judge_added(run.result(dx), c.sums(ConvPass::backward_data), start, d.dtype,
                            conv_terms(d, ConvPass::backward_data) + 2, rounds_before_adding(d.dtype), fill),
                "");
    }
  });
}

TEST_P(Convolution, BackwardFilter) {
  each_case([&](const ConvDesc& d, Case& c, Fill fill) {
    for (const Accum accum : {Accum::overwrite, Accum::add}) {
      SCOPED_TRACE(accum == Accum::add ? "add" : "overwrite");
      OpRun run(*backend_);
      const Values before = filled(d.filter_shape(), DType::f32, fill, 5);
      const auto x = run.input(c.x), dy = run.input(c.dy);
      const auto dfilter = accum == Accum::add ? run.in_out(before) : run.output(d.filter_shape(), DType::f32);
      const Workspace workspace = run.workspace([&] { return backend_->conv_workspace(d, ConvPass::backward_filter); });
      run.run([&] { backend_->conv_backward_filter(d, x, dy, dfilter, accum, workspace); });
      const Values start = accum == Accum::add ? before : constant(d.filter_shape(), DType::f32, 0);
      EXPECT_EQ(judge_gradient(run.result(dfilter), c.sums(ConvPass::backward_filter), start,
                               conv_terms(d, ConvPass::backward_filter) + 2, rounds_gradient(d.dtype), fill),
                "");
    }
  });
}

TEST_P(Convolution, RoundedFiltersGiveTheSameBits) {
  if (!backend_->takes_rounded_filters()) GTEST_SKIP() << "this backend takes f32 filters";
  ConvDesc d = problems()[problem()].desc;
  d.dtype = DType::bf16;
  Case& c = case_of(problem(), {DType::bf16}, Fill::uniform);
  Values rounded = c.filter;
  rounded.dtype = DType::bf16;
  std::vector<std::vector<double>> results[2];
  for (const bool narrow : {false, true}) {
    OpRun run(*backend_);
    const auto x = run.input(c.x), dy = run.input(c.dy), filter = run.input(narrow ? rounded : c.filter);
    const auto y = run.output(d.y_shape(), d.dtype), dx = run.output(d.x_shape(), d.dtype);
    const auto dfilter = run.output(d.filter_shape(), filter.dtype);
    const Workspace workspace = run.workspace([&] {
      return std::max({backend_->conv_workspace(d, ConvPass::forward),
                       backend_->conv_workspace(d, ConvPass::backward_data),
                       backend_->conv_workspace(d, ConvPass::backward_filter)});
    });
    run.run([&] {
      backend_->conv_forward(d, x, filter, y, workspace);
      backend_->conv_backward_data(d, dy, filter, dx, Accum::overwrite, workspace);
      backend_->conv_backward_filter(d, x, dy, dfilter, Accum::overwrite, workspace);
    });
    results[narrow] = {run.result(y), run.result(dx), run.result(dfilter)};
  }
  // Where no library computes the gradient it is f32 before it is bf16.
  for (double& value : results[false].back()) value = round_to(value, DType::bf16);
  EXPECT_EQ(results[true], results[false]);
}

enum class Residual { none, apart, in_place };

TEST_P(Convolution, Fused) {
  each_case([&](const ConvDesc& d, Case& c, Fill fill) {
    const Values bias = filled({d.k}, DType::f32, fill, 6), residual = filled(d.y_shape(), d.dtype, fill, 7);
    for (const bool relu : {false, true})
      for (const Residual kind : {Residual::none, Residual::apart, Residual::in_place}) {
        SCOPED_TRACE(std::string(relu ? "relu, residual " : "residual ") + std::to_string(static_cast<int>(kind)));
        const FusedConvDesc fused{d, relu, kind != Residual::none};
        OpRun run(*backend_);
        const auto x = run.input(c.x), filter = run.input(c.filter), b = run.input(bias);
        const Workspace room = run.workspace([&] { return backend_->packed_filter_bytes(fused); });
        const auto y = kind == Residual::in_place ? run.in_out(residual) : run.output(d.y_shape(), d.dtype);
        const auto from = kind == Residual::apart      ? run.input(residual)
                          : kind == Residual::in_place ? ConstTensorRef(y)
                                                       : ConstTensorRef{};
        const Workspace workspace = run.workspace([&] { return backend_->fused_conv_workspace(fused); });
        run.run([&] {
          const auto bytes = static_cast<int64_t>(backend_->packed_filter_bytes(fused));
          const TensorRef packed{room.data, {bytes}, DType::u8};
          backend_->pack_filter(fused, filter, packed);
          backend_->fused_conv(fused, x, packed, b, from, y, workspace);
        });
        Expected expected = c.sums(ConvPass::forward);
        Values added = residual;
        for (size_t i = 0; i < added.v.size(); ++i)
          added.v[i] = (fused.residual ? added.v[i] : 0.0) + bias[static_cast<int64_t>(i) % d.k];
        add_to(expected, added);
        if (relu)
          for (double& value : expected.value) value = std::max(value, 0.0);
        EXPECT_EQ(judge(run.result(y), expected, d.dtype, conv_terms(d, ConvPass::forward) + 3, fill), "");
      }
  });
}

/// All problems with DCL_SLOW_TESTS set; otherwise those of the ImageNet stem, larger and alike, are left out but for
/// their first convolution.
std::vector<size_t> problem_indices() {
  const bool all = std::getenv("DCL_SLOW_TESTS") != nullptr;
  std::vector<size_t> indices;
  for (size_t i = 0; i < problems().size(); ++i) {
    const std::string& name = problems()[i].name;
    if (all || name.find("imagenet") == name.npos || name.find("layer") == name.npos) indices.push_back(i);
  }
  return indices;
}

INSTANTIATE_TEST_SUITE_P(Problems, Convolution,
                         testing::Combine(testing::ValuesIn(problem_indices()), testing::ValuesIn(working_backends())),
                         [](const auto& info) {
                           std::string name = problems()[std::get<0>(info.param)].name + "_" + std::get<1>(info.param);
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

using Extents = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;  // h, c, k, r, stride, pad

/// The convolutions of a published ResNet (He et al. 2016, stride on the 3x3 of a bottleneck), written out.
void list_resnet(std::array<int, 4> blocks, bool bottleneck, bool cifar_stem, std::set<Extents>& all) {
  int64_t h = cifar_stem ? 32 : 24, in = 64;
  if (cifar_stem)
    all.insert({32, 3, 64, 3, 1, 1});
  else
    all.insert({96, 3, 64, 7, 2, 3});
  for (int stage = 0; stage < 4; ++stage)
    for (int block = 0; block < blocks[static_cast<size_t>(stage)]; ++block) {
      const int64_t width = int64_t{64} << stage, out = bottleneck ? 4 * width : width;
      const int64_t stride = stage > 0 && block == 0 ? 2 : 1, after = h / stride;
      if (bottleneck)
        all.insert({{h, in, width, 1, 1, 0}, {h, width, width, 3, stride, 1}, {after, width, out, 1, 1, 0}});
      else
        all.insert({{h, in, width, 3, stride, 1}, {after, width, width, 3, 1, 1}});
      if (stride != 1 || in != out) all.insert({h, in, out, 1, stride, 0});
      h = after;
      in = out;
    }
}

TEST(ProblemFile, HoldsEveryConvolutionOfTheNetworks) {
  std::set<Extents> wanted, listed;
  for (const bool cifar : {true, false}) {
    list_resnet({2, 2, 2, 2}, false, cifar, wanted);
    list_resnet({3, 4, 6, 3}, false, cifar, wanted);
    list_resnet({3, 4, 6, 3}, true, cifar, wanted);
    list_resnet({3, 4, 23, 3}, true, cifar, wanted);
  }
  for (const ConvProblem& problem : problems()) {
    const ConvDesc& d = problem.desc;
    if (problem.name.rfind("edge/", 0) == 0) continue;
    EXPECT_EQ(d.h, d.w);
    EXPECT_EQ(d.r, d.s);
    EXPECT_TRUE(listed.insert({d.h, d.c, d.k, d.r, d.stride, d.pad}).second) << problem.name << " is listed twice";
  }
  EXPECT_EQ(listed, wanted);
}

}  // namespace
}  // namespace dcl::test
