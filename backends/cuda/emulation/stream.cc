#include "cuda/emulation/stream.h"

#include <optional>
#include <string>
#include <utility>

#include "core/error.h"
#include "cuda/emulation/memory.h"

namespace dcl::cuda::emulation {
namespace {

std::optional<Recording> recording;

}  // namespace

void enqueue(std::function<void()> work) {
  if (recording) return recording->push_back(std::move(work));
  const DeviceAccess access;
  work();
}

void begin_recording() {
  forbid_while_recording("another recording");
  recording.emplace();
}

Recording end_recording() {
  if (!recording) fail(ErrorKind::internal, "no graph is being recorded");
  return *std::exchange(recording, std::nullopt);
}

void forbid_while_recording(const char* what) {
  if (recording) fail(ErrorKind::internal, std::string(what) + " while a graph is being recorded");
}

}  // namespace dcl::cuda::emulation
