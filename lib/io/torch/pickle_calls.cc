#include "io/torch/pickle_calls.h"

#include <algorithm>
#include <span>

#include "core/error.h"
#include "core/file.h"
#include "io/tensor_limits.h"

namespace dcl {
namespace {

constexpr size_t kMaxCopiedItems = 1'000'000;
constexpr size_t kMaxDeviceBytes = 64;  // of a name, which is copied by every call

[[noreturn]] void fail_call(const std::string& what) { fail(ErrorKind::data, what); }

/// Reads the arguments of one call.
class Call {
 public:
  Call(PickleDocument& document, PickleCalls& calls, const PickleValue& callee, PickleRef arguments)
      : document_(document), calls_(calls), name_(callee.text), arguments_(document.at(arguments).items) {
    if (document.at(arguments).kind != PickleKind::tuple) fail_call(name_ + " is called without a tuple");
  }

  PickleRef make(const Global& global) {
    switch (global.symbol) {
      case Symbol::dict:
        return dict();
      case Symbol::set:
        return set();
      case Symbol::opaque:
        return add({PickleKind::opaque});
      case Symbol::size:
        argument(0, PickleKind::tuple);
        return arguments_[0];
      case Symbol::device:
        return device();
      case Symbol::tensor:
      case Symbol::tensor_v3:
        return tensor(global.symbol);
      case Symbol::parameter:
        argument(0, PickleKind::tensor);
        return arguments_[0];
      case Symbol::typed_tensor:
        return typed_tensor();
      default:
        fail_call(name_ + " is called, but it is no function");
    }
  }

 private:
  const PickleValue& argument(size_t index) const {
    if (index >= arguments_.size())
      fail_call(name_ + " is called with " + std::to_string(arguments_.size()) + " arguments");
    return document_.at(arguments_[index]);
  }
  const PickleValue& argument(size_t index, PickleKind kind) const {
    const PickleValue& value = argument(index);
    if (value.kind != kind || (kind == PickleKind::integer && !value.text.empty()))
      fail_call("argument " + std::to_string(index + 1) + " of " + name_ + " is of another kind than expected");
    return value;
  }

  PickleRef add(PickleValue value) {
    document_.values.push_back(std::move(value));
    return static_cast<PickleRef>(document_.values.size() - 1);
  }

  /// Values are shared, so that a short pickle could ask for endless copies of a long one.
  void copy(std::span<const PickleRef> items, PickleValue& to) {
    if (items.size() > kMaxCopiedItems - calls_.copied_items) fail_call("it copies too many values");
    calls_.copied_items += items.size();
    to.items.insert(to.items.end(), items.begin(), items.end());
  }

  PickleRef set() {
    PickleValue out{PickleKind::set};
    if (!arguments_.empty()) copy(argument(0, PickleKind::list).items, out);
    return add(std::move(out));
  }

  /// Python 2 gives the entries as a list of pairs.
  PickleRef dict() {
    PickleValue out{PickleKind::dict};
    if (arguments_.empty()) return add(std::move(out));
    if (argument(0).kind == PickleKind::dict) {
      copy(argument(0).items, out);
      return add(std::move(out));
    }
    for (const PickleRef pair : argument(0, PickleKind::list).items) {
      const PickleValue& entry = document_.at(pair);
      if ((entry.kind != PickleKind::list && entry.kind != PickleKind::tuple) || entry.items.size() != 2)
        fail_call(name_ + " is called with something else than pairs");
      copy(entry.items, out);
    }
    return add(std::move(out));
  }

  PickleRef device() {
    PickleValue out{PickleKind::text};
    const std::string& name = argument(0, PickleKind::text).text;
    if (name.size() > kMaxDeviceBytes)
      fail_call("a device's name has " + std::to_string(name.size()) + " bytes, expected at most " +
                std::to_string(kMaxDeviceBytes));
    out.text = name;
    if (arguments_.size() > 1) out.text += ":" + std::to_string(argument(1, PickleKind::integer).integer);
    return add(std::move(out));
  }

  std::vector<int64_t> extents(size_t index) const {
    std::vector<int64_t> out;
    for (const PickleRef ref : argument(index, PickleKind::tuple).items) {
      const PickleValue& extent = document_.at(ref);
      if (extent.kind != PickleKind::integer || !extent.text.empty())
        fail_call("a size or stride of a tensor is no integer");
      if (out.size() == kMaxRank) fail_call("a tensor has more than " + std::to_string(kMaxRank) + " dimensions");
      out.push_back(extent.integer);
    }
    return out;
  }

  PickleRef tensor(Symbol symbol) {
    PickledTensor tensor;
    tensor.storage = static_cast<size_t>(argument(0, PickleKind::storage).integer);
    tensor.offset = argument(1, PickleKind::integer).integer;
    tensor.shape = extents(2);
    tensor.strides = extents(3);
    if (symbol == Symbol::tensor_v3) tensor.dtype = dtype(argument(6, PickleKind::global));
    refuse_pending_signs(symbol == Symbol::tensor_v3 ? 7 : 6);
    if (document_.tensors.size() >= kMaxTensors)
      fail_call("it has more than " + std::to_string(kMaxTensors) + " tensors");
    document_.tensors.push_back(std::move(tensor));
    return add({PickleKind::tensor, static_cast<int64_t>(document_.tensors.size() - 1)});
  }

  /// A tensor with attributes, such as torch.nn.Buffer's; these are left out.
  PickleRef typed_tensor() {
    const PickleValue& function = argument(0, PickleKind::global);
    const Global& global = global_of(function);
    if (global.symbol != Symbol::tensor && global.symbol != Symbol::tensor_v3)
      fail_call(name_ + " is called with " + function.text + ", which makes no tensor");
    argument(2, PickleKind::tuple);
    return Call(document_, calls_, function, arguments_[2]).make(global);
  }

  /// A view may stand for the negatives or conjugates of what its storage holds; PyTorch says so in a last argument.
  void refuse_pending_signs(size_t index) const {
    if (index >= arguments_.size() || argument(index).kind == PickleKind::none) return;
    const std::vector<PickleRef>& metadata = argument(index, PickleKind::dict).items;
    for (size_t i = 0; i < metadata.size(); i += 2) {
      const std::string& bit = document_.at(metadata[i]).text;
      if ((bit == "neg" || bit == "conj") && document_.at(metadata[i + 1]).integer != 0)
        throw UnsupportedPickle("it holds a tensor that is a view of values of the other sign; save what its resolve_" +
                                bit + "() gives");
    }
  }

  const Global& global_of(const PickleValue& value) const { return calls_.globals[static_cast<size_t>(value.integer)]; }

  FileDType dtype(const PickleValue& value) const {
    const Global& global = global_of(value);
    if (global.symbol == Symbol::unsupported_dtype) throw UnsupportedPickle("unsupported dtype " + value.text);
    if (global.symbol != Symbol::dtype) fail_call(value.text + " is no dtype");
    return global.dtype;
  }

  PickleDocument& document_;
  PickleCalls& calls_;
  const std::string name_;
  const std::span<const PickleRef> arguments_;  // stays where it is while values are added
};

bool is_key(const std::string& key) {
  return !key.empty() && key.size() <= 64 && std::ranges::all_of(key, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '.' ||
           c == '-';
  });
}

const PickleValue& entry_of(const PickleDocument& document, const PickleValue& tuple, size_t index, PickleKind kind) {
  const PickleValue& entry = document.at(tuple.items[index]);
  if (entry.kind != kind || (kind == PickleKind::integer && !entry.text.empty()))
    fail_call("entry " + std::to_string(index) + " of a storage's id is of another kind than expected");
  return entry;
}

std::optional<FileDType> storage_type(const PickleCalls& calls, const PickleValue& type) {
  const Global& global = calls.globals[static_cast<size_t>(type.integer)];
  if (global.symbol == Symbol::unsupported_storage) throw UnsupportedPickle("unsupported element type: " + type.text);
  if (global.symbol == Symbol::untyped_storage) return std::nullopt;
  if (global.symbol != Symbol::storage_type) fail_call(type.text + " is no type of storages");
  return global.dtype;
}

/// Legacy files: None, or (key of the view, offset, count).
void set_view(const PickleDocument& document, const PickleValue& view, PickledStorage& storage) {
  if (view.kind == PickleKind::none) return;
  if (view.kind != PickleKind::tuple || view.items.size() != 3) fail_call("a storage's view is no tuple of 3");
  entry_of(document, view, 0, PickleKind::text);
  storage.view_offset = entry_of(document, view, 1, PickleKind::integer).integer;
  storage.view_count = entry_of(document, view, 2, PickleKind::integer).integer;
  if (storage.view_offset < 0 || storage.view_count < 0 || storage.view_offset > storage.count ||
      storage.view_count > storage.count - storage.view_offset)
    fail_call("a view of storage " + quoted(storage.key) + " reaches beyond it");
}

}  // namespace

PickleRef call_global(PickleDocument& document, PickleCalls& calls, PickleRef callee, PickleRef arguments) {
  const PickleValue& function = document.at(callee);
  if (function.kind != PickleKind::global) fail_call("it calls something that is no function");
  const Global global = calls.globals[static_cast<size_t>(function.integer)];
  return Call(document, calls, function, arguments).make(global);
}

PickleRef storage_of_id(PickleDocument& document, PickleCalls& calls, PickleRef id, StorageIds ids) {
  const PickleValue& tuple = document.at(id);
  const auto arity = static_cast<size_t>(ids);
  if (tuple.kind != PickleKind::tuple || tuple.items.size() != arity || document.at(tuple.items[0]).text != "storage")
    fail_call("a persistent id is not a storage's tuple of " + std::to_string(arity));
  PickledStorage storage;
  storage.dtype = storage_type(calls, entry_of(document, tuple, 1, PickleKind::global));
  storage.key = entry_of(document, tuple, 2, PickleKind::text).text;
  entry_of(document, tuple, 3, PickleKind::text);  // where it was: "cpu", "cuda:0"
  storage.count = storage.view_count = entry_of(document, tuple, 4, PickleKind::integer).integer;
  if (!is_key(storage.key)) fail_call("a storage has an impossible key");
  if (storage.count < 0) fail_call("storage " + quoted(storage.key) + " has a negative size");
  if (ids == StorageIds::legacy) set_view(document, document.at(tuple.items[5]), storage);
  const auto [known, fresh] = calls.storage_keys.emplace(storage.key, document.storages.size());
  if (!fresh) {
    const PickledStorage& first = document.storages[known->second];
    if (first.dtype != storage.dtype || first.count != storage.count)
      fail_call("storage " + quoted(storage.key) + " occurs with two types or sizes");
  }
  document.storages.push_back(std::move(storage));
  document.values.push_back({PickleKind::storage, static_cast<int64_t>(document.storages.size() - 1)});
  return static_cast<PickleRef>(document.values.size() - 1);
}

}  // namespace dcl
