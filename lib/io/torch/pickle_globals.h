// The names that a pickle of tensors may mention. Private to lib/io.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "io/file_dtype.h"

namespace dcl {

enum class Symbol : uint8_t {
  dict,                 ///< OrderedDict, Counter: nothing, a dict, or a list of pairs -> dict
  set,                  ///< list -> set
  opaque,               ///< bytes and complex numbers, of anything
  size,                 ///< torch.Size: tuple -> tuple
  device,               ///< its name and index -> text
  tensor,               ///< _rebuild_tensor, _rebuild_tensor_v2: storage, offset, shape, strides, ... -> tensor
  tensor_v3,            ///< the same with the dtype in seventh place, for untyped storages
  parameter,            ///< tensor, ... -> that tensor
  typed_tensor,         ///< _rebuild_from_type_v2: one of the functions above, type, its arguments, state -> tensor
  tensor_type,          ///< torch.Tensor; only as such a type
  storage_type,         ///< torch.FloatStorage, ...; only in persistent ids
  untyped_storage,      ///< torch.UntypedStorage, torch.storage.UntypedStorage; only in persistent ids
  dtype,                ///< torch.float32, ...
  unsupported_storage,  ///< of a type that this project does not read
  unsupported_dtype,
  unsupported_tensor,  ///< a function that makes tensors of a kind that this project does not read
};

struct Global {
  Symbol symbol = Symbol::dict;
  FileDType dtype = FileDType::f32;  ///< of storage_type and dtype
  std::string_view kind = {};        ///< of unsupported_tensor: what such a tensor is, and what to save instead
};

/// Nothing for a name that is not on the list.
std::optional<Global> find_global(std::string_view module, std::string_view name);

/// "FloatStorage": the class in module torch of the storages of a type.
std::string_view storage_name(FileDType type);

}  // namespace dcl
