// Views one after the other on the calling thread; scratch belongs to the thread and grows to the largest image it met.
#include "eigen/kernels/augment.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "eigen/eigen_backend.h"
#include "eigen/kernels/isa.h"
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

/// An array that only grows.
template <class T>
class Scratch {
 public:
  T* at_least(int64_t count) {
    if (static_cast<int64_t>(items_.size()) < count) items_.resize(static_cast<size_t>(count));
    return items_.data();
  }

 private:
  std::vector<T> items_;
};

/// Weights of the last geometry of an axis: batches of equal images compute them once. Memory is taken for the whole
/// `image`, of which `in` pixels are used, so that no larger crop of it needs more.
class AxisWeights {
 public:
  const ResizeWeights& prepare(int32_t image, int32_t in, int32_t out, int32_t begin, int32_t count) {
    if (axis_.in == in && axis_.out == out && axis_.begin == begin && axis_.count == count) return axis_;
    int32_t* spans = spans_.at_least(2 * int64_t{count});
    int32_t* weights = weights_.at_least(int64_t{count} * resize_max_taps(resize_axis(image, out)));
    axis_ = {in, out, begin, count, 0, nullptr, nullptr, nullptr};
    if (in == out) return axis_;
    axis_.taps = resize_max_taps(resize_axis(in, out));
    axis_.first = spans;
    axis_.used = spans + count;
    axis_.weights = weights;
    kernels::augment_resize().fill_weights(axis_);
    return axis_;
  }

 private:
  ResizeWeights axis_{};
  Scratch<int32_t> spans_, weights_;
};

struct ThreadScratch {
  AxisWeights x, y;
  Scratch<uint8_t> column_block, rows, result_row, planes;
  Scratch<uint16_t> blur_row, blur_rows;
  Scratch<float> table_f32;
  Scratch<bf16> table_bf16;

  struct BlurRoom {
    uint16_t *row, *rows;
  };
  BlurRoom blur_room(const AugmentDesc& d) {
    return {blur_row.at_least(d.w + 2 * kMaxBlurRadius), blur_rows.at_least(d.h * d.w)};
  }
};

ThreadScratch& thread_scratch() {
  thread_local ThreadScratch scratch;
  return scratch;
}

const uint8_t* crop_of(const uint8_t* pool, const ViewParams& v) {
  return pool + v.image_offset + 3 * (int64_t{v.crop_y} * v.image_w + v.crop_x);
}

/// The planes of the resized crop's window.
uint8_t* resize(const AugmentDesc& d, const uint8_t* pool, const ViewParams& v, ThreadScratch& scratch) {
  const auto h = static_cast<int32_t>(d.h), w = static_cast<int32_t>(d.w);
  const int32_t image_h = std::max(v.image_h, v.crop_h), image_w = std::max(v.image_w, v.crop_w);
  ResizeJob job{};
  job.crop = crop_of(pool, v);
  job.row_bytes = 3 * int64_t{v.image_w};
  job.crop_h = v.crop_h;
  job.crop_w = v.crop_w;
  job.x = scratch.x.prepare(image_w, v.crop_w, v.resize_w ? v.resize_w : w, v.window_x, w);
  job.y = scratch.y.prepare(image_h, v.crop_h, v.resize_h ? v.resize_h : h, v.window_y, h);
  job.flip = v.flip;
  job.column_block = scratch.column_block.at_least(kernels::kResizeBlockBytes * image_w);
  job.rows = scratch.rows.at_least(4 * kernels::row_pixels(w) * image_h);
  job.result_row = scratch.result_row.at_least(4 * kernels::row_pixels(w));
  job.planes = scratch.planes.at_least(3 * d.h * d.w);
  kernels::augment_resize().resize(job);
  return job.planes;
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

void blur(const AugmentDesc& d, const ViewParams& v, uint8_t* planes, const ThreadScratch::BlurRoom& room) {
  kernels::augment_output().blur({planes, d.h, d.w, v.blur_radius, v.blur_weights, room.row, room.rows});
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
  ThreadScratch& scratch = thread_scratch();
  const ThreadScratch::BlurRoom blur_room = scratch.blur_room(d);  // whether or not the first views are blurred
  const int64_t pixels = d.h * d.w;
  for (const ViewParams& v : views) {
    if (whole_image(d, v)) {
      from_pixels(pool + v.image_offset, pixels, table, out);
    } else {
      uint8_t* planes = resize(d, pool, v, scratch);
      jitter(d, v, planes);
      if (v.gray) kernels::augment_color().gray(planes, pixels, luma_rounding(d.luma));
      if (v.blur_radius > 0) blur(d, v, planes, blur_room);
      from_planes(planes, pixels, table, out);
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
    bf16* table = thread_scratch().table_bf16.at_least(3 * 256);
    output.fill_table_bf16(d.normalization.mean, d.normalization.std, table);
    make_views(d, bytes, views, table, out.as<bf16>(), output.planes_bf16, output.pixels_bf16);
  } else {
    float* table = thread_scratch().table_f32.at_least(3 * 256);
    output.fill_table_f32(d.normalization.mean, d.normalization.std, table);
    make_views(d, bytes, views, table, out.as<float>(), output.planes_f32, output.pixels_f32);
  }
}

}  // namespace dcl
