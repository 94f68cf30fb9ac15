#include "eigen/winograd.h"

#include <algorithm>

#include "core/parallel.h"
#include "eigen/kernels/isa.h"

DCL_DISPATCH(WinogradTable, winograd)

namespace dcl {
namespace {

using kernels::WinogradEpilogue;
using kernels::WinogradFilter;
using kernels::WinogradPixels;
using kernels::WinogradProduct;
using kernels::WinogradTransforms;

constexpr int64_t kLine = 16;  // floats of a cache line

// Measured on Zen 3.
constexpr int64_t kFewestTiles = 32;  // below, transforming the filter costs more than is won
constexpr int64_t kFewestFusedPixels = 512;
constexpr int64_t kBlockTiles = 48;        // transformed inputs and sums of a block near the second-level cache
constexpr int64_t kSumChannels = 64;       // summed at a time: rounding errors grow with the number
constexpr int64_t kGradientTiles = 96;     // sums of all weights are visited once a block
constexpr int64_t kPartWeights = 1 << 19;  // parts are doubled while they hold no more weights together
constexpr int64_t kMostParts = 8;

/// NHWC, f32 or bf16.
template <class Byte>
struct Images {
  Byte* data;
  int64_t h, w, channels;
  DType dtype;
};

Images<const char> images_of(const void* data, int64_t h, int64_t w, int64_t channels, DType dtype) {
  return {static_cast<const char*>(data), h, w, channels, dtype};
}

/// `size` x `size` pixels of tile `index`, which begin `pad` before its first output; channels from `first` on.
template <class Byte>
WinogradPixels<Byte> pixels_of(const Images<Byte>& images, const WinogradGrid& grid, int64_t index, int64_t pad,
                               int size, int64_t first, int64_t count) {
  const int64_t column = index % grid.tile_columns() * grid.tile - pad;
  const int64_t row = index / grid.tile_columns() % grid.tile_rows() * grid.tile - pad;
  const int64_t image = index / (grid.tile_columns() * grid.tile_rows());
  const auto inside = [size](int64_t value) { return static_cast<int>(std::clamp<int64_t>(value, 0, size)); };
  const auto value_bytes = static_cast<int64_t>(size_of(images.dtype));
  WinogradPixels<Byte> pixels;
  pixels.bf16 = images.dtype == DType::bf16;
  pixels.pixel_stride = images.channels * value_bytes;
  pixels.row_stride = images.w * pixels.pixel_stride;
  pixels.origin =
      images.data + (image * images.h + row) * pixels.row_stride + column * pixels.pixel_stride + first * value_bytes;
  pixels.row_begin = inside(-row);
  pixels.row_end = inside(images.h - row);
  pixels.column_begin = inside(-column);
  pixels.column_end = inside(images.w - column);
  pixels.channels = count;
  return pixels;
}

int64_t panel_columns() { return kernels::winograd().columns_per_panel; }

/// The part'th of `parts` nearly equal ranges of `count` units.
void share(int64_t count, int64_t unit, int64_t part, int64_t parts, int64_t& begin, int64_t& end) {
  const int64_t units = count / unit;
  begin = units * part / parts * unit;
  end = units * (part + 1) / parts * unit;
}

}  // namespace

WinogradMatrices::WinogradMatrices(int64_t positions, int64_t rows, int64_t columns)
    : row(round_up(columns, kLine) + kLine), position((rows * row / kLine | 1) * kLine), floats(positions * position) {}

bool winograd_supports(const ConvDesc& d) {
  return d.r == 3 && d.s == 3 && d.stride == 1 && d.pad <= 1 && d.c % panel_columns() == 0 &&
         d.k % panel_columns() == 0 && WinogradGrid{d.n, d.out_h(), d.out_w(), 4}.tiles() >= kFewestTiles;
}

bool winograd_supports_fused(const ConvDesc& d) {
  return winograd_supports(d) && d.n * d.out_h() * d.out_w() >= kFewestFusedPixels;
}

// ---- Forward, backward data -----------------------------------------------------------------------------------------

WinogradConvolution WinogradConvolution::forward(const ConvDesc& d, int threads) {
  const WinogradFilter filter{nullptr, d.c, 9 * d.c, 1, d.c};
  return {kernels::winograd().tiles_of_2, d, {d.h, d.w, d.c}, {d.out_h(), d.out_w(), d.k}, d.pad, filter, threads};
}

WinogradConvolution WinogradConvolution::backward_data(const ConvDesc& d, int threads) {
  const WinogradFilter turned{nullptr, -d.c, 1, 9 * d.c, d.k};
  return {kernels::winograd().tiles_of_4, d, {d.out_h(), d.out_w(), d.k}, {d.h, d.w, d.c}, 2 - d.pad, turned, threads};
}

WinogradConvolution::WinogradConvolution(const WinogradTransforms& transforms, const ConvDesc& d, Side in, Side out,
                                         int64_t pad, WinogradFilter filter, int threads)
    : transforms_(&transforms),
      grid_{d.n, out.h, out.w, transforms.tile},
      dtype_(d.dtype),
      in_(in),
      out_(out),
      pad_(pad),
      filter_(filter),
      block_tiles_(std::min(kBlockTiles, grid_.tiles())),
      blocks_(ceil_div(grid_.tiles(), block_tiles_)),
      out_parts_(std::min<int64_t>(ceil_div(threads, blocks_), out.channels / panel_columns())),
      slots_(static_cast<int>(std::min<int64_t>(threads, blocks_ * out_parts_))),
      filter_position_((in.channels * out.channels / kLine | 1) * kLine),
      inputs_(transforms.positions(), block_tiles_, in.channels),
      sums_(transforms.positions(), block_tiles_, out.channels) {}

size_t WinogradConvolution::workspace_bytes() const {
  return static_cast<size_t>(transforms_->positions() * filter_position_ + slots_ * (inputs_.floats + sums_.floats)) *
         sizeof(float);
}

void WinogradConvolution::transform_filters(const float* filter, float* filters) const {
  const int64_t panel = panel_columns();
  const int64_t first_tap = filter_.tap < 0 ? -8 * filter_.tap : 0;
  parallel_for(out_.channels / panel, [&](int64_t index) {
    WinogradFilter from = filter_;
    from.data = filter + first_tap + index * panel * filter_.output;
    transforms_->filter(from, filters + index * panel * in_.channels, filter_position_);
  });
}

WinogradConvolution::Task WinogradConvolution::task(int64_t index) const {
  Task task;
  share(grid_.tiles(), 1, index / out_parts_, blocks_, task.tile_begin, task.tile_end);
  share(out_.channels, panel_columns(), index % out_parts_, out_parts_, task.out_begin, task.out_end);
  return task;
}

void WinogradConvolution::run(const void* in, const float* filter, void* out, const WinogradEpilogue& epilogue,
                              void* workspace) const {
  auto* filters = static_cast<float*>(workspace);
  float* own = filters + transforms_->positions() * filter_position_;
  transform_filters(filter, filters);
  parallel_for_on_slots(slots_, blocks_ * out_parts_, [&](int slot, int64_t index) {
    run_task(task(index), in, filters, out, epilogue, own + slot * (inputs_.floats + sums_.floats));
  });
}

void WinogradConvolution::run_task(const Task& task, const void* in, const float* filters, void* out,
                                   const WinogradEpilogue& epilogue, float* own) const {
  const int64_t tiles = task.tile_end - task.tile_begin, channels = task.out_end - task.out_begin;
  float* sums = own + inputs_.floats;
  const auto from = images_of(in, in_.h, in_.w, in_.channels, dtype_);
  for (int64_t tile = 0; tile < tiles; ++tile)
    transforms_->input(pixels_of(from, grid_, task.tile_begin + tile, pad_, transforms_->window(), 0, in_.channels),
                       own + tile * inputs_.row, inputs_.position);

  WinogradProduct product;
  product.rows = tiles;
  product.columns = channels;
  product.a_row = inputs_.row;
  product.a_step = 1;
  product.b_step = panel_columns();
  product.b_panel = product.b_step * in_.channels;
  product.c_row = sums_.row;
  for (int position = 0; position < transforms_->positions(); ++position)
    for (int64_t channel = 0; channel < in_.channels; channel += kSumChannels) {
      product.steps = std::min(kSumChannels, in_.channels - channel);
      product.a = own + position * inputs_.position + channel;
      product.b = filters + position * filter_position_ + task.out_begin * in_.channels + channel * product.b_step;
      product.c = sums + position * sums_.position;
      product.add = channel > 0;
      kernels::winograd().multiply(product);
    }

  const Images<char> to{static_cast<char*>(out), out_.h, out_.w, out_.channels, dtype_};
  WinogradEpilogue of_tile = epilogue;
  if (epilogue.bias) of_tile.bias = epilogue.bias + task.out_begin;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const WinogradPixels<char> pixels =
        pixels_of(to, grid_, task.tile_begin + tile, 0, transforms_->tile, task.out_begin, channels);
    if (epilogue.residual) of_tile.residual = epilogue.residual + (pixels.origin - to.data);
    transforms_->inverse_output(sums + tile * sums_.row, sums_.position, pixels, of_tile);
  }
}

// ---- Backward filter ------------------------------------------------------------------------------------------------

WinogradFilterGradient::WinogradFilterGradient(const ConvDesc& d, int threads)
    : d_(d), transforms_(&kernels::winograd().tiles_of_4), grid_{d.n, d.out_h(), d.out_w(), transforms_->tile} {
  const int64_t weights = d.filter_shape().elements(), tiles = grid_.tiles();
  parts_ = 1;
  while (parts_ < kMostParts && 2 * parts_ * weights <= kPartWeights && 2 * parts_ * kGradientTiles <= tiles)
    parts_ *= 2;
  k_parts_ = std::min<int64_t>(ceil_div(threads, parts_), d.k / panel_columns());
  slots_ = static_cast<int>(std::min<int64_t>(threads, parts_ * k_parts_));
  block_tiles_ = std::min(kGradientTiles, ceil_div(tiles, parts_));
  inputs_ = {transforms_->positions(), block_tiles_, d.c};
  gradients_ = {transforms_->positions(), block_tiles_, d.k};
  sums_ = {transforms_->positions(), d.k, d.c};
}

size_t WinogradFilterGradient::workspace_bytes() const {
  return static_cast<size_t>(parts_ * sums_.floats + slots_ * (inputs_.floats + gradients_.floats)) * sizeof(float);
}

void WinogradFilterGradient::run(const void* x, const void* dy, float* dfilter, Accum accum, void* workspace) const {
  auto* sums = static_cast<float*>(workspace);
  float* own = sums + parts_ * sums_.floats;
  parallel_for_on_slots(slots_, parts_ * k_parts_, [&](int slot, int64_t index) {
    Task task;
    const int64_t part = index / k_parts_;
    share(grid_.tiles(), 1, part, parts_, task.tile_begin, task.tile_end);
    share(d_.k, panel_columns(), index % k_parts_, k_parts_, task.k_begin, task.k_end);
    task.sums = sums + part * sums_.floats;
    run_task(task, x, dy, own + slot * (inputs_.floats + gradients_.floats));
  });
  parallel_for(d_.k, [&](int64_t k) {
    const kernels::WinogradSums of_k{sums + k * sums_.row, sums_.position, sums_.floats, parts_};
    transforms_->inverse_filter(of_k, dfilter + k * 9 * d_.c, d_.c, d_.c, accum == Accum::add);
  });
}

void WinogradFilterGradient::run_task(const Task& task, const void* x, const void* dy, float* own) const {
  float* gradients = own + inputs_.floats;
  const auto images = images_of(x, d_.h, d_.w, d_.c, d_.dtype);
  const auto outputs = images_of(dy, d_.out_h(), d_.out_w(), d_.k, d_.dtype);
  const int64_t channels = task.k_end - task.k_begin;
  WinogradProduct product;
  product.rows = channels;
  product.columns = d_.c;
  product.a_row = 1;
  product.a_step = gradients_.row;
  product.b_step = inputs_.row;
  product.b_panel = panel_columns();
  product.c_row = sums_.row;
  for (int64_t begin = task.tile_begin; begin < task.tile_end; begin += block_tiles_) {
    product.steps = std::min(block_tiles_, task.tile_end - begin);
    for (int64_t tile = 0; tile < product.steps; ++tile) {
      transforms_->input(pixels_of(images, grid_, begin + tile, d_.pad, transforms_->window(), 0, d_.c),
                         own + tile * inputs_.row, inputs_.position);
      transforms_->gradient(pixels_of(outputs, grid_, begin + tile, 0, transforms_->tile, task.k_begin, channels),
                            gradients + tile * gradients_.row, gradients_.position);
    }
    for (int position = 0; position < transforms_->positions(); ++position) {
      product.a = gradients + position * gradients_.position;
      product.b = own + position * inputs_.position;
      product.c = task.sums + position * sums_.position + task.k_begin * sums_.row;
      kernels::winograd().multiply(product);
    }
    product.add = true;
  }
}

}  // namespace dcl
