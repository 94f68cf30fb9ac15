// The quota is the least of all groups around the process.
#include "core/control_groups.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "support/process.h"

namespace dcl::test {
namespace {

class CpuQuota : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const { root_.write(path, text); }
  std::optional<double> quota() const { return cpu_quota(root_.path()); }

  TemporaryFolder root_;
};

TEST_F(CpuQuota, IsNoneWhereNothingLimits) {
  EXPECT_EQ(quota(), std::nullopt);
  write("proc/self/cgroup", "0::/job\n");
  EXPECT_EQ(quota(), std::nullopt);
  write("sys/fs/cgroup/job/cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST_F(CpuQuota, IsTheLeastOfTheGroupsAround) {
  write("proc/self/cgroup", "0::/outer/inner\n");
  write("sys/fs/cgroup/outer/inner/cpu.max", "400000 100000\n");
  EXPECT_EQ(quota(), 4.0);
  write("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);
}

/// As of a container, whose group is mounted at the top under a name of outside.
TEST_F(CpuQuota, IsThatOfTheMountWhereTheNameIsOfOutside) {
  write("proc/self/cgroup", "0::/docker/0123\n");
  write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CpuQuota, KnowsGroupsOfTheFirstVersion) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:cpuset:/\n0::/\n");
  const std::string job = "sys/fs/cgroup/cpu,cpuacct/job/";
  write(job + "cpu.cfs_quota_us", "-1\n");
  write(job + "cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), std::nullopt);
  write(job + "cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(quota(), 2.0);
}

TEST_F(CpuQuota, TakesNothingFromDamagedFiles) {
  write("proc/self/cgroup", "no line of three\n0::/job\n");
  for (const char* text : {"", "100000", "x y", "0 0", "100000 0", "-5 100000"}) {
    write("sys/fs/cgroup/job/cpu.max", text);
    EXPECT_EQ(quota(), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace dcl::test
