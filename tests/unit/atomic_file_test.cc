// Files that appear whole or not at all, links that are replaced whole, temporaries of the dead.
#include "io/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "core/error.h"
#include "io/fault.h"
#include "io/file.h"
#include "support/process.h"

namespace dcl {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;

int entries(const std::string& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

class AtomicFiles : public testing::Test {
 protected:
  void TearDown() override { set_fault_plan(""); }
  TemporaryFolder folder_;
};

TEST_F(AtomicFiles, AppearsOnCommit) {
  const std::string path = folder_ / "a file";
  {
    AtomicFile file(path);
    file.write("hello ");
    file.write("world");
    EXPECT_FALSE(fs::exists(path));
    file.commit();
  }
  EXPECT_EQ(read_text(path), "hello world");
  EXPECT_EQ(entries(folder_.path()), 1);
}

TEST_F(AtomicFiles, VanishesWithoutCommit) {
  const std::string path = folder_ / "x";
  write_file_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(entries(folder_.path()), 1);
}

TEST_F(AtomicFiles, LargeWritesAndOverwrite) {
  const std::string path = folder_ / "big";
  std::string expected;
  AtomicFile file(path, 5'000'000);
  for (const size_t bytes : {size_t{3}, size_t{1} << 20, size_t{1'000'003}, size_t{2'097'152}, size_t{0}, size_t{11}}) {
    const std::string part(bytes, static_cast<char>('a' + bytes % 26));
    file.write(part);
    expected += part;
  }
  file.overwrite(1, "XYZ", 3);
  expected.replace(1, 3, "XYZ");
  EXPECT_EQ(file.size(), expected.size());
  EXPECT_THROW(file.overwrite(expected.size() - 1, "ab", 2), Error);
  file.commit();
  EXPECT_EQ(read_text(path), expected);  // and the reserved space beyond it is given back
}

TEST_F(AtomicFiles, RespectsUmaskAndRelativePaths) {
  const mode_t before = ::umask(027);
  const fs::path here = fs::current_path();
  fs::current_path(folder_.path());
  write_file_atomically("plain", "x");
  fs::current_path(here);
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat((folder_ / "plain").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
}

TEST_F(AtomicFiles, WhoMayNotReadAFileMayNotReadItsSuccessor) {
  write_file_atomically(folder_ / "secret", "x");
  for (const mode_t mode : {0600u, 0664u}) {
    ASSERT_EQ(::chmod((folder_ / "secret").c_str(), mode), 0);
    write_file_atomically(folder_ / "secret", "y");
    struct stat status {};
    ASSERT_EQ(::stat((folder_ / "secret").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, mode);
  }
}

TEST_F(AtomicFiles, NamesUpTo255Bytes) {
  const std::string path = folder_ / std::string(255, 'n');
  write_file_atomically(path, "x");
  EXPECT_EQ(read_text(path), "x");
  write_file_atomically(folder_ / "new\nline \xC3\xA9", "y");
  EXPECT_EQ(entries(folder_.path()), 2);
}

TEST_F(AtomicFiles, NamesThatCannotBeAreRefusedBeforeAnythingIsWritten) {
  for (const std::string& name : {std::string(256, 'n'), std::string(256, 'n') + "/x"}) {
    try {
      const AtomicFile file(folder_ / name);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_NE(std::string(error.what()).find("File name too long"), std::string::npos) << error.what();
    }
  }
}

TEST_F(AtomicFiles, RefusesSpecialDestinations) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  for (const std::string& path : {std::string("/dev/null"), folder_.path(), folder_ / "fifo", folder_ / "absent/x"}) {
    try {
      write_file_atomically(path, "x");
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(AtomicFiles, ReportsTheBytesNeeded) {
  for (const char* plan : {"write:1:ENOSPC", "allocate:1:ENOSPC", "write:1:EDQUOT"}) {
    set_fault_plan(plan);
    try {
      AtomicFile file(folder_ / "full", 3'000'000);
      file.write(std::string(3'000'000, 'x'));
      file.commit();
      FAIL() << plan;
    } catch (const Error& error) {
      const std::string message = error.what();
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_NE(message.find("full'"), std::string::npos) << message;
      EXPECT_NE(message.find("3.0 MB needed"), std::string::npos) << message;
      EXPECT_NE(message.find("free"), std::string::npos) << message;
    }
    EXPECT_EQ(entries(folder_.path()), 0) << plan;
  }
}

TEST_F(AtomicFiles, RefusesWhatCannotFit) {
  EXPECT_THROW(AtomicFile(folder_ / "huge", uint64_t{1} << 60), Error);
  EXPECT_EQ(entries(folder_.path()), 0);
}

TEST_F(AtomicFiles, SurvivesInterruptionsAndShortWrites) {
  const std::string text(2'500'000, 'q');
  set_fault_plan("write:1:EINTR,write:2:SHORT,write:4:SHORT,fsync:1:EINTR,rename:1:EINTR,open:1:EINTR");
  write_file_atomically(folder_ / "x", text);
  EXPECT_EQ(read_text(folder_ / "x"), text);
}

TEST_F(AtomicFiles, SyncIsNotRetriedAndNothingIsRenamed) {
  write_file_atomically(folder_ / "x", "old");
  set_fault_plan("fsync:1:EIO");
  EXPECT_THROW(write_file_atomically(folder_ / "x", "new"), Error);
  EXPECT_EQ(operations_counted(), 3);  // open, write, fsync
  EXPECT_EQ(read_text(folder_ / "x"), "old");
}

TEST_F(AtomicFiles, WritesWhereALinkLeads) {
  fs::create_directory(folder_ / "disk");
  fs::create_symlink("disk/model", folder_ / "near");
  fs::create_symlink(folder_ / "near", folder_ / "far");
  for (const char* text : {"new", "newer"}) {  // first nothing is there
    write_file_atomically(folder_ / "far", text);
    EXPECT_EQ(read_text(folder_ / "disk/model"), text);
  }
  EXPECT_EQ(fs::read_symlink(folder_ / "near"), "disk/model");
  EXPECT_TRUE(fs::is_symlink(folder_ / "far"));
  EXPECT_EQ(entries(folder_ / "disk"), 1) << "the temporary was beside the destination, and is gone";
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_THROW(write_file_atomically(folder_ / "loop", "x"), Error);
}

TEST_F(AtomicFiles, ReplacesLinks) {
  const std::string link = folder_ / "latest";
  EXPECT_TRUE(replace_symlink("one", link));
  EXPECT_TRUE(replace_symlink("two", link));
  EXPECT_EQ(fs::read_symlink(link), "two");
  set_fault_plan("rename:1:EIO");
  EXPECT_THROW(replace_symlink("three", link), Error);
  EXPECT_EQ(fs::read_symlink(link), "two");
  EXPECT_EQ(entries(folder_.path()), 1);
}

TEST_F(AtomicFiles, RemovesOnlyTemporariesOfTheDead) {
  // A process that ended: its id cannot be in use while we have not waited for it twice.
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const std::string dead = std::to_string(child), beyond = std::to_string((int64_t{1} << 32) + child),
                    alive = std::to_string(::getppid());
  for (const std::string& name : std::initializer_list<std::string>{
           ".x.tmp." + dead + ".0123abcd", ".x.tmp." + alive + ".0123abcd", "x.tmp." + dead + ".0123abcd",
           ".x.tmp." + dead + ".0123ABCD", ".x.tmp." + dead + ".0123abcd0", ".x.tmp..0123abcd", ".x.tmp.1a.0123abcd",
           ".x.tmp." + beyond + ".0123abcd"})
    test::write_text(folder_ / name, "");
  AtomicFile mine(folder_ / "mine");
  EXPECT_EQ(remove_stale_temporaries(folder_.path()), 1);
  EXPECT_EQ(entries(folder_.path()), 8);
  mine.commit();
  EXPECT_TRUE(fs::exists(folder_ / "mine"));
  EXPECT_EQ(remove_stale_temporaries(folder_ / "absent"), 0);
}

TEST_F(AtomicFiles, MakesFoldersAndRemovesFiles) {
  const std::string deep = folder_ / "a/b c/d";
  make_folders(deep);
  make_folders(deep);
  EXPECT_TRUE(fs::is_directory(deep));
  write_file_atomically(deep + "/x", "x");
  fs::create_symlink("nowhere", folder_ / "dangling");
  for (const std::string& taken : {deep + "/x/y", deep + "/x", folder_ / "dangling"}) try {
      make_folders(taken);
      ADD_FAILURE() << taken;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("is taken by what is no folder"), std::string::npos) << error.what();
    }
  EXPECT_TRUE(remove_file(deep + "/x"));
  EXPECT_TRUE(remove_file(deep + "/x")) << "it is gone already";
  EXPECT_FALSE(remove_file(deep));
  set_fault_plan("fsync:1:EIO");
  EXPECT_THROW(make_folders(folder_ / "new"), Error) << "a name that is not on the disk yet";
}

TEST(FaultPlan, IsRead) {
  for (const char* bad : {"write", "write:1", "write:0:EIO", "write:x:EIO", "fly:1:EIO", "write:1:EWHAT",
                          "write:1:EIO,,", "checkpoint/:1:EIO"})
    EXPECT_THROW(set_fault_plan(bad), Error) << bad;
  set_fault_plan("write:2+:EIO,any:1:EINTR");
  EXPECT_EQ(failpoint(IoOp::open).error, EINTR);
  EXPECT_EQ(failpoint(IoOp::write).error, 0);
  EXPECT_EQ(failpoint(IoOp::write).error, EIO);
  EXPECT_EQ(failpoint(IoOp::write).error, EIO);
  EXPECT_EQ(operations_counted(), 4);
  set_fault_plan("inner/write:2:EIO,outer/any:1:ENOSPC");
  {
    const FaultScope outer("outer");
    {
      const FaultScope inner("inner");
      EXPECT_EQ(failpoint(IoOp::write).error, 0);
    }
    EXPECT_EQ(failpoint(IoOp::write).error, ENOSPC);
    const FaultScope inner("inner");
    EXPECT_EQ(failpoint(IoOp::write).error, EIO);
  }
  EXPECT_EQ(failpoint(IoOp::write).error, 0);
  set_fault_plan("");
  EXPECT_EQ(failpoint(IoOp::write).error, 0);
}

TEST(Words, Bytes) {
  EXPECT_EQ(bytes_text(0), "0 bytes");
  EXPECT_EQ(bytes_text(999), "999 bytes");
  EXPECT_EQ(bytes_text(1000), "1.0 kB");
  EXPECT_EQ(bytes_text(999'949), "999.9 kB");
  EXPECT_EQ(bytes_text(999'950), "1.0 MB");
  EXPECT_EQ(bytes_text(295'100'000), "295.1 MB");
  EXPECT_EQ(bytes_text(UINT64_MAX), "18.4 EB");
}

}  // namespace
}  // namespace dcl
