#include "io/torch/pickle_writer.h"

#include <limits>

namespace dcl {
namespace {

/// The lowest bytes of a value, little endian.
void append_number(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i);
}

}  // namespace

void PickleWriter::integer(int64_t value) {
  const auto bits = static_cast<uint64_t>(value);
  if (value >= 0 && value <= 0xFF) {
    op(Opcode::bin_int1);
    append_number(bytes_, bits, 1);
  } else if (value >= 0 && value <= 0xFFFF) {
    op(Opcode::bin_int2);
    append_number(bytes_, bits, 2);
  } else if (value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max()) {
    op(Opcode::bin_int);
    append_number(bytes_, bits, 4);
  } else {
    op(Opcode::long1);
    append_number(bytes_, 8, 1);
    append_number(bytes_, bits, 8);
  }
}

void PickleWriter::text(std::string_view text) {
  op(Opcode::bin_unicode);
  append_number(bytes_, text.size(), 4);
  bytes_ += text;
}

void PickleWriter::global(std::string_view module, std::string_view name) {
  op(Opcode::global);
  bytes_.append(module) += '\n';
  bytes_.append(name) += '\n';
}

void PickleWriter::call(std::string_view module, std::string_view name) {
  global(module, name);
  op(Opcode::empty_tuple);
  op(Opcode::reduce);
}

void PickleWriter::integers(std::span<const int64_t> values) {
  if (values.empty()) return op(Opcode::empty_tuple);
  op(Opcode::mark);
  for (const int64_t value : values) integer(value);
  op(Opcode::tuple);
}

std::string PickleWriter::take() {
  op(Opcode::stop);
  return std::move(bytes_);
}

}  // namespace dcl
