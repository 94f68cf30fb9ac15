// Writing messages in protobuf's wire format, by field number. A large field need not lie in memory: its head is
// written into a message and its content behind it, to the file.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "io/little_endian.h"

namespace dcl {

/// A message as its bytes so far. Fields may come in any order; one that is repeated is called once per element.
class ProtoMessage {
 public:
  /// int32, int64, uint64, bool and enumerations.
  ProtoMessage& integer(int field, int64_t value) {
    tag(field, kVarint);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  ProtoMessage& number(int field, float value) {
    tag(field, kFixed32);
    return fixed(std::bit_cast<uint32_t>(value));
  }
  ProtoMessage& number(int field, double value) {
    tag(field, kFixed64);
    return fixed(std::bit_cast<uint64_t>(value));
  }
  /// string and bytes.
  ProtoMessage& text(int field, std::string_view value) {
    head(field, value.size());
    bytes_ += value;
    return *this;
  }
  ProtoMessage& message(int field, const ProtoMessage& value) { return text(field, value.bytes_); }
  /// The fields of another message, as if they had been written to this one.
  ProtoMessage& append(const ProtoMessage& fields) {
    bytes_ += fields.bytes_;
    return *this;
  }
  /// A repeated field of doubles, packed.
  ProtoMessage& packed(int field, std::span<const double> values) {
    head(field, values.size_bytes());
    for (const double value : values) fixed(std::bit_cast<uint64_t>(value));
    return *this;
  }
  /// What stands before the `size` bytes of a message, string or bytes field, which must follow.
  ProtoMessage& head(int field, uint64_t size) {
    tag(field, kDelimited);
    varint(size);
    return *this;
  }

  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr uint64_t kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5;

  void tag(int field, uint64_t wire_type) { varint(static_cast<uint64_t>(field) << 3 | wire_type); }
  void varint(uint64_t value) {
    for (; value > 127; value >>= 7) bytes_ += static_cast<char>((value & 127) | 128);
    bytes_ += static_cast<char>(value);
  }
  template <class Bits>
  ProtoMessage& fixed(Bits bits) {
    append_fields(bytes_, bits);
    return *this;
  }

  std::string bytes_;
};

}  // namespace dcl
