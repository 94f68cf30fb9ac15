// Running oneDNN primitives without allocating: memory objects are made once and pointed at the operands of a call.
#pragma once

#include <string>
#include <vector>

#include "core/extent.h"
#include "core/parallel.h"
#include "onednn/compat.h"

namespace dcl::onednn {

/// The CPU engine and the stream all primitives run on.
const dnnl::engine& cpu_engine();
dnnl::stream& cpu_stream();

/// Calls body(); a dnnl::error becomes dcl::Error naming `what`.
template <class Body>
auto translated(const char* what, Body&& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    const bool memory = error.status == dnnl_out_of_memory;
    fail(memory ? ErrorKind::out_of_memory : ErrorKind::internal,
         std::string("[onednn ") + what + "] " + error.what() + " (status " + std::to_string(error.status) + ")");
  }
}

/// How the images of a batch are shared out: pieces of a few images, each run by one thread alone, or (one piece) the
/// whole batch by all threads together. The first `larger` pieces hold one image more than `images`.
struct BatchSplit {
  int threads = 1;     ///< of the process
  bool alone = false;  ///< pieces run on one thread each
  int64_t pieces = 1, images = 1, larger = 0;

  int slots() const { return alone ? threads : 1; }
  int threads_per_piece() const { return alone ? 1 : threads; }
  int64_t begin(int64_t piece) const { return piece * images + std::min(piece, larger); }
  int64_t size(int64_t piece) const { return images + (piece < larger ? 1 : 0); }
  int64_t largest() const { return images + (larger > 0 ? 1 : 0); }

  /// body(slot, piece) for every piece.
  template <class Body>
  void for_each(Body&& body) const {
    if (alone) return parallel_for_on_slots(slots(), pieces, body);
    const CallerThreads scope(threads);
    body(0, 0);
  }
};

/// The rule for convolutions: by one thread alone when the batch can be shared evenly, in pieces whose input and output
/// fit the second-level cache, but not so small that the filter is fetched for a few pixels only.
BatchSplit split_batch(const ConvDesc& d, int threads);

/// One primitive with its arguments, for `slots` threads at a time.
class Execution {
 public:
  static constexpr int kMaxArguments = 5;

  Execution() = default;
  /// arguments: DNNL_ARG_ values; the scratchpad is added. `threads` is what the descriptor was created for.
  Execution(dnnl::primitive_desc_base descriptor, std::vector<int> arguments, int slots, int threads);

  size_t scratchpad_bytes() const { return scratchpad_bytes_; }
  dnnl::memory::desc argument(int index) const { return descriptor_.query_md(dnnl::query::exec_arg_md, index); }
  /// Compiles the primitive, once. Call before run() from one thread.
  void prepare();
  /// data: operands in the order of `arguments`.
  void run(int slot, std::initializer_list<const void*> data, void* scratchpad) const;

 private:
  dnnl::primitive_desc_base descriptor_;
  dnnl::primitive primitive_;
  std::vector<int> arguments_;
  mutable std::vector<dnnl::memory> memory_;  // [slot][arguments_]
  size_t scratchpad_bytes_ = 0;
  int threads_ = 1;
};

/// Thrown while planning when oneDNN has no fast implementation on this processor.
struct NotFast {};

/// `make` gives a primitive descriptor; throws NotFast unless it is one with generated or hand-written kernels.
template <class Make>
auto fast(Make&& make) -> decltype(make()) {
  try {
    auto descriptor = make();
    if (std::string(descriptor.impl_info_str()).rfind("ref", 0) == 0) throw NotFast();
    return descriptor;
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) throw NotFast();
    throw;
  }
}

/// A filter from one layout to another.
class FilterReorder {
 public:
  FilterReorder() = default;
  FilterReorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to, int threads);

  /// False: the layouts are the same and no copy is needed.
  bool needed() const { return needed_; }
  size_t scratchpad_bytes() const { return needed_ ? execution_.scratchpad_bytes() : 0; }
  /// Of the copy that apply() makes, padded; 0 where it makes none.
  size_t copy_bytes() const { return needed_ ? padded(execution_.argument(DNNL_ARG_TO).get_size()) : 0; }
  void run(const void* from, void* to, void* scratchpad);
  /// The filter in the layout wanted: `from` itself, or its copy in `room`.
  const void* apply(const void* from, void* room, void* scratchpad);

 private:
  bool needed_ = false;
  int threads_ = 1;
  Execution execution_;
};

/// The layout of master weights and their gradients: f32 KRSC.
dnnl::memory::desc plain_filter(const ConvDesc& d);
dnnl::memory::data_type data_type_of(DType type);

}  // namespace dcl::onednn
