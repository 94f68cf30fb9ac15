#include <algorithm>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/torch/magic.h"
#include "io/torch/pickle_globals.h"
#include "io/torch/pickle_writer.h"
#include "io/torch/torch_file.h"

namespace dcl {
namespace {

/// Keys of equal length, so that their order as texts is their order: legacy files list them sorted.
std::string storage_key(size_t index, TorchFormat format) {
  std::string key = std::to_string(index);
  if (format == TorchFormat::legacy) key.insert(0, 6 - std::min<size_t>(key.size(), 6), '0');
  return key;
}

int64_t elements_of(const TensorSource& tensor) {
  return static_cast<int64_t>(bytes_of(tensor) / size_of(tensor.dtype));
}

/// In elements, C order.
std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size(); axis-- > 1;) strides[axis - 1] = strides[axis] * std::max<int64_t>(shape[axis], 1);
  return strides;
}

void write_storage_id(PickleWriter& pickle, const TensorSource& tensor, size_t index, TorchFormat format) {
  pickle.op(Opcode::mark);
  pickle.text("storage");
  pickle.global("torch", storage_name(tensor.dtype));
  pickle.text(storage_key(index, format));
  pickle.text("cpu");
  pickle.integer(elements_of(tensor));
  if (format == TorchFormat::legacy) pickle.op(Opcode::none);  // it is no view of another storage
  pickle.op(Opcode::tuple);
  pickle.op(Opcode::bin_persistent_id);
}

/// An OrderedDict of tensors, each with a storage of its own.
std::string object_pickle(const std::vector<TensorSource>& tensors, TorchFormat format) {
  PickleWriter pickle;
  pickle.call("collections", "OrderedDict");
  pickle.op(Opcode::mark);
  for (size_t i = 0; i < tensors.size(); ++i) {
    pickle.text(tensors[i].name);
    pickle.global("torch._utils", "_rebuild_tensor_v2");
    pickle.op(Opcode::mark);
    write_storage_id(pickle, tensors[i], i, format);
    pickle.integer(0);  // its offset in the storage
    pickle.integers(tensors[i].shape);
    pickle.integers(contiguous_strides(tensors[i].shape));
    pickle.op(Opcode::new_false);               // requires_grad
    pickle.call("collections", "OrderedDict");  // backward hooks
    pickle.op(Opcode::tuple);
    pickle.op(Opcode::reduce);
  }
  pickle.op(Opcode::set_items);
  return pickle.take();
}

uint64_t write_zip(const std::filesystem::path& path, const std::vector<TensorSource>& tensors) {
  const auto name_of_storage = [](size_t i) { return "archive/data/" + storage_key(i, TorchFormat::zip); };
  const std::string object = object_pickle(tensors, TorchFormat::zip);
  uint64_t expected = object.size() + 4 * ZipWriter::overhead("archive/data.pkl");
  for (size_t i = 0; i < tensors.size(); ++i)
    expected += bytes_of(tensors[i]) + ZipWriter::overhead(name_of_storage(i));

  ZipWriter file(path, expected);
  file.add("archive/data.pkl", object);
  file.add("archive/byteorder", "little");
  for (size_t i = 0; i < tensors.size(); ++i) {
    file.begin(name_of_storage(i), bytes_of(tensors[i]));
    produce_into(tensors[i], [&](const void* data, size_t bytes) { file.write(data, bytes); });
  }
  file.add("archive/version", "3\n");
  return file.commit();
}

std::string protocol_pickle() {
  PickleWriter pickle;
  pickle.integer(1001);
  return pickle.take();
}

std::string system_pickle() {
  PickleWriter pickle;
  pickle.op(Opcode::empty_dict);
  pickle.op(Opcode::mark);
  pickle.text("protocol_version");
  pickle.integer(1001);
  pickle.text("little_endian");
  pickle.op(Opcode::new_true);
  pickle.text("type_sizes");
  pickle.op(Opcode::empty_dict);
  pickle.op(Opcode::mark);
  constexpr std::pair<const char*, int> kTypeSizes[] = {{"short", 2}, {"int", 4}, {"long", 4}};
  for (const auto& [type, size] : kTypeSizes) {
    pickle.text(type);
    pickle.integer(size);
  }
  pickle.op(Opcode::set_items);
  pickle.op(Opcode::set_items);
  return pickle.take();
}

std::string keys_pickle(size_t count) {
  PickleWriter pickle;
  pickle.op(Opcode::empty_list);
  pickle.op(Opcode::mark);
  for (size_t i = 0; i < count; ++i) pickle.text(storage_key(i, TorchFormat::legacy));
  pickle.op(Opcode::appends);
  return pickle.take();
}

uint64_t write_legacy(const std::filesystem::path& path, const std::vector<TensorSource>& tensors) {
  const std::string start = std::string(kTorchMagic) + protocol_pickle() + system_pickle() +
                            object_pickle(tensors, TorchFormat::legacy) + keys_pickle(tensors.size());
  uint64_t expected = start.size();
  for (const TensorSource& tensor : tensors) expected += sizeof(int64_t) + bytes_of(tensor);

  AtomicFile file(path, expected);
  file.write(start);
  for (const TensorSource& tensor : tensors) {
    const int64_t count = elements_of(tensor);
    file.write(&count, sizeof count);
    produce_into(tensor, [&](const void* data, size_t bytes) { file.write(data, bytes); });
  }
  file.commit();
  return expected;
}

}  // namespace

uint64_t write_torch(const std::filesystem::path& path, const std::vector<TensorSource>& tensors, TorchFormat format) {
  check_sources(tensors);
  return format == TorchFormat::zip ? write_zip(path, tensors) : write_legacy(path, tensors);
}

}  // namespace dcl
