#include "run/signals.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

#include "core/environment.h"
#include "core/error.h"
#include "core/log.h"
#include "io/atomic_file.h"

namespace dcl {
namespace {

// Written by handlers: lock-free atomics are async-signal-safe.
std::atomic<bool> stop{false}, interrupted{false}, requeue{false}, checkpoint{false}, installed{false};
static_assert(std::atomic<bool>::is_always_lock_free);

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};
std::array<struct sigaction, kSignals.size()> previous;

void say(std::string_view text) {
  const int saved = errno;
  [[maybe_unused]] const ssize_t sent = ::write(STDERR_FILENO, text.data(), text.size());
  errno = saved;
}

void handle(int signal) {
  if (signal == SIGUSR2) {
    checkpoint = true;
    return;
  }
  if (signal == SIGINT && interrupted.exchange(true)) {
    unlink_live_temporaries();
    ::_exit(128 + SIGINT);
  }
  if (signal == SIGUSR1) requeue = true;
  if (!stop.exchange(true) && signal == SIGINT)
    say("\ninterrupted: finishing this step and saving a checkpoint; press again to stop at once\n");
}

/// Ends the process by the signal, as without a handler.
void clean_up_and_end(int signal) {
  unlink_live_temporaries();
  ::raise(signal);  // SA_RESETHAND has put the default back
}

}  // namespace

void clean_up_on_signals() {
  struct sigaction action {
  }, current{};
  action.sa_handler = clean_up_and_end;
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    if (::sigaction(signal, nullptr, &current) == 0 && current.sa_handler == SIG_DFL)  // nohup ignores SIGHUP
      ::sigaction(signal, &action, nullptr);
}

Signals::Signals() {
  if (installed.exchange(true)) fail(ErrorKind::internal, "Signals: already installed");
  stop = interrupted = requeue = checkpoint = false;
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &previous[i]);
    const bool nohup = kSignals[i] == SIGHUP && previous[i].sa_handler == SIG_IGN;
    if (!nohup) ::sigaction(kSignals[i], &action, nullptr);
  }
}

Signals::~Signals() {
  for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &previous[i], nullptr);
  installed = false;
}

bool Signals::stop_requested() const { return stop; }
bool Signals::take_checkpoint_request() { return checkpoint.exchange(false); }
bool Signals::requeue_requested() const { return requeue; }

namespace {

/// The job's id as scontrol wants it, or "" outside of Slurm.
std::string slurm_job() {
  const std::string array = environment_variable("SLURM_ARRAY_JOB_ID"),
                    task = environment_variable("SLURM_ARRAY_TASK_ID");
  return !array.empty() && !task.empty() ? array + "_" + task : environment_variable("SLURM_JOB_ID");
}

/// Exit status of the command, -1 when it could not be run.
int run_command(const char* program, const char* verb, const char* argument) {
  const pid_t child = ::fork();
  if (child < 0) return -1;
  if (child == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    ::execlp(program, program, verb, argument, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

bool requeue_slurm_job() {
  const std::string job = slurm_job();
  if (job.empty()) {
    log(LogLevel::warning, "not requeued: SLURM_JOB_ID is not set");
    return false;
  }
  const int status = run_command("scontrol", "requeue", job.c_str());
  if (status == 0) {
    log(LogLevel::info, "job " + job + " is requeued");
    return true;
  }
  log(LogLevel::warning, "not requeued: 'scontrol requeue " + job + "' " +
                             (status == 127 ? "was not found" : "ended with status " + std::to_string(status)));
  return false;
}

}  // namespace dcl
