#include "io/npy.h"

#include <algorithm>
#include <bit>
#include <type_traits>

#include "core/error.h"
#include "io/convert.h"
#include "io/file.h"
#include "io/npy_header.h"

namespace dcl {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are written without swapping bytes");

size_t width_of(NpyWriter::Type type) { return type == NpyWriter::Type::f32 ? 4 : 8; }

/// Magic, version 1.0, header text padded with spaces so that data begin at `total` bytes.
std::string preamble(NpyWriter::Type type, int64_t rows, const std::vector<int64_t>& row_shape, size_t total) {
  std::string text = "{'descr': '";
  text += type == NpyWriter::Type::f32 ? "<f4" : "<i8";
  text += "', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ",";
  for (const int64_t extent : row_shape) text += " " + std::to_string(extent) + ",";
  if (!row_shape.empty()) text.pop_back();
  text += "), }";
  const size_t length = total - kNpyPrefixBytes;
  text.append(length - 1 - text.size(), ' ');
  text += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(length & 255);
  out += static_cast<char>(length >> 8);
  return out + text;
}

/// Size of the preamble that fits any number of rows: a multiple of 64.
size_t preamble_bytes(const std::vector<int64_t>& row_shape) {
  return (kNpyPrefixBytes + 100 + 21 * row_shape.size() + 63) / 64 * 64;
}

}  // namespace

NpyWriter::NpyWriter(const std::filesystem::path& path, Type type, std::vector<int64_t> row_shape)
    : file_(path), type_(type), row_shape_(std::move(row_shape)) {
  for (const int64_t extent : row_shape_)
    if (extent < 0 || __builtin_mul_overflow(row_elements_, extent, &row_elements_))
      fail(ErrorKind::internal, "NpyWriter: impossible row shape for " + quoted(path));
  file_.write(preamble(type_, 0, row_shape_, preamble_bytes(row_shape_)));
}

void NpyWriter::append_bytes(Type type, const void* data, size_t count) {
  const auto row = static_cast<size_t>(row_elements_);
  if (type != type_ || row == 0 || count % row != 0)
    fail(ErrorKind::internal, "NpyWriter: " + std::to_string(count) + " values for " + quoted(file_.path()) +
                                  " are no whole rows of its type");
  file_.write(data, count * width_of(type));
  rows_ += static_cast<int64_t>(count / row);
}

void NpyWriter::append(std::span<const float> values) { append_bytes(Type::f32, values.data(), values.size()); }
void NpyWriter::append(std::span<const int64_t> values) { append_bytes(Type::i64, values.data(), values.size()); }

void NpyWriter::commit() {
  const std::string header = preamble(type_, rows_, row_shape_, preamble_bytes(row_shape_));
  file_.overwrite(0, header.data(), header.size());
  file_.commit();
}

namespace {

/// Restores little-endian order in place.
void swap_bytes(std::vector<std::byte>& data, size_t width) {
  for (size_t at = 0; at + width <= data.size(); at += width)
    std::reverse(data.begin() + static_cast<std::ptrdiff_t>(at),
                 data.begin() + static_cast<std::ptrdiff_t>(at + width));
}

template <class T>
NpyArray<T> read_npy(const std::filesystem::path& path) {
  const InputFile file(path);
  const NpyHeader header = read_npy_header(file);
  if (std::is_integral_v<T> && is_floating(header.type))
    fail(ErrorKind::data, quoted(path) + ": it holds floating-point numbers, expected integers");
  std::vector<std::byte> data(static_cast<size_t>(file.size() - header.data_start));
  file.read(header.data_start, data.data(), data.size());
  const size_t width = size_of(header.type);
  if (header.big_endian) swap_bytes(data, width);
  NpyArray<T> array{header.shape, std::vector<T>(data.size() / width)};
  convert_elements(header.type, data.data(), array.values.data(), array.values.size());
  return array;
}

}  // namespace

NpyArray<float> read_npy_f32(const std::filesystem::path& path) { return read_npy<float>(path); }
NpyArray<double> read_npy_f64(const std::filesystem::path& path) { return read_npy<double>(path); }
NpyArray<int64_t> read_npy_i64(const std::filesystem::path& path) { return read_npy<int64_t>(path); }

}  // namespace dcl
