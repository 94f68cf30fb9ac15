// Fields of binary formats, all of which are little endian. Private to lib/io.
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

namespace dcl {

static_assert(std::endian::native == std::endian::little, "files are little endian and handled without swapping");

template <class T>
T load_unaligned(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// The range must have been checked.
template <class T>
T field(std::span<const std::byte> bytes, size_t at) {
  return load_unaligned<T>(bytes.data() + at);
}

template <class... T>
void append_fields(std::string& out, T... values) {
  (out.append(reinterpret_cast<const char*>(&values), sizeof values), ...);
}

}  // namespace dcl
