// The emulated stream. Work is done when it is enqueued; while a graph is being recorded it is kept instead, with its
// arguments by value as a CUDA graph keeps them, so that a number baked into a graph shows.
#pragma once

#include <functional>
#include <vector>

namespace dcl::cuda::emulation {

using Recording = std::vector<std::function<void()>>;

/// `work` runs with device memory within reach (memory.h).
void enqueue(std::function<void()> work);
void begin_recording();
Recording end_recording();
/// Throws Error{internal} naming `what` while a graph is being recorded, where CUDA would refuse or leave it out.
void forbid_while_recording(const char* what);

}  // namespace dcl::cuda::emulation
