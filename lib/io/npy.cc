#include "io/npy.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "core/error.h"
#include "core/file.h"
#include "io/byte_source.h"
#include "io/convert.h"
#include "io/npy_data.h"

namespace dcl {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written without swapping bytes");

FileDType file_type(NpyWriter::Type type) { return type == NpyWriter::Type::f32 ? FileDType::f32 : FileDType::i64; }

/// The preamble of [rows, row_shape...]; as long for any number of rows.
std::string preamble(NpyWriter::Type type, int64_t rows, const std::vector<int64_t>& row_shape) {
  std::vector<int64_t> shape = {rows};
  shape.insert(shape.end(), row_shape.begin(), row_shape.end());
  return npy_preamble(file_type(type), shape, kNpyPrefixBytes + 100 + 21 * row_shape.size());
}

}  // namespace

NpyWriter::NpyWriter(const std::filesystem::path& path, Type type, std::vector<int64_t> row_shape)
    : file_(path), type_(type), row_shape_(std::move(row_shape)) {
  for (const int64_t extent : row_shape_)
    if (extent < 0 || __builtin_mul_overflow(row_elements_, extent, &row_elements_))
      fail(ErrorKind::internal, "NpyWriter: impossible row shape for " + quoted(path));
  file_.write(preamble(type_, 0, row_shape_));
}

void NpyWriter::append_bytes(Type type, const void* data, size_t count) {
  const auto row = static_cast<size_t>(row_elements_);
  if (type != type_ || row == 0 || count % row != 0)
    fail(ErrorKind::internal, "NpyWriter: " + std::to_string(count) + " values for " + quoted(file_.path()) +
                                  " are no whole rows of its type");
  file_.write(data, count * size_of(file_type(type)));
  rows_ += static_cast<int64_t>(count / row);
}

void NpyWriter::append(std::span<const float> values) { append_bytes(Type::f32, values.data(), values.size()); }
void NpyWriter::append(std::span<const int64_t> values) { append_bytes(Type::i64, values.data(), values.size()); }

void NpyWriter::commit() {
  const std::string header = preamble(type_, rows_, row_shape_);
  file_.overwrite(0, header.data(), header.size());
  file_.commit();
}

namespace {

template <class T>
NpyArray<T> read_npy(const std::filesystem::path& path) {
  const std::shared_ptr<const ByteSource> file = file_bytes(path);
  std::vector<std::byte> start(static_cast<size_t>(std::min<uint64_t>(file->size(), kMaxNpyPreambleBytes)));
  file->read(0, start);
  const NpyHeader header = read_npy_header(path, file->size(), start);
  if (std::is_integral_v<T> && is_floating(header.type))
    fail(ErrorKind::data, quoted(path) + ": it holds floating-point numbers, expected integers");
  const size_t width = size_of(header.type);
  NpyArray<T> array{header.shape, std::vector<T>(static_cast<size_t>(file->size() - header.data_start) / width)};
  T* next = array.values.data();
  stream_npy(*file, header, nullptr, [&](const void* data, size_t bytes) {
    convert_elements(header.type, static_cast<const std::byte*>(data), next, bytes / width);
    next += bytes / width;
  });
  return array;
}

}  // namespace

NpyArray<float> read_npy_f32(const std::filesystem::path& path) { return read_npy<float>(path); }
NpyArray<double> read_npy_f64(const std::filesystem::path& path) { return read_npy<double>(path); }
NpyArray<int64_t> read_npy_i64(const std::filesystem::path& path) { return read_npy<int64_t>(path); }

}  // namespace dcl
