#include "onednn/widening.h"

#include "core/parallel.h"
#include "onednn/conv_specs.h"
#include "onednn/kernels.h"

namespace dcl::onednn {
namespace {

constexpr int64_t kGrain = int64_t{1} << 16;  // values at a time, where a piece is shared by all threads

}  // namespace

ConvDesc computed(ConvDesc d) {
  if (d.dtype == DType::bf16 && !multiplies_bf16()) d.dtype = DType::f32;
  return d;
}

PieceSide::PieceSide(const ConvDesc& d, bool of_y, int64_t images)
    : widened_(computed(d).dtype != d.dtype),
      image_values_(of_y ? d.out_h() * d.out_w() * d.k : d.h * d.w * d.c),
      image_bytes_(static_cast<size_t>(image_values_) * size_of(d.dtype)),
      bytes_(widened_ ? padded(static_cast<size_t>(images * image_values_) * sizeof(float)) : 0) {}

const void* PieceSide::read(const void* data, int64_t first, int64_t images, void* room) const {
  const char* from = at(data, static_cast<size_t>(first) * image_bytes_);
  if (!widened_) return from;
  const auto* bits = reinterpret_cast<const uint16_t*>(from);
  auto* values = static_cast<float*>(room);
  parallel_chunks(images * image_values_, kGrain,
                  [&](int64_t begin, int64_t end) { widen(bits + begin, values + begin, end - begin); });
  return room;
}

void* PieceSide::target(void* data, int64_t first, void* room) const {
  return widened_ ? room : at(data, static_cast<size_t>(first) * image_bytes_);
}

void PieceSide::store(void* data, int64_t first, int64_t images, const void* room) const {
  if (!widened_) return;
  auto* bits = reinterpret_cast<uint16_t*>(at(data, static_cast<size_t>(first) * image_bytes_));
  const auto* values = static_cast<const float*>(room);
  parallel_chunks(images * image_values_, kGrain,
                  [&](int64_t begin, int64_t end) { round_to_bf16(values + begin, bits + begin, end - begin); });
}

}  // namespace dcl::onednn
