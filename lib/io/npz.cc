#include "io/npz.h"

#include <algorithm>
#include <cstring>

#include "core/file.h"
#include "io/npy_data.h"
#include "io/tensor_limits.h"

namespace dcl {
namespace {

constexpr std::string_view kSuffix = ".npy";

class NpzFile final : public TensorFile {
 public:
  NpzFile(std::shared_ptr<const ByteSource> source, ZipArchive archive)
      : TensorFile(std::move(source), "NPZ"), archive_(std::move(archive)) {
    Contents contents;
    size_t unchecked = 0;
    if (archive_.entries().size() > kMaxTensors) fail_data("it has too many arrays");
    for (const ZipEntry& entry : archive_.entries()) {
      const NpyHeader header =
          read_npy_header(path() + "/" + entry.name, entry.size, archive_.start(entry, kMaxNpyPreambleBytes));
      const std::string name = entry.name.substr(0, entry.name.size() - kSuffix.size());
      contents.tensors.push_back({name, "", header.type, header.shape, arrays_.size()});
      arrays_.push_back({&entry, header});
      unchecked += entry.crc == 0;
    }
    if (unchecked > 0)
      contents.notices.push_back(std::to_string(unchecked) + " of its " + std::to_string(arrays_.size()) +
                                 " arrays have no checksum: damage in them would go unnoticed");
    set_contents(std::move(contents));
  }

 private:
  struct Array {
    const ZipEntry* entry;
    NpyHeader header;
  };

  void do_stream(const FileTensor& tensor, const ByteSink& sink) const override {
    const auto& [entry, header] = arrays_[tensor.position];
    Crc32 crc;
    stream_npy(*archive_.open(*entry), header, &crc, sink);
    if (entry->crc != 0 && crc.value() != entry->crc)
      fail_data("it is damaged: array " + quoted(tensor.name) + " does not match its checksum");
  }

  void do_read_bytes(const FileTensor& tensor, std::span<std::byte> to) const override {
    std::byte* next = to.data();
    do_stream(tensor, [&](const void* data, size_t bytes) {
      std::memcpy(next, data, bytes);
      next += bytes;
    });
  }

  ZipArchive archive_;
  std::vector<Array> arrays_;
};

}  // namespace

bool is_npz(const ZipArchive& archive) {
  return !archive.entries().empty() && std::ranges::all_of(archive.entries(), [](const ZipEntry& entry) {
    return entry.name.size() > kSuffix.size() && entry.name.ends_with(kSuffix);
  });
}

std::unique_ptr<TensorFile> open_npz(std::shared_ptr<const ByteSource> source, ZipArchive archive) {
  return std::make_unique<NpzFile>(std::move(source), std::move(archive));
}

uint64_t write_npz(const std::filesystem::path& path, const std::vector<TensorSource>& tensors) {
  check_sources(tensors);
  const auto entry_name = [](const TensorSource& array) { return array.name + std::string(kSuffix); };
  uint64_t expected = ZipWriter::overhead("");
  for (const TensorSource& array : tensors)
    expected +=
        ZipWriter::overhead(entry_name(array)) + npy_preamble(array.dtype, array.shape).size() + bytes_of(array);

  ZipWriter file(path, expected);
  for (const TensorSource& array : tensors) {
    const std::string preamble = npy_preamble(array.dtype, array.shape);
    file.begin(entry_name(array), preamble.size() + bytes_of(array));
    file.write(preamble.data(), preamble.size());
    produce_into(array, [&](const void* data, size_t bytes) { file.write(data, bytes); });
  }
  return file.commit();
}

}  // namespace dcl
