// Pickles of protocol 2, opcode by opcode, in the subset that PyTorch's restricted unpickler takes. Private to lib/io.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/torch/pickle_opcodes.h"

namespace dcl {

/// Each function leaves one value on the unpickler's stack, but op(), which appends a bare opcode.
class PickleWriter {
 public:
  PickleWriter() { op(Opcode::proto), bytes_ += '\2'; }

  void op(Opcode opcode) { bytes_ += static_cast<char>(opcode); }
  void integer(int64_t value);
  void text(std::string_view text);
  void global(std::string_view module, std::string_view name);
  /// A call without arguments.
  void call(std::string_view module, std::string_view name);
  void integers(std::span<const int64_t> values);  ///< a tuple
  /// Ends the pickle.
  std::string take();

 private:
  std::string bytes_;
};

}  // namespace dcl
