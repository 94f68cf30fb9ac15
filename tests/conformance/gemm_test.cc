// Matrix product: every form, f32 and f64, extents around every block size.
#include <gtest/gtest.h>

#include <cmath>

#include "support/backends.h"
#include "support/compare.h"
#include "support/op_run.h"

namespace dcl::test {
namespace {

struct Extents {
  int64_t m, n, k;
};
constexpr Extents kExtents[] = {{1, 1, 1},   {1, 33, 5},    {7, 1, 300},   {13, 31, 17},   {12, 32, 256},
                                {25, 65, 3}, {50, 70, 257}, {49, 65, 513}, {205, 300, 24}, {3, 2500, 30}};

Expected oracle_gemm(const GemmDesc& d, const Values& a, const Values& b, const Values& bias, const Values& c) {
  Expected out;
  for (int64_t i = 0; i < d.m; ++i)
    for (int64_t j = 0; j < d.n; ++j) {
      double sum = 0, magnitude = 0;
      const auto add = [&](double term) { sum += term, magnitude += std::abs(term); };
      if (d.accum == Accum::add) add(c[i * d.n + j]);
      if (!bias.v.empty()) add(bias[j]);
      for (int64_t p = 0; p < d.k; ++p)
        add(a[d.trans_a ? p * d.m + i : i * d.k + p] * b[d.trans_b ? j * d.k + p : p * d.n + j]);
      out.value.push_back(sum);
      out.magnitude.push_back(magnitude);
    }
  return out;
}

class Gemm : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());

  void check(const GemmDesc& d, bool with_bias, Fill fill) {
    SCOPED_TRACE(std::to_string(d.m) + "x" + std::to_string(d.n) + "x" + std::to_string(d.k) + " " +
                 std::string(name_of(d.dtype)) + (d.trans_a ? " a'" : "") + (d.trans_b ? " b'" : "") +
                 (with_bias ? " bias" : "") + (d.accum == Accum::add ? " add" : ""));
    const Values a = filled(d.trans_a ? Shape{d.k, d.m} : Shape{d.m, d.k}, d.dtype, fill, 1);
    const Values b = filled(d.trans_b ? Shape{d.n, d.k} : Shape{d.k, d.n}, d.dtype, fill, 2);
    const Values bias = with_bias ? filled({d.n}, d.dtype, fill, 3) : Values{};
    const Values old = filled({d.m, d.n}, d.dtype, fill, 4);
    OpRun run(*backend_);
    const auto at = run.input(a), bt = run.input(b);
    const auto biast = with_bias ? run.input(bias) : ConstTensorRef{};
    const auto c = d.accum == Accum::add ? run.in_out(old) : run.output(old.shape, d.dtype);
    run.run([&] { backend_->gemm(d, at, bt, biast, c); });
    const Expected expected = oracle_gemm(d, a, b, bias, old);
    if (fill == Fill::integers)
      EXPECT_EQ(compare_exact(run.result(c), expected.value, d.dtype), "");
    else
      EXPECT_EQ(compare(run.result(c), expected, {d.dtype, d.k + 2, d.dtype}), "");
  }
};

TEST_P(Gemm, EveryFormIsExactOnIntegers) {
  for (const Extents& e : kExtents)
    for (const DType dtype : {DType::f32, DType::f64})
      for (int form = 0; form < 16; ++form)
        check({e.m, e.n, e.k, (form & 1) != 0, (form & 2) != 0, dtype, form & 4 ? Accum::add : Accum::overwrite},
              (form & 8) != 0, Fill::integers);
}

/// A device takes larger tiles for these.
TEST_P(Gemm, LargeProductsAreExactOnIntegers) {
  check({1500, 1480, 19, false, true}, false, Fill::integers);
  check({1500, 1480, 19, true, false, DType::f32, Accum::add}, true, Fill::integers);
  check({700, 900, 19, false, true, DType::f64}, false, Fill::integers);
}

TEST_P(Gemm, RoundingIsThatOfASum) {
  for (const Extents& e : kExtents)
    for (const DType dtype : {DType::f32, DType::f64}) check({e.m, e.n, e.k, false, true, dtype}, true, Fill::uniform);
}

TEST_P(Gemm, NanReachesItsRowAndColumnOnly) {
  const GemmDesc d{20, 40, 30};
  Values a = filled({d.m, d.k}, DType::f32, Fill::integers, 1);
  a.v[7 * 30 + 29] = NAN;
  OpRun run(*backend_);
  const auto at = run.input(a), bt = run.input(constant({d.k, d.n}, DType::f32, 1));
  const auto c = run.output({d.m, d.n}, DType::f32);
  run.run([&] { backend_->gemm(d, at, bt, {}, c); });
  const std::vector<double> got = run.result(c);
  for (int64_t i = 0; i < d.m * d.n; ++i) EXPECT_EQ(std::isnan(got[static_cast<size_t>(i)]), i / d.n == 7);
}

INSTANTIATE_TEST_SUITE_P(Backends, Gemm, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
