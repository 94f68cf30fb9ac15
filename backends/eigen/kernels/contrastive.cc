// Built with contraction.
#include "eigen/kernels/contrastive.h"

#include "eigen/kernels/exp.h"

namespace dcl::kernels::DCL_ISA {
namespace {

constexpr int64_t kColumnRun = 16;  // rows summed in T per column before the sum moves on to double
constexpr double kLog2E = 1.4426950408889634074;

template <class T>
ExpScale<T> exp_scale(double factor) {
  const double exact = factor * kLog2E;
  const T high = static_cast<T>(exact);
  return {high, static_cast<T>(exact - static_cast<double>(high))};
}

int64_t padded(int64_t columns) { return (columns + kTilePadding - 1) / kTilePadding * kTilePadding; }

/// Zeros in a row at the excluded entries and in its padding.
template <class T>
void blank(const SimilarityTile<T>& tile, int64_t row, T* values) {
  for (const int64_t diagonal : tile.excluded) {
    const int64_t column = row + diagonal;
    if (column >= 0 && column < tile.columns) values[column] = T{0};
  }
  for (int64_t j = tile.columns; j < padded(tile.columns); ++j) values[j] = T{0};
}

template <class T>
__attribute__((always_inline)) inline double sum_lanes(Vec<T> v) {
  double sum = 0;
  for (int lane = 0; lane < kLanes<T>; ++lane) sum += static_cast<double>(v[lane]);
  return sum;
}

/// e^((1 + beta) x) replaces the cosines of a row, e^(beta x) goes to importance; returns the sum of the cosines.
template <class T, bool Hard, bool Labels>
double exponentials(const SimilarityTile<T>& tile, int64_t row, ExpScale<T> scale, ExpScale<T> beta_scale,
                    T* importance) {
  T* s = tile.s + row * tile.ld;
  blank(tile, row, s);
  Vec<T> cosines{};
  for (int64_t j = 0; j < padded(tile.columns); j += kLanes<T>) {
    Vec<T> value = load(s + j);
    Vec<T> weighted = exp_scaled<T>(value, scale);
    if constexpr (Hard) {
      const Vec<T> weight = exp_scaled<T>(value, beta_scale);
      weighted *= weight;
      store(importance + j, weight);
    }
    if constexpr (Labels) {
      const VecBits<T> same = load(tile.column_class + j) == tile.row_class[row];
      value = same ? Vec<T>{} : value;
      weighted = same ? Vec<T>{} : weighted;
    }
    cosines += value;
    store(s + j, weighted);
  }
  blank(tile, row, s);
  if constexpr (Hard) blank(tile, row, importance);
  return sum_lanes<T>(cosines);
}

/// Adds a row to the running column sums and returns its own sum.
template <class T>
double sum_row(const T* values, int64_t columns, T* column_run) {
  Vec<T> sum{};
  for (int64_t j = 0; j < columns; j += kLanes<T>) {
    const Vec<T> value = load(values + j);
    sum += value;
    store(column_run + j, load(column_run + j) + value);
  }
  return sum_lanes<T>(sum);
}

template <class T>
void move_run(T* column_run, int64_t columns, double* column_sums) {
  for (int64_t j = 0; j < columns; ++j) {
    if (column_sums) column_sums[j] += static_cast<double>(column_run[j]);
    column_run[j] = T{0};
  }
}

template <class T, bool Hard, bool Labels>
double forward_rows(const SimilarityTile<T>& tile, TileSums rows, TileSums columns, T* scratch) {
  const ExpScale<T> scale = exp_scale<T>(tile.inverse_temperature);
  const ExpScale<T> beta_scale = exp_scale<T>(tile.inverse_temperature * tile.beta);
  const int64_t width = padded(tile.columns);
  T* importance = scratch;
  T* weighted_run = scratch + width;
  T* importance_run = scratch + 2 * width;
  for (int64_t j = 0; j < 2 * width; ++j) weighted_run[j] = T{0};
  double cosines = 0;
  for (int64_t row = 0; row < tile.rows; ++row) {
    cosines += exponentials<T, Hard, Labels>(tile, row, scale, beta_scale, importance);
    rows.weighted[row] += sum_row(tile.s + row * tile.ld, width, weighted_run);
    if constexpr (Hard) rows.importance[row] += sum_row(importance, width, importance_run);
    if ((row + 1) % kColumnRun == 0 || row + 1 == tile.rows) {
      move_run(weighted_run, tile.columns, columns.weighted);
      if constexpr (Hard) move_run(importance_run, tile.columns, columns.importance);
    }
  }
  return cosines;
}

template <class T>
double forward(const SimilarityTile<T>& tile, TileSums rows, TileSums columns, T* scratch) {
  if (tile.beta > 0) return forward_rows<T, true, false>(tile, rows, columns, scratch);
  if (tile.row_class) return forward_rows<T, false, true>(tile, rows, columns, scratch);
  return forward_rows<T, false, false>(tile, rows, columns, scratch);
}

template <class T, bool Hard, bool Labels>
void backward_rows(const SimilarityTile<T>& tile, TileWeights<T> rows, TileWeights<T> columns) {
  const ExpScale<T> scale = exp_scale<T>(tile.inverse_temperature);
  const ExpScale<T> beta_scale = exp_scale<T>(tile.inverse_temperature * tile.beta);
  for (int64_t row = 0; row < tile.rows; ++row) {
    T* s = tile.s + row * tile.ld;
    blank(tile, row, s);
    for (int64_t j = 0; j < padded(tile.columns); j += kLanes<T>) {
      const Vec<T> value = load(s + j);
      Vec<T> gradient = exp_scaled<T>(value, scale) * (load(columns.negative + j) + rows.negative[row]);
      if constexpr (Hard)
        gradient = exp_scaled<T>(value, beta_scale) * (gradient + load(columns.importance + j) + rows.importance[row]);
      if constexpr (Labels) {
        const VecBits<T> same = load(tile.column_class + j) == tile.row_class[row];
        gradient = same ? Vec<T>{} : gradient;
      }
      store(s + j, gradient);
    }
    blank(tile, row, s);
  }
}

template <class T>
void backward(const SimilarityTile<T>& tile, TileWeights<T> rows, TileWeights<T> columns) {
  if (tile.beta > 0) return backward_rows<T, true, false>(tile, rows, columns);
  if (tile.row_class) return backward_rows<T, false, true>(tile, rows, columns);
  backward_rows<T, false, false>(tile, rows, columns);
}

}  // namespace

extern const ContrastiveTable contrastive_table;
const ContrastiveTable contrastive_table = {{&forward<float>, &backward<float>}, {&forward<double>, &backward<double>}};

}  // namespace dcl::kernels::DCL_ISA
