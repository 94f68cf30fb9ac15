// NumPy .npy files: written as version 1.0, C order, little endian; read with every field of the header checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.h"

namespace dcl {

/// Writes an array [rows, row_shape...] row by row; the number of rows need not be known before. Nothing is visible
/// under `path` before commit().
class NpyWriter {
 public:
  enum class Type { f32, i64 };

  NpyWriter(const std::filesystem::path& path, Type type, std::vector<int64_t> row_shape);

  /// values.size() must be a multiple of the row's elements (1 for an empty row_shape).
  void append(std::span<const float> values);
  void append(std::span<const int64_t> values);
  int64_t rows() const { return rows_; }
  void commit();

 private:
  void append_bytes(Type type, const void* data, size_t count);

  AtomicFile file_;
  Type type_;
  std::vector<int64_t> row_shape_;
  int64_t row_elements_ = 1, rows_ = 0;
};

/// Row-major values converted to T. Reads f2, f4, f8 into float or double; i1, i2, i4, i8, u1, b1 into any; either byte
/// order, C or Fortran order. Error{data} for anything else (objects, more than eight axes, sizes that do not match).
template <class T>
struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<T> values;
};
NpyArray<float> read_npy_f32(const std::filesystem::path& path);
NpyArray<double> read_npy_f64(const std::filesystem::path& path);
NpyArray<int64_t> read_npy_i64(const std::filesystem::path& path);

}  // namespace dcl
