// A log on a disk that fails: what the file holds afterwards.
#include "io/append_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "core/log.h"
#include "io/fault.h"
#include "support/process.h"

namespace dcl::test {
namespace {

/// The first write takes half of a record, no other takes anything.
constexpr const char* kFullWithinARecord = "write:1:SHORT,write:2+:ENOSPC";

class AppendFileTest : public testing::Test {
 protected:
  void TearDown() override { set_fault_plan(""); }
};

TEST_F(AppendFileTest, ARecordThatDoesNotFitIsWrittenLaterAsAWhole) {
  const TemporaryFolder folder;
  const std::string path = folder / "log";
  AppendFile file(path);
  file.append("zeroth\n");
  set_fault_plan(kFullWithinARecord);
  file.append("first\n");
  file.append("second\n");
  EXPECT_EQ(read_text(path), "zeroth\n");
  EXPECT_THROW(file.flush(), Error);
  set_fault_plan("");
  file.append("third\n");
  EXPECT_EQ(read_text(path), "zeroth\nfirst\nsecond\nthird\n");
}

/// Nor can the half of it be taken back: the other half follows.
TEST_F(AppendFileTest, ARecordThatCannotBeTakenBackIsCompleted) {
  const int fd = ::memfd_create("log", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  AppendFile file("log", fd);
  file.append("zeroth\n");
  set_fault_plan(kFullWithinARecord);
  file.append("first\n");
  EXPECT_EQ(read_text(path), "zeroth\nfir");
  file.append("second\n");
  EXPECT_EQ(read_text(path), "zeroth\nfir");
  set_fault_plan("");
  file.flush();
  EXPECT_EQ(read_text(path), "zeroth\nfirst\nsecond\n");
}

TEST_F(AppendFileTest, ThatAFileWasDeletedIsToldOnce) {
  const TemporaryFolder folder;
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view message) { said.emplace_back(message); });
  AppendFile file(folder / "log");
  file.append("zeroth\n");
  EXPECT_TRUE(said.empty());
  std::filesystem::remove(folder / "log");
  file.append("first\n");
  file.append("second\n");
  set_log_sink({});
  ASSERT_EQ(said.size(), 1u);
  EXPECT_NE(said[0].find("was deleted during the run"), std::string::npos) << said[0];
}

}  // namespace
}  // namespace dcl::test
