#include "cuda/emulation/stream.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "core/error.h"
#include "cuda/emulation/memory.h"

namespace dcl::cuda::emulation {
namespace {

thread_local std::optional<Recording> recording;

void run_now(const std::function<void()>& work) {
  const DeviceAccess access;
  work();
}

class Queue {
 public:
  Queue() {
    std::thread([this] { work(); }).detach();
  }

  void push(std::function<void()> work) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
    ++enqueued_;
  }

  uint64_t enqueued() {
    const std::lock_guard lock(mutex_);
    return enqueued_;
  }

  void wait_until(uint64_t mark) {
    std::unique_lock lock(mutex_);
    run(lock, mark);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  void drain() {
    std::unique_lock lock(mutex_);
    run(lock, enqueued_);
  }

 private:
  void run(std::unique_lock<std::mutex>& lock, uint64_t mark) {
    wanted_ = std::max(wanted_, mark);
    changed_.notify_all();
    changed_.wait(lock, [&] { return done_ >= mark; });
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return done_ < wanted_ && !waiting_.empty(); });
      const std::function<void()> next = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      std::exception_ptr failure;
      try {
        run_now(next);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure && !failure_) failure_ = failure;
      ++done_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  uint64_t enqueued_ = 0, wanted_ = 0, done_ = 0;
  std::exception_ptr failure_;
};

bool deferred = false;

/// Never destroyed, since its thread never ends.
Queue& queue() {
  static Queue& one = *new Queue;
  return one;
}

}  // namespace

void defer_work() { deferred = true; }

void enqueue(std::function<void()> work) {
  if (recording) return recording->push_back(std::move(work));
  deferred ? queue().push(std::move(work)) : run_now(work);
}

uint64_t enqueued() { return deferred ? queue().enqueued() : 0; }

void wait_until(uint64_t mark) {
  if (deferred) queue().wait_until(mark);
}

void drain() noexcept {
  if (deferred) queue().drain();
}

void begin_recording() {
  forbid_while_recording("another recording");
  recording.emplace();
}

Recording end_recording() {
  if (!recording) fail(ErrorKind::internal, "no graph is being recorded");
  return *std::exchange(recording, std::nullopt);
}

void load_kernel(const void* kernel) {
  static std::mutex mutex;
  static std::set<const void*> loaded;
  const std::lock_guard lock(mutex);
  if (loaded.contains(kernel)) return;
  forbid_while_recording("the first launch of a kernel");
  loaded.insert(kernel);
}

void forbid_while_recording(const char* what) {
  if (recording) fail(ErrorKind::internal, std::string(what) + " while a graph is being recorded");
}

}  // namespace dcl::cuda::emulation
