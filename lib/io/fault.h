// Planted faults: every operation by which lib/io changes files passes a failpoint, so that a test can make the n-th
// one fail, be cut short, or end the process; so do the embeddings of a training step, which it can make not a number.
// Always compiled in; costs one relaxed load while no plan is set.
#pragma once

#include <string_view>

namespace dcl {

/// What has a failpoint, spelled in a plan as named here ("any" counts all operations on files in one sequence).
enum class IoOp { open, allocate, write, fsync, close, rename, unlink, symlink, embeddings };

/// What a failpoint asks of the operation it stands before.
struct PlantedFault {
  int error = 0;              ///< errno to report instead of doing it; 0 = none
  bool cut_short = false;     ///< transfer at most half of the bytes
  bool not_a_number = false;  ///< of embeddings
  explicit operator bool() const { return error != 0 || cut_short || not_a_number; }
};

/// Counts the operation and returns the fault planted on it. A KILL fault ends the process here, as SIGKILL would.
PlantedFault failpoint(IoOp op);

/// Names what the operations of this thread are for, for the lifetime of the object; the innermost name counts. A plan
/// can then count the operations of, say, checkpoints alone ("checkpoint/rename:2:KILL").
class FaultScope {
 public:
  explicit FaultScope(const char* name);  ///< a string literal
  ~FaultScope();
  FaultScope(const FaultScope&) = delete;
  FaultScope& operator=(const FaultScope&) = delete;

 private:
  const char* before_;
};

/// Replaces the plan and starts the counts again; "" = none. The plan starts as the environment variable DCL_FAULT.
/// It is a comma-separated list of `[scope/]op:number[+]:what`: what happens to the number-th call of op (in that
/// scope), with "+" to every one after it too. op is a name of IoOp or "any"; what is an errno (ENOSPC, EIO, EINTR,
/// EDQUOT, EACCES, EROFS, EMFILE, EPERM), SHORT, KILL or NAN. Throws Error{usage} when the plan cannot be read.
void set_fault_plan(std::string_view plan);

/// Operations counted since the plan was set; 0 while no plan is set.
int operations_counted();

}  // namespace dcl
