// Views one after the other on the calling thread, in scratch memory for the largest image met.
#include "eigen/kernels/augment.h"

#include <array>
#include <cstdint>

#include "core/extent.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"
#include "eigen/scratch.h"
#include "math/pixel.h"
#include "math/pixel_resize.h"

DCL_DISPATCH(ResizeTable, augment_resize)
DCL_DISPATCH(ColorTable, augment_color)
DCL_DISPATCH(OutputTable, augment_output)

namespace dcl {
namespace {

using kernels::BlurJob;
using kernels::ResizeJob;
using kernels::ResizeWeights;

/// Weights of the last geometry of an axis: batches of equal images compute them once. Memory is taken for the whole
/// `image`, of which `in` pixels are used, so that no larger crop of it needs more.
class AxisWeights {
 public:
  explicit constexpr AxisWeights(ScratchSlot slot) : slot_(slot) {}

  ResizeWeights prepare(int32_t image, int32_t in, int32_t out, int32_t begin, int32_t count) {
    const bool known = axis_.in == in && axis_.out == out && axis_.begin == begin && axis_.count == count;
    const int64_t most_taps = resize_max_taps(resize_axis(image, out));
    auto* memory = thread_scratch<int32_t>(slot_, count * (2 + most_taps));
    if (!known)
      axis_ = {in, out, begin, count, in == out ? 0 : resize_max_taps(resize_axis(in, out)), nullptr, nullptr, nullptr};
    ResizeWeights weights = axis_;
    weights.first = memory;
    weights.used = memory + count;
    weights.weights = memory + 2 * count;
    if (!known && in != out) kernels::augment_resize().fill_weights(weights);
    return weights;
  }

 private:
  ScratchSlot slot_;
  ResizeWeights axis_{};  // without its arrays, which move when the scratch grows
};

thread_local AxisWeights t_x{ScratchSlot::view_columns}, t_y{ScratchSlot::view_rows};

/// What one view is made in. Everything that any view of an image of this size uses is taken for the first.
struct Room {
  uint8_t *column_block, *rows, *result_row, *planes;
  uint16_t *blur_row, *blur_rows;
};

Room room_for(const AugmentDesc& d, int32_t image_h, int32_t image_w) {
  Room room;
  const auto carve = [&](void* base) {
    Carver carver(base);
    room = {.column_block = carver.take<uint8_t>(kernels::kResizeBlockBytes * image_w),
            .rows = carver.take<uint8_t>(4 * kernels::row_pixels(d.w) * image_h),
            .result_row = carver.take<uint8_t>(4 * kernels::row_pixels(d.w)),
            .planes = carver.take<uint8_t>(3 * d.h * d.w),
            .blur_row = carver.take<uint16_t>(d.w + 2 * kMaxBlurRadius),
            .blur_rows = carver.take<uint16_t>(d.h * d.w)};
    return carver.used();
  };
  carve(thread_scratch(ScratchSlot::view, carve(nullptr)));
  return room;
}

const uint8_t* crop_of(const uint8_t* pool, const ViewParams& v) {
  return pool + v.image_offset + 3 * (int64_t{v.crop_y} * v.image_w + v.crop_x);
}

/// Into room.planes: the resized crop's window.
void resize(const AugmentDesc& d, const uint8_t* pool, const ViewParams& v, const Room& room) {
  const auto h = static_cast<int32_t>(d.h), w = static_cast<int32_t>(d.w);
  ResizeJob job{};
  job.crop = crop_of(pool, v);
  job.row_bytes = 3 * int64_t{v.image_w};
  job.crop_h = v.crop_h;
  job.crop_w = v.crop_w;
  job.x = t_x.prepare(v.image_w, v.crop_w, v.resize_w ? v.resize_w : w, v.window_x, w);
  job.y = t_y.prepare(v.image_h, v.crop_h, v.resize_h ? v.resize_h : h, v.window_y, h);
  job.flip = v.flip;
  job.column_block = room.column_block;
  job.rows = room.rows;
  job.result_row = room.result_row;
  job.planes = room.planes;
  kernels::augment_resize().resize(job);
}

void jitter(const AugmentDesc& d, const ViewParams& v, uint8_t* planes) {
  const kernels::ColorTable& color = kernels::augment_color();
  const int64_t pixels = d.h * d.w;
  const int32_t rounding = luma_rounding(d.luma);
  for (int i = 0; i < v.jitter_count; ++i) {
    switch (v.jitter_order[i]) {
      case JitterOp::brightness:
        color.brightness(planes, pixels, v.brightness);
        break;
      case JitterOp::contrast:
        color.contrast(planes, pixels, v.contrast, rounding);
        break;
      case JitterOp::saturation:
        color.saturation(planes, pixels, v.saturation, rounding);
        break;
      case JitterOp::hue:
        color.hue(planes, pixels, v.hue_shift);
        break;
    }
  }
}

void blur(const AugmentDesc& d, const ViewParams& v, const Room& room) {
  kernels::augment_output().blur({room.planes, d.h, d.w, v.blur_radius, v.blur_weights, room.blur_row, room.blur_rows});
}

/// Whether the view is the source image itself.
bool whole_image(const AugmentDesc& d, const ViewParams& v) {
  return v.image_h == d.h && v.image_w == d.w && v.crop_h == d.h && v.crop_w == d.w &&
         (v.resize_h == 0 || v.resize_h == d.h) && (v.resize_w == 0 || v.resize_w == d.w) && !v.flip &&
         v.jitter_count == 0 && !v.gray && v.blur_radius == 0;
}

/// from_planes, from_pixels: the kernels of the output's type T, with its table of normalised bytes.
template <class T>
void make_views(const AugmentDesc& d, const uint8_t* pool, std::span<const ViewParams> views, const T* table, T* out,
                void (*from_planes)(const uint8_t*, int64_t, const T*, T*),
                void (*from_pixels)(const uint8_t*, int64_t, const T*, T*)) {
  const int64_t pixels = d.h * d.w;
  for (const ViewParams& v : views) {
    if (whole_image(d, v)) {
      from_pixels(pool + v.image_offset, pixels, table, out);
    } else {
      const Room room = room_for(d, v.image_h, v.image_w);
      resize(d, pool, v, room);
      jitter(d, v, room.planes);
      if (v.gray) kernels::augment_color().gray(room.planes, pixels, luma_rounding(d.luma));
      if (v.blur_radius > 0) blur(d, v, room);
      from_planes(room.planes, pixels, table, out);
    }
    out += 3 * pixels;
  }
}

}  // namespace

void EigenBackend::do_augment(const AugmentDesc& d, ConstTensorRef pool, ConstTensorRef views_tensor, TensorRef out) {
  const std::span views(static_cast<const ViewParams*>(views_tensor.data), static_cast<size_t>(views_tensor.shape[0]));
  const kernels::OutputTable& output = kernels::augment_output();
  const auto* bytes = pool.as<uint8_t>();
  if (out.dtype == DType::bf16) {
    std::array<bf16, 3 * 256> table;
    output.fill_table_bf16(d.normalization.mean, d.normalization.std, table.data());
    make_views(d, bytes, views, table.data(), out.as<bf16>(), output.planes_bf16, output.pixels_bf16);
  } else {
    std::array<float, 3 * 256> table;
    output.fill_table_f32(d.normalization.mean, d.normalization.std, table.data());
    make_views(d, bytes, views, table.data(), out.as<float>(), output.planes_f32, output.pixels_f32);
  }
}

}  // namespace dcl
