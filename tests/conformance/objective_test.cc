// The contrastive objective of every backend against the naive oracle. Limits, values by hand and planted errors are in
// unit/objective_test.cc; values of PyTorch in reference/objective_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "support/backends.h"
#include "support/compare.h"
#include "support/op_run.h"
#include "support/oracle_objective.h"

namespace dcl::test {
namespace {

struct Variant {
  const char* name;
  ObjectiveKind kind;
  NegativeScale scale;
  int64_t views;
};
constexpr Variant kVariants[] = {{"biased", ObjectiveKind::biased, NegativeScale::mean, 2},
                                 {"debiased", ObjectiveKind::debiased, NegativeScale::mean, 2},
                                 {"debiased", ObjectiveKind::debiased, NegativeScale::mean, 4},
                                 {"hard", ObjectiveKind::hard, NegativeScale::mean, 2},
                                 {"hard", ObjectiveKind::hard, NegativeScale::mean, 3},
                                 {"decoupled", ObjectiveKind::decoupled, NegativeScale::mean, 2},
                                 {"unbiased", ObjectiveKind::unbiased, NegativeScale::mean, 2},
                                 {"unbiased", ObjectiveKind::unbiased, NegativeScale::sum, 3},
                                 {"supcon", ObjectiveKind::supcon, NegativeScale::mean, 2},
                                 {"supcon", ObjectiveKind::supcon, NegativeScale::mean, 3}};
constexpr std::pair<int64_t, int64_t> kExtents[] = {{1, 4},   {2, 8},    {5, 16},   {9, 135},
                                                    {33, 20}, {65, 128}, {150, 30}, {150, 40}};

/// Unit rows; views of an image resemble each other.
Values embeddings(const ObjectiveDesc& d) {
  const Values centres = filled({d.batch, d.dim}, d.dtype, Fill::uniform, 1),
               noise = filled(d.z_shape(), d.dtype, Fill::uniform, 2);
  std::vector<double> z(noise.v.size());
  for (int64_t row = 0; row < d.views * d.batch; ++row) {
    double square = 0;
    for (int64_t k = 0; k < d.dim; ++k) {
      double& v = z[static_cast<size_t>(row * d.dim + k)];
      v = centres[row % d.batch * d.dim + k] + 0.8 * noise[row * d.dim + k];
      square += v * v;
    }
    for (int64_t k = 0; k < d.dim; ++k) z[static_cast<size_t>(row * d.dim + k)] /= std::sqrt(square);
  }
  return values_of(d.z_shape(), d.dtype, std::move(z));
}

class Objective : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());

  void check(const Variant& variant, const ObjectiveDesc& d) { check(variant, d, embeddings(d)); }

  void check(const Variant& variant, const ObjectiveDesc& d, const Values& z) {
    SCOPED_TRACE(std::string(variant.name) + " " + d.z_shape().text() + " views " + std::to_string(d.views) + " " +
                 std::string(name_of(d.dtype)));
    Values labels = constant({d.batch}, DType::i32, 0);
    for (int64_t i = 0; i < d.batch; ++i) labels.v[static_cast<size_t>(i)] = static_cast<double>(i % 5 - 1);
    OpRun run(*backend_);
    const auto zt = run.input(z), labelst = run.input(labels);
    const auto result = run.output({kObjectiveResults}, DType::f64), dz = run.output(d.z_shape(), d.dtype);
    const Workspace workspace = run.workspace(backend_->objective_workspace(d));
    run.run([&] { backend_->objective(d, zt, labelst, result, dz, workspace); });

    OracleObjective o{variant.name, d.scale == NegativeScale::sum, d.batch, d.views, d.dim, d.temperature, d.tau_plus,
                      d.beta};
    o.labels.assign(labels.v.begin(), labels.v.end());
    const OracleOutcome want = oracle_objective(o, z.v);
    // A cosine is a sum of dim products; its rounding reaches the exponential times (1 + beta) / t.
    const double sharpness = (1 + d.beta) / d.temperature;
    const auto roundings = static_cast<int64_t>(static_cast<double>(d.dim) * sharpness * sharpness) + 2 * d.batch + 16;
    EXPECT_EQ(compare(run.result(dz), {want.gradient, want.magnitude}, {d.dtype, roundings, d.dtype}), "");
    const std::vector<double> got = run.result(result);
    const double unit = unit_roundoff(d.dtype) * 8 * std::sqrt(static_cast<double>(roundings));
    EXPECT_NEAR(got[kLoss], want.loss, unit * (1 + want.loss));
    EXPECT_NEAR(got[kClampFraction], want.clamp_fraction, 1e-9);
    EXPECT_NEAR(got[kMeanPositive], want.mean_positive, unit);
    EXPECT_NEAR(got[kMeanNegative], want.mean_negative, unit);
  }
};

TEST_P(Objective, EveryKindMatchesTheOracle) {
  for (const Variant& variant : kVariants)
    for (const auto& [batch, dim] : kExtents)
      for (const DType dtype : {DType::f32, DType::f64}) {
        ObjectiveDesc d;
        d.kind = variant.kind, d.scale = variant.scale, d.views = variant.views;
        d.batch = batch, d.dim = dim, d.dtype = dtype, d.tau_plus = 0.05;
        check(variant, d);
      }
}

/// A device has more rows than threads in a block for the first, and several tiles a block for the others: of one part
/// of the columns of z, and of two.
TEST_P(Objective, ManyAnchors) {
  for (const auto& [batch, dim, variant] : {std::tuple{260, 68, kVariants[4]},
                                            {260, 68, kVariants[5]},
                                            {260, 68, kVariants[7]},
                                            {770, 12, kVariants[4]},
                                            {770, 12, kVariants[8]},
                                            {260, 68, kVariants[8]},
                                            {530, 130, kVariants[1]}}) {
    ObjectiveDesc d;
    d.kind = variant.kind, d.scale = variant.scale, d.views = variant.views;
    d.batch = batch, d.dim = dim, d.tau_plus = 0.05;
    check(variant, d);
  }
}

TEST_P(Objective, ClampedAtALowTemperature) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    ObjectiveDesc d;
    d.batch = 40, d.dim = 24, d.dtype = dtype, d.temperature = 0.1, d.tau_plus = 0.2;
    check({"debiased", d.kind, d.scale, d.views}, d);
  }
}

/// 1 - tau_plus is nothing in f32. Pairs point apart, so that no anchor is clamped.
TEST_P(Objective, APriorNextToOne) {
  for (const int64_t batch : {10, 150}) {
    ObjectiveDesc d;
    d.batch = batch, d.dim = 24, d.tau_plus = 1 - 1e-9;
    Values z = embeddings(d);
    for (size_t i = z.v.size() / 2; i < z.v.size(); ++i) z.v[i] = -z.v[i];
    check({"debiased", d.kind, d.scale, d.views}, d, z);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Objective, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
