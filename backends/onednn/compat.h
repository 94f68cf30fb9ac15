// The one place that knows what differs between oneDNN 2.x and 3.x: how a convolution is described, and the values of
// instruction sets.
#pragma once

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>

#include "core/ops.h"

namespace dcl::onednn {

/// Memory and geometry of one convolution. An empty bias descriptor means no bias, here and for products.
struct ConvSpec {
  dnnl::memory::desc src, weights, bias, dst;
  dnnl::memory::dims strides, pad_begin, pad_end;
};

/// Strides and padding of `d`. Padding at the end is what the last window needs, which the fast kernels insist on.
inline void set_geometry(const ConvDesc& d, ConvSpec& spec) {
  const auto pad_end = [&](int64_t out, int64_t window, int64_t in) {
    return std::max<int64_t>(0, (out - 1) * d.stride + window - in - d.pad);
  };
  spec.strides = {d.stride, d.stride};
  spec.pad_begin = {d.pad, d.pad};
  spec.pad_end = {pad_end(d.out_h(), d.r, d.h), pad_end(d.out_w(), d.s, d.w)};
}

/// Every version's values are sets of instructions.
inline bool has_isa(dnnl::cpu_isa wanted) {
  const auto all = static_cast<unsigned>(wanted);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & all) == all;
}

/// Whether the processor multiplies bf16. AVX-512 alone does not: oneDNN emulates it there, slower than f32.
inline bool multiplies_bf16() { return has_isa(dnnl::cpu_isa::avx512_core_bf16); }
/// By whole tiles (AMX), sixteen times as many in a cycle.
inline bool multiplies_bf16_tiles() { return has_isa(dnnl::cpu_isa::avx512_core_amx); }

using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardFilter = dnnl::convolution_backward_weights;

inline constexpr auto kDirect = dnnl::algorithm::convolution_direct;

#if DNNL_VERSION_MAJOR >= 3

inline Forward::primitive_desc forward_desc(const dnnl::engine& engine, dnnl::prop_kind kind, const ConvSpec& c,
                                            const dnnl::primitive_attr& attr) {
  if (c.bias.is_zero())
    return {engine, kind, kDirect, c.src, c.weights, c.dst, c.strides, c.pad_begin, c.pad_end, attr};
  return {engine, kind, kDirect, c.src, c.weights, c.bias, c.dst, c.strides, c.pad_begin, c.pad_end, attr};
}

inline BackwardData::primitive_desc backward_data_desc(const dnnl::engine& engine, const ConvSpec& c,
                                                       const Forward::primitive_desc& hint,
                                                       const dnnl::primitive_attr& attr) {
  return {engine, kDirect, c.src, c.weights, c.dst, c.strides, c.pad_begin, c.pad_end, hint, attr};
}

inline BackwardFilter::primitive_desc backward_filter_desc(const dnnl::engine& engine, const ConvSpec& c,
                                                           const Forward::primitive_desc& hint,
                                                           const dnnl::primitive_attr& attr) {
  return {engine, kDirect, c.src, c.weights, c.dst, c.strides, c.pad_begin, c.pad_end, hint, attr};
}

inline dnnl::matmul::primitive_desc matmul_desc(const dnnl::engine& engine, const dnnl::memory::desc& a,
                                                const dnnl::memory::desc& b, const dnnl::memory::desc& bias,
                                                const dnnl::memory::desc& c, const dnnl::primitive_attr& attr) {
  if (bias.is_zero()) return {engine, a, b, c, attr};
  return {engine, a, b, bias, c, attr};
}

inline void append_relu(dnnl::post_ops& ops) { ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.0f, 0.0f); }

inline dnnl::memory::data_type type_of(const dnnl::memory::desc& layout) { return layout.get_data_type(); }

#else

inline Forward::primitive_desc forward_desc(const dnnl::engine& engine, dnnl::prop_kind kind, const ConvSpec& c,
                                            const dnnl::primitive_attr& attr) {
  if (c.bias.is_zero())
    return {Forward::desc(kind, kDirect, c.src, c.weights, c.dst, c.strides, c.pad_begin, c.pad_end), attr, engine};
  return {Forward::desc(kind, kDirect, c.src, c.weights, c.bias, c.dst, c.strides, c.pad_begin, c.pad_end), attr,
          engine};
}

inline BackwardData::primitive_desc backward_data_desc(const dnnl::engine& engine, const ConvSpec& c,
                                                       const Forward::primitive_desc& hint,
                                                       const dnnl::primitive_attr& attr) {
  return {BackwardData::desc(kDirect, c.src, c.weights, c.dst, c.strides, c.pad_begin, c.pad_end), attr, engine, hint};
}

inline BackwardFilter::primitive_desc backward_filter_desc(const dnnl::engine& engine, const ConvSpec& c,
                                                           const Forward::primitive_desc& hint,
                                                           const dnnl::primitive_attr& attr) {
  return {BackwardFilter::desc(kDirect, c.src, c.weights, c.dst, c.strides, c.pad_begin, c.pad_end), attr, engine,
          hint};
}

inline dnnl::matmul::primitive_desc matmul_desc(const dnnl::engine& engine, const dnnl::memory::desc& a,
                                                const dnnl::memory::desc& b, const dnnl::memory::desc& bias,
                                                const dnnl::memory::desc& c, const dnnl::primitive_attr& attr) {
  if (bias.is_zero()) return {dnnl::matmul::desc(a, b, c), attr, engine};
  return {dnnl::matmul::desc(a, b, bias, c), attr, engine};
}

inline void append_relu(dnnl::post_ops& ops) { ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f); }

inline dnnl::memory::data_type type_of(const dnnl::memory::desc& layout) { return layout.data_type(); }

#endif

}  // namespace dcl::onednn
