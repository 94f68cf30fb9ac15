// Host memory in the place of a GPU's. What a CUDA graph cannot hold, and copies without waiting of memory that is not
// page-locked, are refused.
#include "cuda/runtime.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "core/extent.h"
#include "cuda/emulation/emulator.h"
#include "cuda/emulation/memory.h"
#include "cuda/emulation/stream.h"

struct CUevent_st {
  std::atomic<uint64_t> mark{0};
};

namespace dcl::cuda {
namespace {

constexpr size_t kMemory = size_t{4} << 30;  // what the emulated device says it has

void copy(void* to, const void* from, size_t bytes) {
  emulation::enqueue([=] { std::memcpy(to, from, bytes); });
}

void finish() { emulation::wait_until(emulation::enqueued()); }

class HostBlocks {
 public:
  void add(const void* data, size_t bytes) {
    const std::lock_guard lock(mutex_);
    blocks_[static_cast<const char*>(data)] = bytes;
  }
  void remove(const void* data) {
    const std::lock_guard lock(mutex_);
    blocks_.erase(static_cast<const char*>(data));
  }
  void require(const void* data, size_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto* at = static_cast<const char*>(data);
    auto block = blocks_.upper_bound(at);
    if (block == blocks_.begin() || at + bytes > (--block)->first + block->second)
      fail(ErrorKind::internal, "a copy without waiting of memory that is not page-locked");
  }

 private:
  std::mutex mutex_;
  std::map<const char*, size_t> blocks_;
};

HostBlocks& host_blocks() {
  static HostBlocks one;
  return one;
}

}  // namespace

struct RecordedGraph {
  emulation::Recording work;
};

Device open_device() {
  const char* capability = std::getenv("DCL_EMULATION_CAPABILITY");
  const int number = capability ? std::atoi(capability) : 90;
  return {"emulated on the CPU, one thread", 3, number, number, emulation::kSharedMemoryOfBlock, {}};
}

Stream create_stream() {
  emulation::defer_work();
  return nullptr;
}
void destroy_stream(Stream) noexcept { emulation::drain(); }
void synchronize(Stream) {
  emulation::forbid_while_recording("waiting for the device");
  finish();
}

void* allocate(size_t bytes, Stream) {
  emulation::forbid_while_recording("an allocation");
  finish();
  void* data = emulation::allocate_device(bytes);
  if (!data)
    fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of emulated memory");
  return data;
}
void release(void* data) noexcept {
  emulation::drain();
  emulation::release_device(data);
}
size_t free_memory() { return kMemory; }

void* allocate_host(size_t bytes) {
  emulation::forbid_while_recording("an allocation");
  void* data = std::aligned_alloc(64, static_cast<size_t>(round_up(static_cast<int64_t>(bytes), 64)));
  if (!data) fail(ErrorKind::out_of_memory, "cannot allocate " + std::to_string(bytes >> 20) + " MiB of memory");
  std::memset(data, 0, bytes);
  host_blocks().add(data, bytes);
  return data;
}
void release_host(void* data) noexcept {
  emulation::drain();
  host_blocks().remove(data);
  std::free(data);
}

void copy_to_device(void* to, const void* host, size_t bytes, Stream) {
  emulation::forbid_while_recording("a copy from the host");
  copy(to, host, bytes);
  finish();
}
void copy_to_host(void* host, const void* from, size_t bytes, Stream) {
  emulation::forbid_while_recording("a copy to the host");
  copy(host, from, bytes);
  finish();
}
void enqueue_to_device(void* to, const void* host, size_t bytes, Stream) {
  host_blocks().require(host, bytes);
  copy(to, host, bytes);
}
void enqueue_to_host(void* host, const void* from, size_t bytes, Stream) {
  host_blocks().require(host, bytes);
  copy(host, from, bytes);
}
void copy_on_device(void* to, const void* from, size_t bytes, Stream) { copy(to, from, bytes); }

void forget(void* data, size_t bytes, Stream) {
  emulation::enqueue([=] { std::memset(data, 0xFF, bytes); });
}

Event create_event() { return new CUevent_st; }
void destroy_event(Event event) noexcept { delete event; }
void record_event(Event event, Stream) {
  emulation::forbid_while_recording("recording an event");
  event->mark = emulation::enqueued();
}
void wait_for(Event event) {
  emulation::forbid_while_recording("waiting for an event");
  emulation::wait_until(event->mark);
}

float device_time(Stream stream, const std::function<void()>& work, std::string& failure) {
  try {
    const auto begin = std::chrono::steady_clock::now();
    work();
    synchronize(stream);
    return std::chrono::duration<float, std::milli>(std::chrono::steady_clock::now() - begin).count();
  } catch (const Error& error) {
    failure = error.what();
    return std::numeric_limits<float>::infinity();
  }
}

void begin_capture(Stream) { emulation::begin_recording(); }
RecordedGraph* end_capture(Stream) { return new RecordedGraph{emulation::end_recording()}; }
void abandon_capture(Stream) noexcept { emulation::end_recording(); }
void launch_graph(RecordedGraph* graph, Stream) {
  emulation::forbid_while_recording("launching a graph");
  for (const auto& work : graph->work) emulation::enqueue(work);
}
void destroy_graph(RecordedGraph* graph) noexcept { delete graph; }

}  // namespace dcl::cuda
