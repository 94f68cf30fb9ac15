// Values of the parameter store as PyTorch lays them out.
#include <memory>

#include "core/parallel.h"
#include "nn/parameters.h"

namespace dcl {
namespace {

/// [outer, rows, columns] to [outer, columns, rows]: OIHW to KRSC with rows I and columns HW.
void transpose(const float* from, float* to, int64_t outer, int64_t rows, int64_t columns) {
  parallel_for(outer, [=](int64_t o) {
    const float* in = from + o * rows * columns;
    float* out = to + o * rows * columns;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) out[c * rows + r] = in[r * columns + c];
  });
}

/// Convolutions with a window are the only tensors stored in another order than PyTorch's.
bool reordered(const ParameterEntry& entry) {
  return entry.kind == ParameterKind::conv_weight && entry.shape[2] * entry.shape[3] > 1;
}

TensorRef part(ConstTensorRef flat, const ParameterEntry& entry) {
  if (entry.kind == ParameterKind::batches_tracked) fail(ErrorKind::internal, entry.name + " is a counter");
  if (flat.dtype != DType::f32 || flat.shape.elements() < entry.offset + entry.size)
    fail(ErrorKind::internal, "buffer f32" + flat.shape.text() + " has no room for " + entry.name);
  return {const_cast<float*>(flat.as<float>()) + entry.offset, entry.stored, DType::f32};
}

}  // namespace

std::vector<float> ParameterStore::export_tensor(const ParameterEntry& entry, ConstTensorRef flat) const {
  std::vector<float> stored(static_cast<size_t>(entry.size));
  backend_->synchronize();
  backend_->copy_out(stored.data(), part(flat, entry));
  if (!reordered(entry)) return stored;
  std::vector<float> values(stored.size());
  transpose(stored.data(), values.data(), entry.shape[0], entry.shape[2] * entry.shape[3], entry.shape[1]);
  return values;
}

std::vector<float> ParameterStore::export_tensor(const ParameterEntry& entry) const {
  return export_tensor(entry, is_trainable(entry.kind) ? values() : statistics());
}

void ParameterStore::import_tensor(const ParameterEntry& entry, std::span<const float> values, TensorRef flat) const {
  if (static_cast<int64_t>(values.size()) != entry.size)
    fail(ErrorKind::internal,
         entry.name + " has " + std::to_string(entry.size) + " elements, not " + std::to_string(values.size()));
  if (!reordered(entry)) return backend_->copy_in(part(flat, entry), values.data());
  const auto stored = std::make_unique_for_overwrite<float[]>(values.size());
  transpose(values.data(), stored.get(), entry.shape[0], entry.shape[1], entry.shape[2] * entry.shape[3]);
  backend_->copy_in(part(flat, entry), stored.get());
}

}  // namespace dcl
