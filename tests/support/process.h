// Runs a program to its end, or to a signal, and gives what it printed; for tests of the apps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcl::test {

struct Outcome {
  int exit_code = -1;    ///< 128 + n when signal n ended it, as a shell reports
  std::string out, err;  ///< standard output and error, complete
};

using Environment = std::vector<std::pair<std::string, std::string>>;

/// argv[0] is the path of the program; `environment` is added to this process's own.
Outcome run(const std::vector<std::string>& argv, const Environment& environment = {});

/// Starts a program, leaves it running, and ends it with signals; output goes to files of its own.
class Background {
 public:
  explicit Background(const std::vector<std::string>& argv, const Environment& environment = {});
  ~Background();  ///< SIGKILL and wait when it still runs
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void send(int signal);
  bool running();
  /// What it has written to standard error until now.
  std::string errors_so_far() const;
  Outcome wait();

 private:
  int pid_ = -1;
  int status_ = 0;
  std::string out_path_, err_path_;
};

/// A fresh folder that is removed with everything in it at the end of the scope.
class TemporaryFolder {
 public:
  /// in_memory: bytes that will be written; where /dev/shm has twice as many free it is there, so that fsync costs
  /// nothing.
  explicit TemporaryFolder(uint64_t in_memory = 0);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  /// A file in it, with the folders on the way, in place of an earlier one.
  void write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};

/// Path of a built app ("dcl-knn"), from DCL_APPS, which the build system sets.
std::string app(const std::string& name);
std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);

}  // namespace dcl::test
