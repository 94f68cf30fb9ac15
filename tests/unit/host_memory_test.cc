// What is left is the least that the machine and the control groups around the process give.
#include "core/host_memory.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/error.h"
#include "support/process.h"

namespace dcl::test {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

class HostMemory : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const { root_.write(path, text); }
  size_t available() const { return available_host_memory(root_.path()); }

  TemporaryFolder root_;
};

TEST_F(HostMemory, IsNoLimitWhereNothingIsKnown) {
  EXPECT_EQ(available(), std::numeric_limits<size_t>::max());
  write("proc/meminfo", "MemTotal: 100 kB\n");  // of a kernel that does not estimate
  EXPECT_EQ(available(), std::numeric_limits<size_t>::max());
}

TEST_F(HostMemory, IsWhatTheKernelCountsAndSwap) {
  write("proc/meminfo",
        "MemTotal:       24683656 kB\nMemAvailable:   2048 kB\nSwapTotal: 9999 kB\nSwapFree:  1024 kB\n");
  EXPECT_EQ(available(), 3 * kMiB);
}

TEST_F(HostMemory, IsWithinTheLimitsOfEveryGroup) {
  write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  write("proc/self/cgroup", "0::/outer/inner\n");
  EXPECT_EQ(available(), 1024 * kMiB);
  const std::string outer = "sys/fs/cgroup/outer/", inner = outer + "inner/";
  write(inner + "memory.max", "max\n");
  write(inner + "memory.current", "1\n");
  EXPECT_EQ(available(), 1024 * kMiB);
  write(outer + "memory.max", std::to_string(300 * kMiB));
  write(outer + "memory.current", std::to_string(200 * kMiB));
  EXPECT_EQ(available(), 100 * kMiB);
  write(outer + "memory.stat",
        "anon 1\ninactive_file " + std::to_string(30 * kMiB) + "\nactive_file " + std::to_string(20 * kMiB) + "\n");
  EXPECT_EQ(available(), 150 * kMiB);
  write(inner + "memory.max", "4096");
  write(inner + "memory.current", "5000");
  EXPECT_EQ(available(), 0u) << "over its limit";
}

TEST_F(HostMemory, KnowsGroupsOfTheFirstVersion) {
  write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/job\n1:cpu:/\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");  // none
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "12345\n");
  EXPECT_EQ(available(), 1024 * kMiB);
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", std::to_string(64 * kMiB));
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", std::to_string(44 * kMiB));
  write("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 1048576\ntotal_active_file 1048576\n");
  EXPECT_EQ(available(), 22 * kMiB);
}

TEST_F(HostMemory, KnowsMemoryThatIsMountedWithOtherControllers) {
  write("proc/meminfo", "MemAvailable: 1048576 kB\n");
  write("proc/self/cgroup", "4:hugetlb,memory:/job\n5:memoryless:/job\n");
  write("sys/fs/cgroup/hugetlb,memory/job/memory.limit_in_bytes", std::to_string(64 * kMiB));
  write("sys/fs/cgroup/hugetlb,memory/job/memory.usage_in_bytes", std::to_string(44 * kMiB));
  write("sys/fs/cgroup/memoryless/job/memory.limit_in_bytes", "0");
  write("sys/fs/cgroup/memoryless/job/memory.usage_in_bytes", "0");
  EXPECT_EQ(available(), 20 * kMiB);
}

TEST_F(HostMemory, WhatIsNotThereIsRefused) {
  write("proc/meminfo", "MemAvailable: " + std::to_string(100 << 10) + " kB\n");
  EXPECT_NO_THROW(require_host_memory(100 * kMiB, root_.path()));
  EXPECT_NO_THROW(require_host_memory(0, root_.path()));
  try {
    require_host_memory(101 * kMiB, root_.path());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::out_of_memory);
    EXPECT_STREQ(error.what(), "cannot allocate 101 MiB of memory, 100 MiB are free: use a smaller batch");
  }
}

TEST(HostMemoryOfThisMachine, IsAPlausibleAmount) {
  const size_t available = available_host_memory();
  EXPECT_GT(available, 16 * kMiB);
}

}  // namespace
}  // namespace dcl::test
