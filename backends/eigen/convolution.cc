// Convolution as dense products without a whole im2col matrix: tiles of positions are gathered, multiplied with the
// packed filter in slices of the inner axis, and stored with their epilogue. Tiles, pieces and their order depend on
// the shape only. Backward data is the same product with dy as the source, once per residue of the stride, so that
// every dx is written once; the filter gradient multiplies transposed dy with gathered x, in pieces of positions.
// Shapes that have it go by Winograd's algorithm instead (winograd.h).
#include "eigen/kernels/convolution.h"

#include <algorithm>

#include "core/extent.h"
#include "core/parallel.h"
#include "core/with_type.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/gemm.h"
#include "eigen/kernels/isa.h"
#include "eigen/kernels/table.h"
#include "eigen/scratch.h"
#include "eigen/winograd.h"

DCL_DISPATCH(ConvolutionTable, convolution)

namespace dcl {
namespace {

using kernels::Epilogue;
using kernels::GatherGeometry;
using kernels::kGemmDepth;

constexpr int64_t kTilePositions = 96;   // a multiple of every register tile's rows; its packed slice fits L2
constexpr int64_t kFilterRows = 192;     // filter gradient: block of output channels ...
constexpr int64_t kFilterColumns = 256;  // ... by entries of the inner axis
constexpr int64_t kTasks = 32;           // wanted at least, so that cores finish together

const kernels::GemmKernels<float>& product() { return kernels::of_type<float>(kernels::gemm()); }

GatherGeometry forward_geometry(const ConvDesc& d) {
  return {d.h,      d.w, d.c,       d.out_h(), d.out_w(), d.r, d.s, -d.pad, -d.pad,
          d.stride, 1,   d.out_h(), d.out_w(), d.k,       0,   0,   1};
}

/// Along one axis: the pixels of dx whose index + pad leaves residue `phase` see the taps phase, phase + stride, ...
struct Phase {
  int64_t first, pixels, taps, origin;

  Phase(int64_t phase, int64_t extent, int64_t filter, const ConvDesc& d) {
    first = ((phase - d.pad) % d.stride + d.stride) % d.stride;
    pixels = first < extent ? (extent - first - 1) / d.stride + 1 : 0;
    taps = phase < filter ? (filter - phase - 1) / d.stride + 1 : 0;
    origin = (first + d.pad - phase) / d.stride;
  }
};

GatherGeometry backward_geometry(const ConvDesc& d, const Phase& rows, const Phase& columns) {
  return {d.out_h(),
          d.out_w(),
          d.k,
          rows.pixels,
          columns.pixels,
          rows.taps,
          columns.taps,
          rows.origin,
          columns.origin,
          1,
          -1,
          d.h,
          d.w,
          d.c,
          rows.first,
          columns.first,
          d.stride};
}

/// Floats of a packed matrix [depth, columns] cut into slices of kGemmDepth.
int64_t packed_floats(int64_t depth, int64_t columns) { return product().packed_b(depth, columns); }

/// Packs B(p, j), p in [0, depth), in slices: pack_slice(p, number of p, j, number of j, to) for parts of them.
template <class PackSlice>
void pack_slices(int64_t depth, int64_t columns, float* packed, PackSlice&& pack_slice) {
  const int64_t grain = 4 * product().nr;
  const int64_t slices = ceil_div(depth, kGemmDepth), blocks = ceil_div(columns, grain);
  parallel_for(slices * blocks, [&](int64_t task) {
    const int64_t begin = task / blocks * kGemmDepth, k = std::min(kGemmDepth, depth - begin);
    const int64_t first = task % blocks * grain, count = std::min(grain, columns - first);
    pack_slice(begin, k, first, count, packed + packed_floats(begin, columns) + first * k);
  });
}

/// The forward product's B: filter [k, r s c] transposed.
void pack_forward(const ConvDesc& d, const float* filter, float* packed) {
  const int64_t depth = d.r * d.s * d.c;
  pack_slices(depth, d.k, packed, [&](int64_t begin, int64_t k, int64_t first, int64_t count, float* to) {
    product().pack_b(filter + first * depth + begin, 1, depth, k, count, to);
  });
}

/// The B of one backward-data grid: rows (tap, k), columns c; taps step by the stride from (row_phase, column_phase).
void pack_backward(const ConvDesc& d, const GatherGeometry& g, int64_t row_phase, int64_t column_phase,
                   const float* filter, float* packed) {
  pack_slices(g.depth(), d.c, packed, [&](int64_t begin, int64_t k, int64_t first, int64_t count, float* to) {
    float* rows = thread_scratch<float>(ScratchSlot::convolution, kGemmDepth * count);
    for (int64_t p = begin; p < begin + k; ++p) {
      const int64_t tap = p / d.k, out_channel = p % d.k;
      const int64_t r = row_phase + tap / g.tap_columns * d.stride, s = column_phase + tap % g.tap_columns * d.stride;
      const float* from = filter + ((out_channel * d.r + r) * d.s + s) * d.c + first;
      std::copy(from, from + count, rows + (p - begin) * count);
    }
    product().pack_b(rows, count, 1, k, count, to);
  });
}

/// One tile: positions [first, first + count), channels [channel, channel + columns).
template <class T>
void run_tile(const GatherGeometry& g, const T* source, const float* packed, int64_t first, int64_t count,
              int64_t channel, int64_t columns, const Epilogue<T>& epilogue, T* out) {
  const int64_t slice_floats = kTilePositions * kGemmDepth;
  float* rows = thread_scratch<float>(ScratchSlot::convolution, 2 * slice_floats + kTilePositions * columns);
  float *packed_rows = rows + slice_floats, *tile = packed_rows + slice_floats;
  const int64_t depth = g.depth();
  if (depth == 0) std::fill(tile, tile + count * columns, 0.0f);
  for (int64_t begin = 0; begin < depth; begin += kGemmDepth) {
    const int64_t k = std::min(kGemmDepth, depth - begin);
    kernels::of_type<T>(kernels::convolution()).gather(g, source, first, count, begin, begin + k, rows);
    product().pack_a(rows, k, 1, count, k, packed_rows);
    product().multiply(count, columns, k, packed_rows, packed + packed_floats(begin, g.out_c) + channel * k, tile,
                       columns, begin > 0);
  }
  kernels::of_type<T>(kernels::convolution()).scatter(g, tile, first, count, channel, columns, epilogue, out);
}

template <class T>
void run_product(const GatherGeometry& g, int64_t images, const T* source, const float* packed,
                 const Epilogue<T>& epilogue, T* out) {
  const int64_t positions = images * g.grid_h * g.grid_w, tiles = ceil_div(positions, kTilePositions);
  const int64_t unit = 4 * product().nr;
  const int64_t wanted = std::max<int64_t>(1, kTasks / std::max<int64_t>(tiles, 1));
  const int64_t width = round_up(ceil_div(g.out_c, wanted), unit), across = ceil_div(g.out_c, width);
  parallel_for(tiles * across, [&](int64_t task) {
    const int64_t first = task / across * kTilePositions, channel = task % across * width;
    run_tile(g, source, packed, first, std::min(kTilePositions, positions - first), channel,
             std::min(width, g.out_c - channel), epilogue, out);
  });
}

/// How the filter gradient [k, r s c] is cut: blocks of the result, and pieces of the positions it sums over.
struct FilterCut {
  int64_t positions, depth, down, across, chunks, pieces;

  explicit FilterCut(const ConvDesc& d)
      : positions(d.n * d.out_h() * d.out_w()),
        depth(d.r * d.s * d.c),
        down(ceil_div(d.k, kFilterRows)),
        across(ceil_div(depth, kFilterColumns)),
        chunks(ceil_div(positions, kGemmDepth)),
        pieces(std::min(chunks, ceil_div(kTasks, down * across))) {}

  int64_t partial_floats(const ConvDesc& d) const { return pieces > 1 ? pieces * d.k * depth : 0; }
  int64_t first_chunk(int64_t piece) const { return chunks * piece / pieces; }
};

/// Block (row, column) of the gradient, summed over the positions of `piece`, into `sums` [k, r s c].
template <class T>
void run_filter_block(const ConvDesc& d, const FilterCut& cut, const T* x, const T* dy, int64_t piece, int64_t row,
                      int64_t column, float* sums, bool add) {
  const GatherGeometry g = forward_geometry(d);
  const int64_t m = std::min(kFilterRows, d.k - row), n = std::min(kFilterColumns, cut.depth - column);
  const int64_t a_floats = product().packed_a(kFilterRows, kGemmDepth),
                b_floats = product().packed_b(kGemmDepth, kFilterColumns);
  float* packed_a = thread_scratch<float>(ScratchSlot::convolution, a_floats + b_floats + kGemmDepth * kFilterColumns);
  float *packed_b = packed_a + a_floats, *rows = packed_b + b_floats;
  for (int64_t chunk = cut.first_chunk(piece); chunk < cut.first_chunk(piece + 1); ++chunk) {
    const int64_t first = chunk * kGemmDepth, k = std::min(kGemmDepth, cut.positions - first);
    kernels::of_type<T>(kernels::convolution()).widen(dy + first * d.k + row, d.k, k, m, rows);
    product().pack_a(rows, 1, m, m, k, packed_a);
    kernels::of_type<T>(kernels::convolution()).gather(g, x, first, k, column, column + n, rows);
    product().pack_b(rows, n, 1, k, n, packed_b);
    product().multiply(m, n, k, packed_a, packed_b, sums + row * cut.depth + column, cut.depth,
                       add || chunk > cut.first_chunk(piece));
  }
}

template <class T>
void backward_filter(const ConvDesc& d, const T* x, const T* dy, float* dfilter, Accum accum, float* partial) {
  const FilterCut cut(d);
  const int64_t size = d.k * cut.depth, blocks = cut.down * cut.across;
  parallel_for(cut.pieces * blocks, [&](int64_t task) {
    const int64_t piece = task / blocks, block = task % blocks;
    const bool direct = cut.pieces == 1;
    run_filter_block(d, cut, x, dy, piece, block / cut.across * kFilterRows, block % cut.across * kFilterColumns,
                     direct ? dfilter : partial + piece * size, direct && accum == Accum::add);
  });
  if (cut.pieces == 1) return;
  parallel_chunks(size, 1 << 14, [&](int64_t begin, int64_t end) {
    if (accum == Accum::overwrite) std::fill(dfilter + begin, dfilter + end, 0.0f);
    for (int64_t piece = 0; piece < cut.pieces; ++piece)
      for (int64_t i = begin; i < end; ++i) dfilter[i] += partial[piece * size + i];
  });
}

template <class T>
void backward_data(const ConvDesc& d, const T* dy, const float* filter, T* dx, Accum accum, float* packed) {
  for (int64_t row_phase = 0; row_phase < d.stride; ++row_phase)
    for (int64_t column_phase = 0; column_phase < d.stride; ++column_phase) {
      const GatherGeometry g = backward_geometry(d, Phase(row_phase, d.h, d.r, d), Phase(column_phase, d.w, d.s, d));
      if (g.grid_h * g.grid_w == 0 || (g.depth() == 0 && accum == Accum::add)) continue;
      pack_backward(d, g, row_phase, column_phase, filter, packed);
      Epilogue<T> epilogue;
      epilogue.add = accum == Accum::add;
      run_product(g, d.n, dy, packed, epilogue, dx);
    }
}

}  // namespace

size_t EigenBackend::do_conv_workspace(const ConvDesc& d, ConvPass pass) const {
  const bool winograd = winograd_supports(d);
  switch (pass) {
    case ConvPass::forward:
      if (winograd) return WinogradConvolution::forward(d, thread_count()).workspace_bytes();
      return static_cast<size_t>(packed_floats(d.r * d.s * d.c, d.k)) * sizeof(float);
    case ConvPass::backward_data:
      if (winograd) return WinogradConvolution::backward_data(d, thread_count()).workspace_bytes();
      return static_cast<size_t>(packed_floats(d.r * d.s * d.k, d.c)) * sizeof(float);
    case ConvPass::backward_filter:
      if (winograd) return WinogradFilterGradient(d, thread_count()).workspace_bytes();
      return static_cast<size_t>(FilterCut(d).partial_floats(d)) * sizeof(float);
  }
  return 0;
}

void EigenBackend::do_conv_forward(const ConvDesc& d, ConstTensorRef x, ConstTensorRef filter, TensorRef y,
                                   Workspace workspace) {
  if (winograd_supports(d))
    return WinogradConvolution::forward(d, thread_count()).run(x.data, filter.as<float>(), y.data, {}, workspace.data);
  float* packed = static_cast<float*>(workspace.data);
  pack_forward(d, filter.as<float>(), packed);
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    run_product(forward_geometry(d), d.n, x.as<T>(), packed, Epilogue<T>{}, y.as<T>());
  });
}

void EigenBackend::do_conv_backward_data(const ConvDesc& d, ConstTensorRef dy, ConstTensorRef filter, TensorRef dx,
                                         Accum accum, Workspace workspace) {
  if (winograd_supports(d))
    return WinogradConvolution::backward_data(d, thread_count())
        .run(dy.data, filter.as<float>(), dx.data, {.add = accum == Accum::add}, workspace.data);
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    backward_data(d, dy.as<T>(), filter.as<float>(), dx.as<T>(), accum, static_cast<float*>(workspace.data));
  });
}

void EigenBackend::do_conv_backward_filter(const ConvDesc& d, ConstTensorRef x, ConstTensorRef dy, TensorRef dfilter,
                                           Accum accum, Workspace workspace) {
  if (winograd_supports(d))
    return WinogradFilterGradient(d, thread_count()).run(x.data, dy.data, dfilter.as<float>(), accum, workspace.data);
  with_type(d.dtype, [&](auto type) {
    using T = decltype(type);
    backward_filter(d, x.as<T>(), dy.as<T>(), dfilter.as<float>(), accum, static_cast<float*>(workspace.data));
  });
}

/// Winograd's algorithm takes filters as they are: kept in its own form, they would take 16/9 of the memory.
size_t EigenBackend::do_packed_filter_bytes(const FusedConvDesc& d) const {
  const ConvDesc& conv = d.conv;
  const int64_t floats =
      winograd_supports_fused(conv) ? conv.filter_shape().elements() : packed_floats(conv.r * conv.s * conv.c, conv.k);
  return static_cast<size_t>(floats) * sizeof(float);
}

void EigenBackend::do_pack_filter(const FusedConvDesc& d, ConstTensorRef filter, TensorRef packed) {
  if (winograd_supports_fused(d.conv))
    std::copy_n(filter.as<float>(), filter.shape.elements(), static_cast<float*>(packed.data));
  else
    pack_forward(d.conv, filter.as<float>(), static_cast<float*>(packed.data));
}

size_t EigenBackend::do_fused_conv_workspace(const FusedConvDesc& d) const {
  if (!winograd_supports_fused(d.conv)) return 0;
  return WinogradConvolution::forward(d.conv, thread_count()).workspace_bytes();
}

void EigenBackend::do_fused_conv(const FusedConvDesc& d, ConstTensorRef x, ConstTensorRef packed, ConstTensorRef bias,
                                 ConstTensorRef residual, TensorRef y, Workspace workspace) {
  if (winograd_supports_fused(d.conv)) {
    const kernels::WinogradEpilogue epilogue{
        .relu = d.relu, .bias = bias.as<float>(), .residual = static_cast<const char*>(residual.data)};
    return WinogradConvolution::forward(d.conv, thread_count())
        .run(x.data, static_cast<const float*>(packed.data), y.data, epilogue, workspace.data);
  }
  with_type(d.conv.dtype, [&](auto type) {
    using T = decltype(type);
    const Epilogue<T> epilogue{bias.as<float>(), residual ? residual.as<T>() : nullptr, d.relu, false};
    run_product(forward_geometry(d.conv), d.conv.n, x.as<T>(), static_cast<const float*>(packed.data), epilogue,
                y.as<T>());
  });
}

}  // namespace dcl
