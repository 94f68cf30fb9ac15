// Values of the parameter store as PyTorch lays them out, and what a file must contain to be loaded.
#include <algorithm>
#include <map>

#include "core/parallel.h"
#include "nn/parameters.h"

namespace dcl {
namespace {

/// Moves [outer][from_rows][from_columns] to [outer][from_columns][from_rows]: OIHW -> KRSC with rows = I, columns =
/// HW.
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

std::string torch_size(const std::vector<int64_t>& shape) {
  std::string text = "torch.Size([";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "])";
}

std::string quoted(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

/// num_batches_tracked is [] in PyTorch; files of the first releases that had it store [1].
bool same_shape(const ParameterEntry& entry, const StateTensor& tensor) {
  const bool counter = entry.kind == ParameterKind::batches_tracked;
  return tensor.shape == entry.shape || (counter && tensor.shape == std::vector<int64_t>{1});
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
  std::vector<float> stored(values.size());
  transpose(values.data(), stored.data(), entry.shape[0], entry.shape[1], entry.shape[2] * entry.shape[3]);
  backend_->copy_in(part(flat, entry), stored.data());
}

std::string StateDifference::text() const {
  std::string text = "Error(s) in loading state_dict for Model:";
  if (!missing.empty()) text += " Missing key(s) in state_dict: " + quoted(missing) + ".";
  if (!unexpected.empty()) text += " Unexpected key(s) in state_dict: " + quoted(unexpected) + ".";
  for (const std::string& sentence : mismatched) text += " " + sentence;
  return text;
}

StateDifference ParameterStore::compare(std::span<const StateTensor> state) const {
  std::map<std::string_view, const StateTensor*> given;
  for (const StateTensor& tensor : state) given[tensor.name] = &tensor;
  StateDifference difference;
  for (const ParameterEntry& entry : entries_) {
    const auto found = given.find(entry.name);
    if (found == given.end()) {
      difference.missing.push_back(entry.name);
      continue;
    }
    const StateTensor& tensor = *found->second;
    const bool counter = entry.kind == ParameterKind::batches_tracked;
    if (!same_shape(entry, tensor))
      difference.mismatched.push_back("size mismatch for " + entry.name + ": copying a param with shape " +
                                      torch_size(tensor.shape) + " from checkpoint, the shape in current model is " +
                                      torch_size(entry.shape) + ".");
    else if (!counter && static_cast<int64_t>(tensor.values.size()) != entry.size)
      difference.mismatched.push_back(entry.name + " has " + std::to_string(tensor.values.size()) +
                                      " values, its shape " + torch_size(entry.shape) + " says " +
                                      std::to_string(entry.size) + ".");
    given.erase(found);
  }
  for (const auto& [name, tensor] : given)
    if (config_.head || !name.starts_with("g.")) difference.unexpected.emplace_back(name);
  return difference;
}

void ParameterStore::import_state(std::span<const StateTensor> state) {
  const StateDifference difference = compare(state);
  if (!difference.empty()) fail(ErrorKind::data, difference.text());
  for (const StateTensor& tensor : state) {
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.name == tensor.name; });
    if (found == entries_.end()) continue;  // of the head
    if (found->kind == ParameterKind::batches_tracked)
      set_batches_tracked(*found, tensor.counter);
    else
      import_tensor(*found, tensor.values, is_trainable(found->kind) ? values() : statistics());
  }
}

}  // namespace dcl
