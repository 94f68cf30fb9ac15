#include "io/torch/contents.h"

#include "core/error.h"
#include "core/file.h"
#include "io/file.h"
#include "io/tensor_limits.h"
#include "io/torch/scalar_text.h"

namespace dcl {
namespace {

constexpr size_t kMaxDepth = 64, kMaxVisits = 1'000'000;
/// Lists with more text, such as the losses of all steps, are no metadata that another file could hold or a reader see.
constexpr size_t kMaxSequenceBytes = size_t{64} << 10;
/// The tensors' bytes together may exceed the file's this many times, and by this much.
constexpr uint64_t kMaxRepetition = 8, kRepetitionFloor = uint64_t{64} << 20;

[[noreturn]] void fail_contents(const std::string& what) { fail(ErrorKind::data, what); }

/// Walks through the containers with a stack of its own: a hostile tree is as deep as its author likes.
class Walk {
 public:
  Walk(const PickleDocument& document, uint64_t file_bytes) : document_(document), file_bytes_(file_bytes) {}

  TorchContents run() {
    const PickleValue& root = document_.at(document_.root);
    if (root.kind == PickleKind::tensor) {
      contents_.notices.push_back("its only tensor has no name and is called 'tensor'");
      add_tensor("", "tensor", root);
    } else if (is_container(root)) {
      todo_.push_back({"", document_.root, 0});
      while (!todo_.empty()) step();
    } else {
      fail_contents("it holds no tensors but a single value");
    }
    if (ignored_ > 0)
      contents_.notices.push_back(std::to_string(ignored_) +
                                  " values are ignored: they are of other kinds, or lists of more than " +
                                  bytes_text(kMaxSequenceBytes));
    return std::move(contents_);
  }

 private:
  /// A container on the way from the root, and which of its entries comes next.
  struct Open {
    std::string path;
    PickleRef value;
    size_t next;
  };

  static bool is_container(const PickleValue& value) {
    return value.kind == PickleKind::dict || value.kind == PickleKind::list || value.kind == PickleKind::tuple;
  }

  /// One entry of the innermost container.
  void step() {
    Open& open = todo_.back();
    const PickleValue& container = document_.at(open.value);
    if (open.next == container.items.size()) return todo_.pop_back();
    if (++visits_ > kMaxVisits)
      fail_contents("its containers hold more than " + std::to_string(kMaxVisits) + " values");
    if (container.kind != PickleKind::dict) {
      const size_t index = open.next++;
      return visit(open, std::to_string(index), document_.at(container.items[index]), container.items[index]);
    }
    const PickleRef key = container.items[open.next], value = container.items[open.next + 1];
    open.next += 2;
    const std::optional<std::string> name = scalar_text(document_.at(key));
    if (name)
      visit(open, *name, document_.at(value), value);
    else if (document_.at(value).kind == PickleKind::tensor)
      fail_contents("a tensor in " + dcl::quoted(open.path) + " has a key that is no text or number");
    else
      ++ignored_;
  }

  void visit(const Open& open, const std::string& key, const PickleValue& value, PickleRef ref) {
    if (value.kind == PickleKind::tensor) return add_tensor(open.path, key, value);
    std::string path = joined(open.path, key);
    if (const std::optional<std::string> text = text_of(value)) {
      text_bytes_ += path.size() + text->size();
      if (text_bytes_ > kMaxTextBytes) fail_contents("it has more than " + bytes_text(kMaxTextBytes) + " of scalars");
      if (text->size() > kMaxSequenceBytes)
        ++ignored_;
      else
        contents_.metadata.insert_or_assign(std::move(path), *text);
    } else if (is_container(value)) {
      if (todo_.size() > kMaxDepth)
        fail_contents("its containers are nested more than " + std::to_string(kMaxDepth) + " deep");
      todo_.push_back({std::move(path), ref, 0});
    } else {
      ++ignored_;
    }
  }

  /// Scalars, and sequences of nothing else.
  std::optional<std::string> text_of(const PickleValue& value) const {
    const bool sequence =
        value.kind == PickleKind::list || value.kind == PickleKind::tuple || value.kind == PickleKind::set;
    return sequence ? sequence_text(document_, value, kMaxSequenceBytes) : scalar_text(value);
  }

  static std::string joined(const std::string& container, const std::string& key) {
    std::string out = container.empty() ? key : container + "." + key;
    if (out.size() > kMaxNameBytes)
      fail_contents("it has a name of " + std::to_string(out.size()) + " bytes, expected at most " +
                    std::to_string(kMaxNameBytes));
    if (out.find('\0') != out.npos) fail_contents("it has a name with a NUL character");
    return out;
  }

  void add_tensor(const std::string& container, const std::string& key, const PickleValue& value) {
    FileTensor tensor;
    tensor.name = joined(container, key);
    tensor.container = container;
    if (tensor.name.empty()) fail_contents("it has a tensor without a name");
    if (contents_.tensors.size() >= kMaxTensors)
      fail_contents("it has more than " + std::to_string(kMaxTensors) + " tensors");
    const PickledTensor& pickled = document_.tensors[static_cast<size_t>(value.integer)];
    const PickledStorage& storage = document_.storages[pickled.storage];
    const std::optional<FileDType> type = pickled.dtype ? pickled.dtype : storage.dtype;
    if (!type) fail_contents(tensor_text(tensor.name) + " has no element type");
    if (storage.dtype && *type != *storage.dtype)
      fail_contents(tensor_text(tensor.name) + " has another element type than its storage");
    tensor.dtype = *type;
    tensor.shape = pickled.shape;
    tensor.position = contents_.views.size();
    contents_.views.push_back(view_of(tensor, pickled, storage));
    count_bytes(tensor);
    contents_.tensors.push_back(std::move(tensor));
  }

  TorchView view_of(const FileTensor& tensor, const PickledTensor& pickled, const PickledStorage& storage) {
    const auto width = static_cast<int64_t>(size_of(tensor.dtype));
    const int64_t unit = storage.dtype ? width : 1;
    check_view(tensor, pickled, storage.view_count / (width / unit));
    int64_t bytes = 0, offset = 0, base = 0;
    if (__builtin_mul_overflow(storage.count, unit, &bytes) ||
        __builtin_mul_overflow(storage.view_offset, unit, &base) ||
        __builtin_mul_overflow(pickled.offset, width, &offset) || __builtin_add_overflow(base, offset, &offset))
      fail_contents("storage " + quoted(storage.key) + " is too large");
    const auto [known, fresh] = storages_.emplace(storage.key, contents_.storages.size());
    if (fresh) contents_.storages.push_back({storage.key, static_cast<uint64_t>(bytes)});
    return {known->second, static_cast<uint64_t>(offset), pickled.strides};
  }

  /// The proof that all elements lie among the `count` ones of the storage, and that their number fits.
  static void check_view(const FileTensor& tensor, const PickledTensor& pickled, int64_t count) {
    const auto bad = [&](const std::string& what) { fail_contents(tensor_text(tensor.name) + " " + what); };
    if (pickled.shape.size() != pickled.strides.size()) bad("has not one stride for each dimension");
    if (pickled.offset < 0) bad("begins before its storage");
    int64_t last = pickled.offset;
    bool empty = false;
    for (size_t axis = 0; axis < pickled.shape.size(); ++axis) {
      const int64_t extent = pickled.shape[axis], stride = pickled.strides[axis];
      if (extent < 0 || stride < 0) bad("has a negative size or stride");
      int64_t reach = 0;
      if (extent > 0 &&
          (__builtin_mul_overflow(extent - 1, stride, &reach) || __builtin_add_overflow(last, reach, &last)))
        bad("reaches beyond its storage");
      empty = empty || extent == 0;
    }
    if (!bytes_of_shape(tensor.dtype, tensor.shape)) bad("has a shape whose size overflows");
    if (!empty && last >= count)
      bad("of shape " + shape_text(tensor.shape) + " reaches beyond its storage of " + std::to_string(count) +
          " elements");
    if (pickled.offset > count) bad("begins beyond its storage");
  }

  void count_bytes(const FileTensor& tensor) {
    if (__builtin_add_overflow(tensor_bytes_, tensor.bytes(), &tensor_bytes_) ||
        (tensor_bytes_ / kMaxRepetition > file_bytes_ && tensor_bytes_ > kRepetitionFloor))
      fail_contents("its tensors have more than " + std::to_string(kMaxRepetition) +
                    " times the file's bytes: they repeat the same elements");
  }

  const PickleDocument& document_;
  const uint64_t file_bytes_;
  TorchContents contents_;
  std::vector<Open> todo_;
  std::map<std::string, size_t> storages_;  // by key, into contents_.storages
  size_t visits_ = 0, ignored_ = 0, text_bytes_ = 0;
  uint64_t tensor_bytes_ = 0;
};

}  // namespace

TorchContents torch_contents(const PickleDocument& document, uint64_t file_bytes) {
  return Walk(document, file_bytes).run();
}

}  // namespace dcl
