#include "eigen/eigen_backend.h"

namespace dcl {

size_t EigenBackend::do_conv_workspace(const ConvDesc&, ConvPass) const { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_conv_forward(const ConvDesc&, ConstTensorRef, ConstTensorRef, TensorRef, Workspace) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_conv_backward_data(const ConvDesc&, ConstTensorRef, ConstTensorRef, TensorRef, Accum, Workspace) { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_conv_backward_filter(const ConvDesc&, ConstTensorRef, ConstTensorRef, TensorRef, Accum, Workspace) { fail(ErrorKind::internal, "unavailable"); }
size_t EigenBackend::do_packed_filter_bytes(const FusedConvDesc&) const { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_pack_filter(const FusedConvDesc&, ConstTensorRef, TensorRef) { fail(ErrorKind::internal, "unavailable"); }
size_t EigenBackend::do_fused_conv_workspace(const FusedConvDesc&) const { fail(ErrorKind::internal, "unavailable"); }
void EigenBackend::do_fused_conv(const FusedConvDesc&, ConstTensorRef, ConstTensorRef, ConstTensorRef, ConstTensorRef, TensorRef, Workspace) { fail(ErrorKind::internal, "unavailable"); }

}  // namespace dcl
