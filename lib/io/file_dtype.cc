#include "io/file_dtype.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"
#include "core/file.h"

namespace dcl {
namespace {

struct TypeFacts {
  std::string_view name;
  size_t size;
};

constexpr TypeFacts kFacts[] = {
    {"I64", 8}, {"F64", 8}, {"F32", 4}, {"I32", 4}, {"BF16", 2},
    {"F16", 2}, {"I16", 2}, {"I8", 1},  {"U8", 1},  {"BOOL", 1},
};
static_assert(std::size(kFacts) == static_cast<size_t>(FileDType::boolean) + 1);

}  // namespace

size_t size_of(FileDType type) { return kFacts[static_cast<size_t>(type)].size; }
std::string_view name_of(FileDType type) { return kFacts[static_cast<size_t>(type)].name; }

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

bool is_floating(FileDType type) {
  return type == FileDType::f64 || type == FileDType::f32 || type == FileDType::f16 || type == FileDType::bf16;
}

std::optional<uint64_t> bytes_of_shape(FileDType type, std::span<const int64_t> shape) {
  auto bytes = static_cast<int64_t>(size_of(type));
  bool empty = false;
  for (const int64_t extent : shape) {
    empty = empty || extent == 0;
    if (extent < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes)) return std::nullopt;
  }
  return empty ? 0 : static_cast<uint64_t>(bytes);
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t axis = 0; axis < shape.size(); ++axis) out += (axis ? ", " : "") + std::to_string(shape[axis]);
  return out + "]";
}

std::string tensor_text(std::string_view name) { return "tensor " + quoted(std::string(name)); }

}  // namespace dcl
