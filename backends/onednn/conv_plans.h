// Convolutions planned once per descriptor: primitives, filter layouts and the shares of the workspace.
// Filters come as f32 KRSC and are brought into the layout of the primitive at the start of each call.
// make() gives null where the base class has something better, and throws NotFast where oneDNN has nothing better than
// its reference loops.
#pragma once

#include <array>
#include <memory>

#include "core/backend.h"
#include "onednn/conv_specs.h"

namespace dcl::onednn {

/// What every plan has. A plan serves one call at a time.
class ConvPlan {
 public:
  virtual ~ConvPlan() = default;
  size_t workspace_bytes() const { return workspace_bytes_; }

 protected:
  size_t workspace_bytes_ = 0;
};

class ForwardPlan : public ConvPlan {
 public:
  static std::unique_ptr<ForwardPlan> make(const ConvDesc& d, int threads);
  virtual void run(const void* x, const void* filter, void* y, void* workspace) = 0;
};

class BackwardDataPlan : public ConvPlan {
 public:
  static std::unique_ptr<BackwardDataPlan> make(const ConvDesc& d, int threads);
  virtual void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace) = 0;
};

/// By kernels of our own (filter_gradient.h) where the processor has them, else by oneDNN.
class BackwardFilterPlan : public ConvPlan {
 public:
  static std::unique_ptr<BackwardFilterPlan> make(const ConvDesc& d, int threads);
  virtual void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) = 0;
};

/// Where the residual of a fused convolution is.
enum class Residual { none, in_y, apart };

/// A fused convolution for one place of the residual.
class FusedForm : public ConvPlan {
 public:
  virtual void run(const void* x, const void* packed, const float* bias, const void* residual, void* y,
                   void* workspace) = 0;
};

/// The inference form: packing, and the convolution for every place where the residual can be. All of them read the
/// same packed filter, so it is all of them or none. By Winograd's algorithm (eigen/winograd.h) for many pixels, else
/// by oneDNN.
class FusedPlan final : public ConvPlan {
 public:
  FusedPlan(const FusedConvDesc& d, int threads);
  static std::unique_ptr<FusedPlan> make(const FusedConvDesc& d, int threads) {
    return std::make_unique<FusedPlan>(d, threads);
  }
  size_t packed_bytes() const { return layout_.get_size(); }
  void pack(const float* filter, void* packed);
  /// residual: null where the descriptor has none.
  void run(const void* x, const void* packed, const float* bias, const void* residual, void* y, void* workspace);

 private:
  dnnl::memory::desc layout_;
  FilterReorder packing_;
  std::array<std::unique_ptr<FusedForm>, 3> forms_;  ///< by Residual; null: not asked for
};

}  // namespace dcl::onednn
