// The floor of this machine: one convolution by oneDNN in the layouts it likes best, whole batch, all threads, no
// reorders. That of bf16 on a processor that cannot multiply it is that of f32.
#pragma once

#include <memory>

#include "core/ops.h"

namespace dcl::bench {

class FloorConv {
 public:
  /// inference: forward only, nothing kept for training.
  FloorConv(const ConvDesc& d, ConvPass pass, bool inference);
  ~FloorConv();
  void run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dcl::bench
