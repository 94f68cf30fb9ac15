#include "cuda/emulation/shared_memory.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/extent.h"
#include "cuda/emulation/emulator.h"

namespace dcl::cuda::emulation {
namespace {

constexpr size_t kMaxStatic = 48 << 10;
constexpr size_t kGuard = 64;  // bytes on each side; also the alignment
constexpr size_t kMostArrays = 64;
constexpr std::byte kGuardByte{0xA5}, kPoison{0xFF};

}  // namespace

void SharedMemory::start_launch(size_t dynamic_bytes) {
  if (dynamic_bytes > kSharedMemoryWithTf32)
    fail(ErrorKind::internal, std::to_string(dynamic_bytes) + " bytes of shared memory");
  most_ = dynamic_bytes > kSharedMemoryOfBlock ? kSharedMemoryWithTf32 : kSharedMemoryOfBlock;
  memory_.resize(most_ + kMostArrays * 4 * kGuard);
  dynamic_bytes_ = dynamic_bytes;
}

void SharedMemory::start_block() {
  arrays_.clear();
  used_ = static_bytes_ = taken_ = 0;
}

std::byte* SharedMemory::place(const void* key, const char* name, size_t bytes) {
  for (const Array& array : arrays_)
    if (array.key == key) return memory_.data() + array.offset;
  taken_ += bytes;
  if (arrays_.size() == kMostArrays || bytes > most_ || taken_ > most_)
    fail(ErrorKind::internal, "shared array " + std::string(name) + " is beyond the shared memory of a block");
  std::byte* at = memory_.data() + (kGuard - reinterpret_cast<uintptr_t>(memory_.data()) % kGuard) % kGuard + used_;
  std::memset(at, static_cast<int>(kGuardByte), 2 * kGuard + padded(bytes, kGuard));
  std::memset(at + kGuard, static_cast<int>(kPoison), bytes);
  arrays_.push_back({key, name, static_cast<size_t>(at + kGuard - memory_.data()), bytes});
  used_ += kGuard + padded(bytes, kGuard);
  return at + kGuard;
}

void* SharedMemory::array(const void* key, const char* name, size_t bytes) {
  const size_t before = arrays_.size();
  std::byte* at = place(key, name, bytes);
  if (arrays_.size() != before) static_bytes_ += bytes;
  if (static_bytes_ > kMaxStatic)
    fail(ErrorKind::internal, "shared array " + std::string(name) + " is beyond the 48 KiB of declared arrays");
  return at;
}

void* SharedMemory::dynamic() { return place(this, "dynamic", dynamic_bytes_); }

void SharedMemory::check_guards() const {
  for (const Array& array : arrays_) {
    const std::byte* at = memory_.data() + array.offset;
    const auto intact = [](const std::byte* from, size_t bytes) {
      return std::all_of(from, from + bytes, [](std::byte b) { return b == kGuardByte; });
    };
    if (!intact(at - kGuard, kGuard)) fail(ErrorKind::internal, "kernel wrote before shared array " + array.name);
    if (!intact(at + array.bytes, padded(array.bytes, kGuard) - array.bytes + kGuard))
      fail(ErrorKind::internal, "kernel wrote past shared array " + array.name);
  }
}

}  // namespace dcl::cuda::emulation
