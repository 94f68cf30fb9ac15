// A program outside: the biased objective of two orthogonal images, whose value is log(1 + 2 e^-2) at temperature 0.5.
#include <cmath>
#include <cstdio>

#include "core/buffer.h"
#include "core/registry.h"
#include "objective/objective.h"

int main() {
  const auto backend = dcl::make_backend("eigen");
  const dcl::ObjectiveDesc desc = dcl::objective_desc({.kind = dcl::ObjectiveKind::biased}, 2, 2, 2);
  const float views[] = {1, 0, 0, 1, 1, 0, 0, 1};
  const dcl::Buffer z(*backend, sizeof views), dz(*backend, sizeof views),
      result(*backend, dcl::kObjectiveResults * sizeof(double)),
      workspace(*backend, backend->objective_workspace(desc));
  backend->copy_in(z.view(desc.z_shape(), dcl::DType::f32), views);
  const dcl::TensorRef report = result.view({dcl::kObjectiveResults}, dcl::DType::f64);
  backend->objective(desc, z.view(desc.z_shape(), dcl::DType::f32), {}, report,
                     dz.view(desc.z_shape(), dcl::DType::f32), {workspace.data(), workspace.bytes()});
  double values[dcl::kObjectiveResults];
  backend->copy_out(values, report);
  const double loss = dcl::report_of(values).loss, expected = std::log1p(2 * std::exp(-2.0));
  std::printf("loss %.9f, expected %.9f\n", loss, expected);
  return std::abs(loss - expected) < 1e-6 ? 0 : 1;
}
