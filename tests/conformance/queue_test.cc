// Order of work on every backend: copies that do not wait, fences, and graphs that are recorded once and replayed.
#include <gtest/gtest.h>

#include <stdexcept>

#include "core/log.h"
#include "core/registry.h"
#include "support/backends.h"

namespace dcl::test {
namespace {

constexpr int64_t kCount = 1000;

class Queue : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
  Buffer memory_[2] = {Buffer(*backend_, kCount * sizeof(float)), Buffer(*backend_, kCount * sizeof(float))};

  TensorRef tensor(int which) const { return memory_[which].view({kCount}, DType::f32); }
  float first_of(int which) {
    std::vector<float> host(kCount);
    backend_->copy_out(host.data(), tensor(which));
    for (const float value : host) EXPECT_EQ(value, host[0]);
    return host[0];
  }
};

TEST_P(Queue, CopiesArriveInTheOrderOfTheOps) {
  HostBuffer in(*backend_, kCount * sizeof(float)), out(*backend_, kCount * sizeof(float));
  ASSERT_EQ(reinterpret_cast<uintptr_t>(in.data()) % 64, 0u);
  auto* values = reinterpret_cast<float*>(in.data());
  EXPECT_EQ(values[kCount - 1], 0.0f);
  std::fill_n(values, kCount, 3.0f);
  backend_->fill(tensor(0), 1.0f);
  backend_->enqueue_in(tensor(0), in.data());
  backend_->copy(tensor(0), tensor(1));
  backend_->fill(tensor(0), 2.0f);
  backend_->enqueue_out(out.data(), tensor(1));
  const auto fence = backend_->make_fence();
  fence->wait();  // nothing is marked yet
  fence->record();
  fence->wait();
  EXPECT_EQ(reinterpret_cast<float*>(out.data())[kCount - 1], 3.0f);
  EXPECT_EQ(first_of(0), 2.0f);
}

/// Who trains in f32 there since it is the default waits many times as long as need be.
TEST_P(Queue, OpeningADeviceForF32SaysThatOtherTypesAreFaster) {
  const auto said = [](const std::string& dtype) {
    std::string all;
    set_log_sink([&](LogLevel, std::string_view message) { all += std::string(message) + "\n"; });
    open_backend(GetParam(), dtype);
    set_log_sink({});
    return all;
  };
  EXPECT_EQ(said("f32").find("--dtype tf32") != std::string::npos, backend_->on_device()) << said("f32");
  EXPECT_EQ(said("bf16").find("--dtype"), std::string::npos) << said("bf16");
}

TEST_P(Queue, TrainingInBf16IsUsualWhereTensorCoresMultiplyIt) {
  const bool tensor_cores = backend_->on_device() && backend_->has_tf32();
  EXPECT_EQ(usual_training_dtype(*backend_), tensor_cores ? "bf16" : "f32");
  EXPECT_EQ(backend_->on_device(), GetParam().starts_with("cuda"));
}

TEST_P(Queue, AGraphDoesItsOpsWhenReplayedOnly) {
  backend_->fill(tensor(0), 0.0f);  // an op has run before it is recorded
  const auto graph = backend_->capture([&] {
    backend_->copy(tensor(0), tensor(1));
    backend_->fill(tensor(0), 7.0f);
  });
  EXPECT_EQ(first_of(0), 0.0f);
  backend_->fill(tensor(0), 5.0f);
  graph->replay();
  EXPECT_EQ(first_of(0), 7.0f);
  EXPECT_EQ(first_of(1), 5.0f);
  graph->replay();
  EXPECT_EQ(first_of(1), 7.0f);
}

TEST_P(Queue, ADeviceFreezesTheArguments) {
  float value = 1.0f;
  backend_->fill(tensor(0), value);
  const auto graph = backend_->capture([&] { backend_->fill(tensor(0), value); });
  value = 2.0f;
  graph->replay();
  EXPECT_EQ(first_of(0), backend_->on_device() ? 1.0f : 2.0f);
}

TEST_P(Queue, AFailedRecordingLeavesTheQueueInOrder) {
  if (!backend_->on_device()) GTEST_SKIP() << "nothing runs before replay()";
  EXPECT_THROW(backend_->capture([] { throw std::runtime_error("planted"); }), std::runtime_error);
  float host = 0;
  EXPECT_THROW(backend_->capture([&] { backend_->copy_out(&host, memory_[0].view({1}, DType::f32)); }), Error);
  backend_->fill(tensor(0), 4.0f);
  EXPECT_EQ(first_of(0), 4.0f);
}

using QueueDeathTest = Queue;

TEST_P(QueueDeathTest, MemoryOfTheEmulatedDeviceIsOutOfTheHostsReach) {
  if (!is_emulated(*backend_)) GTEST_SKIP() << "for the emulator";
  const volatile float* data = tensor(0).as<float>();
  EXPECT_DEATH(static_cast<void>(*data), "");
}

INSTANTIATE_TEST_SUITE_P(Backends, Queue, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(Backends, QueueDeathTest, testing::ValuesIn(working_backends()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace dcl::test
