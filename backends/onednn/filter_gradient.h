// Filter gradient of our own: dfilter[k,r,s,c] = sum over pixels of dy[pixel,k] x[pixel moved by (r,s),c], in f32 KRSC.
// oneDNN's loses 10 to 40 % on NHWC and needs a reorder; here both operands are packed into panels that fit the caches.
//
// The result does not depend on the number of threads: images are cut into parts whose number follows from the shape,
// each part sums its pixels in order, and the parts are added in order.
#pragma once

#include "core/ops.h"
#include "onednn/filter_kernels.h"

namespace dcl::onednn {

class FilterGradient {
 public:
  /// Whether this processor and shape have it.
  static bool supports(const ConvDesc& d);
  FilterGradient(const ConvDesc& d, int threads);

  size_t workspace_bytes() const { return workspace_bytes_; }
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) const;

 private:
  struct Task {
    int64_t part;            ///< of the images
    int64_t k_begin, k_end;  ///< output channels
    int64_t c_begin, c_end;  ///< input channels
  };
  struct Strip {
    int64_t image, images;  ///< first and number
    int64_t row, rows;      ///< output rows of each
  };

  void choose_split(int threads);
  Task task(int64_t index) const;
  void run_task(const Task& task, const void* x, const void* dy, float* to, bool add, uint32_t* panels) const;
  void pack_x(const Task& task, const Strip& strip, const void* x, uint32_t* panels) const;
  void pack_y(const Task& task, const Strip& strip, const void* dy, uint32_t* panels) const;
  PanelWalk walk(const Strip& strip, int64_t r, int64_t s, int64_t& x_offset, int64_t& y_offset) const;
  void multiply(const Task& task, const Strip& strip, const uint32_t* x, const uint32_t* y, float* to, bool add,
                const Prefetch (&next)[2]) const;
  Prefetch bytes_of(const Task& task, const Strip& strip, const void* data, bool of_y) const;

  ConvDesc d_;
  const FilterKernels* kernels_;
  int64_t x_lanes_, y_lanes_;
  int64_t parts_ = 1, k_parts_ = 1, c_parts_ = 1;
  int slots_ = 1;
  int64_t strip_images_ = 1, strip_rows_ = 1;  // largest
  int64_t steps_, row_classes_, class_rows_;   // of x in a panel: rows by (row mod stride), rows of each class
  int64_t x_panel_, y_panel_, panel_cells_;    // cells
  size_t workspace_bytes_;
};

}  // namespace dcl::onednn
