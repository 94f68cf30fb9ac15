// How batch norm is laid over a device: a block takes a tile of channels and a piece of a group's rows; its threads are
// columns (one vector of channels each) by rows. Pieces depend on the descriptor alone, so sums have the same bits on
// every device. Included by .cu files only.
#pragma once

#include "core/ops.h"
#include "cuda/dispatch.h"

namespace dcl::cuda {

constexpr int kBatchNormThreads = 256;
constexpr int kBatchNormUnroll = 4;  // rows in flight per thread: 64 bytes of each operand, 16 KiB a block

struct BatchNormShape {
  int64_t rows, channels;      ///< of a group
  int groups, columns, lines;  ///< threads of a block: columns * lines
  int64_t tiles, piece_rows, pieces;

  BatchNormShape(const BatchNormDesc& d, int lanes, int64_t blocks_wanted)
      : rows(d.rows / d.groups), channels(d.channels), groups(static_cast<int>(d.groups)) {
    const int64_t vectors = ceil_div(channels, lanes);
    columns = 1;
    while (columns < 32 && columns < vectors) columns *= 2;
    lines = kBatchNormThreads / columns;
    tiles = ceil_div(vectors, columns);
    const int64_t wanted = max(int64_t{1}, blocks_wanted / (tiles * groups));
    // At least one round of every thread; a piece is whole rounds.
    const int64_t round = int64_t{lines} * kBatchNormUnroll;
    piece_rows = round_up(ceil_div(rows, wanted), round);
    pieces = ceil_div(rows, piece_rows);
  }

  /// blockIdx: piece, tile of channels, group.
  dim3 grid() const {
    return dim3(static_cast<unsigned>(pieces), static_cast<unsigned>(tiles), static_cast<unsigned>(groups));
  }
};

/// What a thread of such a grid works on.
template <int N>
struct BatchNormPlace {
  int64_t channel, first, end;  ///< rows of the group: first, first + lines, ... below end
  int column, line;
  bool inside;  ///< whether there are channels for it

  __device__ explicit BatchNormPlace(const BatchNormShape& s) {
    column = static_cast<int>(threadIdx.x) % s.columns;
    line = static_cast<int>(threadIdx.x) / s.columns;
    channel = (int64_t{blockIdx.y} * s.columns + column) * N;
    first = int64_t{blockIdx.x} * s.piece_rows + line;
    end = min(int64_t{blockIdx.x} * s.piece_rows + s.piece_rows, s.rows);
    inside = channel < s.channels;
  }
};

/// Calls body(row, U) over the thread's rows, kBatchNormUnroll rows at a time (U of them, `lines` apart) and then
/// singly.
template <int N, class Body>
__device__ __forceinline__ void each_row(const BatchNormShape& s, const BatchNormPlace<N>& p, Body&& body) {
  if (!p.inside) return;
  int64_t row = p.first;
  for (; row + (kBatchNormUnroll - 1) * s.lines < p.end; row += kBatchNormUnroll * s.lines)
    body(row, Lanes<kBatchNormUnroll>{});
  for (; row < p.end; row += s.lines) body(row, Lanes<1>{});
}

/// f32 of N channels, sixteen bytes at a time where N allows; `from` is aligned then.
template <int N>
__device__ __forceinline__ void load_channels(const float* from, float (&to)[N]) {
  constexpr int kAtOnce = N % kVector<float> == 0 ? kVector<float> : 1;
#pragma unroll
  for (int first = 0; first < N; first += kAtOnce) {
    float part[kAtOnce];
    load(from + first, part);
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) to[first + k] = part[k];
  }
}

/// Normalisation of the thread's channels in its group, as f32 lanes.
template <int N>
struct BatchNormAffine {
  float mean[N], scale[N], beta[N];

  __device__ BatchNormAffine(const BatchNormShape& s, int64_t channel, const float* saved, const float* gamma,
                             const float* beta_all) {
    const float* means = saved + int64_t{blockIdx.z} * s.channels + channel;
    const float* inv_stds = means + int64_t{s.groups} * s.channels;
    float inv_std[N];
    load_channels(means, mean);
    load_channels(inv_stds, inv_std);
    load_channels(gamma + channel, scale);
    load_channels(beta_all + channel, beta);
#pragma unroll
    for (int k = 0; k < N; ++k) scale[k] *= inv_std[k];
  }
  __device__ __forceinline__ float operator()(float x, int k) const {
    return __fmaf_rn(x - mean[k], scale[k], beta[k]);
  }
};

/// Adds two sums per lane over the block's lines, in their order, and writes them as [2][channels] of this piece and
/// group. All threads of the block call it.
template <int N>
__device__ void write_partial(const BatchNormShape& s, const BatchNormPlace<N>& p, const float (&a)[N],
                              const float (&b)[N], float* partial) {
  DCL_SHARED(float, sums, [2][N][kBatchNormThreads]);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    sums[0][k][threadIdx.x] = a[k];
    sums[1][k][threadIdx.x] = b[k];
  }
  __syncthreads();
  // One thread per channel and sum; there may be more of them than threads.
  float* own = partial + (int64_t{blockIdx.z} * gridDim.x + blockIdx.x) * 2 * s.channels;
  for (int at = static_cast<int>(threadIdx.x); at < 2 * N * s.columns; at += kBatchNormThreads) {
    const int which = at / (N * s.columns), lane = at % N, column = at / N % s.columns;
    const int64_t channel = (int64_t{blockIdx.y} * s.columns + column) * N + lane;
    if (channel >= s.channels) continue;
    float sum = 0;
    for (int line = 0; line < s.lines; ++line) sum += sums[which][lane][line * s.columns + column];
    own[which * s.channels + channel] = sum;
  }
}

/// Blocks that fill the largest devices a few times over, a number of its own so that pieces do not depend on the
/// device.
constexpr int64_t kBatchNormBlocks = 1056;

// ---- Second stage: the partial sums of a group, in double, in an order that depends on the shape alone ------------
constexpr int kCombineChannels = 32, kCombineLines = 8;

/// Sums 0 and 1 of this block's channel `threadIdx.x` in the group; valid in the threads of line 0. All threads call
/// it.
struct PartialSums {
  double a, b;
};
__device__ inline PartialSums combine_pieces(const BatchNormShape& s, const float* partial, int group,
                                             int64_t channel) {
  DCL_SHARED(PartialSums, lines, [kCombineLines][kCombineChannels]);
  PartialSums sums{0, 0};
  if (channel < s.channels)
    for (int64_t piece = threadIdx.y; piece < s.pieces; piece += kCombineLines) {
      const float* own = partial + (group * s.pieces + piece) * 2 * s.channels + channel;
      sums.a += static_cast<double>(own[0]);
      sums.b += static_cast<double>(own[s.channels]);
    }
  __syncthreads();  // an earlier group may still be read
  lines[threadIdx.y][threadIdx.x] = sums;
  __syncthreads();
  for (int line = 1; threadIdx.y == 0 && line < kCombineLines; ++line) {
    sums.a += lines[line][threadIdx.x].a;
    sums.b += lines[line][threadIdx.x].b;
  }
  return sums;
}

}  // namespace dcl::cuda
