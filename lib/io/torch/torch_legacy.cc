// PyTorch's legacy format: five pickles (a magic number, the protocol, facts of the system, the object, the keys of the
// storages), then each storage's element count and bytes.
#include <algorithm>
#include <map>

#include "core/error.h"
#include "core/file.h"
#include "io/torch/magic.h"
#include "io/torch/pickle.h"
#include "io/torch/storage_file.h"
#include "io/torch/torch_file.h"

namespace dcl {
namespace {

constexpr int64_t kProtocol = 1001;

class TorchLegacyFile final : public StorageFile {
 public:
  explicit TorchLegacyFile(std::shared_ptr<const ByteSource> bytes)
      : StorageFile(bytes, "PyTorch, legacy"), bytes_(std::move(bytes)) {
    check_start();
    const PickleDocument object = read_pickle(source(), position_, StorageIds::legacy);
    position_ = object.end;
    const PickleDocument keys = read_pickle(source(), position_, StorageIds::none);
    position_ = keys.end;
    TorchContents contents;
    try {
      contents = torch_contents(object, source().size());
      find_storages(object, keys, contents);
    } catch (const Error& error) {
      fail_data(error.what());
    }
    set_torch_contents(std::move(contents));
  }

 private:
  void check_start() {
    std::string start(static_cast<size_t>(std::min<uint64_t>(source().size(), kMaxTorchMagicBytes)), '\0');
    source().read(0, start.data(), start.size());
    const size_t magic = torch_magic_bytes(start);
    if (magic == 0) fail_data("it is no PyTorch file");
    const PickleDocument protocol = read_pickle(source(), magic, StorageIds::none);
    const PickleValue& number = protocol.at(protocol.root);
    if (number.kind != PickleKind::integer || number.integer != kProtocol)
      fail_data("its protocol is not " + std::to_string(kProtocol));
    const PickleDocument system = read_pickle(source(), protocol.end, StorageIds::none);
    const PickleValue* little = entry(system, "little_endian");
    if (!little || little->kind != PickleKind::boolean) fail_data("it does not say its byte order");
    if (little->integer == 0) fail_data("its byte order is big endian, expected little endian");
    position_ = system.end;
  }

  static const PickleValue* entry(const PickleDocument& document, std::string_view key) {
    const PickleValue& dict = document.at(document.root);
    if (dict.kind != PickleKind::dict) return nullptr;
    for (size_t i = 0; i + 1 < dict.items.size(); i += 2)
      if (document.at(dict.items[i]).text == key) return &document.at(dict.items[i + 1]);
    return nullptr;
  }

  /// Where each storage's bytes begin. Its size in the file must be the one that the tensors were proved against.
  void find_storages(const PickleDocument& object, const PickleDocument& keys, TorchContents& contents) {
    const PickleValue& list = keys.at(keys.root);
    if (list.kind != PickleKind::list) fail(ErrorKind::data, "its list of storages is no list");
    std::map<std::string_view, const PickledStorage*> known;
    for (const PickledStorage& storage : object.storages) known.emplace(storage.key, &storage);
    std::map<std::string_view, uint64_t> starts;
    for (const PickleRef ref : list.items) {
      const std::string& key = keys.at(ref).text;
      const auto found = known.find(key);
      if (keys.at(ref).kind != PickleKind::text || found == known.end())
        fail(ErrorKind::data, "its list of storages has " + quoted(key) + ", which no tensor uses");
      if (!starts.emplace(key, position_ + sizeof(int64_t)).second)
        fail(ErrorKind::data, "its list of storages has " + quoted(key) + " twice");
      skip_storage(*found->second);
    }
    for (const TorchStorage& storage : contents.storages) {
      const auto start = starts.find(storage.key);
      if (start == starts.end()) fail(ErrorKind::data, "storage " + quoted(storage.key) + " is missing");
      starts_.push_back(start->second);
    }
    if (position_ != source().size())
      contents.notices.push_back(std::to_string(source().size() - position_) +
                                 " bytes after its last storage are ignored");
  }

  /// A count of elements, then the elements.
  void skip_storage(const PickledStorage& storage) {
    const auto cut = [&](uint64_t expected) {
      fail(ErrorKind::data, "it is truncated at storage " + quoted(storage.key) + ": expected at least " +
                                std::to_string(expected) + " bytes, got " + std::to_string(source().size()));
    };
    int64_t count = 0, bytes = 0;
    if (source().size() - position_ < sizeof count) cut(position_ + sizeof count);
    source().read(position_, &count, sizeof count);
    position_ += sizeof count;
    if (count != storage.count)
      fail(ErrorKind::data, "storage " + quoted(storage.key) + " has " + std::to_string(count) +
                                " elements, expected " + std::to_string(storage.count));
    const auto width = static_cast<int64_t>(storage.dtype ? size_of(*storage.dtype) : 1);
    if (__builtin_mul_overflow(count, width, &bytes))
      fail(ErrorKind::data, "storage " + quoted(storage.key) + " is too large");
    if (source().size() - position_ < static_cast<uint64_t>(bytes)) cut(position_ + static_cast<uint64_t>(bytes));
    position_ += static_cast<uint64_t>(bytes);
  }

  std::shared_ptr<const ByteSource> open_storage(size_t storage) const override {
    return part_of(bytes_, path(), starts_[storage], storages()[storage].bytes);
  }
  uint32_t checksum(size_t) const override { return 0; }

  std::shared_ptr<const ByteSource> bytes_;
  uint64_t position_ = 0;
  std::vector<uint64_t> starts_;  // per storage
};

}  // namespace

std::unique_ptr<TensorFile> open_torch_legacy(std::shared_ptr<const ByteSource> source) {
  return std::make_unique<TorchLegacyFile>(std::move(source));
}

}  // namespace dcl
