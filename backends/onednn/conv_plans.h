// Convolutions planned once per descriptor: primitives, filter layouts and the shares of the workspace.
// Filters come as f32 KRSC and are brought into the layout of the primitive at the start of each call.
// Constructors throw NotFast where oneDNN has nothing better than its reference loops.
#pragma once

#include <memory>
#include <optional>

#include "core/backend.h"
#include "onednn/execution.h"
#include "onednn/filter_gradient.h"

namespace dcl::onednn {

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

/// What every plan has. A plan serves one call at a time.
class ConvPlan {
 public:
  virtual ~ConvPlan() = default;
  size_t workspace_bytes() const { return workspace_bytes_; }

 protected:
  size_t workspace_bytes_ = 0;
};

class ForwardPlan final : public ConvPlan {
 public:
  ForwardPlan(const ConvDesc& d, int threads);
  void run(const void* x, const void* filter, void* y, void* workspace);

 private:
  size_t x_bytes_, y_bytes_;  // of one image
  PieceExecutions pieces_;
  FilterReorder reorder_;
  size_t filter_bytes_, scratch_bytes_;
};

class BackwardDataPlan final : public ConvPlan {
 public:
  BackwardDataPlan(const ConvDesc& d, int threads);
  void run(const void* dy, const void* filter, void* dx, Accum accum, void* workspace);

 private:
  void run_adding(const void* dy, const void* filter, void* dx, char* scratch);

  ConvDesc d_;
  PieceExecutions overwriting_, adding_;  // adding_ gives f32 sums for the images of a piece
  FilterReorder reorder_;
  size_t filter_bytes_, scratch_bytes_, piece_bytes_;
};

/// By FilterGradient where the processor has it, else by oneDNN.
class BackwardFilterPlan final : public ConvPlan {
 public:
  BackwardFilterPlan(const ConvDesc& d, int threads);
  void run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace);

 private:
  std::optional<FilterGradient> own_;
  int threads_;
  int64_t filter_elements_;
  Execution execution_;
  FilterReorder reorder_;
  size_t filter_bytes_ = 0, plain_bytes_ = 0;
};

/// Where the residual of a fused convolution is.
enum class Residual { none, in_y, apart };

class FusedPlan final : public ConvPlan {
 public:
  FusedPlan(const FusedConvDesc& d, Residual residual, int threads);
  void run(const void* x, const void* packed, const float* bias, const void* residual, void* y, void* workspace);

 private:
  Residual residual_;
  size_t x_bytes_, y_bytes_;
  PieceExecutions pieces_;
  FilterReorder reorder_;  // from the packed layout, where this batch size cannot use it
  size_t filter_bytes_, scratch_bytes_;
};

/// Packing for FusedPlan; the layout does not depend on the batch size, so one packed filter serves all.
class PackPlan final : public ConvPlan {
 public:
  PackPlan(const FusedConvDesc& d, int threads);
  size_t packed_bytes() const { return layout_.get_size(); }
  void run(const float* filter, void* packed);

 private:
  dnnl::memory::desc layout_;
  FilterReorder reorder_;
};

}  // namespace dcl::onednn
