// What a run does about a loss that is not finite (or, before a checkpoint, about weights that are not).
//   stop         ends the run before the update; nothing is saved
//   skip:N       leaves that batch's update out and goes on with the next batch; at most N in a row
//   rollback:N   takes weights and optimizer state of the newest valid checkpoint and goes on with the next batch:
//                no batch since that checkpoint has an update; at most N times in a run
// Repeating those batches instead would repeat the same numbers up to the same loss: a run is a function of its
// settings. Either way the order of the data and the learning rate go on as if nothing had been left out, and the
// counts below are in the checkpoint, so that a resumed run does what an uninterrupted one does.
#pragma once

#include <cstdint>
#include <string>

namespace dcl {

struct OnNan {
  enum class Action { stop, skip, rollback };
  Action action = Action::stop;
  int64_t limit = 0;
};

/// "stop", "skip:N", "rollback" (three times) or "rollback:N"; Error{usage} otherwise.
OnNan on_nan_of(const std::string& text);

/// What has been left out so far.
struct LeftOut {
  int64_t steps = 0;     ///< steps without an update: updates done = steps done - this
  int64_t in_a_row = 0;  ///< skipped since the last update
  int64_t rollbacks = 0;
  bool operator==(const LeftOut&) const = default;
};

}  // namespace dcl
