// Max and average pooling, forward and backward, against their definitions in double; ties, padding, NaN.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/backends.h"
#include "support/compare.h"
#include "support/op_run.h"

namespace dcl::test {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16};

/// Windows: ResNet's, one without padding, one that overlaps nothing, one larger than a row; channels around vectors.
constexpr MaxPoolDesc kMaxPools[] = {{2, 8, 8, 16, 3, 2, 1},  {1, 7, 9, 3, 3, 2, 1},  {2, 5, 4, 8, 2, 2, 0},
                                     {1, 6, 6, 5, 2, 3, 0},   {1, 3, 3, 20, 5, 1, 2}, {3, 1, 1, 4, 3, 2, 1},
                                     {2, 48, 48, 64, 3, 2, 1}};

class Pooling : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
};

struct MaxPooled {
  std::vector<double> value;
  std::vector<int> tap;
};

/// The first maximum in row order; NaN beats every number.
MaxPooled oracle_max_pool(const MaxPoolDesc& d, const Values& x) {
  MaxPooled out;
  for (int64_t n = 0; n < d.n; ++n)
    for (int64_t i = 0; i < d.out_h(); ++i)
      for (int64_t j = 0; j < d.out_w(); ++j)
        for (int64_t c = 0; c < d.c; ++c) {
          double best = 0;
          int tap = -1;
          for (int64_t r = 0; r < d.window; ++r)
            for (int64_t s = 0; s < d.window; ++s) {
              const int64_t row = i * d.stride - d.pad + r, column = j * d.stride - d.pad + s;
              if (row < 0 || row >= d.h || column < 0 || column >= d.w) continue;
              const double value = x[((n * d.h + row) * d.w + column) * d.c + c];
              if (tap >= 0 && !(value > best) && !(std::isnan(value) && !std::isnan(best))) continue;
              best = value;
              tap = static_cast<int>(r * d.window + s);
            }
          out.value.push_back(best);
          out.tap.push_back(tap);
        }
  return out;
}

/// Every gradient goes to the pixel its window chose.
Expected oracle_max_pool_backward(const MaxPoolDesc& d, const Values& dy, const std::vector<int>& taps) {
  Expected out;
  out.value.assign(static_cast<size_t>(d.x_shape().elements()), 0.0);
  out.magnitude = out.value;
  for (int64_t at = 0; at < d.y_shape().elements(); ++at) {
    const int64_t c = at % d.c, j = at / d.c % d.out_w(), i = at / d.c / d.out_w() % d.out_h(),
                  n = at / d.c / d.out_w() / d.out_h();
    const int64_t tap = taps[static_cast<size_t>(at)];
    const int64_t row = i * d.stride - d.pad + tap / d.window, column = j * d.stride - d.pad + tap % d.window;
    const auto to = static_cast<size_t>(((n * d.h + row) * d.w + column) * d.c + c);
    out.value[to] += dy[at];
    out.magnitude[to] += std::abs(dy[at]);
  }
  return out;
}

TEST_P(Pooling, MaxTakesTheFirstLargestAndItsGradient) {
  for (MaxPoolDesc d : kMaxPools)
    for (const DType dtype : kTypes)
      for (const Fill fill : {Fill::integers, Fill::uniform}) {  // integers: many ties
        d.dtype = dtype;
        SCOPED_TRACE(d.x_shape().text() + " " + std::string(name_of(dtype)));
        const Values x = filled(d.x_shape(), dtype, fill, 1), dy = filled(d.y_shape(), dtype, fill, 2);
        const MaxPooled expected = oracle_max_pool(d, x);
        OpRun run(*backend_);
        const auto xt = run.input(x), dyt = run.input(dy);
        const auto y = run.output(d.y_shape(), dtype), dx = run.output(d.x_shape(), dtype);
        const auto argmax = run.output(d.y_shape(), DType::u8);
        run.run([&] {
          backend_->max_pool_forward(d, xt, y, argmax);
          backend_->max_pool_backward(d, dyt, argmax, dx);
        });
        EXPECT_EQ(compare_exact(run.result(y), expected.value, dtype), "");
        const std::vector<double> taps = run.result(argmax);
        EXPECT_TRUE(std::equal(taps.begin(), taps.end(), expected.tap.begin(), expected.tap.end()));
        EXPECT_EQ(compare(run.result(dx), oracle_max_pool_backward(d, dy, expected.tap), {dtype, d.window * d.window}),
                  "");
      }
}

TEST_P(Pooling, MaxKeepsNan) {
  const MaxPoolDesc d{1, 6, 6, 8, 3, 2, 1};
  Values x = filled(d.x_shape(), d.dtype, Fill::uniform, 1);
  x.v[(2 * 6 + 3) * 8 + 5] = std::nan("");
  OpRun run(*backend_);
  const auto xt = run.input(x);
  const auto y = run.output(d.y_shape(), d.dtype), argmax = run.output(d.y_shape(), DType::u8);
  run.run([&] { backend_->max_pool_forward(d, xt, y, argmax); });
  EXPECT_EQ(compare_exact(run.result(y), oracle_max_pool(d, x).value, d.dtype), "");
}

TEST_P(Pooling, AverageAndItsGradient) {
  for (AveragePoolDesc d : {AveragePoolDesc{3, 4, 4, 64}, AveragePoolDesc{2, 3, 5, 7}, AveragePoolDesc{1, 1, 1, 8},
                            AveragePoolDesc{2, 12, 12, 520}})
    for (const DType dtype : kTypes) {
      d.dtype = dtype;
      const Values x = filled({d.n, d.h, d.w, d.c}, dtype, Fill::uniform, 1),
                   dy = filled({d.n, d.c}, DType::f32, Fill::uniform, 2);
      OpRun run(*backend_);
      const auto xt = run.input(x), dyt = run.input(dy);
      const auto y = run.output({d.n, d.c}, DType::f32), dx = run.output({d.n, d.h, d.w, d.c}, dtype);
      run.run([&] {
        backend_->average_pool_forward(d, xt, y);
        backend_->average_pool_backward(d, dyt, dx);
      });
      const int64_t pixels = d.h * d.w;
      Expected mean, slope;
      for (int64_t at = 0; at < d.n * d.c; ++at) {
        double sum = 0, magnitude = 0;
        for (int64_t p = 0; p < pixels; ++p) {
          const double value = x[(at / d.c * pixels + p) * d.c + at % d.c];
          sum += value, magnitude += std::abs(value);
        }
        mean.value.push_back(sum / static_cast<double>(pixels));
        mean.magnitude.push_back(magnitude / static_cast<double>(pixels));
      }
      for (int64_t at = 0; at < d.n * pixels * d.c; ++at)
        slope.value.push_back(dy[at / d.c / pixels * d.c + at % d.c] / static_cast<double>(pixels));
      slope.magnitude = slope.value;
      for (double& m : slope.magnitude) m = std::abs(m);
      EXPECT_EQ(compare(run.result(y), mean, {DType::f32, pixels + 1}), "");
      EXPECT_EQ(compare(run.result(dx), slope, {dtype, 2}), "");
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, Pooling, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
