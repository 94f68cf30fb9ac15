// A file of named tensors, whatever its format. Opening checks everything that can be checked without reading the
// values; values are read one tensor at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/byte_source.h"
#include "io/file_dtype.h"
#include "io/tensor_source.h"

namespace dcl {

/// One tensor of an open file.
struct FileTensor {
  std::string name;       ///< unique in the file: the container's path, a dot, the key in it
  std::string container;  ///< "" at the top, "state_dict", "optimizer.state.0"; only PyTorch files nest
  FileDType dtype = FileDType::f32;
  std::vector<int64_t> shape;  ///< empty = one element
  uint64_t position = 0;       ///< where the values are, in the terms of the format

  int64_t elements() const;
  uint64_t bytes() const { return static_cast<uint64_t>(elements()) * size_of(dtype); }
  /// The name within its container.
  std::string_view key() const { return std::string_view(name).substr(container.empty() ? 0 : container.size() + 1); }
};

using FileMetadata = std::map<std::string, std::string, std::less<>>;

/// An open file (not movable). Opening throws Error{io} when it cannot be read, Error{data} when it is not what it
/// seems to be, in words that say what it is instead where that is plain. Reading is thread-safe.
class TensorFile {
 public:
  virtual ~TensorFile() = default;
  TensorFile(const TensorFile&) = delete;
  TensorFile& operator=(const TensorFile&) = delete;

  const std::string& path() const { return source_->name(); }
  /// "safetensors", "PyTorch, zip", "PyTorch, legacy", "NPZ".
  std::string_view format() const { return format_; }
  /// Texts beside the tensors. For a PyTorch file these are the scalars of its containers under their dotted names, as
  /// Python prints them: "epoch" -> "400", "args.arch" -> "resnet50".
  const FileMetadata& metadata() const { return metadata_; }
  /// The metadata value, Error{data} naming the key when it is missing.
  const std::string& metadata(std::string_view key) const;
  /// In the order of the file.
  const std::vector<FileTensor>& tensors() const { return tensors_; }
  /// Null when there is none of that name.
  const FileTensor* find(std::string_view name) const;
  /// Error{data} naming the tensor when it is missing or (where given) has another shape.
  const FileTensor& at(std::string_view name) const;
  const FileTensor& at(std::string_view name, std::span<const int64_t> shape) const;
  /// What was assumed or ignored, one line each, for the user.
  const std::vector<std::string>& notices() const { return notices_; }

  // Every read checks the checksum that the file has of the tensor and throws Error{data} naming the tensor.

  /// C order, contiguous, little endian. `to` must have exactly the tensor's bytes.
  void read_bytes(const FileTensor& tensor, std::span<std::byte> to) const;
  /// The same bytes in pieces of whole elements. A checksum is checked at the end, after the last piece.
  void stream(const FileTensor& tensor, const ByteSink& sink) const { do_stream(tensor, sink); }
  /// `to` has tensor.elements() entries. Converts from any floating type (and integers where exact values fit).
  void read(const FileTensor& tensor, std::span<float> to) const;
  void read(const FileTensor& tensor, std::span<double> to) const;
  /// From integers and booleans only.
  void read(const FileTensor& tensor, std::span<int64_t> to) const;

  std::vector<float> read_f32(std::string_view name) const;
  std::vector<double> read_f64(std::string_view name) const;
  std::vector<int64_t> read_i64(std::string_view name) const;
  std::vector<uint8_t> read_u8(std::string_view name) const;

  /// Reads every tensor once, checking what checksums there are.
  void verify() const;

 protected:
  struct Contents {
    FileMetadata metadata;
    std::vector<FileTensor> tensors;
    std::vector<std::string> notices;
  };

  TensorFile(std::shared_ptr<const ByteSource> source, std::string_view format)
      : source_(std::move(source)), format_(format) {}
  /// Called once, by the constructor of an implementation; refuses two tensors of one name.
  void set_contents(Contents contents);

  virtual void do_read_bytes(const FileTensor& tensor, std::span<std::byte> to) const = 0;
  virtual void do_stream(const FileTensor& tensor, const ByteSink& sink) const = 0;

  const ByteSource& source() const { return *source_; }
  [[noreturn]] void fail_data(const std::string& what) const;

 private:
  template <class T>
  void read_as(const FileTensor& tensor, std::span<T> to) const;
  template <class T>
  std::vector<T> read_named(std::string_view name) const;

  std::shared_ptr<const ByteSource> source_;
  std::string_view format_;
  FileMetadata metadata_;
  std::vector<FileTensor> tensors_;
  std::vector<std::string> notices_;
  std::map<std::string_view, size_t, std::less<>> index_;  // into tensors_, whose names it views
};

/// Opens a file of any known format, recognised by its content, never by its name.
std::unique_ptr<TensorFile> open_tensor_file(const std::filesystem::path& path);
std::unique_ptr<TensorFile> open_tensor_file(std::shared_ptr<const ByteSource> source);

/// A tensor of a file, to be written to another under any name. The file must stay open until then.
TensorSource tensor_source(const TensorFile& file, const FileTensor& tensor, std::string name);

}  // namespace dcl
