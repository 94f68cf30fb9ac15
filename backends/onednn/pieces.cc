#include "onednn/pieces.h"

#include "core/parallel.h"
#include "onednn/kernels.h"

namespace dcl::onednn {
namespace {

constexpr int64_t kGrain = int64_t{1} << 16;  // values at a time, where a piece is shared by all threads

}  // namespace

size_t PieceExecutions::scratchpad_bytes() const {
  return std::max(larger_.scratchpad_bytes(), smaller_.scratchpad_bytes());
}

void PieceExecutions::prepare() {
  larger_.prepare();
  if (split_.larger > 0) smaller_.prepare();
}

PieceSide::PieceSide(const ConvDesc& d, bool of_y, int64_t images, Accum accum)
    : dtype_(d.dtype),
      accum_(accum),
      copied_(computed(d).dtype != d.dtype || accum == Accum::add),
      image_values_(of_y ? d.out_h() * d.out_w() * d.k : d.h * d.w * d.c),
      bytes_(copied_ ? padded(static_cast<size_t>(images * image_values_) * sizeof(float)) : 0) {}

const void* PieceSide::read(const void* data, int64_t first, int64_t images, void* room) const {
  const char* from = at(data, offset(first));
  if (!copied_) return from;
  const auto* bits = reinterpret_cast<const uint16_t*>(from);
  auto* values = static_cast<float*>(room);
  parallel_chunks(images * image_values_, kGrain,
                  [&](int64_t begin, int64_t end) { widen(bits + begin, values + begin, end - begin); });
  return room;
}

void* PieceSide::target(void* data, int64_t first, void* room) const {
  return copied_ ? room : at(data, offset(first));
}

void PieceSide::store(void* data, int64_t first, int64_t images, const void* room) const {
  if (!copied_) return;
  char* to = at(data, offset(first));
  const auto* values = static_cast<const float*>(room);
  parallel_chunks(images * image_values_, kGrain, [&](int64_t begin, int64_t end) {
    if (accum_ == Accum::add)
      add_to(to + begin * static_cast<int64_t>(size_of(dtype_)), dtype_, values + begin, end - begin);
    else
      round_to_bf16(values + begin, reinterpret_cast<uint16_t*>(to) + begin, end - begin);
  });
}

PieceConvolution::PieceConvolution(const ConvDesc& d, bool from_y, Accum accum, PieceExecutions executions)
    : executions_(std::move(executions)),
      in_(d, from_y, executions_.split().largest(), Accum::overwrite),
      out_(d, !from_y, executions_.split().largest(), accum),
      scratchpad_bytes_(padded(executions_.scratchpad_bytes())),
      slot_bytes_(scratchpad_bytes_ + in_.bytes() + out_.bytes()) {}

}  // namespace dcl::onednn
