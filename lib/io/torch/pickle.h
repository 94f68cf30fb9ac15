// Python pickles as torch.save writes them, read as data: the opcodes and names on an allow-list build values,
// everything else is refused by name, and nothing is ever executed or imported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/byte_source.h"
#include "io/file_dtype.h"
#include "io/torch/pickle_globals.h"

namespace dcl {

enum class PickleKind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  bytes,
  opaque,  ///< bytes or a number that a call makes; its value is not kept
  tuple,
  list,
  set,
  dict,
  global,
  storage,
  tensor
};

/// Index into PickleDocument::values. Values may be shared, and a list or dict may hold itself.
using PickleRef = uint32_t;

struct PickleValue {
  PickleKind kind = PickleKind::none;
  int64_t integer = 0;  ///< integer, boolean; index into globals, storages, tensors
  double real = 0;
  std::string text;              ///< text (valid UTF-8), bytes; decimal digits of an integer beyond 64 bits
  std::vector<PickleRef> items;  ///< tuple, list, set; dict: key, value, key, value, ...
};

/// What a persistent id says of a storage.
struct PickledStorage {
  std::string key;
  std::optional<FileDType> dtype;  ///< none: counted in bytes
  int64_t count = 0;               ///< of elements, or bytes
  /// A part of the storage that stands for it (views of storages in old files); else offset 0 and `count`.
  int64_t view_offset = 0, view_count = 0;
};

/// Arguments of a tensor's construction, of the right kinds, otherwise as they were found.
struct PickledTensor {
  size_t storage = 0;
  std::optional<FileDType> dtype;  ///< where it is not the storage's
  int64_t offset = 0;
  std::vector<int64_t> shape, strides;  ///< in elements
};

struct PickleDocument {
  std::vector<PickleValue> values;
  std::vector<PickledStorage> storages;
  std::vector<PickledTensor> tensors;
  PickleRef root = 0;
  uint64_t end = 0;  ///< position after its last byte

  const PickleValue& at(PickleRef ref) const { return values[ref]; }
};

/// Entries of a storage's persistent id: none may occur, ZIP files, legacy files.
enum class StorageIds : uint8_t { none = 0, zip = 5, legacy = 6 };

/// Reads the pickle at `start` of the source. Error{data} naming the source.
PickleDocument read_pickle(const ByteSource& source, uint64_t start, StorageIds ids);

}  // namespace dcl
