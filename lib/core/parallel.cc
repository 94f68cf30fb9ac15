#include "core/parallel.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <exception>
#include <future>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/control_groups.h"
#include "core/error.h"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace dcl {
namespace {

/// Threads beyond the time that a container has would take turns, and wait for each other at every loop's end.
int allowed_cores() {
  static const std::optional<double> quota = cpu_quota();
  std::array<cpu_set_t, 8> set{};  // 8192 processors, Linux's most: it refuses a set of fewer than a machine may have
  if (sched_getaffinity(0, sizeof set, set.data()) != 0) return 1;
  const int count = std::max(CPU_COUNT_S(sizeof set, set.data()), 1);
  return quota && *quota < count ? static_cast<int>(std::ceil(*quota)) : count;
}

std::atomic<int> g_threads{0};

/// What the loop that this thread is in was asked to do afterwards.
using Task = void (*)() noexcept;
thread_local std::atomic<Task>* t_afterwards = nullptr;

}  // namespace

bool after_loop_on_every_thread(Task task) {
  if (t_afterwards) t_afterwards->store(task, std::memory_order_relaxed);
  return t_afterwards != nullptr;
}

int thread_count() {
#ifdef _OPENMP
  const int set = g_threads.load(std::memory_order_relaxed);
  return set > 0 ? set : allowed_cores();
#else
  return 1;
#endif
}

void set_thread_count(int count) {
  g_threads.store(count > 0 ? count : allowed_cores(), std::memory_order_relaxed);
#ifdef _OPENMP
  omp_set_num_threads(thread_count());
#endif
}

#ifdef _OPENMP
CallerThreads::CallerThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
CallerThreads::~CallerThreads() { omp_set_num_threads(before_); }
#else
CallerThreads::CallerThreads(int) {}
CallerThreads::~CallerThreads() = default;
#endif

void start_threads() {
#ifdef _OPENMP
  const int threads = thread_count();
  std::promise<void> all_started;
  const std::shared_future<void> go = all_started.get_future().share();
  std::vector<std::thread> others;
  std::string reason;
  try {
    for (int i = 1; i < threads; ++i) others.emplace_back([go] { go.wait(); });
  } catch (const std::exception& error) {
    reason = error.what();
  }
  all_started.set_value();
  for (std::thread& other : others) other.join();
  if (!reason.empty())
    fail(ErrorKind::environment, "cannot start " + std::to_string(threads) + " compute threads: " + reason +
                                     "; ask for fewer with --threads, or raise the limits of the process");
#pragma omp parallel num_threads(threads)
  {}
#endif
}

namespace detail {

void parallel_for_raw(int64_t count, void (*body)(void*, int64_t), void* context) {
#ifdef _OPENMP
  const int threads = thread_count();
  if (threads > 1 && count > 1 && !omp_in_parallel()) {
    std::exception_ptr error;
    std::mutex error_mutex;
    std::atomic<Task> afterwards{nullptr};
#pragma omp parallel num_threads(threads)
    {
      t_afterwards = &afterwards;
#pragma omp for schedule(dynamic, 1) nowait
      for (int64_t i = 0; i < count; ++i) {
        try {
          body(context, i);
        } catch (...) {
          const std::lock_guard lock(error_mutex);
          if (!error) error = std::current_exception();
        }
      }
      t_afterwards = nullptr;
    }
    if (const Task task = afterwards.load(std::memory_order_relaxed)) {
#pragma omp parallel num_threads(threads)
      task();
    }
    if (error) std::rethrow_exception(error);
    return;
  }
#endif
  for (int64_t i = 0; i < count; ++i) body(context, i);
}

}  // namespace detail
}  // namespace dcl
