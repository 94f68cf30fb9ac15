// What a person or a scheduler asks of a running job, read between steps.
//   first SIGINT, SIGTERM   finish the step, save a checkpoint, end with 75; a second SIGINT ends at once with 130
//   SIGHUP                  the same, since the terminal is gone; under nohup it stays ignored
//   SIGUSR1                 the same, and hand the job back to Slurm when that was asked for
//   SIGUSR2                 save a checkpoint and go on
#pragma once

namespace dcl {

/// From now on SIGINT, SIGTERM and SIGHUP delete unfinished files before they end the process. Signals that are ignored
/// stay so.
void clean_up_on_signals();

class Signals {
 public:
  /// Installs the handlers; the destructor puts the old ones back. One at a time in a process.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The run should end after this step.
  bool stop_requested() const;
  /// True once per SIGUSR2.
  bool take_checkpoint_request();
  /// The stop came from SIGUSR1.
  bool requeue_requested() const;
};

/// `scontrol requeue ID` for the Slurm job this process belongs to (array form included). Returns false, with a logged
/// warning, when it is not in a job or the command failed.
bool requeue_slurm_job();

}  // namespace dcl
