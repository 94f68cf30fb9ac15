#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "core/error.h"
#include "io/checksum.h"
#include "io/convert.h"
#include "io/safetensors_header.h"

namespace dcl {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little endian and read without swapping");

/// Tensors are hashed and converted in pieces of this many bytes: a multiple of every element size.
constexpr size_t kPieceBytes = size_t{1} << 20;

std::string text_of(std::string_view name) { return "tensor " + dcl::quoted(std::string(name)); }

/// What a file that is no safetensors file seems to be, from its first bytes; "" when nothing known.
std::string guess(std::string_view start) {
  if (start.starts_with("version https://git-lfs"))
    return "a Git LFS pointer; fetch the file itself with 'git lfs pull'";
  if (start.starts_with("PK\x03\x04") || start.starts_with("\x80\x02")) return "a PyTorch file, expected safetensors";
  if (start.starts_with("\x93NUMPY")) return "a NumPy file, expected safetensors";
  if (start.starts_with("<")) return "a web page or XML, expected safetensors; was the download redirected?";
  return "";
}

}  // namespace

size_t size_of(FileDType type) {
  switch (type) {
    case FileDType::f64:
    case FileDType::i64:
      return 8;
    case FileDType::f32:
    case FileDType::i32:
      return 4;
    case FileDType::f16:
    case FileDType::bf16:
      return 2;
    case FileDType::i8:
    case FileDType::u8:
    case FileDType::boolean:
      return 1;
  }
  return 0;
}

std::string_view name_of(FileDType type) {
  switch (type) {
    case FileDType::f64:
      return "F64";
    case FileDType::i64:
      return "I64";
    case FileDType::f32:
      return "F32";
    case FileDType::i32:
      return "I32";
    case FileDType::f16:
      return "F16";
    case FileDType::bf16:
      return "BF16";
    case FileDType::i8:
      return "I8";
    case FileDType::u8:
      return "U8";
    case FileDType::boolean:
      return "BOOL";
  }
  return "?";
}

FileDType file_dtype(DType type) {
  switch (type) {
    case DType::f32:
      return FileDType::f32;
    case DType::bf16:
      return FileDType::bf16;
    case DType::f64:
      return FileDType::f64;
    case DType::u8:
      return FileDType::u8;
    case DType::i32:
      return FileDType::i32;
  }
  fail(ErrorKind::internal, "file_dtype: unknown dtype");
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t axis = 0; axis < shape.size(); ++axis) out += (axis ? ", " : "") + std::to_string(shape[axis]);
  return out + "]";
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  read_header();
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (!index_.emplace(tensors_[i].name, i).second)
      fail_data("its header names " + text_of(tensors_[i].name) + " twice");
}

void SafetensorsFile::fail_data(const std::string& what) const {
  fail(ErrorKind::data, quoted(file_.path()) + ": " + what);
}

void SafetensorsFile::read_header() {
  const auto size = static_cast<uint64_t>(file_.size());
  if (size == 0) fail_data("it is empty, expected a safetensors file");
  char start[32] = {};
  const size_t known = static_cast<size_t>(std::min<uint64_t>(size, sizeof start));
  file_.read(0, start, known);
  // A header's length may happen to look like one of those (60 is '<'), so its first byte decides.
  if (const std::string found = start[8] == '{' ? "" : guess({start, known}); !found.empty())
    fail_data("it is " + found);
  if (size < 8) fail_data("it is truncated: expected at least 8 bytes, got " + std::to_string(size));
  uint64_t length;
  std::memcpy(&length, start, sizeof length);
  if (length > kMaxHeaderBytes)
    fail_data("it is no safetensors file: its header would have " + std::to_string(length) +
              " bytes, expected at most " + std::to_string(kMaxHeaderBytes));
  if (length > size - 8)
    fail_data("it is truncated: expected a header of " + std::to_string(length) + " bytes, got " +
              std::to_string(size - 8));
  std::string header(static_cast<size_t>(length), '\0');
  file_.read(8, header.data(), header.size());
  data_start_ = 8 + length;
  try {
    SafetensorsHeader parsed = parse_safetensors_header(header, size - data_start_);
    metadata_ = std::move(parsed.metadata);
    tensors_ = std::move(parsed.tensors);
  } catch (const Error& error) {
    fail_data(error.what());
  }
  const auto own = metadata_.lower_bound(kOwnPrefix);
  has_checksums_ = own != metadata_.end() && own->first.starts_with(kOwnPrefix);
  if (has_checksums_) require_checksums(header);
}

void SafetensorsFile::require_checksums(const std::string& header) const {
  const size_t at = header_checksum_position(header);
  const auto stated = metadata_.find(kHeaderChecksum);
  if (at == header.npos || stated == metadata_.end()) fail_data("it is damaged: the header's checksum is missing");
  std::string blank = header;
  blank.replace(at, kBlankChecksum.size(), kBlankChecksum);
  if (checksum_text(blank.data(), blank.size()) != stated->second)
    fail_data("it is damaged: the header does not match its checksum");
  for (const FileTensor& tensor : tensors_)
    if (!metadata_.contains(std::string(kTensorChecksum) + tensor.name))
      fail_data("it is damaged: the checksum of " + text_of(tensor.name) + " is missing");
}

const std::string& SafetensorsFile::metadata(std::string_view key) const {
  const auto found = metadata_.find(key);
  if (found == metadata_.end()) fail_data("metadata '" + std::string(key) + "' is missing");
  return found->second;
}

const FileTensor* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

const FileTensor& SafetensorsFile::at(std::string_view name) const {
  const FileTensor* tensor = find(name);
  if (!tensor) fail_data(text_of(name) + " is missing (" + std::to_string(tensors_.size()) + " tensors in the file)");
  return *tensor;
}

const FileTensor& SafetensorsFile::at(std::string_view name, std::span<const int64_t> shape) const {
  const FileTensor& tensor = at(name);
  if (!std::ranges::equal(tensor.shape, shape))
    fail_data(text_of(name) + " has shape " + shape_text(tensor.shape) + ", expected " + shape_text(shape));
  return tensor;
}

namespace {

/// Calls use(piece, offset) for consecutive pieces of the tensor, then checks the whole against its checksum.
template <class Use>
void for_each_piece(const InputFile& file, uint64_t start, const FileTensor& tensor, const std::string* checksum,
                    Use&& use) {
  Checksum sum;
  std::vector<std::byte> piece(static_cast<size_t>(std::min<uint64_t>(tensor.bytes(), kPieceBytes)));
  for (uint64_t offset = 0; offset < tensor.bytes();) {
    const size_t bytes = static_cast<size_t>(std::min<uint64_t>(tensor.bytes() - offset, kPieceBytes));
    file.read(static_cast<int64_t>(start + tensor.begin + offset), piece.data(), bytes);
    if (checksum) sum.add(piece.data(), bytes);
    use(std::span<const std::byte>(piece.data(), bytes), static_cast<size_t>(offset));
    offset += bytes;
  }
  if (checksum && sum.text() != *checksum)
    fail(ErrorKind::data,
         quoted(file.path()) + ": it is damaged: " + text_of(tensor.name) + " does not match its checksum");
}

}  // namespace

const std::string* SafetensorsFile::checksum_of(const FileTensor& tensor) const {
  return has_checksums_ ? &metadata(std::string(kTensorChecksum) + tensor.name) : nullptr;
}

void SafetensorsFile::read_bytes(const FileTensor& tensor, std::span<std::byte> to) const {
  if (to.size() != tensor.bytes())
    fail(ErrorKind::internal, "read_bytes: " + text_of(tensor.name) + " has " + std::to_string(tensor.bytes()) +
                                  " bytes, the destination " + std::to_string(to.size()));
  file_.read(static_cast<int64_t>(data_start_ + tensor.begin), to.data(), to.size());
  const std::string* checksum = checksum_of(tensor);
  if (checksum && checksum_text(to.data(), to.size()) != *checksum)
    fail_data("it is damaged: " + text_of(tensor.name) + " does not match its checksum");
}

template <class T>
void SafetensorsFile::read_as(const FileTensor& tensor, std::span<T> to) const {
  if (to.size() != static_cast<size_t>(tensor.elements()))
    fail(ErrorKind::internal, "read: " + text_of(tensor.name) + " has " + std::to_string(tensor.elements()) +
                                  " elements, the destination " + std::to_string(to.size()));
  if (std::is_integral_v<T> && is_floating(tensor.dtype))
    fail_data(text_of(tensor.name) + " is " + std::string(name_of(tensor.dtype)) + ", expected an integer type");
  const size_t width = size_of(tensor.dtype);
  for_each_piece(file_, data_start_, tensor, checksum_of(tensor), [&](std::span<const std::byte> piece, size_t offset) {
    convert_elements(tensor.dtype, piece.data(), to.data() + offset / width, piece.size() / width);
  });
}

void SafetensorsFile::read(const FileTensor& tensor, std::span<float> to) const { read_as(tensor, to); }
void SafetensorsFile::read(const FileTensor& tensor, std::span<double> to) const { read_as(tensor, to); }
void SafetensorsFile::read(const FileTensor& tensor, std::span<int64_t> to) const { read_as(tensor, to); }

namespace {
template <class T>
std::vector<T> read_named(const SafetensorsFile& file, std::string_view name) {
  const FileTensor& tensor = file.at(name);
  std::vector<T> values(static_cast<size_t>(tensor.elements()));
  file.read(tensor, std::span<T>(values));
  return values;
}
}  // namespace

std::vector<float> SafetensorsFile::read_f32(std::string_view name) const { return read_named<float>(*this, name); }
std::vector<double> SafetensorsFile::read_f64(std::string_view name) const { return read_named<double>(*this, name); }
std::vector<int64_t> SafetensorsFile::read_i64(std::string_view name) const { return read_named<int64_t>(*this, name); }

std::vector<uint8_t> SafetensorsFile::read_u8(std::string_view name) const {
  const FileTensor& tensor = at(name);
  if (tensor.dtype != FileDType::u8)
    fail_data(text_of(name) + " is " + std::string(name_of(tensor.dtype)) + ", expected U8");
  std::vector<uint8_t> values(static_cast<size_t>(tensor.bytes()));
  read_bytes(tensor, std::as_writable_bytes(std::span(values)));
  return values;
}

void SafetensorsFile::verify() const {
  for (const FileTensor& tensor : tensors_)
    for_each_piece(file_, data_start_, tensor, checksum_of(tensor), [](std::span<const std::byte>, size_t) {});
}

}  // namespace dcl
