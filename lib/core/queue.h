// The host's side of enqueued work. On a CPU backend ops are complete when they return, and all of this is trivial.
#pragma once

namespace dcl {

/// A mark in the order of enqueued work. wait() and done() may be called from any thread.
class Fence {
 public:
  Fence() = default;
  virtual ~Fence() = default;
  Fence(const Fence&) = delete;
  Fence& operator=(const Fence&) = delete;

  /// Marks everything enqueued so far; replaces an earlier mark.
  virtual void record() {}
  /// Returns when what is marked is complete; at once when nothing was marked. Throws what the device reports.
  virtual void wait() {}
};

/// Ops that are enqueued together, again and again, with the arguments they were recorded with.
class StepGraph {
 public:
  StepGraph() = default;
  virtual ~StepGraph() = default;
  StepGraph(const StepGraph&) = delete;
  StepGraph& operator=(const StepGraph&) = delete;

  virtual void replay() = 0;
};

}  // namespace dcl
