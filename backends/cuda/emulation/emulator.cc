#include "cuda/emulation/emulator.h"

#include <algorithm>
#include <bit>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "cuda/emulation/language.h"
#include "cuda/emulation/shared_memory.h"
#include "cuda/emulation/tensor_core.h"
#include "cuda/emulation/warp.h"

namespace dcl::cuda::emulation {
namespace {

namespace context = boost::context;

constexpr unsigned kMaxThreads = 1024;
constexpr size_t kStackBytes = 256 << 10;  // reserved; only touched pages take memory

enum class State { ready, at_barrier, in_warp_call, ended };

struct Thread {
  context::fiber fiber;
  Index3 index;
  State state = State::ended;
  LaneCall waits;  // for a barrier, only where
  PendingCopies copies;
};

void check_launch(dim3 grid, dim3 block) {
  const auto within = [](dim3 of, unsigned x, unsigned y, unsigned z) {
    return of.x > 0 && of.y > 0 && of.z > 0 && of.x <= x && of.y <= y && of.z <= z;
  };
  if (within(grid, 0x7fffffff, 65535, 65535) && within(block, kMaxThreads, kMaxThreads, 64) &&
      block.x * block.y * block.z <= kMaxThreads)
    return;
  const auto text = [](dim3 of) {
    return std::to_string(of.x) + " x " + std::to_string(of.y) + " x " + std::to_string(of.z);
  };
  fail(ErrorKind::internal, "launch with blocks of " + text(block) + " threads and a grid of " + text(grid));
}

class Emulator {
 public:
  void run(dim3 grid, dim3 block, size_t dynamic_shared_bytes, const std::function<void()>& body);
  void barrier(const std::source_location& where) { suspend(State::at_barrier, where); }
  void exchange(const WarpCall& call, void* value, size_t bytes, const std::source_location& where);
  SharedMemory& shared() { return shared_; }
  PendingCopies& copies() { return running_->copies; }

 private:
  void start_fibers(unsigned count);
  void run_block();
  void resume(Thread& thread);
  void suspend(State state, const std::source_location& where);
  void thread_loop(Thread& thread);
  void release(unsigned thread);
  unsigned next_ready();
  void complete_barrier();
  void complete_warp_call(unsigned caller);
  [[noreturn]] void report_stuck() const;
  unsigned random(unsigned below);

  std::vector<Thread> threads_;
  std::vector<unsigned> ready_;
  context::fiber scheduler_;
  Thread* running_ = nullptr;
  unsigned count_ = 0;  // threads of the block
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr failure_;
  SharedMemory shared_;
  uint64_t random_state_ = [] {
    const char* seed = std::getenv("DCL_EMULATION_SEED");
    return seed ? std::strtoull(seed, nullptr, 10) : 1;
  }();
};

/// PCG (O'Neill 2014), 64-bit state: the order of threads needs no more.
unsigned Emulator::random(unsigned below) {
  random_state_ = random_state_ * 6364136223846793005u + 1442695040888963407u;
  const auto shifted = static_cast<uint32_t>(((random_state_ >> 18) ^ random_state_) >> 27);
  const uint32_t bits = std::rotr(shifted, static_cast<int>(random_state_ >> 59));
  return static_cast<unsigned>((uint64_t{bits} * below) >> 32);
}

void Emulator::start_fibers(unsigned count) {
  if (threads_.size() < kMaxThreads) threads_.resize(kMaxThreads);
  for (unsigned i = 0; i < count; ++i)
    if (!threads_[i].fiber)
      threads_[i].fiber = context::fiber(std::allocator_arg, context::protected_fixedsize_stack(kStackBytes),
                                         [this, i](context::fiber&& scheduler) {
                                           scheduler_ = std::move(scheduler);
                                           thread_loop(threads_[i]);
                                           return std::move(scheduler_);
                                         });
}

/// A fiber lives through many blocks: each round is one CUDA thread.
void Emulator::thread_loop(Thread& thread) {
  for (;;) {
    try {
      (*body_)();
    } catch (const std::exception&) {
      failure_ = std::current_exception();
    }
    thread.state = State::ended;
    scheduler_ = std::move(scheduler_).resume();
  }
}

void Emulator::resume(Thread& thread) {
  running_ = &thread;
  threadIdx = thread.index;
  thread.fiber = std::move(thread.fiber).resume();
}

void Emulator::suspend(State state, const std::source_location& where) {
  running_->state = state;
  running_->waits.where = where;
  scheduler_ = std::move(scheduler_).resume();
}

void Emulator::release(unsigned thread) {
  threads_[thread].state = State::ready;
  ready_.push_back(thread);
}

unsigned Emulator::next_ready() {
  std::swap(ready_[random(static_cast<unsigned>(ready_.size()))], ready_.back());
  const unsigned next = ready_.back();
  ready_.pop_back();
  return next;
}

void Emulator::run_block() {
  shared_.start_block();
  for (unsigned i = 0; i < count_; ++i) {
    threads_[i].copies.clear();
    release(i);
  }
  for (;;) {
    while (!ready_.empty()) {
      const unsigned next = next_ready();
      Thread& thread = threads_[next];
      resume(thread);
      if (failure_) std::rethrow_exception(failure_);
      if (thread.state == State::in_warp_call) complete_warp_call(next);
    }
    unsigned ended = 0;
    for (unsigned i = 0; i < count_; ++i) ended += threads_[i].state == State::ended;
    if (ended == count_) break;
    complete_barrier();
  }
  shared_.check_guards();
}

void Emulator::complete_barrier() {
  for (unsigned i = 0; i < count_; ++i)
    if (threads_[i].state != State::at_barrier || !same_site(threads_[i].waits.where, threads_[0].waits.where))
      report_stuck();
  for (unsigned i = 0; i < count_; ++i) release(i);
}

/// Unless lanes of the caller's mask are still missing.
void Emulator::complete_warp_call(unsigned caller) {
  const LaneCall& call = threads_[caller].waits;
  const unsigned first = caller / kLanes * kLanes;
  WarpLanes lanes{};
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!in_mask(call.call.mask, lane)) continue;
    if (first + lane >= count_) return;
    Thread& other = threads_[first + lane];
    if (other.state != State::in_warp_call || !same_operation(other.waits, call)) return;
    lanes[lane] = &other.waits;
  }
  exchange_values(lanes);
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (lanes[lane]) release(first + lane);
}

void Emulator::exchange(const WarpCall& call, void* value, size_t bytes, const std::source_location& where) {
  const auto lane = static_cast<unsigned>(running_ - threads_.data()) % kLanes;
  if (!in_mask(call.mask, lane))
    fail(ErrorKind::internal, site(where) + ": lane " + std::to_string(lane) + " is not in the mask it names");
  LaneCall& self = running_->waits;
  self.call = call;
  self.value = 0;
  if (bytes) std::memcpy(&self.value, value, bytes);
  suspend(State::in_warp_call, where);
  if (bytes) std::memcpy(value, &self.value, bytes);
}

void Emulator::report_stuck() const {
  unsigned ended = 0;
  std::string waiting;
  std::vector<bool> told(count_);
  for (unsigned i = 0; i < count_; ++i) {
    ended += threads_[i].state == State::ended;
    if (threads_[i].state == State::ended || told[i]) continue;
    unsigned same = 0;
    for (unsigned j = i; j < count_; ++j)
      if (threads_[j].state == threads_[i].state && same_site(threads_[j].waits.where, threads_[i].waits.where)) {
        told[j] = true;
        ++same;
      }
    waiting += (waiting.empty() ? "" : ", ") + std::to_string(same) + " of " + std::to_string(count_) +
               " threads wait " +
               (threads_[i].state == State::at_barrier ? "at the barrier in " : "in the warp operation in ") +
               site(threads_[i].waits.where);
  }
  fail(ErrorKind::internal, "block is stuck: " + waiting + ", " + std::to_string(ended) + " have ended");
}

void Emulator::run(dim3 grid, dim3 block, size_t dynamic_shared_bytes, const std::function<void()>& body) {
  check_launch(grid, block);
  count_ = block.x * block.y * block.z;
  body_ = &body;
  blockDim = block, gridDim = grid;
  failure_ = nullptr;
  ready_.clear();
  start_fibers(count_);
  shared_.start_launch(dynamic_shared_bytes);
  for (unsigned i = 0; i < count_; ++i) threads_[i].index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  const uint64_t first = random(static_cast<unsigned>(std::min<uint64_t>(blocks, 0x7fffffff)));
  try {
    for (uint64_t i = 0; i < blocks; ++i) {
      const uint64_t at = (first + i) % blocks;
      blockIdx = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                  static_cast<unsigned>(at / grid.x / grid.y)};
      run_block();
    }
  } catch (...) {
    threads_.clear();  // unwinds the threads that still wait
    throw;
  }
}

/// Never destroyed: its fibers hold kernels that must not be unwound while the process ends.
Emulator& emulator() {
  static Emulator& one = *new Emulator;
  return one;
}

}  // namespace

void run_grid(dim3 grid, dim3 block, size_t dynamic_shared_bytes, const std::function<void()>& body) {
  static std::mutex one_launch;
  const std::lock_guard lock(one_launch);
  emulator().run(grid, block, dynamic_shared_bytes, body);
}

void block_barrier(const std::source_location& where) { emulator().barrier(where); }
void warp_exchange(const WarpCall& call, void* value, size_t bytes, const std::source_location& where) {
  emulator().exchange(call, value, bytes, where);
}
void warp_products(const WarpProduct* products, int count, std::source_location where) {
  warp_exchange({WarpOp::product, 0xffffffffu, count, static_cast<int>(kLanes)}, &products, sizeof products, where);
}
void copy_later(void* to, const void* from, size_t bytes) {
  if (from) vector_access(from, bytes);
  vector_access(to, bytes);
  emulator().copies().add(to, from, bytes);
}
void end_copies() { emulator().copies().end_group(); }
void await_copies(unsigned underway) { emulator().copies().await(underway); }
void* shared_array(const void* key, const char* name, size_t bytes) {
  return emulator().shared().array(key, name, bytes);
}
void* dynamic_shared() { return emulator().shared().dynamic(); }
void vector_access(const void* at, size_t alignment) {
  if (reinterpret_cast<uintptr_t>(at) % alignment != 0)
    fail(ErrorKind::internal, "an access to " + std::to_string(alignment) + " bytes at once is misaligned");
}

}  // namespace dcl::cuda::emulation
