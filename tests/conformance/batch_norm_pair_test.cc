// Two batch norms added behind one ReLU, on backends that have them in one op, against the oracle of each.
#include <gtest/gtest.h>

#include <cmath>

#include "support/backends.h"
#include "support/op_run.h"
#include "support/oracle_batch_norm.h"

namespace dcl::test {
namespace {

/// One of the two: its operands, and where they lie.
struct Norm {
  Values x, saved, gamma, beta;
  NormOperands operands;

  Norm(const BatchNormDesc& d, Fill fill, uint32_t which)
      : x(filled(d.x_shape(), d.dtype, fill, which)),
        saved(filled(d.saved_shape(), DType::f32, fill, which + 1)),
        gamma(filled({d.channels}, DType::f32, fill, which + 2)),
        beta(filled({d.channels}, DType::f32, fill, which + 3)) {
    const size_t half = saved.v.size() / 2;
    for (size_t i = half; i < saved.v.size(); ++i)
      saved.v[i] =
          fill == Fill::integers ? std::ldexp(1.0, static_cast<int>(saved.v[i])) : round_to(2 + saved.v[i], DType::f32);
  }

  const NormOperands& give_to(OpRun& run) {
    return operands = {run.input(x), run.input(saved), run.input(gamma), run.input(beta)};
  }
};

class BatchNormPair : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());

  template <class Body>
  void each_case(Body&& body) {
    // Sums over a power of two of integers stay exact, mean and all.
    constexpr int64_t kExtents[][3] = {{64, 64, 1}, {128, 128, 2}, {2048, 8, 2}, {16, 2048, 2}, {256, 24, 4}};
    for (const auto& [rows, channels, groups] : kExtents)
      for (const Fill fill : {Fill::integers, Fill::uniform}) {
        const BatchNormDesc d{rows * groups, channels, groups, DType::bf16, true, true};
        if (!backend_->keeps_signs(d)) GTEST_SKIP() << "this backend has no pairs of batch norms";
        SCOPED_TRACE(d.x_shape().text() + (fill == Fill::integers ? " integers" : " uniform"));
        body(d, fill);
      }
  }
};

TEST_P(BatchNormPair, Apply) {
  each_case([&](const BatchNormDesc& d, Fill fill) {
    Norm first(d, fill, 1), second(d, fill, 11);
    OpRun run(*backend_);
    const NormPair pair{first.give_to(run), second.give_to(run)};
    const auto y = run.output(d.x_shape(), d.dtype), positive = run.output(d.signs_shape(), DType::u8);
    run.run([&] { backend_->batch_norm_pair_apply(d, pair, y, positive); });
    BatchNormDesc alone = d;
    alone.relu = alone.residual = false;
    Expected expected = oracle_batch_norm_apply(alone, first.x, first.saved, first.gamma, first.beta, {});
    const Expected added = oracle_batch_norm_apply(alone, second.x, second.saved, second.gamma, second.beta, {});
    for (size_t i = 0; i < expected.value.size(); ++i) {
      expected.value[i] = std::max(expected.value[i] + added.value[i], 0.0);
      expected.magnitude[i] += added.magnitude[i];
    }
    const std::vector<double> results = run.result(y);
    EXPECT_EQ(judge(results, expected, d.dtype, 9, fill), "");
    EXPECT_EQ(run.result(positive), signs_of(results));
  });
}

TEST_P(BatchNormPair, Backward) {
  each_case([&](const BatchNormDesc& d, Fill fill) {
    for (const bool in_place : {false, true})
      for (const Accum accum : {Accum::overwrite, Accum::add}) {
        SCOPED_TRACE(std::string(in_place ? "in place" : "apart") + (accum == Accum::add ? ", add" : ""));
        Norm norms[2] = {{d, fill, 1}, {d, fill, 11}};
        const Values dy_values = filled(d.x_shape(), d.dtype, fill, 21),
                     y = filled(d.x_shape(), d.dtype, Fill::integers, 22);
        const Values old = filled({d.channels}, DType::f32, fill, 23);
        OpRun run(*backend_);
        const NormPair pair{norms[0].give_to(run), norms[1].give_to(run)};
        const auto positive = run.input({d.signs_shape(), DType::u8, signs_of(y.v)});
        const auto shared = in_place ? run.in_out(dy_values) : TensorRef{};
        const auto dy = in_place ? ConstTensorRef(shared) : run.input(dy_values);
        const auto gradient = [&] {
          return accum == Accum::add ? run.in_out(old) : run.output({d.channels}, DType::f32);
        };
        NormPairGradients to;
        for (size_t i = 0; i < 2; ++i)
          to[i] = {i == 1 && in_place ? shared : run.output(d.x_shape(), d.dtype), gradient(), gradient()};
        run.run([&] { backend_->batch_norm_pair_backward(d, dy, positive, pair, to, accum); });
        for (size_t i = 0; i < 2; ++i) {
          SCOPED_TRACE("norm " + std::to_string(i));
          const Norm& n = norms[i];
          BatchNormGradients expected = oracle_batch_norm_backward(d, dy_values, n.x, y, n.saved, n.gamma, n.beta);
          for (size_t c = 0; accum == Accum::add && c < old.v.size(); ++c)
            for (Expected* sums : {&expected.dgamma, &expected.dbeta})
              sums->value[c] += old.v[c], sums->magnitude[c] += std::abs(old.v[c]);
          const int64_t roundings = d.rows / d.groups + 8;
          EXPECT_EQ(judge(run.result(to[i].dx), expected.dx, d.dtype, roundings, fill), "");
          EXPECT_EQ(judge(run.result(to[i].dgamma), expected.dgamma, DType::f32, roundings + d.groups, fill), "");
          EXPECT_EQ(judge(run.result(to[i].dbeta), expected.dbeta, DType::f32, roundings + d.groups, fill), "");
        }
      }
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, BatchNormPair, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
