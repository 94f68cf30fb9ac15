// The fast CPU backend: oneDNN for convolutions, everything else as the eigen backend does it.
#pragma once

#include <memory>

#include "eigen/eigen_backend.h"

namespace dcl {

/// Ops may be called from one thread at a time (augment from any). Descriptors are planned at first use, for the number
/// of threads then in effect (parallel.h), and kept.
class OneDnnBackend final : public EigenBackend {
 public:
  /// Throws Error{environment} when the oneDNN at run time is not of the version this was built for.
  OneDnnBackend();
  ~OneDnnBackend() override;
  BackendInfo info() const override;

 protected:
  size_t do_conv_workspace(const ConvDesc&, ConvPass) const override;
  void do_conv_forward(const ConvDesc&, ConstTensorRef x, ConstTensorRef filter, TensorRef y, Workspace) override;
  void do_conv_backward_data(const ConvDesc&, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx, Accum,
                             Workspace) override;
  void do_conv_backward_filter(const ConvDesc&, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter, Accum,
                               Workspace) override;
  size_t do_packed_filter_bytes(const FusedConvDesc&) const override;
  void do_pack_filter(const FusedConvDesc&, ConstTensorRef filter, TensorRef packed) override;
  size_t do_fused_conv_workspace(const FusedConvDesc&) const override;
  void do_fused_conv(const FusedConvDesc&, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                     ConstTensorRef residual, TensorRef y, Workspace) override;

 private:
  class Plans;
  std::unique_ptr<Plans> plans_;
};

}  // namespace dcl
