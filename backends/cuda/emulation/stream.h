// The emulated stream. Work is done as late as a device may do it: when somebody waits for it, on a thread of its own.
// So host memory that is written before a copy has read it, or read before one has written it, shows. While a graph is
// being recorded work is kept instead, with its arguments by value as a CUDA graph keeps them, so that a number baked
// into a graph shows.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace dcl::cuda::emulation {

using Recording = std::vector<std::function<void()>>;

/// From now on work waits until it is waited for; without it, it is done when it is enqueued.
void defer_work();
/// `work` runs with device memory within reach (memory.h).
void enqueue(std::function<void()> work);
/// How much was enqueued so far.
uint64_t enqueued();
/// Returns when the first `mark` pieces of work are done; throws what one of them threw. From any thread.
void wait_until(uint64_t mark);
/// Returns when everything is done, as before memory is taken back. What was thrown is left for wait_until.
void drain() noexcept;

/// By this thread.
void begin_recording();
Recording end_recording();
/// A device loads a kernel when it is first launched, for which a recording is no place: throws Error{internal} when
/// that happens while this thread records a graph.
void load_kernel(const void* kernel);
/// Throws Error{internal} naming `what` while this thread records a graph, where CUDA would refuse or leave it out.
void forbid_while_recording(const char* what);

}  // namespace dcl::cuda::emulation
