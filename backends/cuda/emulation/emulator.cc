#include "cuda/emulation/emulator.h"

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

namespace dcl::cuda::emulation {
namespace {

namespace context = boost::context;

constexpr unsigned kMaxThreads = 1024;
constexpr unsigned kLanes = 32;
constexpr size_t kStackBytes = 256 << 10;  // reserved; only touched pages take memory

enum class State { ready, at_barrier, in_warp_call, ended };

struct Thread {
  context::fiber fiber;
  Index3 index;
  State state = State::ended;
  std::source_location where;  // of the barrier or warp call it waits in
  WarpCall call{};
  uint64_t value = 0;
  PendingCopies copies;
};

std::string site(const std::source_location& where) {
  const std::string path = where.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(where.line());
}
bool same_site(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
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
  bool warp_call_complete(const Thread& caller, unsigned first) const;
  void complete_warp_call(unsigned mask, unsigned first);
  unsigned source_lane(const WarpCall& call, unsigned lane) const;
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
  running_->where = where;
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
      Thread& thread = threads_[next_ready()];
      resume(thread);
      if (failure_) std::rethrow_exception(failure_);
      if (thread.state != State::in_warp_call) continue;
      const auto index = static_cast<unsigned>(&thread - threads_.data());
      const unsigned first = index / kLanes * kLanes;
      if (warp_call_complete(thread, first)) complete_warp_call(thread.call.mask, first);
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
    if (threads_[i].state != State::at_barrier || !same_site(threads_[i].where, threads_[0].where)) report_stuck();
  for (unsigned i = 0; i < count_; ++i) release(i);
}

bool Emulator::warp_call_complete(const Thread& caller, unsigned first) const {
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(caller.call.mask >> lane & 1u)) continue;
    if (first + lane >= count_) return false;
    const Thread& other = threads_[first + lane];
    if (other.state != State::in_warp_call || other.call.mask != caller.call.mask || other.call.op != caller.call.op ||
        !same_site(other.where, caller.where))
      return false;
  }
  return true;
}

unsigned Emulator::source_lane(const WarpCall& call, unsigned lane) const {
  const auto width = static_cast<unsigned>(call.width);
  const unsigned begin = lane / width * width;
  const auto argument = static_cast<unsigned>(call.argument);
  unsigned source = lane;
  if (call.op == WarpOp::from_lane) source = begin + argument % width;
  if (call.op == WarpOp::from_xor) source = lane ^ argument;
  if (call.op == WarpOp::from_below) source = lane + argument;
  if (call.op == WarpOp::from_above) source = lane >= argument ? lane - argument : kLanes;
  return source >= begin && source < begin + width ? source : lane;
}

void Emulator::complete_warp_call(unsigned mask, unsigned first) {
  uint64_t sent[kLanes] = {};
  unsigned votes = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1u) {
      sent[lane] = threads_[first + lane].value;
      votes |= static_cast<unsigned>(sent[lane] != 0) << lane;
    }
  if (threads_[first].call.op == WarpOp::product) {
    const WarpProduct* parts[kLanes];
    std::memcpy(parts, sent, sizeof sent);
    multiply(parts, threads_[first].call.argument);
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1u)) continue;
    Thread& thread = threads_[first + lane];
    const unsigned source = source_lane(thread.call, lane);
    if (!(mask >> source & 1u))
      fail(ErrorKind::internal, site(thread.where) + ": lane " + std::to_string(lane) + " reads from lane " +
                                    std::to_string(source) + ", which is not in the mask");
    thread.value = thread.call.op == WarpOp::ballot ? votes : sent[source];
    release(first + lane);
  }
}

void Emulator::exchange(const WarpCall& call, void* value, size_t bytes, const std::source_location& where) {
  const auto lane = static_cast<unsigned>(running_ - threads_.data()) % kLanes;
  if (!(call.mask >> lane & 1u))
    fail(ErrorKind::internal, site(where) + ": lane " + std::to_string(lane) + " is not in the mask it names");
  Thread& self = *running_;
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
      if (threads_[j].state == threads_[i].state && same_site(threads_[j].where, threads_[i].where)) {
        told[j] = true;
        ++same;
      }
    waiting += (waiting.empty() ? "" : ", ") + std::to_string(same) + " of " + std::to_string(count_) +
               " threads wait " +
               (threads_[i].state == State::at_barrier ? "at the barrier in " : "in the warp operation in ") +
               site(threads_[i].where);
  }
  fail(ErrorKind::internal, "block is stuck: " + waiting + ", " + std::to_string(ended) + " have ended");
}

void Emulator::run(dim3 grid, dim3 block, size_t dynamic_shared_bytes, const std::function<void()>& body) {
  count_ = block.x * block.y * block.z;
  if (count_ == 0 || count_ > kMaxThreads || block.z > 64 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
      grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffffu)
    fail(ErrorKind::internal, "launch with " + std::to_string(count_) + " threads a block and a grid of " +
                                  std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
                                  std::to_string(grid.z));
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
