#include "io/torch/pickle_bytes.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/file.h"

namespace dcl {
namespace {

constexpr uint64_t kMaxStringBytes = uint64_t{64} << 10;
constexpr size_t kMaxLineBytes = 256;
constexpr size_t kBufferBytes = size_t{64} << 10;

}  // namespace

void PickleBytes::fail(const std::string& what) const {
  dcl::fail(ErrorKind::data, quoted(source_.name()) + ": its pickle is not valid: " + what + " (byte " +
                                 std::to_string(position_ - start_) + " of the pickle)");
}

void PickleBytes::fail_unsupported(const std::string& what) const {
  dcl::fail(ErrorKind::data, quoted(source_.name()) + ": " + what);
}

void PickleBytes::take(void* to, size_t bytes) {
  auto* out = static_cast<std::byte*>(to);
  while (bytes > 0) {
    if (used_ == buffer_.size()) {
      if (position_ >= source_.size()) fail("it is truncated");
      if (position_ - start_ >= kMaxPickleBytes)
        fail("it is longer than " + std::to_string(kMaxPickleBytes) + " bytes");
      buffer_.resize(static_cast<size_t>(std::min<uint64_t>(source_.size() - position_, kBufferBytes)));
      source_.read(position_, buffer_);
      used_ = 0;
    }
    const size_t now = std::min(bytes, buffer_.size() - used_);
    std::memcpy(out, buffer_.data() + used_, now);
    used_ += now, position_ += now, out += now, bytes -= now;
  }
}

std::string PickleBytes::text(uint64_t length) {
  if (length > kMaxStringBytes)
    fail("a string has " + std::to_string(length) + " bytes, expected at most " + std::to_string(kMaxStringBytes));
  std::string out(static_cast<size_t>(length), '\0');
  take(out.data(), out.size());
  return out;
}

std::string PickleBytes::line() {
  std::string out;
  for (char c = number<char>(); c != '\n'; c = number<char>()) {
    if (c <= 0x20 || c >= 0x7F || out.size() == kMaxLineBytes)
      fail("a name is not printable ASCII of at most " + std::to_string(kMaxLineBytes) + " bytes");
    out += c;
  }
  return out;
}

}  // namespace dcl
