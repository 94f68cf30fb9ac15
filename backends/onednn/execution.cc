#include "onednn/execution.h"

namespace dcl::onednn {
namespace {

constexpr int64_t kPieceBytes = 768 << 10;  // input and output of a piece: most of a 1 MiB second-level cache
constexpr int64_t kPiecePixels = 128;       // output pixels over which a filter fetched into cache is reused

}  // namespace

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& cpu_stream() {
  static dnnl::stream stream(cpu_engine());
  return stream;
}

BatchSplit split_batch(const ConvDesc& d, int threads) {
  BatchSplit split;
  split.threads = threads;
  split.images = d.n;
  split.alone = threads == 1 || d.n % threads == 0 || d.n >= 4 * threads;
  if (!split.alone) return split;
  const int64_t pixels = d.out_h() * d.out_w();
  const int64_t image_bytes = (d.h * d.w * d.c + pixels * d.k) * static_cast<int64_t>(size_of(d.dtype));
  const int64_t wanted = std::max({int64_t{1}, kPieceBytes / image_bytes, kPiecePixels / pixels});
  const int64_t rounds = std::max<int64_t>(1, ceil_div(d.n, wanted * threads));
  split.pieces = std::min(d.n, rounds * threads);
  split.images = d.n / split.pieces;
  split.larger = d.n % split.pieces;
  return split;
}

Execution::Execution(dnnl::primitive_desc_base descriptor, std::vector<int> arguments, int slots, int threads)
    : descriptor_(std::move(descriptor)), arguments_(std::move(arguments)), threads_(threads) {
  const auto scratchpad = descriptor_.query_md(dnnl::query::scratchpad_md, 0);
  scratchpad_bytes_ = scratchpad.get_size();
  arguments_.push_back(DNNL_ARG_SCRATCHPAD);
  for (int slot = 0; slot < slots; ++slot)
    for (const int index : arguments_)
      memory_.emplace_back(index == DNNL_ARG_SCRATCHPAD ? scratchpad : argument(index), cpu_engine(),
                           static_cast<void*>(DNNL_MEMORY_NONE));
}

void Execution::prepare() {
  if (primitive_) return;
  const CallerThreads scope(threads_);
  primitive_ = translated("prepare", [&] { return dnnl::primitive(descriptor_.get()); });
}

void Execution::run(int slot, std::initializer_list<const void*> data, void* scratchpad) const {
  dnnl_exec_arg_t args[kMaxArguments + 1];
  dnnl::memory* memory = &memory_[static_cast<size_t>(slot) * arguments_.size()];
  int count = 0;
  const auto add = [&](const void* operand) {
    // Setting a handle makes oneDNN 2.x clear the padding of blocked layouts: only when it changes.
    if (memory[count].get_data_handle() != operand) memory[count].set_data_handle(const_cast<void*>(operand));
    args[count] = {arguments_[static_cast<size_t>(count)], memory[count].get()};
    ++count;
  };
  for (const void* operand : data) add(operand);
  add(scratchpad);
  translated("execute", [&] {
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), cpu_stream().get(), count, args),
                            "could not execute a primitive");
  });
}

FilterReorder::FilterReorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to, int threads)
    : needed_(from != to), threads_(threads) {
  if (!needed_) return;
  const CallerThreads scope(threads);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  execution_ = Execution(dnnl::reorder::primitive_desc(cpu_engine(), from, cpu_engine(), to, attr),
                         {DNNL_ARG_FROM, DNNL_ARG_TO}, 1, threads);
}

void FilterReorder::run(const void* from, void* to, void* scratchpad) {
  execution_.prepare();
  const CallerThreads scope(threads_);
  execution_.run(0, {from, to}, scratchpad);
}

const void* FilterReorder::apply(const void* from, void* room, void* scratchpad) {
  if (!needed_) return from;
  run(from, room, scratchpad);
  return room;
}

dnnl::memory::desc plain_filter(const ConvDesc& d) {
  return {{d.k, d.c, d.r, d.s}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ohwi};
}

dnnl::memory::data_type data_type_of(DType type) {
  return type == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

}  // namespace dcl::onednn
