// What convolution plans share: how a convolution is described to oneDNN.
#pragma once

#include "core/ops.h"
#include "onednn/execution.h"

namespace dcl::onednn {

/// Where the caller's workspace is split: filter in the primitive's layout first, then scratchpads.
inline char* at(void* workspace, size_t offset) { return static_cast<char*>(workspace) + offset; }
inline const char* at(const void* data, size_t offset) { return static_cast<const char*>(data) + offset; }

dnnl::primitive_attr user_scratchpad();

/// `d` as it is computed: in f32 where the processor cannot multiply bf16 (pieces.h widens and rounds activations).
ConvDesc computed(ConvDesc d);

/// `images` of computed(d), activations NHWC. The filter may have any layout. Left to the base class (NotFast), since
/// no network here has them, is what oneDNN 2.6 computes wrong sums for: filters that are not square (padded 1x3 on
/// AVX-512, brgconv), padding wider than half the filter (5x5 padded by 4 with a sum, on AVX2), and single pixels with
/// a stride and channels that do not fill a vector (its threads write into each other's scratchpad, seen once in some
/// hundred calls on AVX2).
ConvSpec spec_for(const ConvDesc& d, int64_t images);

}  // namespace dcl::onednn
