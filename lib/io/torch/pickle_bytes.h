// Bytes of a pickle one after the other, from a source that goes on behind it. Private to lib/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/byte_source.h"

namespace dcl {

/// Of a whole pickle.
inline constexpr uint64_t kMaxPickleBytes = uint64_t{64} << 20;

class PickleBytes {
 public:
  PickleBytes(const ByteSource& source, uint64_t start) : source_(source), start_(start), position_(start) {}

  /// Little endian.
  template <class T>
  T number() {
    T value;
    take(&value, sizeof value);
    return value;
  }
  /// Error{data} before memory is taken when it is longer than a string may be.
  std::string text(uint64_t length);
  /// Up to a newline, which is taken and left out; printable ASCII of at most 256 bytes.
  std::string line();

  uint64_t position() const { return position_; }
  const std::string& name() const { return source_.name(); }
  /// Error{data}: the pickle is not valid, or it is and holds what is not read.
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail_unsupported(const std::string& what) const;

 private:
  void take(void* to, size_t bytes);

  const ByteSource& source_;
  uint64_t start_, position_;
  std::vector<std::byte> buffer_;
  size_t used_ = 0;  // of the buffer
};

}  // namespace dcl
