#include "cuda/runtime.h"

#include <dlfcn.h>

#include <cstring>
#include <limits>
#include <memory>
#include <string>

#include "core/host_memory.h"
#include "cuda/errors.h"
#include "cuda/probe.h"

namespace dcl::cuda {
namespace {

std::string mib(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

[[noreturn]] void unusable(const std::string& why) {
  fail(ErrorKind::environment, why + "; this program was built with CUDA " + version_text(CUDART_VERSION));
}

/// For what happens before there is a context, so that none is lost.
void check_opening(cudaError_t status, const char* what) {
  if (status == cudaErrorMemoryAllocation)
    fail(ErrorKind::out_of_memory, std::string(what) + ": the GPU has no memory left for a program: end others on it");
  if (status != cudaSuccess) unusable(std::string(what) + ": " + words(status));
}

/// The version of CUDA that the driver supports; says why when there is no driver.
int driver_version() {
  if (void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL))
    dlclose(driver);
  else
    unusable("no NVIDIA driver: libcuda.so.1 was not found");
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0)
    unusable("the NVIDIA driver does not say its version");
  return version;
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check_opening(cudaDeviceGetAttribute(&value, which, device), "device attribute");
  return value;
}

}  // namespace

Device open_device() {
  require_context();
  const int driver = driver_version();
  const std::string supports = " (it supports CUDA " + version_text(driver) + ")";
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver) unusable("the NVIDIA driver is too old" + supports + ": update it");
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    unusable("the NVIDIA driver sees no GPU" + supports + "; is CUDA_VISIBLE_DEVICES set?");
  if (status == cudaErrorSystemDriverMismatch)
    unusable("the NVIDIA driver was updated while it ran: restart the machine (" + words(status) + ")");
  check_opening(status, "looking for a GPU");
  int device = 0;
  check_opening(cudaGetDevice(&device), "choosing a GPU");
  check_opening(cudaSetDevice(device), "choosing a GPU");
  cudaDeviceProp properties;
  check_opening(cudaGetDeviceProperties(&properties, device), "properties of the GPU");
  const std::string capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
  int architecture = 0;
  const cudaError_t runs = probe_kernels(architecture);
  if (runs == cudaErrorNoKernelImageForDevice || runs == cudaErrorInvalidDeviceFunction ||
      runs == cudaErrorUnsupportedPtxVersion)
    unusable(std::string(properties.name) + " has compute capability " + capability +
             ", for which no kernels were built: configure with -Dgpu_archs");
  check_opening(runs, "loading the kernels");
  int runtime = 0;
  check_opening(cudaRuntimeGetVersion(&runtime), "version of the runtime");
  return {std::string(properties.name) + ", " + mib(properties.totalGlobalMem) + ", compute capability " + capability,
          attribute(cudaDevAttrMultiProcessorCount, device),
          10 * properties.major + properties.minor,
          architecture,
          static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device)),
          {{"CUDA driver", version_text(driver)}, {"CUDA runtime", version_text(runtime)}}};
}

Stream create_stream() {
  require_context();
  Stream stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream");
  return stream;
}

void destroy_stream(Stream stream) noexcept {
  if (stream && !context_lost()) cudaStreamDestroy(stream);
}

void synchronize(Stream stream) {
  require_context();
  check(cudaStreamSynchronize(stream), "waiting for the GPU");
}

void* allocate(size_t bytes, Stream stream) {
  require_context();
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // the error is not sticky; take it away
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "free memory of the GPU");
    fail(ErrorKind::out_of_memory, "cannot allocate " + mib(bytes) + " on the GPU: " + mib(free) + " of " + mib(total) +
                                       " are free; use a smaller batch, or end other programs on this GPU");
  }
  check(status, "allocating memory on the GPU");
  try {
    check(cudaMemsetAsync(data, 0, bytes, stream), "clearing memory");
    synchronize(stream);
  } catch (...) {
    release(data);
    throw;
  }
  return data;
}

void release(void* data) noexcept {
  if (data && !context_lost()) cudaFree(data);
}

void copy_to_device(void* to, const void* host, size_t bytes, Stream stream) {
  enqueue_to_device(to, host, bytes, stream);
  synchronize(stream);
}

void copy_to_host(void* host, const void* from, size_t bytes, Stream stream) {
  enqueue_to_host(host, from, bytes, stream);
  synchronize(stream);
}

void copy_on_device(void* to, const void* from, size_t bytes, Stream stream) {
  require_context();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream), "copy on the GPU");
}

size_t free_memory() {
  require_context();
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "free memory of the GPU");
  return free;
}

void* allocate_host(size_t bytes) {
  require_context();
  require_host_memory(bytes);
  void* data = nullptr;
  const cudaError_t status = cudaMallocHost(&data, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    fail(ErrorKind::out_of_memory, "cannot allocate " + mib(bytes) +
                                       " of page-locked memory of this machine (not of the GPU): use a smaller batch");
  }
  check(status, "allocating page-locked memory");
  std::memset(data, 0, bytes);
  return data;
}

void release_host(void* data) noexcept {
  if (data && !context_lost()) cudaFreeHost(data);
}

void enqueue_to_device(void* to, const void* host, size_t bytes, Stream stream) {
  require_context();
  check(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream), "copy to the GPU");
}

void enqueue_to_host(void* host, const void* from, size_t bytes, Stream stream) {
  require_context();
  check(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream), "copy from the GPU");
}

void forget(void*, size_t, Stream) {}

Event create_event() {
  require_context();
  Event event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync), "creating an event");
  return event;
}

void destroy_event(Event event) noexcept {
  if (event && !context_lost()) cudaEventDestroy(event);
}

void record_event(Event event, Stream stream) {
  require_context();
  check(cudaEventRecord(event, stream), "recording an event");
}

void wait_for(Event event) {
  require_context();
  check(cudaEventSynchronize(event), "waiting for the GPU");
}

namespace {

class TimedEvent {
 public:
  TimedEvent() { check(cudaEventCreate(&event_), "creating an event"); }
  ~TimedEvent() { destroy_event(event_); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

float device_time(Stream stream, const std::function<void()>& work, std::string& failure) {
  require_context();
  try {
    const TimedEvent begin, end;
    check(cudaEventRecord(begin.get(), stream), "recording an event");
    work();
    check(cudaEventRecord(end.get(), stream), "recording an event");
    check(cudaEventSynchronize(end.get()), "timing a convolution");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "reading a time");
    return milliseconds;
  } catch (const Error& error) {
    require_intact_context();
    failure = error.what();
    return std::numeric_limits<float>::infinity();
  }
}

struct RecordedGraph {
  cudaGraphExec_t executable = nullptr;
};

void begin_capture(Stream stream) {
  require_context();
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a graph");
}

RecordedGraph* end_capture(Stream stream) {
  require_context();
  cudaGraph_t recorded = nullptr;
  check(cudaStreamEndCapture(stream, &recorded), "recording a graph");
  auto graph = std::make_unique<RecordedGraph>();
  const cudaError_t status = cudaGraphInstantiate(&graph->executable, recorded, 0);
  cudaGraphDestroy(recorded);
  check(status, "preparing a graph");
  return graph.release();
}

void abandon_capture(Stream stream) noexcept {
  if (context_lost()) return;
  cudaGraph_t recorded = nullptr;
  cudaStreamEndCapture(stream, &recorded);
  if (recorded) cudaGraphDestroy(recorded);
  cudaGetLastError();
}

void launch_graph(RecordedGraph* graph, Stream stream) {
  require_context();
  check(cudaGraphLaunch(graph->executable, stream), "launching a graph");
}

void destroy_graph(RecordedGraph* graph) noexcept {
  if (graph && !context_lost()) cudaGraphExecDestroy(graph->executable);
  delete graph;
}

}  // namespace dcl::cuda
