// How batch norm is laid over a device: threads of a block are columns (one vector of channels each) by lines of rows;
// a block takes a tile of channels and one piece of a group's rows, which is every so many rounds of its lines. Blocks
// at work side by side so walk through memory together, up or down: a pass that walks the other way than the one before
// finds in the cache what that one touched last. Pieces depend on the descriptor alone, so sums have the same bits on
// every device. Included by .cu files only.
#pragma once

#include "core/ops.h"
#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/reduce.h"

namespace dcl::cuda {

constexpr int kBatchNormThreads = 256;
constexpr int kBatchNormUnroll = 4;  // rows in flight per thread: 64 bytes of each operand, 16 KiB a block

/// Blocks of a pass that sums up: all of them at work at once on the largest devices, a number of its own so that
/// pieces do not depend on the device. Passes that do not are cut finer.
constexpr int64_t kSummingBlocks = 264, kWritingBlocks = 4224;
constexpr int64_t kMostRounds = 64;  // of a piece, so that a thread adds up few enough rows in f32
constexpr int64_t kMostPieces = 65535;

enum class Walk : uint8_t { up, down };

struct BatchNormShape {
  int64_t rows, channels;      ///< of a group
  int groups, columns, lines;  ///< threads of a block: columns * lines
  int tiles;
  int64_t rounds, pieces;
  Walk walk;

  BatchNormShape(const BatchNormDesc& d, int lanes, int64_t blocks_wanted, Walk direction)
      : rows(d.rows / d.groups), channels(d.channels), groups(static_cast<int>(d.groups)), walk(direction) {
    const int64_t vectors = ceil_div(channels, lanes);
    columns = 1;
    while (columns < 32 && columns < vectors) columns *= 2;
    lines = kBatchNormThreads / columns;
    tiles = static_cast<int>(ceil_div(vectors, columns));
    rounds = ceil_div(rows, round_rows());
    const int64_t wanted = max(blocks_wanted / (int64_t{tiles} * groups), ceil_div(rounds, kMostRounds));
    pieces = min(max(wanted, int64_t{1}), min(rounds, kMostPieces));
  }

  __host__ __device__ int64_t round_rows() const { return int64_t{lines} * kBatchNormUnroll; }
  /// blockIdx: tile of channels and group, piece.
  dim3 grid() const { return dim3(static_cast<unsigned>(tiles * groups), static_cast<unsigned>(pieces)); }
};

/// What a thread of such a grid works on.
template <int N>
struct BatchNormPlace {
  int64_t channel;
  int group, column, line;
  bool inside;  ///< whether there are channels for it

  __device__ explicit BatchNormPlace(const BatchNormShape& s) {
    column = static_cast<int>(threadIdx.x) % s.columns;
    line = static_cast<int>(threadIdx.x) / s.columns;
    group = static_cast<int>(blockIdx.x) / s.tiles;
    channel = (static_cast<int64_t>(blockIdx.x) % s.tiles * s.columns + column) * N;
    inside = channel < s.channels;
  }
  /// Elements before the thread's channels in the first row of its group.
  __device__ int64_t base(const BatchNormShape& s) const { return group * s.rows * s.channels + channel; }
};

/// Calls body(row, U) over the thread's rows: a round's kBatchNormUnroll rows at a time (U of them, `lines` apart), and
/// singly in a round that the group's rows do not fill.
template <int N, class Body>
__device__ __forceinline__ void each_row(const BatchNormShape& s, const BatchNormPlace<N>& p, Body&& body) {
  if (!p.inside) return;
  for (int64_t i = blockIdx.y; i < s.rounds; i += s.pieces) {
    const int64_t begin = (s.walk == Walk::up ? i : s.rounds - 1 - i) * s.round_rows(), row = begin + p.line;
    if (begin + s.round_rows() <= s.rows)
      body(row, Lanes<kBatchNormUnroll>{});
    else
      for (int64_t left = row; left < s.rows; left += s.lines) body(left, Lanes<1>{});
  }
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

  __device__ BatchNormAffine(const BatchNormShape& s, const BatchNormPlace<N>& p, const float* saved,
                             const float* gamma, const float* beta_all) {
    const float* means = saved + p.group * s.channels + p.channel;
    const float* inv_stds = means + int64_t{s.groups} * s.channels;
    float inv_std[N];
    load_channels(means, mean);
    load_channels(inv_stds, inv_std);
    load_channels(gamma + p.channel, scale);
    load_channels(beta_all + p.channel, beta);
#pragma unroll
    for (int k = 0; k < N; ++k) scale[k] *= inv_std[k];
  }
  __device__ __forceinline__ float operator()(float x, int k) const {
    return __fmaf_rn(x - mean[k], scale[k], beta[k]);
  }
};

/// dx of the thread's channels in its group, from g and x. factors: as finish_batch_norm_sums writes them.
template <int N>
struct BatchNormData {
  float mean[N], g_factor[N], x_factor[N], offset[N];

  __device__ BatchNormData(const BatchNormShape& s, const BatchNormPlace<N>& p, const float* saved,
                           const float* factors) {
    const float* own = factors + int64_t{p.group} * 3 * s.channels + p.channel;
    load_channels(saved + p.group * s.channels + p.channel, mean);
    load_channels(own, g_factor);
    load_channels(own + s.channels, x_factor);
    load_channels(own + 2 * s.channels, offset);
  }
  __device__ __forceinline__ float operator()(float g, float x, int k) const {
    return __fmaf_rn(g, g_factor[k], __fmaf_rn(x - mean[k], x_factor[k], offset[k]));
  }
};

/// Bit k: whether lane k is above 0 as it is stored.
template <class T>
__device__ __forceinline__ uint8_t signs_of(const float (&lanes)[8]) {
  unsigned bits = 0;
#pragma unroll
  for (int k = 0; k < 8; ++k) bits |= static_cast<unsigned>(to_float(from_float<T>(lanes[k])) > 0) << k;
  return static_cast<uint8_t>(bits);
}

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
  float* own = partial + (p.group * s.pieces + blockIdx.y) * 2 * s.channels;
  for (int at = static_cast<int>(threadIdx.x); at < 2 * N * s.columns; at += kBatchNormThreads) {
    const int which = at / (N * s.columns), lane = at % N, column = at / N % s.columns;
    const int64_t channel = p.channel + (column - p.column) * N + lane;
    if (channel >= s.channels) continue;
    float sum = 0;
    for (int line = 0; line < s.lines; ++line) sum += sums[which][lane][line * s.columns + column];
    own[which * s.channels + channel] = sum;
  }
}

// ---- Second stage: the partial sums of a channel, in double, in an order that depends on the shape alone ----------
// Latency is all it costs, so that a channel has many threads, and the loads of two groups are under way at once.
constexpr int kCombineChannels = 8, kCombineThreads = 512;
constexpr int kCombineLines = kCombineThreads / kCombineChannels;
constexpr int kCombineGroups = 2;

struct PartialSums {
  double a, b;
};

inline unsigned combine_blocks(int64_t channels) { return static_cast<unsigned>(ceil_div(channels, kCombineChannels)); }

/// The channel of the thread, which only those of `combine_leader()` have sums for.
__device__ inline int64_t combine_channel() {
  return int64_t{blockIdx.x} * kCombineChannels + threadIdx.x % kCombineChannels;
}
__device__ inline bool combine_leader(const BatchNormShape& s) {
  return threadIdx.x < kCombineChannels && combine_channel() < s.channels;
}

/// Sums of this thread's pieces in the groups from `first` on; 0 beyond the last group.
__device__ inline void sum_pieces(const BatchNormShape& s, const float* partial, int first,
                                  PartialSums (&sums)[kCombineGroups]) {
  const int64_t channel = combine_channel();
#pragma unroll
  for (int g = 0; g < kCombineGroups; ++g) {
    sums[g] = {0, 0};
    if (channel >= s.channels || first + g >= s.groups) continue;
    const float* own = partial + (first + g) * s.pieces * 2 * s.channels + channel;
#pragma unroll 4
    for (int64_t piece = threadIdx.x / kCombineChannels; piece < s.pieces; piece += kCombineLines) {
      sums[g].a += static_cast<double>(own[piece * 2 * s.channels]);
      sums[g].b += static_cast<double>(own[piece * 2 * s.channels + s.channels]);
    }
  }
}

/// Sums of the block's channels in the groups from `first` on, valid in its leaders. All threads call it.
__device__ inline void combine_pieces(const BatchNormShape& s, const float* partial, int first,
                                      PartialSums (&sums)[kCombineGroups]) {
  DCL_SHARED(PartialSums, warps, [kCombineGroups][kCombineThreads / kWarp][kCombineChannels]);
  sum_pieces(s, partial, first, sums);
  __syncthreads();  // earlier groups may still be read
#pragma unroll
  for (int g = 0; g < kCombineGroups; ++g) {
#pragma unroll
    for (int step = kWarp / 2; step >= kCombineChannels; step /= 2) {
      sums[g].a += __shfl_xor_sync(kAllLanes, sums[g].a, step);
      sums[g].b += __shfl_xor_sync(kAllLanes, sums[g].b, step);
    }
    if (threadIdx.x % kWarp < kCombineChannels) warps[g][threadIdx.x / kWarp][threadIdx.x % kCombineChannels] = sums[g];
  }
  __syncthreads();
  if (threadIdx.x >= kCombineChannels) return;
#pragma unroll
  for (int g = 0; g < kCombineGroups; ++g)
#pragma unroll
    for (int warp = 1; warp < kCombineThreads / kWarp; ++warp) {
      sums[g].a += warps[g][warp][threadIdx.x].a;
      sums[g].b += warps[g][warp][threadIdx.x].b;
    }
}

/// From the sums of g and of g (x - mean) to dgamma, dbeta and the factors of dx per group and channel:
/// factors[group][0..2][channels] of g, of x - mean, and 1.
void finish_batch_norm_sums(Context& context, const BatchNormShape& s, const float* partial, const float* saved,
                            const float* gamma, Accum accum, float* dgamma, float* dbeta, float* factors);

}  // namespace dcl::cuda
