// Time spent per op, collected when DCL_PROFILE is set in the environment; costs one branch otherwise.
#pragma once

#include <string>

namespace dcl {

/// Measures one op from construction to destruction.
class OpTimer {
 public:
  explicit OpTimer(const char* op) : op_(enabled() ? op : nullptr), start_(op_ ? now() : 0) {}
  ~OpTimer() {
    if (op_) record(op_, now() - start_);
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

  static bool enabled();

 private:
  static double now();
  static void record(const char* op, double seconds);

  const char* op_;
  double start_;
};

/// A table of op, calls, seconds and share, slowest first; empty when profiling is off.
std::string profile_report();

}  // namespace dcl
