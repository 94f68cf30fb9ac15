// Values computed by other programs (PyTorch, Pillow, OpenCV), for the suite `reference`: a reader of safetensors
// files. The folder is $DCL_REFERENCE_DIR, else ../shared/reference beside the source tree; without it the tests skip.
// Another set of files with the same names and keys may be put there, so nothing may depend on the numbers or order of
// cases.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace dcl::test {

/// The folder of reference files, or nothing when there is none on this machine.
std::optional<std::string> reference_folder();

/// A safetensors file read whole. Every member throws std::runtime_error naming file and tensor when something is
/// missing, of a type that cannot be converted without loss, or damaged.
class ReferenceFile {
 public:
  /// `name` inside reference_folder().
  explicit ReferenceFile(const std::string& name);

  /// The value of a `__metadata__` key; `cases()` is the JSON text under "cases", parsed.
  std::string metadata(const std::string& key) const;
  nlohmann::json cases() const { return nlohmann::json::parse(metadata("cases")); }

  bool has(const std::string& tensor) const { return tensors_.contains(tensor); }
  std::vector<std::string> names() const;
  std::vector<int64_t> shape(const std::string& tensor) const { return at(tensor).shape; }
  /// "F32", "F64", "I64", "I32" or "U8".
  std::string dtype(const std::string& tensor) const { return at(tensor).dtype; }

  /// Values in C order. f64 reads any type; i64 any integer type; f32 and u8 only their own.
  std::vector<double> f64(const std::string& tensor) const;
  std::vector<float> f32(const std::string& tensor) const;
  std::vector<int64_t> i64(const std::string& tensor) const;
  std::vector<uint8_t> u8(const std::string& tensor) const;

 private:
  struct Tensor {
    std::string dtype;
    std::vector<int64_t> shape;
    size_t offset = 0, bytes = 0;  ///< in content_
  };
  const Tensor& at(const std::string& tensor) const;
  template <class Stored, class Value>
  std::vector<Value> convert(const Tensor& tensor) const;
  [[noreturn]] void wrong_type(const std::string& tensor, const char* wanted) const;

  std::string path_, content_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace dcl::test

/// First line of a reference test: skips it where there is no reference folder.
#define DCL_NEEDS_REFERENCE()           \
  if (!::dcl::test::reference_folder()) \
  GTEST_SKIP() << "no reference values: set DCL_REFERENCE_DIR to the folder that holds them"
