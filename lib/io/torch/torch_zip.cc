// PyTorch's ZIP format: NAME/data.pkl is the pickle, NAME/data/KEY the storages.
#include <mutex>

#include "core/error.h"
#include "core/file.h"
#include "core/number.h"
#include "io/torch/pickle.h"
#include "io/torch/pickle_bytes.h"
#include "io/torch/storage_file.h"
#include "io/torch/torch_file.h"

namespace dcl {
namespace {

constexpr std::string_view kPickle = "/data.pkl";

class TorchZipFile final : public StorageFile {
 public:
  TorchZipFile(std::shared_ptr<const ByteSource> bytes, ZipArchive archive)
      : StorageFile(std::move(bytes), "PyTorch, zip"), archive_(std::move(archive)) {
    find_folder();
    check_version();
    read_contents();
  }

 private:
  /// All entries must be in one folder, as PyTorch's own reader demands.
  void find_folder() {
    for (const ZipEntry& entry : archive_.entries()) {
      const size_t slash = entry.name.find('/');
      const std::string folder = entry.name.substr(0, slash == entry.name.npos ? 0 : slash);
      if (folder.empty())
        fail_data("it is a ZIP archive, but no PyTorch file: " + quoted(entry.name) + " is in no folder");
      if (folder_.empty()) folder_ = folder;
      if (folder != folder_) fail_data("it is a ZIP archive, but no PyTorch file: it has several folders");
    }
    if (record("constants.pkl"))
      fail_data(
          "it is a TorchScript program, not a file of tensors; save its state_dict: torch.save(torch.jit.load(PATH)"
          ".state_dict(), OTHER)");
    if (!record("data.pkl")) fail_data("it is a ZIP archive, but no PyTorch file: data.pkl is missing");
  }

  const ZipEntry* record(const std::string& name) const { return archive_.find(folder_ + "/" + name); }
  std::string small_record(const ZipEntry& entry) const {
    const std::vector<std::byte> bytes = archive_.read(entry, 64);
    std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  void check_version() const {
    const ZipEntry* entry = record("version");
    if (!entry) fail_data("its record 'version' is missing");
    const std::string text = small_record(*entry);
    if (const auto version = parse_number<int>(text); !version || *version < 1 || *version > 10)
      fail_data("its format version is " + quoted(text) + ", expected 1 to 10");
    if (const ZipEntry* order = record("byteorder"); order && small_record(*order) != "little")
      fail_data("its byte order is " + quoted(small_record(*order)) + ", expected 'little'");
  }

  void read_contents() {
    const std::string where = path() + "/" + folder_ + std::string(kPickle);
    const auto pickle = memory_bytes(where, archive_.read(*record("data.pkl"), kMaxPickleBytes));
    const PickleDocument document = read_pickle(*pickle, 0, StorageIds::zip);
    if (document.end != pickle->size())
      fail_data("its pickle ends at byte " + std::to_string(document.end) + " of " + std::to_string(pickle->size()));
    TorchContents contents;
    try {
      contents = torch_contents(document, source().size());
      find_storages(contents);
    } catch (const Error& error) {
      fail_data(error.what());
    }
    set_torch_contents(std::move(contents));
  }

  void find_storages(TorchContents& contents) {
    size_t unchecked = 0;
    for (const TorchStorage& storage : contents.storages) {
      const ZipEntry* entry = record("data/" + storage.key);
      if (!entry) fail(ErrorKind::data, "storage " + quoted(storage.key) + " is missing");
      if (entry->size != storage.bytes)
        fail(ErrorKind::data, "storage " + quoted(storage.key) + " has " + std::to_string(entry->size) +
                                  " bytes, expected " + std::to_string(storage.bytes));
      storage_entries_.push_back(entry);
      unchecked += entry->crc == 0 && entry->size > 0;
    }
    if (unchecked > 0)
      contents.notices.push_back(std::to_string(unchecked) + " of its " + std::to_string(contents.storages.size()) +
                                 " storages have no checksum: damage in them would go unnoticed");
  }

  std::shared_ptr<const ByteSource> open_storage(size_t storage) const override {
    const ZipEntry& entry = *storage_entries_[storage];
    if (!entry.deflated) return archive_.open(entry);
    // Tensors of one storage tend to be read one after the other.
    const std::lock_guard lock(mutex_);
    if (!inflated_ || inflated_storage_ != storage) {
      inflated_.reset();
      inflated_ = archive_.open(entry);
      inflated_storage_ = storage;
    }
    return inflated_;
  }

  uint32_t checksum(size_t storage) const override {
    return storage_entries_[storage]->deflated ? 0 : storage_entries_[storage]->crc;
  }

  ZipArchive archive_;
  std::string folder_;
  std::vector<const ZipEntry*> storage_entries_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const ByteSource> inflated_;
  mutable size_t inflated_storage_ = 0;
};

}  // namespace

std::unique_ptr<TensorFile> open_torch_zip(std::shared_ptr<const ByteSource> source, ZipArchive archive) {
  return std::make_unique<TorchZipFile>(std::move(source), std::move(archive));
}

}  // namespace dcl
