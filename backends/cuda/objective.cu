#include "core/objective_form.h"
#include "cuda/objective.h"
#include "cuda/objective_tiles.h"

namespace dcl::cuda {
namespace {

constexpr int kChunk = 128;        // columns of the gradient that a block sums up
constexpr int kChunkColumns = 16;  // columns of a tile whose embeddings are in shared memory at a time
constexpr int kPartsOf = kChunk / kLanes;
constexpr int kWeightStride = kTileColumns + 4, kChunkStride = kChunk + 4;
static_assert(kChunkColumns * kChunkStride <= kOperandsSize);

/// Blocks per row tile that a small batch is cut into, so that it reaches all multiprocessors.
constexpr int64_t kWantedBlocks = 256;

/// Sums over negatives of one row, of one split of the columns.
struct RowSums {
  double weighted, importance, cosines, count;
};

/// dLoss/ds of one row, as in ContrastiveRow.
struct RowWeights {
  double pair, positive, negative, importance;
};

/// What a block of rows adds to the result.
enum Report { kLossSum, kAtFloor, kPositiveCosines, kNegativeCosines, kNegativeCount, kReports };

constexpr int kRowsPerBlock = kTileThreads / kLanes;

/// How the work is cut, and the workspace.
struct Layout {
  int64_t anchors, row_tiles, column_tiles, splits, tiles_per_split, row_blocks;
  RowSums* sums;        // [splits, anchors]
  RowWeights* weights;  // [anchors]
  double* reports;      // [row_blocks, kReports]
  double* extra;        // [views - 2, anchors]: e^x of the extra positives
  void* gradients;      // [splits, anchors, dim] in the type of the arithmetic

  Layout(const ObjectiveDesc& d, Carver& memory)
      : anchors(2 * d.batch),
        row_tiles(ceil_div(anchors, kTileRows)),
        column_tiles(ceil_div(anchors, kTileColumns)),
        splits(std::min(column_tiles, ceil_div(kWantedBlocks, row_tiles))),
        tiles_per_split(ceil_div(column_tiles, splits)),
        row_blocks(ceil_div(anchors, kRowsPerBlock)) {
    splits = ceil_div(column_tiles, tiles_per_split);  // none is empty
    sums = memory.take<RowSums>(splits * anchors);
    weights = memory.take<RowWeights>(anchors);
    reports = memory.take<double>(row_blocks * kReports);
    extra = memory.take<double>((d.views - 2) * anchors);
    const int64_t elements = splits * anchors * d.dim;
    gradients =
        computes_in_double(d) ? static_cast<void*>(memory.take<double>(elements)) : memory.take<float>(elements);
  }
};

/// Grid (row tiles, splits). Row sums of the tiles of one split.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    sums_kernel(Anchors<In, T> a, int64_t tiles, int64_t tiles_per_split, RowSums* sums) {
  DCL_SHARED(T, operands, [kOperandsSize]);
  const int64_t first_row = int64_t{blockIdx.x} * kTileRows;
  const int64_t begin = int64_t{blockIdx.y} * tiles_per_split, end = min(begin + tiles_per_split, tiles);
  double weighted[kRowsOf] = {}, importance[kRowsOf] = {}, cosines[kRowsOf] = {}, count[kRowsOf] = {};
  for (int64_t tile = begin; tile < end; ++tile) {
    T s[kRowsOf][kColumnsOf];
    similarities(a, first_row, tile * kTileColumns, operands, s);
#pragma unroll
    for (int r = 0; r < kRowsOf; ++r)
#pragma unroll
      for (int c = 0; c < kColumnsOf; ++c) {
        if (!a.negatives(first_row + tile_row(r), tile * kTileColumns + tile_column(c))) continue;
        T e = a.exponential(s[r][c]);
        if (a.beta > 0) {
          const T weight = a.importance(s[r][c]);
          e *= weight;
          importance[r] += static_cast<double>(weight);
        }
        weighted[r] += static_cast<double>(e);
        cosines[r] += static_cast<double>(s[r][c]);
        count[r] += 1;
      }
  }
  for (int r = 0; r < kRowsOf; ++r) {
    const RowSums total = {sum_lanes(weighted[r]), sum_lanes(importance[r]), sum_lanes(cosines[r]),
                           sum_lanes(count[r])};
    const int64_t row = first_row + tile_row(r);
    if (tile_lane() == 0 && row < a.count()) sums[blockIdx.y * a.count() + row] = total;
  }
}

/// Cosine of two rows of z in double, at lane 0 of each row of threads.
template <class In>
__device__ double cosine(const In* one, const In* other, int64_t dim) {
  double sum = 0;
  for (int64_t k = tile_lane(); k < dim; k += kLanes)
    sum += static_cast<double>(one[k]) * static_cast<double>(other[k]);
  return sum_lanes(sum);
}

/// One row of threads an anchor: from its sums to its loss and gradient weights.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    rows_kernel(Anchors<In, T> a, ContrastiveSettings<double> settings, int64_t views, int64_t splits,
                const RowSums* sums, RowWeights* weights, double* extra, double* reports) {
  DCL_SHARED(double, of_row, [kRowsPerBlock][kReports]);
  const int slot = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock + slot;
  const int64_t i = row < a.count() ? row : 0;  // idle threads take part in the shuffles
  const int64_t image = i < a.batch ? i : i - a.batch;
  const int64_t pair = i < a.batch ? i + a.batch : image;
  const double scale = settings.inverse_temperature;
  const double pair_cosine = cosine(a.z + i * a.dim, a.z + pair * a.dim, a.dim);
  ContrastiveSums<double> total;
  total.pair = total.positives = std::exp(pair_cosine * scale);
  for (int64_t view = 2; view < views; ++view) {
    const double e = std::exp(cosine(a.z + i * a.dim, a.z + (view * a.batch + image) * a.dim, a.dim) * scale);
    if (tile_lane() == 0 && row < a.count()) extra[(view - 2) * a.count() + i] = e;
    total.positives += e;
  }
  double report[kReports] = {};
  if (tile_lane() == 0 && row < a.count()) {
    double cosines = 0;
    for (int64_t split = 0; split < splits; ++split) {
      const RowSums& part = sums[split * a.count() + i];
      total.weighted += part.weighted;
      total.importance += part.importance;
      total.count += part.count;
      cosines += part.cosines;
    }
    const ContrastiveRow<double> out = contrastive_row(settings, total);
    weights[i] = {out.pair, out.positive, out.negative, out.importance};
    report[kLossSum] = out.loss;
    report[kAtFloor] = out.at_floor;
    report[kPositiveCosines] = pair_cosine;
    report[kNegativeCosines] = cosines;
    report[kNegativeCount] = total.count;
  }
  if (tile_lane() == 0)
    for (int k = 0; k < kReports; ++k) of_row[slot][k] = report[k];
  __syncthreads();
  if (threadIdx.x < kReports) {
    double sum = 0;
    for (int r = 0; r < kRowsPerBlock; ++r) sum += of_row[r][threadIdx.x];
    reports[blockIdx.x * kReports + threadIdx.x] = sum;
  }
}

/// dLoss/ds of both anchors together, for one tile: weights[row][column].
template <class In, class T>
__device__ void tile_weights(const Anchors<In, T>& a, const RowWeights* weights, int64_t first_row,
                             int64_t first_column, const T (&s)[kRowsOf][kColumnsOf], T* to) {
#pragma unroll
  for (int r = 0; r < kRowsOf; ++r)
#pragma unroll
    for (int c = 0; c < kColumnsOf; ++c) {
      const int64_t i = first_row + tile_row(r), j = first_column + tile_column(c);
      T weight = 0;
      if (a.negatives(i, j)) {
        weight = a.exponential(s[r][c]) * (static_cast<T>(weights[i].negative) + static_cast<T>(weights[j].negative));
        if (a.beta > 0)
          weight = a.importance(s[r][c]) *
                   (weight + static_cast<T>(weights[i].importance) + static_cast<T>(weights[j].importance));
      }
      to[tile_row(r) * kWeightStride + tile_column(c)] = weight;
    }
}

/// Grid (row tiles, splits, chunks of the dimension). What the negatives of one split give to dz.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    gradient_kernel(Anchors<In, T> a, int64_t tiles, int64_t tiles_per_split, const RowWeights* weights, T* gradients) {
  DCL_SHARED(T, operands, [kOperandsSize]);
  DCL_SHARED(T, tile_weight, [kTileRows * kWeightStride]);
  const int64_t first_row = int64_t{blockIdx.x} * kTileRows, first_dim = int64_t{blockIdx.z} * kChunk;
  const int64_t begin = int64_t{blockIdx.y} * tiles_per_split, end = min(begin + tiles_per_split, tiles);
  T sum[kRowsOf][kPartsOf] = {};
  for (int64_t tile = begin; tile < end; ++tile) {
    const int64_t first_column = tile * kTileColumns;
    T s[kRowsOf][kColumnsOf];
    similarities(a, first_row, first_column, operands, s);
    tile_weights(a, weights, first_row, first_column, s, tile_weight);
    for (int from = 0; from < kTileColumns; from += kChunkColumns) {
      __syncthreads();
      for (int at = static_cast<int>(threadIdx.x); at < kChunkColumns * kChunk; at += kTileThreads) {
        const int column = at / kChunk, k = at % kChunk;
        const int64_t j = first_column + from + column;
        const bool inside = j < a.count() && first_dim + k < a.dim;
        operands[column * kChunkStride + k] = inside ? static_cast<T>(a.z[j * a.dim + first_dim + k]) : T{0};
      }
      __syncthreads();
#pragma unroll 4
      for (int column = 0; column < kChunkColumns; ++column) {
        const T* z = operands + column * kChunkStride;
#pragma unroll
        for (int r = 0; r < kRowsOf; ++r) {
          const T weight = tile_weight[tile_row(r) * kWeightStride + from + column];
#pragma unroll
          for (int part = 0; part < kPartsOf; ++part)
            sum[r][part] = multiply_add(weight, z[part / 4 * 4 * kLanes + 4 * tile_lane() + part % 4], sum[r][part]);
        }
      }
    }
  }
#pragma unroll
  for (int r = 0; r < kRowsOf; ++r)
#pragma unroll
    for (int part = 0; part < kPartsOf; ++part) {
      const int64_t row = first_row + tile_row(r), k = first_dim + part / 4 * 4 * kLanes + 4 * tile_lane() + part % 4;
      if (row < a.count() && k < a.dim) gradients[(blockIdx.y * a.count() + row) * a.dim + k] = sum[r][part];
    }
}

/// dz of one element: the splits' parts, and what flows through pairs and extra positives.
template <class In, class T>
__device__ double gradient_of(const Anchors<In, T>& a, int64_t views, int64_t splits, const RowWeights* weights,
                              const double* extra, const T* gradients, int64_t row, int64_t k) {
  const auto z = [&](int64_t i) { return static_cast<double>(a.z[i * a.dim + k]); };
  if (row >= a.count()) {
    const int64_t image = row % a.batch, other = image + a.batch;
    const double* e = extra + (row / a.batch - 2) * a.count();
    return weights[image].positive * e[image] * z(image) + weights[other].positive * e[other] * z(other);
  }
  const int64_t image = row < a.batch ? row : row - a.batch, pair = row < a.batch ? row + a.batch : image;
  double sum = 0;
  for (int64_t split = 0; split < splits; ++split)
    sum += static_cast<double>(gradients[(split * a.count() + row) * a.dim + k]);
  sum += (weights[row].pair + weights[pair].pair) * z(pair);
  for (int64_t view = 2; view < views; ++view)
    sum += weights[row].positive * extra[(view - 2) * a.count() + row] * z(view * a.batch + image);
  return sum;
}

/// The result from the blocks' reports, by one block.
__device__ void write_result(const double* reports, int64_t blocks, double anchor_weight, double* result) {
  DCL_SHARED(double, sums, [kReports][kTileThreads]);
  for (int k = 0; k < kReports; ++k) {
    double sum = 0;
    for (int64_t block = threadIdx.x; block < blocks; block += kTileThreads) sum += reports[block * kReports + k];
    sums[k][threadIdx.x] = sum;
  }
  for (unsigned half = kTileThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half)
      for (int k = 0; k < kReports; ++k) sums[k][threadIdx.x] += sums[k][threadIdx.x + half];
  }
  if (threadIdx.x > 0) return;
  result[kLoss] = sums[kLossSum][0] * anchor_weight;
  result[kClampFraction] = sums[kAtFloor][0] * anchor_weight;
  result[kMeanPositive] = sums[kPositiveCosines][0] * anchor_weight;
  result[kMeanNegative] = sums[kNegativeCount][0] > 0 ? sums[kNegativeCosines][0] / sums[kNegativeCount][0] : 0;
}

/// The last block writes the result, the others dz, one element a thread.
template <class In, class T>
__global__ void __launch_bounds__(kTileThreads)
    finish_kernel(Anchors<In, T> a, int64_t views, int64_t splits, const RowWeights* weights, const double* extra,
                  const T* gradients, const double* reports, int64_t row_blocks, double anchor_weight, double* result,
                  In* dz) {
  if (blockIdx.x + 1 == gridDim.x) return write_result(reports, row_blocks, anchor_weight, result);
  const int64_t at = int64_t{blockIdx.x} * kTileThreads + threadIdx.x;
  if (at >= views * a.batch * a.dim) return;
  dz[at] = static_cast<In>(gradient_of(a, views, splits, weights, extra, gradients, at / a.dim, at % a.dim));
}

template <class In, class T>
void evaluate(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
              TensorRef dz, const Layout& w) {
  const ContrastiveSettings<double> settings = contrastive_settings(d);
  const Anchors<In, T> a{z.as<In>(),
                         d.kind == ObjectiveKind::unbiased ? labels.as<int32_t>() : nullptr,
                         d.batch,
                         d.dim,
                         static_cast<T>(settings.inverse_temperature),
                         static_cast<T>(settings.beta)};
  const auto extent = [](int64_t blocks) { return static_cast<unsigned>(blocks); };
  const dim3 tiles(extent(w.row_tiles), extent(w.splits));
  auto* gradients = static_cast<T*>(w.gradients);
  launch(sums_kernel<In, T>, tiles, kTileThreads, 0, context.stream(), a, w.column_tiles, w.tiles_per_split, w.sums);
  launch(rows_kernel<In, T>, extent(w.row_blocks), kTileThreads, 0, context.stream(), a, settings, d.views, w.splits,
         w.sums, w.weights, w.extra, w.reports);
  if (dz)
    launch(gradient_kernel<In, T>, dim3(tiles.x, tiles.y, extent(ceil_div(d.dim, kChunk))), kTileThreads, 0,
           context.stream(), a, w.column_tiles, w.tiles_per_split, w.weights, gradients);
  const int64_t blocks = dz ? ceil_div(d.z_shape().elements(), kTileThreads) : 0;
  launch(finish_kernel<In, T>, extent(blocks + 1), kTileThreads, 0, context.stream(), a, d.views, w.splits, w.weights,
         w.extra, gradients, w.reports, w.row_blocks, settings.anchor_weight, result.as<double>(),
         dz ? dz.as<In>() : nullptr);
}

}  // namespace

size_t objective_workspace(const ObjectiveDesc& d) {
  Carver memory(nullptr);
  const Layout layout(d, memory);
  return memory.used();
}

void objective(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels, TensorRef result,
               TensorRef dz, Workspace workspace) {
  Carver memory(workspace.data);
  const Layout layout(d, memory);
  if (d.dtype == DType::f64) return evaluate<double, double>(context, d, z, labels, result, dz, layout);
  if (computes_in_double(d)) return evaluate<float, double>(context, d, z, labels, result, dz, layout);
  evaluate<float, float>(context, d, z, labels, result, dz, layout);
}

}  // namespace dcl::cuda
