// The one set of compute threads of the process (OpenMP, shared with oneDNN so that two pools never fight for cores).
// Invariant for determinism: callers cut work into pieces whose number does not depend on the thread count, and
// combine partial results in the order of the pieces.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace dcl {

/// Threads used by parallel_for; starts as the number of cores this process may run on, by its affinity and by the CPU
/// quota of its control groups, rounded up.
int thread_count();
/// Sets it; values below 1 mean "all cores this process may run on".
void set_thread_count(int count);

/// Starts the compute threads, which the first loop would do otherwise, where OpenMP ends the process when it cannot.
/// Error{environment} when the process may not have as many.
void start_threads();

/// OpenMP keeps the number of threads for each thread that starts loops. While this lives, the thread that made it has
/// `threads` of them, also in libraries; afterwards what it had before.
class CallerThreads {
 public:
  explicit CallerThreads(int threads = thread_count());
  ~CallerThreads();
  CallerThreads(const CallerThreads&) = delete;
  CallerThreads& operator=(const CallerThreads&) = delete;

 private:
  int before_ = 0;
};

/// Called inside of a parallel loop: once the loop is done, `task` runs once on each thread that it may use, whether
/// the thread had a piece this time or not. False, and nothing happens, outside of a loop. One task is kept.
bool after_loop_on_every_thread(void (*task)() noexcept);

namespace detail {
void parallel_for_raw(int64_t count, void (*body)(void*, int64_t), void* context);
}

/// Calls body(i) once for every i in [0, count), on any thread and in any order; an exception of any call is rethrown
/// here. Nested calls run serially.
template <class Body>
void parallel_for(int64_t count, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::parallel_for_raw(
      count, [](void* context, int64_t i) { (*static_cast<Plain*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

/// body(slot, index) for every index below `count`, by at most `slots` threads; no two calls with one slot run at the
/// same time. Slots are for memory of a thread's own.
template <class Body>
void parallel_for_on_slots(int slots, int64_t count, Body&& body) {
  std::atomic<int64_t> next{0};
  parallel_for(slots, [&](int64_t slot) {
    for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;)
      body(static_cast<int>(slot), index);
  });
}

/// Cuts [0, total) into pieces of `grain` (the last may be shorter) and calls body(begin, end) for each in parallel.
template <class Body>
void parallel_chunks(int64_t total, int64_t grain, Body&& body) {
  const int64_t pieces = (total + grain - 1) / grain;
  parallel_for(pieces, [&](int64_t piece) {
    const int64_t begin = piece * grain;
    const int64_t end = begin + grain < total ? begin + grain : total;
    body(begin, end);
  });
}

}  // namespace dcl
