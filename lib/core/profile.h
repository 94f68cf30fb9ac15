// Time spent per op, collected when DCL_PROFILE is set in the environment; costs one branch otherwise. Ops of a device
// are waited for, one by one, so that a time is that of the work and not of its enqueuing; a step takes longer for
// that.
#pragma once

#include <string>

namespace dcl {

class Backend;

/// Measures one op from construction, when earlier work is complete, to destruction, when its own is.
class OpTimer {
 public:
  OpTimer(const char* op, Backend& backend) : op_(enabled() ? op : nullptr), backend_(backend) {
    if (op_) start();
  }
  ~OpTimer() {
    if (op_) stop();
  }
  OpTimer(const OpTimer&) = delete;
  OpTimer& operator=(const OpTimer&) = delete;

  static bool enabled();

 private:
  void start();
  void stop() noexcept;

  const char* op_;
  Backend& backend_;
  double start_ = 0;
};

/// A table of op, calls, seconds and share, slowest first; empty when profiling is off.
std::string profile_report();

}  // namespace dcl
