// safetensors files: the format of checkpoints and encoders. Reader: every rule of the format is checked before a
// tensor is handed out, and nothing larger than the header is allocated. Writer: the bytes the reference writer would
// produce, streamed, plus checksums in the metadata that any other reader ignores:
//   dcl.xxh3/NAME     XXH3-128 of the tensor's bytes, 32 hexadecimal digits
//   dcl.xxh3.header   XXH3-128 of the header's JSON text with this value written as 32 zeros
// A file with any "dcl." metadata must carry both for the header and every tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"

namespace dcl {

/// Element types of the format that this project stores or converts, in the order in which the reference writer places
/// tensors. A file with another one is refused at open, naming type and tensor.
enum class FileDType : uint8_t { i64, f64, f32, i32, bf16, f16, i8, u8, boolean };
size_t size_of(FileDType type);
std::string_view name_of(FileDType type);  ///< "F32", ...
FileDType file_dtype(DType type);

struct FileTensor {
  std::string name;
  FileDType dtype = FileDType::f32;
  std::vector<int64_t> shape;   ///< empty = one element
  uint64_t begin = 0, end = 0;  ///< bytes, from the start of the data part

  uint64_t bytes() const { return end - begin; }
  int64_t elements() const { return static_cast<int64_t>(bytes() / size_of(dtype)); }
};
std::string shape_text(std::span<const int64_t> shape);  ///< "[64, 3, 3, 3]"

using FileMetadata = std::map<std::string, std::string, std::less<>>;

/// An open file (not movable). Opening throws Error{io} when it cannot be read, Error{data} when it is not a valid
/// safetensors file, in words that say what it is instead where that is plain (empty, Git LFS pointer, web page,
/// PyTorch file).
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::string& path() const { return file_.path(); }
  const FileMetadata& metadata() const { return metadata_; }
  /// The metadata value, Error{data} naming the key when it is missing.
  const std::string& metadata(std::string_view key) const;
  /// In the order of their data.
  const std::vector<FileTensor>& tensors() const { return tensors_; }
  /// Null when there is none of that name.
  const FileTensor* find(std::string_view name) const;
  /// Error{data} naming the tensor when it is missing or (where given) has another shape.
  const FileTensor& at(std::string_view name) const;
  const FileTensor& at(std::string_view name, std::span<const int64_t> shape) const;

  /// Every read checks the tensor's checksum when the file has them and throws Error{data} naming the tensor.
  /// `to` must have exactly the tensor's bytes.
  void read_bytes(const FileTensor& tensor, std::span<std::byte> to) const;
  /// `to` has tensor.elements() entries. Converts from any floating type (and i8, u8, i32, i64 where exact values fit).
  void read(const FileTensor& tensor, std::span<float> to) const;
  void read(const FileTensor& tensor, std::span<double> to) const;
  /// From i64, i32, i8, u8, boolean only.
  void read(const FileTensor& tensor, std::span<int64_t> to) const;

  std::vector<float> read_f32(std::string_view name) const;
  std::vector<double> read_f64(std::string_view name) const;
  std::vector<int64_t> read_i64(std::string_view name) const;
  std::vector<uint8_t> read_u8(std::string_view name) const;

  bool has_checksums() const { return has_checksums_; }
  /// Reads every tensor once and checks its checksum.
  void verify() const;

 private:
  void read_header();
  void require_checksums(const std::string& header) const;
  const std::string* checksum_of(const FileTensor& tensor) const;
  template <class T>
  void read_as(const FileTensor& tensor, std::span<T> to) const;
  [[noreturn]] void fail_data(const std::string& what) const;

  InputFile file_;
  FileMetadata metadata_;
  std::vector<FileTensor> tensors_;
  std::map<std::string_view, size_t, std::less<>> index_;  // into tensors_, whose names it views
  uint64_t data_start_ = 0;
  bool has_checksums_ = false;
};

/// Receives the bytes of a tensor in order, in pieces of any size.
using ByteSink = std::function<void(const void* data, size_t bytes)>;

/// A tensor to be written; `produce` is called once, when its turn comes, and must hand over exactly its bytes. It may
/// reuse one staging buffer for every tensor (device to host copies).
struct TensorSource {
  std::string name;
  FileDType dtype = FileDType::f32;
  std::vector<int64_t> shape;
  std::function<void(const ByteSink& sink)> produce;
};

/// A tensor that lies in memory, which must stay until it is written.
template <class T>
TensorSource tensor_source(std::string name, std::vector<int64_t> shape, std::span<const T> values) {
  return {std::move(name), file_dtype(dtype_of<T>), std::move(shape),
          [values](const ByteSink& sink) { sink(values.data(), values.size_bytes()); }};
}
/// i64 (PyTorch's num_batches_tracked), which is no dtype of a backend.
TensorSource tensor_source_i64(std::string name, std::vector<int64_t> shape, std::span<const int64_t> values);

/// Writes `path` atomically (AtomicFile); tensors in the reference writer's order (by FileDType, then by name),
/// header padded with spaces to a multiple of 8. Error{io} when it cannot be written, Error{internal} for a source that
/// breaks its contract (wrong byte count, duplicate or overlong name). Returns the file's size.
uint64_t write_safetensors(const std::filesystem::path& path, std::vector<TensorSource> tensors, FileMetadata metadata,
                           bool checksums = true);

}  // namespace dcl
