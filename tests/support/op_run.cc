#include "support/op_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "core/parallel.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace dcl::test {
namespace {

constexpr int kThreadCounts[] = {1, 2};

constexpr size_t kGuard = 128;                // bytes on each side
constexpr std::byte kGuardByte{0xA5};
constexpr std::byte kPoison{0xFF};            // all ones: NaN in every float type

/// Under the address sanitizer, reading a guard is an error too.
void forbid([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(data, bytes);
#endif
}
void permit([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
#endif
}

std::byte* bytes_of(const TensorRef& tensor) { return static_cast<std::byte*>(tensor.data); }

bool all_equal(const std::byte* from, size_t count, std::byte value) {
  return std::all_of(from, from + count, [&](std::byte b) { return b == value; });
}

}  // namespace

OpRun::~OpRun() {
  for (const Operand& operand : operands_) permit(operand.buffer.data(), operand.buffer.bytes());
}

OpRun::Operand& OpRun::add(Role role, Shape shape, DType dtype, std::vector<std::byte> initial) {
  Operand operand{role, {nullptr, shape, dtype}, {}, std::move(initial)};
  const size_t bytes = operand.tensor.bytes();
  operand.buffer = Buffer(backend_, bytes + 2 * kGuard);
  std::byte* start = static_cast<std::byte*>(operand.buffer.data());
  std::memset(start, static_cast<int>(kGuardByte), operand.buffer.bytes());
  operand.tensor.data = start + kGuard;
  operands_.push_back(std::move(operand));
  return operands_.back();
}

ConstTensorRef OpRun::input(const Values& values) { return add(Role::input, values.shape, values.dtype, encode(values)).tensor; }

TensorRef OpRun::output(Shape shape, DType dtype) { return add(Role::output, shape, dtype, {}).tensor; }

TensorRef OpRun::in_out(const Values& values) { return add(Role::in_out, values.shape, values.dtype, encode(values)).tensor; }

Workspace OpRun::workspace(size_t bytes) {
  if (bytes == 0) return {};
  return {add(Role::output, {static_cast<int64_t>(bytes)}, DType::u8, {}).tensor.data, bytes};
}

Workspace OpRun::workspace(const std::function<size_t()>& needed) {
  size_t bytes = 0;
  for (const int threads : kThreadCounts) {
    set_thread_count(threads);
    bytes = std::max(bytes, needed());
  }
  set_thread_count(0);
  return workspace(bytes);
}

void OpRun::reset() {
  for (Operand& operand : operands_) {
    const size_t bytes = operand.tensor.bytes();
    if (operand.role == Role::output) std::memset(operand.tensor.data, static_cast<int>(kPoison), bytes);
    else std::memcpy(operand.tensor.data, operand.initial.data(), bytes);
    forbid(bytes_of(operand.tensor) - kGuard, kGuard);
    forbid(bytes_of(operand.tensor) + bytes, kGuard);
  }
}

void OpRun::expect_intact() const {
  int index = 0;
  for (const Operand& operand : operands_) {
    const size_t bytes = operand.tensor.bytes();
    permit(operand.buffer.data(), operand.buffer.bytes());
    EXPECT_TRUE(all_equal(bytes_of(operand.tensor) - kGuard, kGuard, kGuardByte)) << "wrote before operand " << index;
    EXPECT_TRUE(all_equal(bytes_of(operand.tensor) + bytes, kGuard, kGuardByte)) << "wrote past operand " << index;
    if (operand.role == Role::input) {
      EXPECT_EQ(std::memcmp(operand.tensor.data, operand.initial.data(), bytes), 0) << "input " << index << " was changed";
    }
    ++index;
  }
}

std::vector<std::vector<std::byte>> OpRun::written() const {
  std::vector<std::vector<std::byte>> all;
  for (const Operand& operand : operands_)
    if (operand.role != Role::input && operand.tensor.dtype != DType::u8)
      all.emplace_back(bytes_of(operand.tensor), bytes_of(operand.tensor) + operand.tensor.bytes());
  return all;
}

void OpRun::run(const std::function<void()>& op) {
  const bool any_threads = backend_.info().name == "eigen";
  std::vector<std::vector<std::byte>> first;
  for (const int threads : kThreadCounts) {
    set_thread_count(threads);
    if (!any_threads) first.clear();
    for (int repeat = 0; repeat < 2; ++repeat) {
      reset();
      op();
      backend_.synchronize();
      expect_intact();
      if (first.empty()) first = written();
      else EXPECT_TRUE(first == written()) << "other bits in run " << repeat << " with " << threads << " threads";
    }
  }
  set_thread_count(0);
}

std::vector<double> OpRun::result(TensorRef tensor) const {
  return decode(tensor.data, tensor.shape.elements(), tensor.dtype);
}

}  // namespace dcl::test
