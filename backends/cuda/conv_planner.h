// Patterns that can run. Two implementations of the planner: cudnn_planner.cc asks cuDNN; emulation/conv_planner.cc
// lets the reference kernels compute what cuDNN would.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cuda/context.h"
#include "cuda/conv_pattern.h"

namespace dcl::cuda {

/// Memory of a pattern's tensors, 16-byte aligned; those that the pattern does not have are ignored.
struct ConvOperands {
  const void *x = nullptr, *filter = nullptr, *y = nullptr;  ///< one of them is written (ConvPattern)
  const void *bias = nullptr, *residual = nullptr;
};

/// Of the memory that libraries get, as cudaMalloc gives it.
constexpr size_t kWorkspaceAlignment = 256;

class ConvPlan {
 public:
  virtual ~ConvPlan() = default;
  size_t workspace_bytes() const { return workspace_bytes_; }
  /// Enqueues on the context's stream. workspace: of workspace_bytes(), aligned.
  virtual void run(const ConvOperands& operands, void* workspace) = 0;

 protected:
  size_t workspace_bytes_ = 0;
};

class ConvPlanner {
 public:
  /// Throws Error{environment} when the library is missing or unusable.
  explicit ConvPlanner(Context& context);
  ~ConvPlanner();

  std::vector<std::pair<std::string, std::string>> libraries() const;
  /// The pattern's plan, made at the first call and kept; null when the library has nothing that may serve it, or
  /// nothing that is faster than the convolution alone with a pass for the rest.
  ConvPlan* find(const ConvPattern& pattern);
  /// Notice that the pattern will be asked for: plans that compile may be made at the same time.
  void expect(const ConvPattern& pattern);

 private:
  class Plans;
  std::unique_ptr<Plans> plans_;
};

}  // namespace dcl::cuda
