// Faults of the checkpoint path: every operation failing or killing the writer in turn, every truncation, every flipped
// bit, and headers made to exhaust memory.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/fault.h"
#include "io/safetensors.h"
#include "support/process.h"

namespace dcl {
namespace {

namespace fs = std::filesystem;
using test::read_text;
using test::TemporaryFolder;
using test::write_text;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

/// Three MiB, so that the writer makes several transfers.
void write_checkpoint(const std::string& path, float value) {
  const std::vector<float> weights(600'000, value), moments(200'000, value / 2);
  const std::vector<int64_t> steps = {static_cast<int64_t>(value)};
  write_safetensors(
      path,
      {tensor_source<float>("f.0.weight", {600, 1000}, weights),
       tensor_source<float>("optim.exp_avg.f.0.weight", {200'000}, moments), tensor_source_i64("n", {}, steps)},
      {{"dcl.version", "0"}, {"step", std::to_string(static_cast<int>(value))}});
}

/// The value a whole and undamaged checkpoint was written with; throws otherwise.
float checked_value(const std::string& path) {
  const SafetensorsFile file(path);
  file.verify();
  const float value = file.read_f32("f.0.weight").back();
  EXPECT_EQ(file.metadata("step"), std::to_string(static_cast<int>(value)));
  return value;
}

int temporaries(const std::string& folder) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    count += entry.path().filename().native().find(".tmp.") != std::string::npos;
  return count;
}

class CheckpointFaults : public testing::Test {
 protected:
  void SetUp() override { write_checkpoint(path_, 1); }
  void TearDown() override { set_fault_plan(""); }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "step-1.safetensors";
};

TEST_F(CheckpointFaults, EveryOperationFailingLeavesOldOrNew) {
  for (const char* error : {"ENOSPC", "EIO", "EROFS"}) {
    int n = 1;
    for (bool failed = true; failed; ++n) {
      SCOPED_TRACE(std::string(error) + " at operation " + std::to_string(n));
      ASSERT_LT(n, 100);
      write_checkpoint(path_, 1);
      set_fault_plan("any:" + std::to_string(n) + ":" + error);
      failed = false;
      try {
        write_checkpoint(path_, 2);
      } catch (const Error& caught) {
        failed = true;
        EXPECT_EQ(caught.kind(), ErrorKind::io);
        EXPECT_NE(std::string(caught.what()).find("step-1.safetensors"), std::string::npos) << caught.what();
      }
      set_fault_plan("");
      const float value = checked_value(path_);
      EXPECT_TRUE(value == 2 || (failed && value == 1));
      EXPECT_EQ(temporaries(folder_.path()), 0);
    }
    EXPECT_GT(n, 10) << "open, reserve, writes, header, fsync, close, rename, fsync of the folder";
  }
}

TEST_F(CheckpointFaults, BeingKilledAtEveryOperationLeavesOldOrNew) {
  int n = 1, stale = 0;
  for (bool killed = true; killed; ++n) {
    SCOPED_TRACE("killed at operation " + std::to_string(n));
    ASSERT_LT(n, 100);
    write_checkpoint(path_, 1);
    const pid_t child = ::fork();
    if (child == 0) {
      set_fault_plan("any:" + std::to_string(n) + ":KILL");
      write_checkpoint(path_, 2);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ASSERT_TRUE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    const float value = checked_value(path_);
    EXPECT_TRUE(value == 2 || (killed && value == 1));
    stale += temporaries(folder_.path());
    write_checkpoint(path_, 3);
    remove_stale_temporaries(folder_.path());
    EXPECT_EQ(temporaries(folder_.path()), 0);
    EXPECT_EQ(checked_value(path_), 3);
  }
  EXPECT_GT(n, 10);
  EXPECT_GT(stale, 5) << "a killed writer leaves its temporary, or this test killed nothing";
}

TEST_F(CheckpointFaults, FullFileSystem) {
  // RLIMIT_FSIZE stands for the full disk: the kernel itself refuses to grow the file.
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1'000'000, 1'000'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_checkpoint(path_, 2);
    } catch (const Error& error) {
      ::_exit(error.exit_code());
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 5);
  EXPECT_EQ(checked_value(path_), 1);
  EXPECT_EQ(temporaries(folder_.path()), 0);
}

TEST_F(CheckpointFaults, NoDescriptorsLeft) {
  set_fault_plan("open:1:EMFILE");
  EXPECT_THROW(write_checkpoint(path_, 2), Error);
  set_fault_plan("");
  EXPECT_EQ(checked_value(path_), 1);
}

// ---- Damage ---------------------------------------------------------------------------------------------------------

class Damage : public testing::Test {
 protected:
  void SetUp() override {
    const std::vector<float> values = {1, 2, 3, 4, 5};
    const std::vector<int64_t> count = {7};
    write_safetensors(path_, {tensor_source<float>("f.0.weight", {5}, values), tensor_source_i64("n", {}, count)},
                      {{"dcl.version", "0"}, {"format", "pt"}});
    bytes_ = read_text(path_);
    std::memcpy(&header_, bytes_.data(), 8);
  }
  /// The message with which the bytes are refused, by opening or by reading everything; "" when nothing was noticed.
  std::string refusal(const std::string& bytes) {
    write_text(path_, bytes);
    try {
      SafetensorsFile(path_).verify();
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      return error.what();
    }
  }
  TemporaryFolder folder_;
  std::string path_ = folder_ / "x.safetensors", bytes_;
  uint64_t header_ = 0;
};

TEST_F(Damage, EveryTruncationIsNoticed) {
  ASSERT_EQ(refusal(bytes_), "");
  for (size_t length = 0; length < bytes_.size(); ++length) {
    const std::string message = refusal(bytes_.substr(0, length));
    EXPECT_NE(message, "") << length;
    if (length > 0) {
      EXPECT_NE(message.find("truncated"), std::string::npos) << length << ": " << message;
    }
  }
  EXPECT_NE(refusal(bytes_ + "x"), "");
}

TEST_F(Damage, EveryFlippedBitIsNoticed) {
  ASSERT_EQ(refusal(bytes_), "");
  for (size_t at = 0; at < bytes_.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes_;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      const std::string message = refusal(damaged);
      EXPECT_NE(message, "") << "byte " << at << ", bit " << bit;
      if (at >= 8 + header_) {
        EXPECT_NE(message.find(at < 8 + header_ + 8 ? "tensor 'n'" : "tensor 'f.0.weight'"), std::string::npos)
            << message;
      }
    }
}

TEST_F(Damage, FileThatChangesWhileOpen) {
  const SafetensorsFile file(path_);
  fs::resize_file(path_, 8 + header_ + 10);
  EXPECT_THROW(file.read_f32("f.0.weight"), Error);
  EXPECT_EQ(file.read_i64("n"), std::vector<int64_t>{7});
  fs::resize_file(path_, bytes_.size());  // zeros where values were
  EXPECT_THROW(file.read_f32("f.0.weight"), Error);
}

// ---- Headers made to exhaust a reader -------------------------------------------------------------------------------

/// Peak memory in MiB that opening `path` adds, measured in a process of its own; the file must be refused if `bad`.
double opening_cost(const std::string& path, bool bad) {
  int pipe_ends[2];
  EXPECT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto peak = [] {
      rusage usage{};
      ::getrusage(RUSAGE_SELF, &usage);
      return usage.ru_maxrss;
    };
    const long before = peak();
    bool refused = false;
    try {
      SafetensorsFile file(path);
    } catch (const Error&) {
      refused = true;
    }
    const long result[2] = {peak() - before, refused};
    ::_exit(::write(pipe_ends[1], result, sizeof result) == sizeof result ? 0 : 1);
  }
  ::close(pipe_ends[1]);
  long result[2] = {-1, -1};
  EXPECT_EQ(::read(pipe_ends[0], result, sizeof result), static_cast<ssize_t>(sizeof result));
  ::close(pipe_ends[0]);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(result[1], bad ? 1 : 0);
  return static_cast<double>(result[0]) / 1024;
}

class HostileHeader : public testing::Test {
 protected:
  void within_limits(const std::string& header, bool bad, const std::string& data = "") {
    const uint64_t length = header.size();
    const std::string path = folder_ / "x.safetensors";
    write_text(path, std::string(reinterpret_cast<const char*>(&length), 8) + header + data);
    const double file = static_cast<double>(fs::file_size(path)) / (1 << 20);
    const double cost = opening_cost(path, bad);
    if (!kSanitized) {
      EXPECT_LT(cost, 64 + file) << "a file of " << file << " MiB";
    }
  }
  static std::string repeated(size_t count, const std::function<std::string(size_t)>& part) {
    std::string out;
    for (size_t i = 0; i < count; ++i) out += (i ? "," : "") + part(i);
    return out;
  }
  static std::string number(size_t i) {
    std::string text = std::to_string(i);
    return std::string(7 - text.size(), '0') + text;
  }
  TemporaryFolder folder_;
};

TEST_F(HostileHeader, ManyTensors) {
  const auto empty = [](size_t i) { return "\"" + number(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})"; };
  within_limits("{" + repeated(100'000, empty) + "}", false);
  within_limits("{" + repeated(100'001, empty) + "}", true);
  within_limits("{" + repeated(1'500'000, empty) + "}", true);
}

TEST_F(HostileHeader, OverlapsThatPromiseMoreThanTheFileHolds) {
  const auto same = [](size_t i) {
    return "\"" + number(i) + R"(":{"dtype":"U8","shape":[1000],"data_offsets":[0,1000]})";
  };
  within_limits("{" + repeated(90'000, same) + "}", true, std::string(1000, 'x'));
}

TEST_F(HostileHeader, ManyMetadata) {
  within_limits(
      "{\"__metadata__\":{" + repeated(5'000'000, [](size_t i) { return "\"" + number(i) + "\":\"\""; }) + "}}", true);
  within_limits("{\"__metadata__\":{\"k\":\"" + std::string(90'000'000, 'v') + "\"}}", true);
  within_limits("{\"__metadata__\":{\"k\":\"" + std::string(4'000'000, 'v') + "\"}}", false);
  within_limits("{\"a\":" + std::string(90'000'000, '1') + "}", true);
}

TEST_F(HostileHeader, LongNames) {
  within_limits("{" +
                    repeated(80'000,
                             [](size_t i) {
                               return "\"" + std::string(1000, 'n') + number(i) +
                                      R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
                             }) +
                    "}",
                true);
}

TEST_F(HostileHeader, DeepNesting) {
  within_limits("{\"a\":" + std::string(20'000'000, '['), true);
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  within_limits(objects, true);
}

TEST_F(HostileHeader, HugeLengthsInSmallAndSparseFiles) {
  const std::string path = folder_ / "x.safetensors";
  write_text(path, std::string("\xff\xff\xff\xff\x00\x00\x00\x00{}", 10));  // a header of 4 GiB
  EXPECT_LT(opening_cost(path, true), kSanitized ? 1024 : 64);
  fs::resize_file(path, uint64_t{8} << 30);  // that the file could hold
  EXPECT_LT(opening_cost(path, true), kSanitized ? 1024 : 64);
}

}  // namespace
}  // namespace dcl
