// Chooses the arithmetic of the contrastive objective: f32 where it keeps its digits, double elsewhere.
#include "core/objective_form.h"
#include "eigen/eigen_backend.h"
#include "eigen/objective_evaluation.h"
#include "eigen/supervised_term.h"

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

template <class T>
void evaluate(const ObjectiveDesc& d, Carver memory, const T* z, const int32_t* labels, double* result, T* dz) {
  ObjectiveEvaluation<T>(d, memory).run(z, labels, result, dz);
  if (d.kind == ObjectiveKind::supcon) SupervisedTerm<T>(d, memory).add(z, labels, result, dz);
}

template <class T>
size_t workspace(const ObjectiveDesc& d, Carver memory) {
  ObjectiveEvaluation<T>(d, memory);
  if (d.kind == ObjectiveKind::supcon) SupervisedTerm<T>(d, memory);
  return memory.used();
}

}  // namespace

size_t EigenBackend::do_objective_workspace(const ObjectiveDesc& d) const {
  Carver memory(nullptr);
  if (!computes_in_double(d)) return workspace<float>(d, memory);
  take_converted(d, memory);
  return workspace<double>(d, memory);
}

void EigenBackend::do_objective(const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
                                TensorRef dz, Workspace workspace) {
  const int32_t* label = labels ? labels.as<int32_t>() : nullptr;
  double* out = result.as<double>();
  Carver memory(workspace.data);
  if (!computes_in_double(d)) return evaluate(d, memory, z.as<float>(), label, out, dz ? dz.as<float>() : nullptr);
  const Converted copies = take_converted(d, memory);
  if (d.dtype == DType::f64) return evaluate(d, memory, z.as<double>(), label, out, dz ? dz.as<double>() : nullptr);
  const int64_t count = d.z_shape().elements();
  std::copy_n(z.as<float>(), count, copies.z);
  evaluate<double>(d, memory, copies.z, label, out, dz ? copies.dz : nullptr);
  if (!dz) return;
  std::transform(copies.dz, copies.dz + count, dz.as<float>(), [](double v) { return static_cast<float>(v); });
}

}  // namespace dcl
