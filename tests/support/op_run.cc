#include "support/op_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "core/parallel.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace dcl::test {
namespace {

constexpr int kThreadCounts[] = {1, 2};

constexpr size_t kGuard = 128;  // bytes on each side
constexpr std::byte kGuardByte{0xA5};
constexpr std::byte kPoison{0xFF};  // all ones: NaN in every float type

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

TensorRef whole(const Buffer& buffer) { return buffer.view({static_cast<int64_t>(buffer.bytes())}, DType::u8); }

bool all_equal(const std::byte* from, size_t count, std::byte value) {
  return std::all_of(from, from + count, [&](std::byte b) { return b == value; });
}

}  // namespace

OpRun::~OpRun() {
  for (const Operand& operand : operands_) permit(operand.buffer.data(), operand.buffer.bytes());
}

TensorRef OpRun::add(Role role, Shape shape, DType dtype, const std::vector<std::byte>& contents) {
  Operand operand{role, {nullptr, shape, dtype}, {}, {}, {}};
  const size_t bytes = operand.tensor.bytes();
  operand.before.assign(bytes + 2 * kGuard, kGuardByte);
  std::byte* start = operand.before.data() + kGuard;
  if (role == Role::output)
    std::fill_n(start, bytes, kPoison);
  else
    std::copy(contents.begin(), contents.end(), start);
  operand.buffer = Buffer(backend_, operand.before.size());
  operand.tensor.data = static_cast<std::byte*>(operand.buffer.data()) + kGuard;
  operands_.push_back(std::move(operand));
  return operands_.back().tensor;
}

ConstTensorRef OpRun::input(const Values& values) {
  return add(Role::input, values.shape, values.dtype, encode(values));
}

TensorRef OpRun::output(Shape shape, DType dtype) { return add(Role::output, shape, dtype, {}); }

TensorRef OpRun::in_out(const Values& values) { return add(Role::in_out, values.shape, values.dtype, encode(values)); }

Workspace OpRun::workspace(size_t bytes) {
  if (bytes == 0) return {};
  return {add(Role::output, {static_cast<int64_t>(bytes)}, DType::u8, {}).data, bytes};
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
  const bool on_host = backend_.info().name != "cuda";
  for (Operand& operand : operands_) {
    permit(operand.buffer.data(), on_host ? operand.buffer.bytes() : 0);
    backend_.copy_in(whole(operand.buffer), operand.before.data());
    if (!on_host) continue;
    auto* start = static_cast<std::byte*>(operand.buffer.data());
    forbid(start, kGuard);
    forbid(start + operand.buffer.bytes() - kGuard, kGuard);
  }
}

void OpRun::fetch() {
  for (Operand& operand : operands_) {
    permit(operand.buffer.data(), operand.buffer.bytes());
    operand.after.resize(operand.before.size());
    backend_.copy_out(operand.after.data(), whole(operand.buffer));
  }
}

void OpRun::expect_intact() const {
  int index = 0;
  for (const Operand& operand : operands_) {
    const std::byte* after = operand.after.data();
    EXPECT_TRUE(all_equal(after, kGuard, kGuardByte)) << "wrote before operand " << index;
    EXPECT_TRUE(all_equal(after + operand.after.size() - kGuard, kGuard, kGuardByte)) << "wrote past operand " << index;
    if (operand.role == Role::input) {
      EXPECT_TRUE(operand.after == operand.before) << "input " << index << " was changed";
    }
    ++index;
  }
}

std::vector<std::vector<std::byte>> OpRun::written() const {
  std::vector<std::vector<std::byte>> all;
  for (const Operand& operand : operands_)
    if (operand.role != Role::input && operand.tensor.dtype != DType::u8)
      all.emplace_back(operand.after.begin() + kGuard, operand.after.end() - kGuard);
  return all;
}

void OpRun::run(const std::function<void()>& op) {
  const bool any_threads = backend_.info().name != "onednn";
  std::vector<std::vector<std::byte>> first;
  for (const int threads : kThreadCounts) {
    set_thread_count(threads);
    if (!any_threads) first.clear();
    for (int repeat = 0; repeat < 2; ++repeat) {
      reset();
      op();
      backend_.synchronize();
      fetch();
      expect_intact();
      if (first.empty())
        first = written();
      else
        EXPECT_TRUE(first == written()) << "other bits in run " << repeat << " with " << threads << " threads";
    }
  }
  set_thread_count(0);
}

std::vector<double> OpRun::result(TensorRef tensor) const {
  for (const Operand& operand : operands_)
    if (operand.tensor.data == tensor.data)
      return decode(operand.after.data() + kGuard, tensor.shape.elements(), tensor.dtype);
  throw std::logic_error("result() of a tensor that is no operand");
}

}  // namespace dcl::test
