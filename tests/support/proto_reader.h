// Reads protobuf's wire format back, for tests of what is written in it.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dcl::test {

struct ProtoField {
  int number = 0, wire_type = 0;
  uint64_t value = 0;     ///< of a varint, or the bits of a fixed field
  std::string_view text;  ///< of a delimited field
};

/// The fields of a message whose bytes must stay; throws on anything malformed.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) {
    while (!bytes.empty()) {
      const uint64_t tag = varint(bytes);
      ProtoField field{static_cast<int>(tag >> 3), static_cast<int>(tag & 7), 0, {}};
      if (field.wire_type == 0)
        field.value = varint(bytes);
      else if (field.wire_type == 2)
        field.text = take(bytes, varint(bytes));
      else if (field.wire_type == 1 || field.wire_type == 5) {
        const std::string_view bits = take(bytes, field.wire_type == 1 ? 8 : 4);
        std::memcpy(&field.value, bits.data(), bits.size());
      } else
        throw std::runtime_error("wire type " + std::to_string(field.wire_type));
      fields.push_back(field);
    }
  }

  std::vector<ProtoField> all(int number) const {
    std::vector<ProtoField> found;
    for (const ProtoField& field : fields)
      if (field.number == number) found.push_back(field);
    return found;
  }
  /// The only field of that number.
  ProtoField one(int number) const {
    const auto found = all(number);
    if (found.size() != 1)
      throw std::runtime_error("field " + std::to_string(number) + " stands " + std::to_string(found.size()) +
                               " times");
    return found[0];
  }
  bool has(int number) const { return !all(number).empty(); }
  int64_t integer(int number) const { return static_cast<int64_t>(one(number).value); }
  std::string text(int number) const { return std::string(one(number).text); }
  ProtoReader message(int number) const { return ProtoReader(one(number).text); }
  template <class T>
  T number(int number) const {
    const ProtoField field = one(number);
    if (field.wire_type != (sizeof(T) == 8 ? 1 : 5)) throw std::runtime_error("another wire type");
    T value;
    std::memcpy(&value, &field.value, sizeof value);
    return value;
  }
  /// A packed field of numbers, or raw values.
  template <class T>
  std::vector<T> values(int number) const {
    const std::string_view text = one(number).text;
    std::vector<T> out(text.size() / sizeof(T));
    if (out.size() * sizeof(T) != text.size()) throw std::runtime_error("no whole number of values");
    std::memcpy(out.data(), text.data(), text.size());
    return out;
  }

  std::vector<ProtoField> fields;

 private:
  static std::string_view take(std::string_view& bytes, uint64_t count) {
    if (count > bytes.size()) throw std::runtime_error("truncated");
    const std::string_view out = bytes.substr(0, count);
    bytes.remove_prefix(count);
    return out;
  }
  static uint64_t varint(std::string_view& bytes) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      const auto byte = static_cast<uint8_t>(take(bytes, 1)[0]);
      value |= static_cast<uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw std::runtime_error("a varint of more than ten bytes");
  }
};

}  // namespace dcl::test
