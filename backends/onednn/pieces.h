// Convolutions run in pieces of a batch (BatchSplit).
//
// bf16 on a processor that cannot multiply it is computed in f32: activations are widened and rounded piece by piece,
// while a piece lies in the cache, which keeps half the memory at the speed of f32.
#pragma once

#include "onednn/conv_specs.h"

namespace dcl::onednn {

/// The executions of a split batch: one for the larger pieces, one for the others.
class PieceExecutions {
 public:
  /// make(images) describes the primitive for that many images; called with the right number of threads in effect.
  template <class Make>
  PieceExecutions(const BatchSplit& split, std::vector<int> arguments, Make&& make) : split_(split) {
    const CallerThreads scope(split.threads_per_piece());
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

/// x or y of a piece, NHWC, as the primitive wants it: the caller's own memory, or an f32 copy in `room` (of bytes()).
class PieceSide {
 public:
  /// images: of the largest piece. accum: what store() does.
  PieceSide(const ConvDesc& d, bool of_y, int64_t images, Accum accum);

  size_t bytes() const { return bytes_; }
  /// Images from `first` on, to be read.
  const void* read(const void* data, int64_t first, int64_t images, void* room) const;
  /// Where images from `first` on are to be computed; store() must follow.
  void* target(void* data, int64_t first, void* room) const;
  void store(void* data, int64_t first, int64_t images, const void* room) const;

 private:
  DType dtype_;
  Accum accum_;
  bool copied_;
  int64_t image_values_;
  size_t bytes_;

  size_t offset(int64_t image) const { return static_cast<size_t>(image * image_values_) * size_of(dtype_); }
};

/// One piece in work: operands of its execution.
struct Piece {
  const Execution& execution;
  int slot;
  int64_t first, images;  ///< of the batch
  const void* in;
  void* out;
  void* scratchpad;

  void run(std::initializer_list<const void*> operands) const { execution.run(slot, operands, scratchpad); }
};

/// From x to y, or from dy to dx.
class PieceConvolution {
 public:
  PieceConvolution(const ConvDesc& d, bool from_y, Accum accum, PieceExecutions executions);

  size_t workspace_bytes() const { return static_cast<size_t>(executions_.split().slots()) * slot_bytes_; }
  dnnl::memory::desc filter_layout() const { return executions_.argument(DNNL_ARG_WEIGHTS); }
  const PieceSide& out() const { return out_; }

  /// execute(piece) for every piece; Accum::add needs executions that give f32.
  template <class Execute>
  void run(const void* in, void* out, void* workspace, Execute&& execute) {
    executions_.prepare();
    const BatchSplit& split = executions_.split();
    split.for_each([&](int slot, int64_t index) {
      const int64_t first = split.begin(index), images = split.size(index);
      char* scratchpad = at(workspace, static_cast<size_t>(slot) * slot_bytes_);
      char* in_room = at(scratchpad, scratchpad_bytes_);
      char* out_room = at(in_room, in_.bytes());
      const void* from = in_.read(in, first, images, in_room);
      execute(Piece{executions_.of(index), slot, first, images, from, out_.target(out, first, out_room), scratchpad});
      out_.store(out, first, images, out_room);
    });
  }

 private:
  PieceExecutions executions_;
  PieceSide in_, out_;
  size_t scratchpad_bytes_, slot_bytes_;
};

}  // namespace dcl::onednn
