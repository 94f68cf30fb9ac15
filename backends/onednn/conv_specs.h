// What convolution plans share: how a convolution is described to oneDNN and run in pieces of a batch.
#pragma once

#include "core/ops.h"
#include "onednn/execution.h"

namespace dcl::onednn {

/// Where the caller's workspace is split: filter in the primitive's layout first, then scratchpads.
inline char* at(void* workspace, size_t offset) { return static_cast<char*>(workspace) + offset; }
inline const char* at(const void* data, size_t offset) { return static_cast<const char*>(data) + offset; }

/// Bytes of x or y of one image.
size_t image_bytes(const ConvDesc& d, bool of_y);

dnnl::primitive_attr user_scratchpad();

/// `images` of d, activations NHWC. The filter may have any layout. Left to the base class (NotFast), since no network
/// here has them, is what oneDNN 2.6 computes wrong sums for: filters that are not square (padded 1x3 on AVX-512,
/// brgconv), padding wider than half the filter (5x5 padded by 4 with a sum, on AVX2), and single pixels with a stride
/// and channels that do not fill a vector (its threads write into each other's scratchpad, seen once in some hundred
/// calls on AVX2).
ConvSpec spec_for(const ConvDesc& d, int64_t images);

/// The executions of a split batch: one for the larger pieces, one for the others.
class PieceExecutions {
 public:
  /// make(images) describes the primitive for that many images; called with the right number of threads in effect.
  template <class Make>
  PieceExecutions(const BatchSplit& split, std::vector<int> arguments, Make&& make) : split_(split) {
    const ThreadScope scope(split.threads_per_piece());
    larger_ = Execution(make(split.largest()), arguments, split.slots(), split.threads_per_piece());
    if (split.larger > 0) smaller_ = Execution(make(split.images), arguments, split.slots(), split.threads_per_piece());
  }

  const BatchSplit& split() const { return split_; }
  dnnl::memory::desc argument(int index) const { return larger_.argument(index); }
  /// Of one slot.
  size_t scratchpad_bytes() const;
  void prepare();
  const Execution& of(int64_t piece) const { return split_.larger == 0 || piece < split_.larger ? larger_ : smaller_; }

 private:
  BatchSplit split_;
  Execution larger_, smaller_;
};

}  // namespace dcl::onednn
