// 3x3 convolutions of stride one by Winograd's algorithm (kernels/winograd.h), computed in f32 whatever the
// activations.
//
// Forward in tiles of 2x2: 4/9 of the multiplications, and errors as small as those of summing the products directly.
// Backward in tiles of 4x4: a quarter of the multiplications; errors are five to ten times larger, which backward does
// not add to what training in f32 has anyway, but forward does: batch norm over few samples amplifies them
// (docs/performance.md).
//
// Results do not depend on the number of threads: every sum runs in the order of channels, or of tiles within parts
// whose number follows from the shape.
#pragma once

#include "core/extent.h"
#include "core/ops.h"
#include "eigen/kernels/winograd.h"

namespace dcl {

/// The outputs of a batch, cut into tiles.
struct WinogradGrid {
  int64_t images, out_h, out_w, tile;

  int64_t tile_rows() const { return ceil_div(out_h, tile); }
  int64_t tile_columns() const { return ceil_div(out_w, tile); }
  int64_t tiles() const { return images * tile_rows() * tile_columns(); }
};

/// One matrix at every position.
struct WinogradMatrices {
  int64_t row = 0, position = 0;  ///< floats apart
  int64_t floats = 0;

  WinogradMatrices() = default;
  /// Strides such that neither rows nor positions share cache sets.
  WinogradMatrices(int64_t positions, int64_t rows, int64_t columns);
};

/// Whether this shape has it, for all passes.
bool winograd_supports(const ConvDesc& d);
/// For inference with enough pixels to pay for transforming the filter at every call.
bool winograd_supports_fused(const ConvDesc& d);

/// Forward, and with respect to the data, which is the same with the filter turned and channels exchanged.
class WinogradConvolution {
 public:
  static WinogradConvolution forward(const ConvDesc& d, int threads);
  static WinogradConvolution backward_data(const ConvDesc& d, int threads);

  size_t workspace_bytes() const;
  /// in: x or dy; out: y or dx. epilogue.residual: a tensor like out.
  void run(const void* in, const float* filter, void* out, const kernels::WinogradEpilogue& epilogue,
           void* workspace) const;

 private:
  struct Side {
    int64_t h, w, channels;
  };
  WinogradConvolution(const kernels::WinogradTransforms& transforms, const ConvDesc& d, Side in, Side out, int64_t pad,
                      kernels::WinogradFilter filter, int threads);

  struct Task {
    int64_t tile_begin, tile_end, out_begin, out_end;  // tiles and output channels
  };
  Task task(int64_t index) const;
  void run_task(const Task& task, const void* in, const float* filters, void* out,
                const kernels::WinogradEpilogue& epilogue, float* own) const;
  void transform_filters(const float* filter, float* filters) const;

  const kernels::WinogradTransforms* transforms_;
  WinogradGrid grid_;
  DType dtype_;
  Side in_, out_;
  int64_t pad_;
  kernels::WinogradFilter filter_;  // strides; data is that of a call
  int64_t block_tiles_, blocks_, out_parts_;
  int slots_;  // tasks at a time, each with memory of its own
  int64_t filter_position_;
  WinogradMatrices inputs_, sums_;
};

class WinogradFilterGradient {
 public:
  WinogradFilterGradient(const ConvDesc& d, int threads);

  size_t workspace_bytes() const;
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) const;

 private:
  struct Task {
    int64_t tile_begin, tile_end, k_begin, k_end;
    float* sums;
  };
  void run_task(const Task& task, const void* x, const void* dy, float* own) const;

  ConvDesc d_;
  const kernels::WinogradTransforms* transforms_;
  WinogradGrid grid_;
  int64_t block_tiles_, parts_, k_parts_;
  int slots_;
  WinogradMatrices inputs_, gradients_, sums_;
};

}  // namespace dcl
