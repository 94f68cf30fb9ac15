// The emulator itself: what kernels mean, and planted faults that it must find.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "core/error.h"
#include "cuda/emulation/memory.h"
#include "cuda/launch.h"
#include "cuda/vector.h"

namespace dcl::cuda {
namespace {

constexpr unsigned kAll = 0xffffffffu;

/// What running `body` reports; empty when it runs through.
template <class Body>
std::string report(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::internal);
    return error.what();
  }
  return "";
}

__global__ void write_index(int* out, int count) {
  const int at = static_cast<int>((blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x * blockDim.y +
                                  threadIdx.y * blockDim.x + threadIdx.x);
  if (at < count) out[at] += at + 1;
}

TEST(Emulator, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<int> out(1000);
  launch(write_index, dim3(3, 4), dim3(32, 3), 0, nullptr, out.data(), 1000);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], i + 1);
}

__global__ void reverse(const float* from, float* to, bool with_barrier) {
  DCL_SHARED(float, tile, [256]);
  tile[threadIdx.x] = from[threadIdx.x];
  if (with_barrier) __syncthreads();
  to[threadIdx.x] = tile[255 - threadIdx.x];
}

TEST(Emulator, MissingBarrierReadsWhatIsNotThere) {
  std::vector<float> from(256), to(256);
  for (size_t i = 0; i < 256; ++i) from[i] = static_cast<float>(i);
  launch(reverse, 1, 256, 0, nullptr, from.data(), to.data(), true);
  for (size_t i = 0; i < 256; ++i) EXPECT_EQ(to[i], from[255 - i]);
  launch(reverse, 1, 256, 0, nullptr, from.data(), to.data(), false);
  int missed = 0;
  for (const float x : to) missed += std::isnan(x);
  EXPECT_GT(missed, 50);
}

/// The barrier after reading, before the next round writes: without it a slow thread reads the next round's value.
__global__ void rotate(int* out, int rounds, bool with_second_barrier) {
  DCL_SHARED(int, tile, [64]);
  int value = static_cast<int>(threadIdx.x);
  for (int i = 0; i < rounds; ++i) {
    tile[threadIdx.x] = value;
    __syncthreads();
    value = tile[(threadIdx.x + 1) % 64];
    if (with_second_barrier) __syncthreads();
  }
  out[threadIdx.x] = value;
}

TEST(Emulator, MissingSecondBarrierChangesResults) {
  std::vector<int> out(64), expected(64);
  for (int i = 0; i < 64; ++i) expected[static_cast<size_t>(i)] = (i + 5) % 64;
  launch(rotate, 1, 64, 0, nullptr, out.data(), 5, true);
  EXPECT_EQ(out, expected);
  launch(rotate, 1, 64, 0, nullptr, out.data(), 5, false);
  EXPECT_NE(out, expected);
}

__global__ void divergent_barrier(bool by_return) {
  if (by_return && threadIdx.x >= 48) return;
  if (threadIdx.x < 48)
    __syncthreads();
  else
    __syncthreads();
}

TEST(Emulator, DivergentBarrierIsReported) {
  const std::string two_places = report([] { launch(divergent_barrier, 1, 64, 0, nullptr, false); });
  EXPECT_NE(two_places.find("48 of 64 threads wait at the barrier in cuda_emulator_test.cc"), std::string::npos)
      << two_places;
  EXPECT_NE(two_places.find("16 of 64"), std::string::npos) << two_places;
  const std::string returned = report([] { launch(divergent_barrier, 1, 64, 0, nullptr, true); });
  EXPECT_NE(returned.find("16 have ended"), std::string::npos) << returned;
  EXPECT_EQ(report([] { launch(divergent_barrier, 1, 48, 0, nullptr, false); }), "") << "works again after a report";
}

__global__ void warp_sum(float* out) {
  float sum = static_cast<float>(threadIdx.x);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
  float below = static_cast<float>(threadIdx.x);
  for (int step = 16; step > 0; step /= 2) below += __shfl_down_sync(kAll, below, step);
  const double first = __shfl_sync(kAll, static_cast<double>(below), 0);
  out[threadIdx.x] = sum + 1000.0f * static_cast<float>(first);
}

TEST(Emulator, ShufflesExchangeWithinTheWarp) {
  std::vector<float> out(64);
  launch(warp_sum, 1, 64, 0, nullptr, out.data());
  EXPECT_EQ(out[5], 496 * 1001.0f);
  EXPECT_EQ(out[40], 1520 * 1001.0f);
}

__global__ void votes(unsigned* out) {
  const unsigned mask = threadIdx.x < 8 ? 0xffu : ~0xffu;
  if (threadIdx.x < 8)
    out[threadIdx.x] = __ballot_sync(mask, threadIdx.x % 2 == 1);
  else
    out[threadIdx.x] = __any_sync(mask, threadIdx.x == 20) + 2u * __all_sync(mask, threadIdx.x != 20);
}

TEST(Emulator, VotesCountTheLanesOfTheirMask) {
  std::vector<unsigned> out(32);
  launch(votes, 1, 32, 0, nullptr, out.data());
  EXPECT_EQ(out[3], 0xaau);
  EXPECT_EQ(out[31], 1u);
}

__global__ void wrong_mask(int which, int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (which == 0 && lane < 16) out[lane] = __shfl_xor_sync(kAll, lane, 1);               // lanes 16.. never come
  if (which == 1) out[lane] = __shfl_xor_sync(0xffffu, lane, 1);                         // lanes 16.. are not in it
  if (which == 2 && lane < 16) out[lane] = __shfl_xor_sync(0xffffu, lane, 16);           // reads from outside
  if (which == 3) out[lane] = __shfl_xor_sync(lane < 16 ? kAll : 0xffff0000u, lane, 1);  // masks disagree
}

TEST(Emulator, WrongMasksAreReported) {
  std::vector<int> out(32);
  const auto run = [&](int which) { return report([&] { launch(wrong_mask, 1, 32, 0, nullptr, which, out.data()); }); };
  EXPECT_NE(run(0).find("16 of 32 threads wait in the warp operation in cuda_emulator_test.cc"), std::string::npos)
      << run(0);
  EXPECT_NE(run(1).find("is not in the mask it names"), std::string::npos) << run(1);
  EXPECT_NE(run(2).find("which is not in the mask"), std::string::npos) << run(2);
  EXPECT_NE(run(3).find("wait in the warp operation"), std::string::npos) << run(3);
}

__global__ void write_outside(int at) {
  DCL_SHARED(float, before, [10]);
  DCL_SHARED(float, tile, [10]);
  before[threadIdx.x] = tile[threadIdx.x] = 0;
  tile[at] = 1;
}

TEST(Emulator, WritesOutsideSharedArraysAreReported) {
  EXPECT_EQ(report([] { launch(write_outside, 1, 10, 0, nullptr, 9); }), "");
  EXPECT_NE(report([] { launch(write_outside, 1, 10, 0, nullptr, 10); }).find("past shared array tile"),
            std::string::npos);
  EXPECT_NE(report([] { launch(write_outside, 1, 10, 0, nullptr, -1); }).find("kernel wrote"), std::string::npos);
}

__global__ void declare_much() {
  DCL_SHARED(char, tile, [40 << 10]);
  tile[0] = dynamic_shared<char>()[0];
}

TEST(Emulator, DeclaredAndDynamicSharedMemoryCountTogether) {
  EXPECT_EQ(report([] { launch(declare_much, 1, 1, 24 << 10, nullptr); }), "");
  EXPECT_NE(report([] { launch(declare_much, 1, 1, (24 << 10) + 1, nullptr); }).find("beyond the shared memory"),
            std::string::npos);
}

__global__ void copy_vector(const float* from, float* to) {
  float lanes[4];
  load(from, lanes);
  store(to, lanes);
}

TEST(Emulator, MisalignedVectorsAreReported) {
  alignas(16) float from[8] = {1, 2, 3, 4, 5, 6, 7, 8}, to[8] = {};
  EXPECT_EQ(report([&] { launch(copy_vector, 1, 1, 0, nullptr, from + 4, to); }), "");
  EXPECT_EQ(to[3], 8);
  EXPECT_NE(report([&] { launch(copy_vector, 1, 1, 0, nullptr, from + 1, to); }).find("misaligned"), std::string::npos);
  EXPECT_NE(report([&] { launch(copy_vector, 1, 1, 0, nullptr, from, to + 2); }).find("misaligned"), std::string::npos);
}

__global__ void read_at(const float* from, int at, float* to) { *to = from[at]; }

TEST(EmulatorDeathTest, ReadsPastTheEndOfDeviceMemoryCrash) {
  auto* data = static_cast<float*>(emulation::allocate_device(5000 * sizeof(float)));
  float value = 1;
  launch(read_at, 1, 1, 0, nullptr, data, 4999, &value);
  EXPECT_EQ(value, 0);
  EXPECT_DEATH(launch(read_at, 1, 1, 0, nullptr, data, 5000 + 64, &value), "");
  emulation::release_device(data);
}

bool deferred_work_waits() {
  emulation::defer_work();
  int first = 0, second = 0;
  emulation::enqueue([&] { first = 1; });
  const uint64_t mark = emulation::enqueued();
  emulation::enqueue([&] { second = 2; });
  bool ok = first == 0;
  emulation::wait_until(mark);
  ok = ok && first == 1 && second == 0;
  emulation::wait_until(emulation::enqueued());
  ok = ok && second == 2;
  emulation::enqueue([] { fail(ErrorKind::internal, "planted"); });
  emulation::drain();
  return ok && report([] { emulation::wait_until(emulation::enqueued()); }) == "planted";
}

/// A child process, since deferral stays.
TEST(EmulatorDeathTest, DeferredWorkWaitsUntilItIsWaitedFor) {
  EXPECT_EXIT(std::_Exit(deferred_work_waits() ? 0 : 1), testing::ExitedWithCode(0), "");
}

TEST(Emulator, WhatAGraphCannotHoldIsRefused) {
  emulation::begin_recording();
  EXPECT_NE(report([] { emulation::forbid_while_recording("an allocation"); }).find("an allocation while"),
            std::string::npos);
  int done = 0;
  emulation::enqueue([&] { ++done; });
  const emulation::Recording work = emulation::end_recording();
  EXPECT_EQ(done, 0);
  ASSERT_EQ(work.size(), 1u);
  work[0]();
  EXPECT_EQ(done, 1);
}

__global__ void idle() {}

TEST(Emulator, AKernelIsNotFirstLaunchedWhileAGraphIsRecorded) {
  const auto record = [] {
    emulation::begin_recording();
    const std::string refused = report([] { launch(idle, 1, 1, 0, nullptr); });
    emulation::end_recording();
    return refused;
  };
  EXPECT_NE(record().find("the first launch of a kernel while"), std::string::npos);
  launch(idle, 1, 1, 0, nullptr);
  EXPECT_EQ(record(), "");
}

__global__ void read_fresh(float* out) {
  DCL_SHARED(float, tile, [4]);
  float* more = dynamic_shared<float>();
  out[blockIdx.x] += tile[0] + more[15];
  tile[0] = more[15] = 1;
}

TEST(Emulator, SharedMemoryIsPoisonedInEveryBlock) {
  std::vector<float> out(3);
  launch(read_fresh, 3, 1, 64, nullptr, out.data());
  for (const float x : out) EXPECT_TRUE(std::isnan(x));
}

__global__ void record_order(unsigned* order, unsigned* next) { order[atomicAdd(next, 1u)] = threadIdx.x; }

TEST(Emulator, OrderOfThreadsChangesFromLaunchToLaunch) {
  std::set<std::vector<unsigned>> orders;
  for (int i = 0; i < 5; ++i) {
    std::vector<unsigned> order(100);
    unsigned next = 0;
    launch(record_order, 1, 100, 0, nullptr, order.data(), &next);
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 5u);
}

TEST(Emulator, ImpossibleLaunchesAreRefused) {
  unsigned next = 0, order[1];
  EXPECT_NE(report([&] { launch(record_order, 1, 1025, 0, nullptr, order, &next); }), "");
  EXPECT_NE(report([&] { launch(record_order, 0, 1, 0, nullptr, order, &next); }), "");
  EXPECT_NE(report([&] { launch(record_order, 1, dim3(3, 0xaaaaaaab), 0, nullptr, order, &next); }), "");
  EXPECT_NE(report([&] { launch(record_order, dim3(1, 70000), 1, 0, nullptr, order, &next); }), "");
  EXPECT_NE(report([&] { launch(record_order, 1, 1, 300000, nullptr, order, &next); }), "");
}

}  // namespace
}  // namespace dcl::cuda
