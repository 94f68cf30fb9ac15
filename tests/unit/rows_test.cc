// Row operations of the eigen backend against the double oracle, and their edge cases.
#include <gtest/gtest.h>

#include <limits>

#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"
#include "oracle_rows.h"

namespace dcl {
namespace {

constexpr double kUnit = 0x1p-24;  // half an ulp of 1 in f32
constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_values(int64_t count, double low, double high, uint32_t which = 0) {
  RandomStream stream(23, RandomPurpose::test, which);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(stream.uniform(low, high));
  return values;
}

test::Row row_of(const std::vector<float>& matrix, size_t row, size_t columns) {
  return test::Row(matrix.begin() + static_cast<std::ptrdiff_t>(row * columns),
                   matrix.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
}

class RowsTest : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("eigen");
};

TEST_F(RowsTest, NormalizeMatchesTheOracle) {
  for (const int64_t dim : {1, 3, 16, 127, 128, 513, 2048}) {
    const int64_t count = 37;
    std::vector<float> x = random_values(count * dim, -2, 2);
    std::vector<float> y(x.size(), kNan), norms(static_cast<size_t>(count), kNan);
    backend_->l2_normalize_forward(tensor_of(static_cast<const float*>(x.data()), {count, dim}),
                                   tensor_of(y.data(), {count, dim}), tensor_of(norms.data(), {count}));
    for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
      const test::Row row = row_of(x, i, static_cast<size_t>(dim)), want = test::oracle_normalize(row);
      EXPECT_NEAR(static_cast<double>(norms[i]), test::oracle_norm(row), kUnit * test::oracle_norm(row));
      for (size_t j = 0; j < want.size(); ++j)
        ASSERT_NEAR(static_cast<double>(y[i * want.size() + j]), want[j], 2 * kUnit * std::abs(want[j])) << dim;
    }
    std::vector<float> in_place = x;
    const TensorRef both = tensor_of(in_place.data(), {count, dim});
    backend_->l2_normalize_forward(both, both, tensor_of(norms.data(), {count}));
    EXPECT_EQ(in_place, y);
  }
}

TEST_F(RowsTest, NormalizeOfTinyAndZeroRows) {
  std::vector<float> x = {0, 0, 3e-13f, 4e-13f, 3e-30f, 4e-30f}, y(6), norms(3);
  backend_->l2_normalize_forward(tensor_of(x.data(), {3, 2}), tensor_of(y.data(), {3, 2}),
                                 tensor_of(norms.data(), {3}));
  EXPECT_EQ(norms, (std::vector<float>{1e-12f, 1e-12f, 1e-12f}));
  EXPECT_EQ(y[0], 0.0f);
  EXPECT_FLOAT_EQ(y[2], 0.3f);
  EXPECT_FLOAT_EQ(y[5], 4e-18f);
  // The divisor of such a row is a constant, so the gradient is only scaled.
  std::vector<float> dy = {1, 2, 3, 4, 5, 6}, dx(6);
  backend_->l2_normalize_backward(tensor_of(dy.data(), {3, 2}), tensor_of(y.data(), {3, 2}),
                                  tensor_of(norms.data(), {3}), tensor_of(dx.data(), {3, 2}));
  for (size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(dx[i], dy[i] * 1e12f);
}

TEST_F(RowsTest, NormalizeMakesAWholeRowOfOneNanNan) {
  std::vector<float> x = {3, kNan, 4, 3}, y(4), norms(2);
  backend_->l2_normalize_forward(tensor_of(x.data(), {2, 2}), tensor_of(y.data(), {2, 2}),
                                 tensor_of(norms.data(), {2}));
  for (const float value : {y[0], y[1], norms[0]}) EXPECT_TRUE(std::isnan(value));
  EXPECT_EQ(norms[1], 5.0f);
}

TEST_F(RowsTest, NormalizeBackwardMatchesFiniteDifferences) {
  const int64_t count = 5, dim = 33;
  const std::vector<float> x = random_values(count * dim, -1, 1), dy = random_values(count * dim, -1, 1, 1);
  std::vector<float> y(x.size()), norms(5), dx(x.size(), kNan);
  backend_->l2_normalize_forward(tensor_of(x.data(), {count, dim}), tensor_of(y.data(), {count, dim}),
                                 tensor_of(norms.data(), {count}));
  backend_->l2_normalize_backward(tensor_of(dy.data(), {count, dim}), tensor_of(std::as_const(y).data(), {count, dim}),
                                  tensor_of(std::as_const(norms).data(), {count}), tensor_of(dx.data(), {count, dim}));
  const auto loss = [&](const test::Row& row, size_t i) {
    const test::Row unit = test::oracle_normalize(row);
    double sum = 0;
    for (size_t j = 0; j < unit.size(); ++j) sum += unit[j] * static_cast<double>(dy[i * unit.size() + j]);
    return sum;
  };
  const double step = 1e-5;  // truncation step^2, rounding 1e-16 / step: both below 1e-10
  for (size_t i = 0; i < 5; ++i)
    for (size_t j = 0; j < static_cast<size_t>(dim); ++j) {
      test::Row up = row_of(x, i, static_cast<size_t>(dim)), down = up;
      up[j] += step, down[j] -= step;
      const double want = (loss(up, i) - loss(down, i)) / (2 * step);
      ASSERT_NEAR(static_cast<double>(dx[i * static_cast<size_t>(dim) + j]), want, 1e-9 + 8 * kUnit);
    }
}

TEST_F(RowsTest, CrossEntropyMatchesTheOracle) {
  for (const int64_t classes : {1, 2, 10, 16, 100, 1001}) {
    const int64_t count = 29;
    std::vector<float> logits = random_values(count * classes, -30, 30);
    std::vector<int32_t> labels(static_cast<size_t>(count));
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(static_cast<int64_t>(i * 7) % classes);
    std::vector<float> loss(labels.size(), kNan), gradient(logits.size(), kNan), loss_only(labels.size());
    const CrossEntropyDesc d{count, classes};
    const ConstTensorRef x = tensor_of(std::as_const(logits).data(), {count, classes});
    const ConstTensorRef y = tensor_of(std::as_const(labels).data(), {count});
    backend_->cross_entropy(d, x, y, tensor_of(loss.data(), {count}), tensor_of(gradient.data(), {count, classes}));
    backend_->cross_entropy(d, x, y, tensor_of(loss_only.data(), {count}), {});
    EXPECT_EQ(loss, loss_only);
    for (size_t i = 0; i < labels.size(); ++i) {
      const test::Row row = row_of(logits, i, static_cast<size_t>(classes));
      const auto label = static_cast<size_t>(labels[i]);
      const double want = test::oracle_cross_entropy(row, label);
      // x - max is rounded (|x - max| <= 60) before the exponential.
      EXPECT_NEAR(static_cast<double>(loss[i]), want, 64 * kUnit + 2 * kUnit * want);
      const test::Row slope = test::oracle_cross_entropy_gradient(row, label);
      for (size_t j = 0; j < slope.size(); ++j)
        ASSERT_NEAR(static_cast<double>(gradient[i * slope.size() + j]) * static_cast<double>(count), slope[j],
                    64 * kUnit);
    }
  }
}

TEST_F(RowsTest, CrossEntropyByHandAndAtItsLimits) {
  const float third = std::log(2.0f);
  std::vector<float> logits = {0, third, -kInfinity, 500, 0, -500, kNan, 0, 0}, loss(3), gradient(9);
  std::vector<int32_t> labels = {1, 2, 0};
  const CrossEntropyDesc d{3, 3};
  backend_->cross_entropy(d, tensor_of(logits.data(), {3, 3}), tensor_of(labels.data(), {3}),
                          tensor_of(loss.data(), {3}), tensor_of(gradient.data(), {3, 3}));
  EXPECT_NEAR(loss[0], std::log(1.5), 1e-7);  // -log(2/3)
  EXPECT_NEAR(gradient[0] * 3, 1.0 / 3, 1e-7);
  EXPECT_NEAR(gradient[1] * 3, -1.0 / 3, 1e-7);
  EXPECT_NEAR(gradient[2], 0, 1e-37);
  EXPECT_EQ(loss[1], 1000.0f);
  EXPECT_TRUE(std::isnan(loss[2]));
  labels[1] = 3;
  EXPECT_THROW(backend_->cross_entropy(d, tensor_of(logits.data(), {3, 3}), tensor_of(labels.data(), {3}),
                                       tensor_of(loss.data(), {3}), {}),
               Error);
}

void expect_top_k(Backend& backend, const std::vector<float>& scores, int64_t rows, int64_t k) {
  const auto n = static_cast<int64_t>(scores.size()) / rows;
  std::vector<float> values(static_cast<size_t>(rows * k), kNan);
  std::vector<int32_t> indices(values.size(), -1);
  backend.top_k(tensor_of(scores.data(), {rows, n}), tensor_of(values.data(), {rows, k}),
                tensor_of(indices.data(), {rows, k}));
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<float> own(scores.begin() + row * n, scores.begin() + (row + 1) * n);
    const std::vector<int32_t> want = test::oracle_top_k(own, static_cast<size_t>(k));
    const std::vector<int32_t> got(indices.begin() + row * k, indices.begin() + (row + 1) * k);
    ASSERT_EQ(got, want) << "row " << row << " of " << rows << 'x' << n << ", k " << k;
    for (int64_t i = 0; i < k; ++i) {
      const float value = values[static_cast<size_t>(row * k + i)],
                  score = own[static_cast<size_t>(got[static_cast<size_t>(i)])];
      ASSERT_TRUE(value == score || (std::isnan(value) && std::isnan(score)));
    }
  }
}

TEST_F(RowsTest, TopKOfRandomSortedAndEqualScores) {
  for (const int64_t n : {1, 5, 255, 256, 257, 1000, 5000})
    for (const int64_t k : {int64_t{1}, n / 3 + 1, n}) {
      expect_top_k(*backend_, random_values(3 * n, -1, 1), 3, k);
      std::vector<float> rising = random_values(n, -1, 1), coarse = rising;
      std::sort(rising.begin(), rising.end());
      expect_top_k(*backend_, rising, 1, k);
      for (float& v : coarse) v = std::floor(v * 3);  // many ties
      expect_top_k(*backend_, coarse, 1, k);
      expect_top_k(*backend_, std::vector<float>(static_cast<size_t>(n), 0.5f), 1, k);
    }
  expect_top_k(*backend_, random_values(50000, -1, 1), 1, 200);
}

TEST_F(RowsTest, TopKPutsNanLastAndTakesInfinities) {
  std::vector<float> scores = random_values(3000, -1, 1);
  scores[0] = scores[999] = kNan;
  scores[1] = -kInfinity, scores[2500] = kInfinity, scores[7] = -0.0f, scores[8] = 0.0f;
  expect_top_k(*backend_, scores, 1, 50);
  expect_top_k(*backend_, scores, 1, 3000);
  std::vector<float> mostly_nan(2000, kNan);
  mostly_nan[1500] = -kInfinity, mostly_nan[1999] = 1;
  expect_top_k(*backend_, mostly_nan, 1, 5);
}

TEST_F(RowsTest, ColumnSumsAreExactForIntegersAndAdd) {
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {7, 10}, {300, 33}, {20000, 3}}) {
    std::vector<float> x(static_cast<size_t>(rows * columns));
    RandomStream stream(3, RandomPurpose::test);
    for (float& v : x) v = static_cast<float>(stream.below(7)) - 3;
    std::vector<float> want(static_cast<size_t>(columns)), got(want.size(), 100.0f);
    for (size_t i = 0; i < x.size(); ++i) want[i % want.size()] += x[i];
    const ConstTensorRef matrix = tensor_of(std::as_const(x).data(), {rows, columns});
    backend_->column_sum(matrix, tensor_of(got.data(), {columns}), Accum::overwrite);
    EXPECT_EQ(got, want);
    backend_->column_sum(matrix, tensor_of(got.data(), {columns}), Accum::add);
    for (float& v : want) v *= 2;
    EXPECT_EQ(got, want);
  }
}

TEST_F(RowsTest, SumOfSquaresKeepsLargeSmallAndNonFinite) {
  const auto sum = [&](const std::vector<float>& x) {
    double result = -1;
    backend_->sum_of_squares(tensor_of(x.data(), {static_cast<int64_t>(x.size())}), tensor_of(&result, {1}));
    return result;
  };
  EXPECT_EQ(sum({3, 4}), 25);
  EXPECT_NEAR(sum({1e30f, 1e-30f}) / 1e60, 1, 1e-6);
  std::vector<float> many = random_values(300001, -1, 1);
  double want = 0;
  for (const float v : many) want += static_cast<double>(v) * static_cast<double>(v);
  EXPECT_NEAR(sum(many), want, 1e-11 * want);
  for (const float bad : {kNan, kInfinity, -kInfinity})
    for (const size_t at : {size_t{0}, size_t{299999}}) {
      std::vector<float> damaged = many;
      damaged[at] = bad;
      EXPECT_FALSE(std::isfinite(sum(damaged)));
    }
}

TEST_F(RowsTest, BitsDoNotDependOnTheThreadCount) {
  const std::vector<float> x = random_values(400000, -1, 1);
  std::vector<double> squares;
  std::vector<std::vector<float>> columns;
  for (const int threads : {1, 2, 5}) {
    set_thread_count(threads);
    double square = 0;
    backend_->sum_of_squares(tensor_of(x.data(), {400000}), tensor_of(&square, {1}));
    squares.push_back(square);
    columns.emplace_back(40);
    backend_->column_sum(tensor_of(x.data(), {10000, 40}), tensor_of(columns.back().data(), {40}), Accum::overwrite);
  }
  set_thread_count(0);
  EXPECT_EQ(squares[0], squares[1]);
  EXPECT_EQ(squares[0], squares[2]);
  EXPECT_EQ(columns[0], columns[1]);
  EXPECT_EQ(columns[0], columns[2]);
}

}  // namespace
}  // namespace dcl
