// Element types of tensors in files, whatever the format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/dtype.h"

namespace dcl {

/// Element types that this project stores or converts, in the order in which the reference writer of safetensors places
/// tensors. A file with another one is refused at open, naming type and tensor.
enum class FileDType : uint8_t { i64, f64, f32, i32, bf16, f16, i16, i8, u8, boolean };
size_t size_of(FileDType type);
std::string_view name_of(FileDType type);  ///< as in a safetensors header: "F32", ...
FileDType file_dtype(DType type);
bool is_floating(FileDType type);

/// Bytes of a tensor. Nothing when an extent is negative, or when 63 bits do not hold the size that it would have with
/// every extent of 0 as 1: so products of any of the extents fit, too.
std::optional<uint64_t> bytes_of_shape(FileDType type, std::span<const int64_t> shape);

std::string shape_text(std::span<const int64_t> shape);  ///< "[64, 3, 3, 3]"
std::string tensor_text(std::string_view name);          ///< "tensor 'f.0.weight'", escaped

}  // namespace dcl
