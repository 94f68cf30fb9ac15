// Host memory in the place of a GPU's.
#include "cuda/runtime.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"
#include "core/extent.h"
#include "cuda/emulation/memory.h"
#include "cuda/emulation/stream.h"

namespace dcl::cuda {
namespace {

constexpr size_t kMemory = size_t{4} << 30;  // what the emulated device says it has

void copy(void* to, const void* from, size_t bytes) {
  emulation::enqueue([=] { std::memcpy(to, from, bytes); });
}

}  // namespace

struct Graph {
  emulation::Recording work;
};

Device open_device() { return {"emulated on the CPU, one thread", 3, 90, {}}; }

Stream create_stream() { return nullptr; }
void destroy_stream(Stream) noexcept {}
void synchronize(Stream) { emulation::forbid_while_recording("waiting for the device"); }

void* allocate(size_t bytes, Stream) {
  emulation::forbid_while_recording("an allocation");
  void* data = emulation::allocate_device(bytes);
  if (!data)
    fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of emulated memory");
  return data;
}
void release(void* data) noexcept { emulation::release_device(data); }
size_t free_memory() { return kMemory; }

void* allocate_host(size_t bytes) {
  void* data = std::aligned_alloc(64, static_cast<size_t>(round_up(static_cast<int64_t>(bytes), 64)));
  if (!data) fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of memory");
  std::memset(data, 0, bytes);
  return data;
}
void release_host(void* data) noexcept { std::free(data); }

void copy_to_device(void* to, const void* host, size_t bytes, Stream) {
  emulation::forbid_while_recording("a copy from the host");
  copy(to, host, bytes);
}
void copy_to_host(void* host, const void* from, size_t bytes, Stream) {
  emulation::forbid_while_recording("a copy to the host");
  copy(host, from, bytes);
}
void enqueue_to_device(void* to, const void* host, size_t bytes, Stream) { copy(to, host, bytes); }
void enqueue_to_host(void* host, const void* from, size_t bytes, Stream) { copy(host, from, bytes); }
void copy_on_device(void* to, const void* from, size_t bytes, Stream) { copy(to, from, bytes); }

Event create_event() { return nullptr; }
void destroy_event(Event) noexcept {}
void record_event(Event, Stream) {}
void wait_for(Event) {}

void begin_capture(Stream) { emulation::begin_recording(); }
Graph* end_capture(Stream) { return new Graph{emulation::end_recording()}; }
void abandon_capture(Stream) noexcept { emulation::end_recording(); }
void launch_graph(Graph* graph, Stream) {
  const emulation::DeviceAccess access;  // once for all of it
  for (const auto& work : graph->work) emulation::enqueue(work);
}
void destroy_graph(Graph* graph) noexcept { delete graph; }

}  // namespace dcl::cuda
