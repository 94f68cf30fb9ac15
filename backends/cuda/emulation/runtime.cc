// Host memory in the place of a GPU's.
#include "cuda/runtime.h"

#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/extent.h"

namespace dcl::cuda {

Device open_device() { return {"emulated on the CPU, one thread", 3, 90, {}}; }

Stream create_stream() { return nullptr; }
void destroy_stream(Stream) noexcept {}
void synchronize(Stream) {}

void* allocate(size_t bytes, Stream) {
  void* data = std::aligned_alloc(256, static_cast<size_t>(round_up(static_cast<int64_t>(bytes), 256)));
  if (!data)
    fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of emulated memory");
  std::memset(data, 0, bytes);
  return data;
}
void release(void* data) noexcept { std::free(data); }

void copy_to_device(void* to, const void* host, size_t bytes, Stream) { std::memcpy(to, host, bytes); }
void copy_to_host(void* host, const void* from, size_t bytes, Stream) { std::memcpy(host, from, bytes); }
void copy_on_device(void* to, const void* from, size_t bytes, Stream) { std::memcpy(to, from, bytes); }

}  // namespace dcl::cuda
