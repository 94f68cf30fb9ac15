// Row operations: normalisation, cross-entropy, top-k, column sums, sum of squares. Cases by hand are in
// unit/rows_test.cc.
#include <gtest/gtest.h>

#include <cmath>

#include "support/backends.h"
#include "support/compare.h"
#include "support/op_run.h"
#include "support/oracle_rows.h"

namespace dcl::test {
namespace {

constexpr std::pair<int64_t, int64_t> kExtents[] = {{1, 1},    {3, 2},    {5, 17},  {64, 128},
                                                    {33, 513}, {700, 10}, {9, 2048}};

Row row_of(const Values& matrix, int64_t row) {
  const int64_t columns = matrix.shape[1];
  return {matrix.v.begin() + row * columns, matrix.v.begin() + (row + 1) * columns};
}

class Rows : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
};

TEST_P(Rows, NormalizeForward) {
  for (const auto& [rows, dim] : kExtents)
    for (const bool in_place : {false, true}) {
      const Values x = filled({rows, dim}, DType::f32, Fill::uniform, 1);
      OpRun run(*backend_);
      const auto y = in_place ? run.in_out(x) : run.output({rows, dim}, DType::f32);
      const auto from = in_place ? ConstTensorRef(y) : run.input(x);
      const auto norms = run.output({rows}, DType::f32);
      run.run([&] { backend_->l2_normalize_forward(from, y, norms); });
      Expected unit, lengths;
      for (int64_t i = 0; i < rows; ++i) {
        for (const double v : oracle_normalize(row_of(x, i)))
          unit.value.push_back(v), unit.magnitude.push_back(std::abs(v));
        lengths.value.push_back(oracle_norm(row_of(x, i)));
      }
      lengths.magnitude = lengths.value;
      EXPECT_EQ(compare(run.result(y), unit, {DType::f32, dim + 3}), "");
      EXPECT_EQ(compare(run.result(norms), lengths, {DType::f32, dim + 2}), "");
    }
}

TEST_P(Rows, NormalizeBackward) {
  for (const auto& [rows, dim] : kExtents) {
    const Values y = filled({rows, dim}, DType::f32, Fill::uniform, 1),
                 dy = filled({rows, dim}, DType::f32, Fill::uniform, 2);
    Values norms = filled({rows}, DType::f32, Fill::uniform, 3);
    for (double& v : norms.v) v = round_to(1.5 + v, DType::f32);
    OpRun run(*backend_);
    const auto dyt = run.input(dy), yt = run.input(y), normst = run.input(norms);
    const auto dx = run.output({rows, dim}, DType::f32);
    run.run([&] { backend_->l2_normalize_backward(dyt, yt, normst, dx); });
    Expected expected;
    for (int64_t i = 0; i < rows; ++i) {
      double dot = 0, magnitude = 0;
      for (int64_t k = i * dim; k < (i + 1) * dim; ++k) dot += y[k] * dy[k], magnitude += std::abs(y[k] * dy[k]);
      for (int64_t k = i * dim; k < (i + 1) * dim; ++k) {
        expected.value.push_back((dy[k] - y[k] * dot) / norms[i]);
        expected.magnitude.push_back((std::abs(dy[k]) + std::abs(y[k]) * magnitude) / norms[i]);
      }
    }
    EXPECT_EQ(compare(run.result(dx), expected, {DType::f32, dim + 3}), "");
  }
}

TEST_P(Rows, CrossEntropy) {
  for (const auto& [rows, classes] : kExtents)
    for (const bool with_gradient : {true, false}) {
      Values logits = filled({rows, classes}, DType::f32, Fill::uniform, 1);
      for (double& v : logits.v) v = round_to(20 * v, DType::f32);
      Values labels = constant({rows}, DType::i32, 0);
      for (int64_t i = 0; i < rows; ++i) labels.v[static_cast<size_t>(i)] = static_cast<double>(i * 5 % classes);
      OpRun run(*backend_);
      const auto x = run.input(logits), y = run.input(labels);
      const auto loss = run.output({rows}, DType::f32);
      const auto gradient = with_gradient ? run.output({rows, classes}, DType::f32) : TensorRef{};
      const CrossEntropyDesc d{rows, classes};
      run.run([&] { backend_->cross_entropy(d, x, y, loss, gradient); });
      Expected value, slope;
      for (int64_t i = 0; i < rows; ++i) {
        const Row row = row_of(logits, i);
        const auto label = static_cast<size_t>(labels[i]);
        const double top = *std::max_element(row.begin(), row.end());
        value.value.push_back(oracle_cross_entropy(row, label));
        value.magnitude.push_back(1 + std::abs(top) + std::abs(row[label]));
        const Row slopes = oracle_cross_entropy_gradient(row, label);
        for (size_t j = 0; j < slopes.size(); ++j) {
          const double numerator = slopes[j] + (j == label ? 1 : 0);  // its exponent was rounded: top - x of it
          slope.value.push_back(slopes[j] / static_cast<double>(rows));
          slope.magnitude.push_back((numerator * (1 + top - row[j]) + (j == label ? 1 : 0)) /
                                    static_cast<double>(rows));
        }
      }
      EXPECT_EQ(compare(run.result(loss), value, {DType::f32, classes + 4}), "");
      if (with_gradient) {
        EXPECT_EQ(compare(run.result(gradient), slope, {DType::f32, classes + 6}), "");
      }
    }
}

TEST_P(Rows, TopKIsExact) {
  for (const int64_t n : {1, 40, 256, 1000, 9000})
    for (const Fill fill : {Fill::integers, Fill::uniform})
      for (const int64_t k : {int64_t{1}, n / 4 + 1, n}) {
        const Values scores = filled({3, n}, DType::f32, fill, static_cast<uint32_t>(n));
        OpRun run(*backend_);
        const auto s = run.input(scores);
        const auto values = run.output({3, k}, DType::f32), indices = run.output({3, k}, DType::i32);
        run.run([&] { backend_->top_k(s, values, indices); });
        std::vector<double> want_values, want_indices;
        for (int64_t row = 0; row < 3; ++row) {
          const Row own = row_of(scores, row);
          for (const int32_t i : oracle_top_k({own.begin(), own.end()}, static_cast<size_t>(k)))
            want_indices.push_back(i), want_values.push_back(own[static_cast<size_t>(i)]);
        }
        EXPECT_EQ(run.result(indices), want_indices) << n << " " << k;
        EXPECT_EQ(run.result(values), want_values) << n << " " << k;
      }
}

TEST_P(Rows, ColumnSum) {
  for (const auto& [rows, columns] : kExtents)
    for (const Accum accum : {Accum::overwrite, Accum::add})
      for (const Fill fill : {Fill::integers, Fill::uniform}) {
        const Values x = filled({rows, columns}, DType::f32, fill, 1), old = filled({columns}, DType::f32, fill, 2);
        OpRun run(*backend_);
        const auto xt = run.input(x);
        const auto sums = accum == Accum::add ? run.in_out(old) : run.output({columns}, DType::f32);
        run.run([&] { backend_->column_sum(xt, sums, accum); });
        Expected expected;
        for (int64_t j = 0; j < columns; ++j) {
          double sum = accum == Accum::add ? old[j] : 0, magnitude = std::abs(sum);
          for (int64_t i = 0; i < rows; ++i) sum += x[i * columns + j], magnitude += std::abs(x[i * columns + j]);
          expected.value.push_back(sum), expected.magnitude.push_back(magnitude);
        }
        if (fill == Fill::integers)
          EXPECT_EQ(compare_exact(run.result(sums), expected.value, DType::f32), "");
        else
          EXPECT_EQ(compare(run.result(sums), expected, {DType::f32, rows + 1}), "");
      }
}

TEST_P(Rows, SumOfSquares) {
  for (const int64_t count : {1, 17, 100000, 200001}) {
    const Values x = filled({count}, DType::f32, Fill::uniform, 1);
    OpRun run(*backend_);
    const auto xt = run.input(x);
    const auto result = run.output({1}, DType::f64);
    run.run([&] { backend_->sum_of_squares(xt, result); });
    long double exact = 0;
    for (const double v : x.v) exact += static_cast<long double>(v) * static_cast<long double>(v);
    const auto sum = static_cast<double>(exact);
    EXPECT_EQ(compare(run.result(result), {{sum}, {sum}}, {DType::f64, count, DType::f64}), "");
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Rows, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
