// Memory of the emulated device. Between launches and copies it can be neither read nor written, so that a host that
// follows a device pointer crashes here as it would on a GPU (DCL_EMULATION_PROTECT=0 leaves it open). So does a kernel
// that reads or writes past the end of a block, rounded up to 256 bytes.
#pragma once

#include <cstddef>

namespace dcl::cuda::emulation {

/// Zeroed; null when there is none.
void* allocate_device(size_t bytes);
void release_device(void* data) noexcept;

/// While one lives, device memory is within reach. May be nested, and held by several threads.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace dcl::cuda::emulation
