// Shared memory of the emulated block: poisoned when the block starts, guarded around every array.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace dcl::cuda::emulation {

class SharedMemory {
 public:
  /// More dynamic memory than every GPU has is asked for by kernels for tensor cores alone.
  void start_launch(size_t dynamic_bytes);
  void start_block();
  void* array(const void* key, const char* name, size_t bytes);
  void* dynamic();
  /// Throws Error{internal} when a guard was written to.
  void check_guards() const;

 private:
  struct Array {
    const void* key;
    std::string name;
    size_t offset, bytes;
  };
  std::byte* place(const void* key, const char* name, size_t bytes);

  std::vector<std::byte> memory_;
  std::vector<Array> arrays_;  // of the running block
  size_t most_ = 0;            // bytes of a block
  size_t dynamic_bytes_ = 0, static_bytes_ = 0;
  size_t taken_ = 0, used_ = 0;  // by arrays; with their guards
};

}  // namespace dcl::cuda::emulation
