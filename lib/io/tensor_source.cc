#include "io/tensor_source.h"

#include <set>
#include <string_view>

#include "core/error.h"
#include "io/file_dtype.h"
#include "io/tensor_limits.h"
#include "io/utf8.h"

namespace dcl {
namespace {

constexpr size_t kShownBytes = 64;  // of a name in a message

[[noreturn]] void fail_source(const TensorSource& tensor, const std::string& what) {
  fail(ErrorKind::internal, "writing tensor '" + tensor.name + "': " + what);
}

}  // namespace

TensorSource tensor_source_i64(std::string name, std::vector<int64_t> shape, std::span<const int64_t> values) {
  return {std::move(name), FileDType::i64, std::move(shape),
          [values](const ByteSink& sink) { sink(values.data(), values.size_bytes()); }};
}

uint64_t bytes_of(const TensorSource& tensor) {
  const std::optional<uint64_t> bytes = bytes_of_shape(tensor.dtype, tensor.shape);
  if (!bytes) fail_source(tensor, "it has the shape " + shape_text(tensor.shape));
  return *bytes;
}

void check_sources(std::span<const TensorSource> tensors) {
  std::set<std::string_view> names;
  for (const TensorSource& tensor : tensors) {
    const std::string& name = tensor.name;
    if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != name.npos || !is_utf8(name))
      fail(ErrorKind::data, "cannot write " + tensor_text(name.substr(0, kShownBytes)) + " (" +
                                std::to_string(name.size()) + " bytes): a tensor needs a name of 1 to " +
                                std::to_string(kMaxNameBytes) + " bytes in UTF-8");
    if (tensor.shape.size() > kMaxRank || !names.insert(name).second)
      fail_source(tensor, "its name stands twice, or its rank is above " + std::to_string(kMaxRank));
  }
  if (tensors.size() > kMaxTensors) fail(ErrorKind::internal, "writing tensors: there are too many");
}

void produce_into(const TensorSource& tensor, const ByteSink& sink) {
  uint64_t given = 0;
  tensor.produce([&](const void* data, size_t bytes) {
    given += bytes;
    sink(data, bytes);
  });
  if (const uint64_t expected = bytes_of(tensor); given != expected)
    fail_source(tensor, "it gave " + std::to_string(given) + " bytes, expected " + std::to_string(expected));
}

}  // namespace dcl
