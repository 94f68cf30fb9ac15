#include "onednn/filter_gradient.h"

#include <algorithm>

#include "core/extent.h"
#include "core/parallel.h"
#include "onednn/kernels.h"

namespace dcl::onednn {
namespace {

// Measured on Zen 4: parts cost their sums once more, short strips cost a visit of all weights, long ones leave the
// cache.
constexpr int64_t kMostParts = 8;
constexpr int64_t kPartWeights = 600'000;                // parts are doubled while they hold fewer weights together
constexpr int64_t kManyWeights = 1 << 18;                // from here on strips are long
constexpr int64_t kShortStrip = 384, kLongStrip = 1024;  // pixels

/// Panels a multiple of the page size apart would share cache sets.
int64_t panel_stride(int64_t cells) { return round_up(cells + kSpill, 16) + 3 * 16; }

/// Output positions whose input lies inside [0, extent).
void valid_range(int64_t extent, int64_t out, int64_t stride, int64_t first, int64_t& begin, int64_t& end) {
  begin = std::clamp<int64_t>(first < 0 ? (-first + stride - 1) / stride : 0, 0, out);
  end = std::clamp<int64_t>(first < extent ? (extent - 1 - first) / stride + 1 : 0, begin, out);
}

/// Deals two pieces of memory out in equal shares.
class PrefetchCursor {
 public:
  PrefetchCursor(const Prefetch (&pieces)[2], int64_t shares) : first_(pieces[0]), second_(pieces[1]) {
    const int64_t bytes = (first_.end - first_.begin) + (second_.end - second_.begin);
    share_ = (bytes / shares + 127) / 64 * 64;
  }
  Prefetch next() {
    Prefetch& from = first_.begin < first_.end ? first_ : second_;
    const Prefetch share{from.begin, from.begin + std::min(share_, from.end - from.begin)};
    from.begin = share.end;
    return share;
  }

 private:
  Prefetch first_, second_;
  int64_t share_;
};

}  // namespace

bool FilterGradient::supports(const ConvDesc& d) {
  return d.c >= 16 && d.k >= 8 && filter_kernels(d.dtype == DType::bf16) != nullptr;
}

FilterGradient::FilterGradient(const ConvDesc& d, int threads)
    : d_(d),
      kernels_(filter_kernels(d.dtype == DType::bf16)),
      x_lanes_(kernels_->x_lanes),
      y_lanes_(kernels_->y_lanes),
      slots_(threads) {
  const int64_t weights = d.filter_shape().elements();
  while (parts_ < kMostParts && 2 * parts_ <= d.n && parts_ * weights < kPartWeights) parts_ *= 2;
  choose_split(threads);
  const int64_t pixels = weights > kManyWeights ? kLongStrip : kShortStrip;
  const int64_t image_pixels = d.out_h() * d.out_w();
  strip_rows_ = std::clamp<int64_t>(pixels / d.out_w(), 1, d.out_h());
  strip_images_ = std::clamp<int64_t>(pixels / image_pixels, 1, ceil_div(d.n, parts_));
  if (strip_images_ > 1) strip_rows_ = d.out_h();

  steps_ = ceil_div(d.out_w(), kernels_->pixels_per_step);
  row_classes_ = std::min(d.stride, d.r);
  class_rows_ = strip_rows_ + (d.r - 1) / d.stride;
  x_panel_ = panel_stride(strip_images_ * row_classes_ * class_rows_ * steps_ * x_lanes_);
  y_panel_ = panel_stride(strip_images_ * strip_rows_ * steps_ * y_lanes_);
  const int64_t x_blocks = ceil_div(ceil_div(d.c, x_lanes_), c_parts_),
                y_blocks = ceil_div(ceil_div(d.k, y_lanes_), k_parts_);
  panel_cells_ = x_blocks * d.s * x_panel_ + y_blocks * y_panel_;
  const int64_t partial_sums = parts_ > 1 ? parts_ * weights : 0;
  workspace_bytes_ = static_cast<size_t>(panel_cells_ * slots_ + partial_sums) * sizeof(uint32_t);
}

/// Output and input channels are shared out so that the least is packed twice.
void FilterGradient::choose_split(int threads) {
  const int64_t wanted = ceil_div(threads, parts_);
  const int64_t k_blocks = ceil_div(d_.k, y_lanes_), c_blocks = ceil_div(d_.c, x_lanes_);
  int64_t best = INT64_MAX;
  for (int64_t k_parts = 1; k_parts <= std::min(wanted, k_blocks); ++k_parts) {
    const int64_t c_parts = std::min(c_blocks, ceil_div(wanted, k_parts));
    const int64_t packed = d_.s * ceil_div(c_blocks, c_parts) * x_lanes_ + ceil_div(k_blocks, k_parts) * y_lanes_;
    if (packed >= best) continue;
    best = packed;
    k_parts_ = k_parts;
    c_parts_ = c_parts;
  }
}

FilterGradient::Task FilterGradient::task(int64_t index) const {
  const int64_t c_part = index % c_parts_, k_part = index / c_parts_ % k_parts_;
  const auto range = [](int64_t channels, int64_t lanes, int64_t part, int64_t parts, int64_t& begin, int64_t& end) {
    const int64_t count = ceil_div(channels, lanes);
    begin = count * part / parts * lanes;
    end = std::min(channels, count * (part + 1) / parts * lanes);
  };
  Task out;
  out.part = index / (c_parts_ * k_parts_);
  range(d_.k, y_lanes_, k_part, k_parts_, out.k_begin, out.k_end);
  range(d_.c, x_lanes_, c_part, c_parts_, out.c_begin, out.c_end);
  return out;
}

void FilterGradient::run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) const {
  auto* panels = static_cast<uint32_t*>(workspace);
  float* partial = reinterpret_cast<float*>(panels + slots_ * panel_cells_);
  const int64_t weights = d_.filter_shape().elements();
  parallel_for_on_slots(slots_, parts_ * k_parts_ * c_parts_, [&](int slot, int64_t index) {
    const Task work = task(index);
    float* to = parts_ > 1 ? partial + work.part * weights : dfilter;
    run_task(work, x, dy, to, parts_ == 1 && accum == Accum::add, panels + slot * panel_cells_);
  });
  if (parts_ == 1) return;
  parallel_chunks(weights, int64_t{1} << 14, [&](int64_t begin, int64_t end) {
    for (int64_t part = 1; part < parts_; ++part)
      add_to(partial + begin, DType::f32, partial + part * weights + begin, end - begin);
    if (accum == Accum::add)
      add_to(dfilter + begin, DType::f32, partial + begin, end - begin);
    else
      std::copy(partial + begin, partial + end, dfilter + begin);
  });
}

void FilterGradient::run_task(const Task& task, const void* x, const void* dy, float* to, bool add,
                              uint32_t* panels) const {
  uint32_t* y_panels = panels + ceil_div(task.c_end - task.c_begin, x_lanes_) * d_.s * x_panel_;
  const int64_t end = d_.n * (task.part + 1) / parts_;
  for (int64_t image = d_.n * task.part / parts_; image < end; image += strip_images_)
    for (int64_t row = 0; row < d_.out_h(); row += strip_rows_) {
      const Strip strip{image, std::min(strip_images_, end - image), row, std::min(strip_rows_, d_.out_h() - row)};
      pack_x(task, strip, x, panels);
      pack_y(task, strip, dy, y_panels);
      Strip next = strip;
      next.row += strip.rows;
      if (next.row >= d_.out_h()) {
        next.row = 0;
        next.image += strip.images;
      }
      next.images = std::min(strip_images_, end - next.image);
      next.rows = std::min(strip_rows_, d_.out_h() - next.row);
      multiply(task, strip, panels, y_panels, to, add,
               {bytes_of(task, next, x, false), bytes_of(task, next, dy, true)});
      add = true;
    }
}

/// What packing a strip will read, where that is one piece of memory.
Prefetch FilterGradient::bytes_of(const Task& task, const Strip& strip, const void* data, bool of_y) const {
  const bool all_channels = of_y ? task.k_end - task.k_begin == d_.k : task.c_end - task.c_begin == d_.c;
  if (strip.images <= 0 || !all_channels) return {};
  const int64_t height = of_y ? d_.out_h() : d_.h, scale = of_y ? 1 : d_.stride;
  const int64_t row_bytes = (of_y ? d_.out_w() * d_.k : d_.w * d_.c) * static_cast<int64_t>(size_of(d_.dtype));
  const char* begin = static_cast<const char*>(data) + (strip.image * height + strip.row * scale) * row_bytes;
  const int64_t rows = (strip.images - 1) * height + std::min(strip.rows * scale, height - strip.row * scale);
  return {begin, begin + rows * row_bytes};
}

/// Panels [block][s][image][row class][row][step]: for one tap (r, s) the rows of an image follow each other.
void FilterGradient::pack_x(const Task& task, const Strip& strip, const void* x, uint32_t* panels) const {
  const auto value_bytes = static_cast<int64_t>(size_of(d_.dtype));
  const int64_t rows = (strip.rows - 1) * d_.stride + d_.r;
  RowSource source;
  source.pixel_stride = d_.c;
  source.stride = d_.stride;
  source.count = d_.out_w();
  source.channels = task.c_end - task.c_begin;
  for (int64_t image = 0; image < strip.images; ++image)
    for (int64_t t = 0; t < rows; ++t) {
      const int64_t h = strip.row * d_.stride + t - d_.pad;
      if (h < 0 || h >= d_.h || t % d_.stride >= row_classes_) continue;
      source.row =
          static_cast<const char*>(x) + (((strip.image + image) * d_.h + h) * d_.w * d_.c + task.c_begin) * value_bytes;
      const int64_t row = (image * row_classes_ + t % d_.stride) * class_rows_ + t / d_.stride;
      for (int64_t s = 0; s < d_.s; ++s) {
        source.first = s - d_.pad;
        valid_range(d_.w, d_.out_w(), d_.stride, source.first, source.valid_begin, source.valid_end);
        kernels_->pack_x(source, panels + s * x_panel_ + row * steps_ * x_lanes_, d_.s * x_panel_);
      }
    }
}

void FilterGradient::pack_y(const Task& task, const Strip& strip, const void* dy, uint32_t* panels) const {
  const auto value_bytes = static_cast<int64_t>(size_of(d_.dtype));
  RowSource source;
  source.pixel_stride = d_.k;
  source.count = source.valid_end = d_.out_w();
  source.channels = task.k_end - task.k_begin;
  for (int64_t image = 0; image < strip.images; ++image)
    for (int64_t row = 0; row < strip.rows; ++row) {
      const int64_t pixel = ((strip.image + image) * d_.out_h() + strip.row + row) * d_.out_w();
      source.row = static_cast<const char*>(dy) + (pixel * d_.k + task.k_begin) * value_bytes;
      kernels_->pack_y(source, panels + (image * strip.rows + row) * steps_ * y_lanes_, y_panel_);
    }
}

/// The steps at which tap (r, s) meets the image: rows in the padding are left out, and so are columns where a step is
/// one pixel wide.
PanelWalk FilterGradient::walk(const Strip& strip, int64_t r, int64_t s, int64_t& x_offset, int64_t& y_offset) const {
  int64_t begin, end, left, right;
  valid_range(d_.h, strip.rows, d_.stride, strip.row * d_.stride + r - d_.pad, begin, end);
  valid_range(d_.w, d_.out_w(), d_.stride, s - d_.pad, left, right);
  left /= kernels_->pixels_per_step;
  right = ceil_div(right, kernels_->pixels_per_step);
  PanelWalk walk;
  walk.images = strip.images;
  walk.rows = end - begin;
  walk.steps = std::max<int64_t>(0, right - left);
  walk.x_row = steps_ * x_lanes_;
  walk.y_row = steps_ * y_lanes_;
  walk.x_image = row_classes_ * class_rows_ * walk.x_row;
  walk.y_image = strip.rows * walk.y_row;
  x_offset = (r % d_.stride * class_rows_ + begin + r / d_.stride) * walk.x_row + left * x_lanes_;
  y_offset = begin * walk.y_row + left * y_lanes_;
  if (walk.steps == steps_) {
    walk.steps *= walk.rows;
    walk.rows = 1;
  }
  return walk;
}

/// The side with more channels is the outer loop: its panel stays in the first-level cache, and the other side's panels
/// are read from the second again and again.
void FilterGradient::multiply(const Task& task, const Strip& strip, const uint32_t* x, const uint32_t* y, float* to,
                              bool add, const Prefetch (&next)[2]) const {
  const int64_t tiles =
      ceil_div(task.c_end - task.c_begin, x_lanes_) * ceil_div(task.k_end - task.k_begin, y_lanes_) * d_.r * d_.s;
  PrefetchCursor ahead(next, tiles);
  const auto run_tile = [&](int64_t k, int64_t c, int64_t r, int64_t s) {
    int64_t x_offset, y_offset;
    const PanelWalk steps = walk(strip, r, s, x_offset, y_offset);
    FilterTile tile;
    tile.row_stride = d_.r * d_.s * d_.c;
    tile.data = to + k * tile.row_stride + (r * d_.s + s) * d_.c + c;
    tile.rows = static_cast<int>(std::min<int64_t>(y_lanes_, task.k_end - k));
    tile.columns = static_cast<int>(std::min<int64_t>(x_lanes_, task.c_end - c));
    tile.add = add;
    kernels_->multiply(steps, x + ((c - task.c_begin) / x_lanes_ * d_.s + s) * x_panel_ + x_offset,
                       y + (k - task.k_begin) / y_lanes_ * y_panel_ + y_offset, tile, ahead.next());
  };
  const auto for_each_k = [&](auto&& body) {
    for (int64_t k = task.k_begin; k < task.k_end; k += y_lanes_) body(k);
  };
  const auto for_each_x = [&](auto&& body) {
    for (int64_t c = task.c_begin; c < task.c_end; c += x_lanes_)
      for (int64_t s = 0; s < d_.s; ++s)
        for (int64_t r = 0; r < d_.r; ++r) body(c, r, s);
  };
  if (task.k_end - task.k_begin > task.c_end - task.c_begin)
    for_each_k([&](int64_t k) { for_each_x([&](int64_t c, int64_t r, int64_t s) { run_tile(k, c, r, s); }); });
  else
    for_each_x([&](int64_t c, int64_t r, int64_t s) { for_each_k([&](int64_t k) { run_tile(k, c, r, s); }); });
}

}  // namespace dcl::onednn
