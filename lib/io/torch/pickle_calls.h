// What calling one of the allowed names makes of its arguments. Private to lib/io.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/torch/pickle.h"
#include "io/torch/pickle_globals.h"

namespace dcl {

/// Beside the document while it is built.
struct PickleCalls {
  std::vector<Global> globals;                 ///< of the values of kind global
  std::map<std::string, size_t> storage_keys;  ///< into PickleDocument::storages: the first with that key
  size_t copied_items = 0;
};

/// The pickle may be in order, but holds what is not read.
class UnsupportedPickle : public Error {
 public:
  explicit UnsupportedPickle(const std::string& what) : Error(ErrorKind::data, what) {}
};

// Both return the resulting value, or throw UnsupportedPickle, or Error{data} that says what is wrong with the
// arguments, not where.

PickleRef call_global(PickleDocument& document, PickleCalls& calls, PickleRef callee, PickleRef arguments);
PickleRef storage_of_id(PickleDocument& document, PickleCalls& calls, PickleRef id, StorageIds ids);

}  // namespace dcl
