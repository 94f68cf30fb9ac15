// Loss and gradients of the objective against values computed by PyTorch in double.
//
// Tolerances are relative: 1e-12 in double, 2e-6 in f32. To them comes what the reference itself cannot resolve:
// PyTorch evaluates -log(p / (p + Ng)) with p / (p + Ng) rounded to double, so a loss near 0 carries an absolute error
// of a few 2^-53, and its derivative one of a few 2^-53 / (2 B t) per anchor.
#include <gtest/gtest.h>

#include <cmath>

#include "backends.h"
#include "core/buffer.h"
#include "reference_file.h"

namespace dcl {
namespace {

constexpr double kUnit = 0x1p-53;
constexpr double kRatioRoundings = 4;  // quotient, its inverse, its square, their products

struct Case {
  ObjectiveDesc desc;
  std::vector<double> z, gradient;
  double loss = 0, clamped_rows = 0;
};

std::vector<double> joined(const test::ReferenceFile& file, const std::string& first, const std::string& second) {
  std::vector<double> values = file.f64(first);
  const std::vector<double> rest = file.f64(second);
  values.insert(values.end(), rest.begin(), rest.end());
  return values;
}

std::vector<Case> read_cases() {
  const test::ReferenceFile file("objective.safetensors");
  std::vector<Case> cases;
  for (const auto& entry : file.cases()) {
    const std::string key = entry.at("key");
    Case c;
    c.desc.kind = entry.at("debiased").get<bool>() ? ObjectiveKind::debiased : ObjectiveKind::biased;
    c.desc.batch = entry.at("batch"), c.desc.dim = entry.at("dim");
    c.desc.temperature = entry.at("temperature"), c.desc.tau_plus = entry.at("tau_plus");
    c.z = joined(file, key + ".out_1", key + ".out_2");
    c.gradient = joined(file, key + ".grad_1", key + ".grad_2");
    c.loss = file.f64(key + ".loss").at(0);
    c.clamped_rows = entry.at("clamped_rows");
    cases.push_back(std::move(c));
  }
  return cases;
}

struct Outcome {
  std::vector<double> result, gradient;
};

template <class T>
Outcome evaluate(Backend& backend, ObjectiveDesc desc, const std::vector<double>& z) {
  desc.dtype = dtype_of<T>;
  const std::vector<T> values(z.begin(), z.end());
  const size_t bytes = values.size() * sizeof(T);
  const Buffer z_memory(backend, bytes), dz_memory(backend, bytes), result_memory(backend, kObjectiveResults * 8);
  const Buffer workspace(backend, backend.objective_workspace(desc));
  const TensorRef zt = z_memory.view(desc.z_shape(), desc.dtype), dz = dz_memory.view(desc.z_shape(), desc.dtype);
  const TensorRef result = result_memory.view({kObjectiveResults}, DType::f64);
  backend.copy_in(zt, values.data());
  backend.objective(desc, zt, {}, result, dz, {workspace.data(), workspace.bytes()});
  backend.synchronize();
  Outcome outcome{std::vector<double>(kObjectiveResults), {}};
  std::vector<T> gradient(values.size());
  backend.copy_out(outcome.result.data(), result);
  backend.copy_out(gradient.data(), dz);
  outcome.gradient.assign(gradient.begin(), gradient.end());
  return outcome;
}

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return norm(difference);
}

struct Errors {
  double loss, gradient, clamped_rows;  ///< absolute differences; gradient in the Euclidean norm
  double loss_allowed, gradient_allowed;
  bool accepted() const { return loss <= loss_allowed && gradient <= gradient_allowed && clamped_rows < 0.5; }
};

Errors compare(const Case& c, const Outcome& got, double relative) {
  const double anchors = 2.0 * static_cast<double>(c.desc.batch);
  // Each anchor moves two gradients of unit vectors.
  const double unresolved = 2 * kRatioRoundings * kUnit / (c.desc.temperature * std::sqrt(anchors));
  return {std::abs(got.result[kLoss] - c.loss), distance(got.gradient, c.gradient),
          std::abs(got.result[kClampFraction] * anchors - c.clamped_rows),
          relative * std::abs(c.loss) + kRatioRoundings * kUnit, relative * norm(c.gradient) + unresolved};
}

void expect_accepted(const Errors& e, const std::string& where) {
  EXPECT_TRUE(e.accepted()) << where << ": loss off by " << e.loss << " of " << e.loss_allowed
                            << " allowed, gradient by " << e.gradient << " of " << e.gradient_allowed
                            << ", clamped rows by " << e.clamped_rows;
}

TEST(ObjectiveReference, EveryCaseOnEveryBackend) {
  DCL_NEEDS_REFERENCE();
  const std::vector<Case> cases = read_cases();
  ASSERT_FALSE(cases.empty());
  for (const std::string& name : test::working_backends()) {
    const auto backend = make_backend(name);
    for (size_t i = 0; i < cases.size(); ++i) {
      const std::string where = name + ", case " + std::to_string(i);
      expect_accepted(compare(cases[i], evaluate<double>(*backend, cases[i].desc, cases[i].z), 1e-12), where + ", f64");
      expect_accepted(compare(cases[i], evaluate<float>(*backend, cases[i].desc, cases[i].z), 2e-6), where + ", f32");
    }
  }
}

TEST(ObjectiveReference, PlantedErrorsAreRejected) {
  DCL_NEEDS_REFERENCE();
  int planted = 0;
  for (const Case& c : read_cases()) {
    const double rows = c.clamped_rows / (2.0 * static_cast<double>(c.desc.batch));
    const Outcome exact{{c.loss, rows, 0, 0}, c.gradient};
    EXPECT_TRUE(compare(c, exact, 1e-12).accepted());
    Outcome wrong = exact;
    wrong.result[kClampFraction] += 0.5 / static_cast<double>(c.desc.batch);
    EXPECT_FALSE(compare(c, wrong, 2e-6).accepted());
    if (c.loss < 1e-2) continue;  // the reference resolves less than 1e-12 there
    ++planted;
    wrong = exact;
    wrong.result[kLoss] *= 1 + 2e-12;
    EXPECT_FALSE(compare(c, wrong, 1e-12).accepted());
    wrong = exact;
    wrong.gradient.back() += 2e-12 * norm(c.gradient);
    EXPECT_FALSE(compare(c, wrong, 1e-12).accepted());
  }
  EXPECT_GT(planted, 0);
}

}  // namespace
}  // namespace dcl
