// Runs one op the way the conformance suite demands: outputs and workspace poisoned with NaN, guard bytes around every
// operand, inputs unchanged afterwards, twice with each thread count with the same bits (but for `onednn` also the same
// bits with every thread count). Operands live in the backend's memory and are seen through copies of them.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "support/values.h"

namespace dcl::test {

class OpRun {
 public:
  explicit OpRun(Backend& backend) : backend_(backend) {}
  ~OpRun();
  OpRun(const OpRun&) = delete;
  OpRun& operator=(const OpRun&) = delete;

  ConstTensorRef input(const Values& values);
  TensorRef output(Shape shape, DType dtype);
  /// Starts every run with the given values.
  TensorRef in_out(const Values& values);
  Workspace workspace(size_t bytes);
  /// Enough for every thread count that run() tries; `needed` states it for the count in effect.
  Workspace workspace(const std::function<size_t()>& needed);

  /// Adds test failures for anything promised above that does not hold.
  void run(const std::function<void()>& op);
  /// What the last run left in `tensor`.
  std::vector<double> result(TensorRef tensor) const;

 private:
  enum class Role { input, output, in_out };
  struct Operand {
    Role role;
    TensorRef tensor;
    Buffer buffer;
    std::vector<std::byte> before, after;  // guards, contents, guards: what a run starts with and what it left
  };

  TensorRef add(Role role, Shape shape, DType dtype, const std::vector<std::byte>& contents);
  void reset();
  void fetch();
  void expect_intact() const;
  std::vector<std::vector<std::byte>> written() const;

  Backend& backend_;
  std::list<Operand> operands_;
};

}  // namespace dcl::test
