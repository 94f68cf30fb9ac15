// Arithmetic on extents, and cutting of caller-owned workspaces.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dcl {

constexpr int64_t ceil_div(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }
constexpr int64_t round_up(int64_t value, int64_t unit) { return ceil_div(value, unit) * unit; }

inline constexpr size_t kCacheLine = 64;
/// Bytes rounded up, so that what follows is aligned.
constexpr size_t padded(size_t bytes, size_t unit = kCacheLine) { return (bytes + unit - 1) / unit * unit; }

/// Cuts a workspace into 64-byte aligned arrays; with a null base it only measures.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t count) {
    char* at = base_ ? base_ + used_ : nullptr;
    used_ += static_cast<size_t>(round_up(count * static_cast<int64_t>(sizeof(T)), 64));
    return reinterpret_cast<T*>(at);
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

}  // namespace dcl
