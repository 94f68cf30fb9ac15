// The folder of one run: made, locked, tested for writing and freed of a killed run's temporaries before any work
// starts.
//   config.toml  cmdline.txt  env.json  .lock  metrics.csv  metrics.jsonl  train.log  checkpoints/
//   events.out.tfevents.*
#pragma once

#include <exception>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "run/options.h"

namespace dcl {

/// Held from construction to destruction.
class RunDirectory {
 public:
  /// path empty: runs/TIME_NAME below the current folder, with -2, -3, ... when that exists. Throws Error{locked}
  /// naming host, process and start time when another run holds it, Error{io} when it cannot be made or written.
  RunDirectory(std::filesystem::path path, const std::string& name);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  /// The folder held a run before (it has a config.toml).
  bool reused() const { return reused_; }

  /// Writes config.toml (the effective configuration), cmdline.txt (appended on reuse) and env.json, and sends the log
  /// to train.log as well, until this goes, or, when an exception ends the run, until run_app has reported it. facts:
  /// name and value pairs for env.json beside versions and machine.
  void record(const Options& options, int argc, const char* const* argv,
              const std::vector<std::pair<std::string, std::string>>& facts = {});

 private:
  void release() noexcept;
  void create(const std::string& name);
  void lock();
  void test_writing() const;

  std::filesystem::path path_;
  int lock_fd_ = -1;
  bool reused_ = false, recording_ = false;
  const int exceptions_before_ = std::uncaught_exceptions();
};

}  // namespace dcl
