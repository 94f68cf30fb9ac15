// Chooses the arithmetic of the contrastive objective: f32 where it keeps its digits, double elsewhere.
#include "core/objective_form.h"
#include "eigen/eigen_backend.h"
#include "eigen/objective_evaluation.h"

namespace dcl {
namespace {

/// Room for f32 embeddings and their gradient in double.
struct Converted {
  double *z = nullptr, *dz = nullptr;
};
Converted take_converted(const ObjectiveDesc& d, Carver& memory) {
  Converted copies;
  if (d.dtype == DType::f64) return copies;
  copies.z = memory.take<double>(d.z_shape().elements());
  copies.dz = memory.take<double>(d.z_shape().elements());
  return copies;
}

}  // namespace

size_t EigenBackend::do_objective_workspace(const ObjectiveDesc& d) const {
  Carver memory(nullptr);
  if (!computes_in_double(d)) {
    ObjectiveEvaluation<float>(d, memory);
    return memory.used();
  }
  take_converted(d, memory);
  ObjectiveEvaluation<double>(d, memory);
  return memory.used();
}

void EigenBackend::do_objective(const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                                TensorRef dz, Workspace workspace) {
  const int32_t* label = labels ? labels.as<int32_t>() : nullptr;
  double* out = result.as<double>();
  Carver memory(workspace.data);
  if (!computes_in_double(d)) {
    ObjectiveEvaluation<float>(d, memory).run(z.as<float>(), label, out, dz ? dz.as<float>() : nullptr);
    return;
  }
  const Converted copies = take_converted(d, memory);
  ObjectiveEvaluation<double> evaluation(d, memory);
  if (d.dtype == DType::f64) return evaluation.run(z.as<double>(), label, out, dz ? dz.as<double>() : nullptr);
  const int64_t count = d.z_shape().elements();
  std::copy_n(z.as<float>(), count, copies.z);
  evaluation.run(copies.z, label, out, dz ? copies.dz : nullptr);
  if (!dz) return;
  std::transform(copies.dz, copies.dz + count, dz.as<float>(), [](double v) { return static_cast<float>(v); });
}

}  // namespace dcl
