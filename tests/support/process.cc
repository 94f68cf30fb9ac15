#include "support/process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace dcl::test {
namespace {

namespace fs = std::filesystem;

std::string temporary_name(const char* what) {
  std::string name = (fs::temp_directory_path() / (std::string("dcl-") + what + "-XXXXXX")).string();
  const int fd = mkstemp(name.data());
  if (fd < 0) throw std::runtime_error("cannot create a temporary file");
  close(fd);
  return name;
}

void redirect(const std::string& path, int to) {
  const int fd = open(path.c_str(), O_WRONLY | O_TRUNC);
  if (fd < 0 || dup2(fd, to) < 0) _exit(127);
  close(fd);
}

}  // namespace

Background::Background(const std::vector<std::string>& argv, const Environment& environment)
    : out_path_(temporary_name("out")), err_path_(temporary_name("err")) {
  std::vector<char*> raw;
  for (const auto& argument : argv) raw.push_back(const_cast<char*>(argument.c_str()));
  raw.push_back(nullptr);
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ > 0) return;
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  redirect(out_path_, STDOUT_FILENO);
  redirect(err_path_, STDERR_FILENO);
  for (const auto& [name, value] : environment) setenv(name.c_str(), value.c_str(), 1);
  std::signal(SIGHUP, SIG_DFL);  // the tests themselves may run under nohup
  execv(raw[0], raw.data());
  _exit(127);
}

Background::~Background() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, &status_, 0);
  }
  std::error_code ignored;
  fs::remove(out_path_, ignored);
  fs::remove(err_path_, ignored);
}

void Background::send(int signal) {
  if (pid_ > 0) kill(pid_, signal);
}

bool Background::running() {
  if (pid_ <= 0) return false;
  if (waitpid(pid_, &status_, WNOHANG) != pid_) return true;
  pid_ = -1;
  return false;
}

std::string Background::errors_so_far() const { return read_text(err_path_); }

Outcome Background::wait() {
  if (pid_ > 0) waitpid(pid_, &status_, 0);
  pid_ = -1;
  Outcome outcome;
  outcome.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  outcome.out = read_text(out_path_);
  outcome.err = read_text(err_path_);
  return outcome;
}

Outcome run(const std::vector<std::string>& argv, const Environment& environment) {
  return Background(argv, environment).wait();
}

TemporaryFolder::TemporaryFolder(uint64_t in_memory) {
  std::error_code error;
  const auto shared_memory = fs::space("/dev/shm", error);
  const bool fits = in_memory > 0 && !error && shared_memory.available / 2 >= in_memory;
  path_ = ((fits ? fs::path("/dev/shm") : fs::temp_directory_path()) / "dcl-test-XXXXXX").string();
  if (!mkdtemp(path_.data())) throw std::runtime_error("cannot create a temporary folder");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void TemporaryFolder::write(const std::string& name, const std::string& text) const {
  fs::create_directories(fs::path(*this / name).parent_path());
  write_text(*this / name, text);
}

std::string app(const std::string& name) {
  const char* folder = std::getenv("DCL_APPS");
  if (!folder) throw std::runtime_error("DCL_APPS is not set: run this test with `meson test`");
  return std::string(folder) + "/" + name;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

}  // namespace dcl::test
