// What the backend asks of the CUDA runtime, beyond launches: the device, memory and copies. runtime.cc asks CUDA;
// emulation/runtime.cc answers with host memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

struct CUstream_st;
struct CUevent_st;

namespace dcl::cuda {

using Stream = ::CUstream_st*;  // cudaStream_t
using Event = ::CUevent_st*;    // cudaEvent_t

struct Device {
  std::string name;  ///< in words, with memory and compute capability
  int multiprocessors = 1;
  int capability = 0;  ///< 10 major + minor
  /// What kernels were compiled for, likewise: less than the capability where a newer device compiles them itself.
  int kernels = 0;
  size_t shared_memory = 48 << 10;                             ///< most bytes of a block, declared and dynamic together
  std::vector<std::pair<std::string, std::string>> libraries;  ///< driver, runtime
};

/// The device of this process, made current for the calling thread. Throws Error{environment} with driver and toolkit
/// versions when there is none that can run these kernels.
Device open_device();

Stream create_stream();
void destroy_stream(Stream stream) noexcept;
void synchronize(Stream stream);

/// Zeroed, 256-byte aligned; complete on return. Throws Error{out_of_memory} with the sizes.
void* allocate(size_t bytes, Stream stream);
void release(void* data) noexcept;
/// Bytes that are free on the device.
size_t free_memory();
/// Page-locked memory of the host, zeroed.
void* allocate_host(size_t bytes);
void release_host(void* data) noexcept;
/// `host` may be reused on return.
void copy_to_device(void* to, const void* host, size_t bytes, Stream stream);
/// Complete on return, with everything enqueued before it.
void copy_to_host(void* host, const void* from, size_t bytes, Stream stream);
/// In the order of the stream, without waiting; `host` is page-locked.
void enqueue_to_device(void* to, const void* host, size_t bytes, Stream stream);
void enqueue_to_host(void* host, const void* from, size_t bytes, Stream stream);
void copy_on_device(void* to, const void* from, size_t bytes, Stream stream);

/// Nobody reads what this memory holds before it is written: nothing on a device; the emulator makes it NaN, in the
/// order of the stream.
void forget(void* data, size_t bytes, Stream stream);

Event create_event();
void destroy_event(Event event) noexcept;
void record_event(Event event, Stream stream);
/// From any thread; at once when the event was never recorded.
void wait_for(Event event);

/// Milliseconds that the device takes for what `work` enqueues, which is waited for. Infinite, with why in `failure`,
/// when that fails; throws when the device is lost by it.
float device_time(Stream stream, const std::function<void()>& work, std::string& failure);

/// Work recorded from a stream, ready to be launched again and again.
struct RecordedGraph;
/// Between the two, work enqueued on the stream by this thread is recorded instead of done.
void begin_capture(Stream stream);
RecordedGraph* end_capture(Stream stream);
void abandon_capture(Stream stream) noexcept;
void launch_graph(RecordedGraph* graph, Stream stream);
void destroy_graph(RecordedGraph* graph) noexcept;

}  // namespace dcl::cuda
