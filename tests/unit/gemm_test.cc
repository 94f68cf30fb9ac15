// The matrix product of the eigen backend, at this processor's best instruction set and at every lower one.
#include <gtest/gtest.h>

#include <cmath>

#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"
#include "oracle_gemm.h"

namespace dcl {
namespace {

template <class T>
std::vector<T> random_values(int64_t count, uint32_t which, bool integers) {
  RandomStream stream(11, RandomPurpose::test, which);
  std::vector<T> values(static_cast<size_t>(count));
  for (T& value : values)
    value = static_cast<T>(integers ? static_cast<double>(stream.below(9)) - 4.0 : stream.uniform(-1, 1));
  return values;
}

/// Largest difference to the oracle, over all of c; NaN poison that survives gives infinity.
template <class T>
double worst_error(GemmDesc d, bool with_bias, bool integers) {
  const auto a = random_values<T>(d.m * d.k, 1, integers);
  const auto b = random_values<T>(d.k * d.n, 2, integers);
  const auto bias = with_bias ? random_values<T>(d.n, 3, integers) : std::vector<T>{};
  const bool add = d.accum == Accum::add;
  std::vector<T> c = random_values<T>(d.m * d.n, 4, integers);
  const auto want = test::oracle_gemm(d.m, d.n, d.k, d.trans_a, d.trans_b, a, b, bias, add ? c : std::vector<T>{});
  if (!add) std::fill(c.begin(), c.end(), static_cast<T>(NAN));
  d.dtype = dtype_of<T>;
  const auto backend = make_backend("eigen");
  backend->gemm(d, tensor_of(a.data(), d.trans_a ? Shape{d.k, d.m} : Shape{d.m, d.k}),
                tensor_of(b.data(), d.trans_b ? Shape{d.n, d.k} : Shape{d.k, d.n}),
                with_bias ? tensor_of(bias.data(), {d.n}) : ConstTensorRef{}, tensor_of(c.data(), {d.m, d.n}));
  double worst = 0;
  for (size_t i = 0; i < c.size(); ++i) {
    const double error = std::abs(static_cast<double>(c[i]) - want[i]);
    worst = error <= worst ? worst : (std::isnan(error) ? INFINITY : error);
  }
  return worst;
}

struct Extents {
  int64_t m, n, k;
};
constexpr Extents kExtents[] = {{1, 1, 1},   {1, 33, 5},    {7, 1, 300},    {13, 31, 17},    {12, 32, 256},
                                {25, 65, 3}, {50, 70, 257}, {97, 129, 513}, {301, 1100, 40}, {3, 2500, 64}};

TEST(Gemm, IntegersAreExactInEveryForm) {
  for (const auto& e : kExtents)
    for (int form = 0; form < 16; ++form) {
      GemmDesc d{e.m, e.n, e.k, (form & 1) != 0, (form & 2) != 0};
      d.accum = form & 4 ? Accum::add : Accum::overwrite;
      EXPECT_EQ(worst_error<float>(d, form & 8, true), 0) << e.m << 'x' << e.n << 'x' << e.k << " form " << form;
      EXPECT_EQ(worst_error<double>(d, form & 8, true), 0) << e.m << 'x' << e.n << 'x' << e.k << " form " << form;
    }
}

TEST(Gemm, RoundingStaysWithinTheRunningErrorBound) {
  // |error| <= (k + 1) u sum |a||b|, and sum |a||b| <= k here.
  for (const auto& e : kExtents) {
    const double bound = static_cast<double>((e.k + 1) * e.k);
    EXPECT_LE(worst_error<float>({e.m, e.n, e.k}, false, false), bound * 0x1p-24);
    EXPECT_LE(worst_error<double>({e.m, e.n, e.k}, false, false), bound * 0x1p-52);
  }
}

TEST(Gemm, TheComparisonSeesOneWrongElement) {
  const std::vector<float> a(12, 1.0f), b(12, 1.0f);
  auto planted = a;
  planted[7] = 2.0f;
  EXPECT_NE(test::oracle_gemm<float>(3, 3, 4, false, false, a, b, {}, {}),
            test::oracle_gemm<float>(3, 3, 4, false, false, planted, b, {}, {}));
}

TEST(Gemm, BitsDoNotDependOnTheThreadCount) {
  const GemmDesc d{200, 300, 600};
  const auto a = random_values<float>(d.m * d.k, 1, false), b = random_values<float>(d.k * d.n, 2, false);
  const auto backend = make_backend("eigen");
  std::vector<float> first;
  for (const int threads : {1, 2, 3}) {
    set_thread_count(threads);
    std::vector<float> c(static_cast<size_t>(d.m * d.n));
    backend->gemm(d, tensor_of(a.data(), {d.m, d.k}), tensor_of(b.data(), {d.k, d.n}), {},
                  tensor_of(c.data(), {d.m, d.n}));
    if (first.empty()) first = c;
    EXPECT_EQ(c, first) << threads << " threads";
  }
  set_thread_count(0);
}

}  // namespace
}  // namespace dcl
