// From the value tree of a pickle to named tensors and scalars: containers become dotted names, and every tensor is
// proved to lie within its storage. Private to lib/io.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "io/tensor_file.h"
#include "io/torch/pickle.h"

namespace dcl {

/// A storage that at least one tensor uses.
struct TorchStorage {
  std::string key;
  uint64_t bytes = 0;
};

/// Where the elements of a tensor lie. Invariant: every element lies within its storage.
struct TorchView {
  size_t storage = 0;
  uint64_t offset = 0;           ///< bytes
  std::vector<int64_t> strides;  ///< elements, not negative
};

struct TorchContents {
  FileMetadata metadata;
  std::vector<FileTensor> tensors;  ///< position: index into views
  std::vector<std::string> notices;
  std::vector<TorchView> views;
  std::vector<TorchStorage> storages;
};

/// file_bytes bounds what the tensors may have together, shared storages and repeated elements counted again and again.
/// Error{data} whose message says what is wrong, without naming the file.
TorchContents torch_contents(const PickleDocument& document, uint64_t file_bytes);

}  // namespace dcl
