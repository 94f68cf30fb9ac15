// One tile of the similarity matrix of the contrastive objective: cosines in, exponentials summed (forward) or turned
// into gradient weights in place (backward). Formulas: math/contrastive.h.
#pragma once

#include <cstdint>

namespace dcl::kernels {

/// Columns of a tile's rows in memory are a multiple of this, and readable and writable to the end.
inline constexpr int64_t kTilePadding = 16;
inline constexpr int kExcludedDiagonals = 3;

template <class T>
struct SimilarityTile {
  T* s;  ///< [rows, columns], rows ld apart; cosines
  int64_t ld, rows, columns;
  double inverse_temperature, beta;  ///< beta 0: no importance weights
  /// Entries with column - row equal to one of these are no negatives: the anchor itself and its pair.
  int64_t excluded[kExcludedDiagonals];
  /// Class of each row and column; equal ones are no negatives. Null: no labels. column_class is padded like the rows.
  const T* row_class;
  const T* column_class;
};

/// Sums over the negatives of each row, or column, of the tile; added to what is there. Null columns: rows only.
struct TileSums {
  double* weighted;    ///< e^((1 + beta) x)
  double* importance;  ///< e^(beta x), when beta > 0
};

/// dLoss/ds of each row, or column, as in ContrastiveRow; padded like the tile's rows.
template <class T>
struct TileWeights {
  const T* negative;
  const T* importance;
};

template <class T>
struct ContrastiveKernels {
  /// scratch: 4 * (columns rounded up to kTilePadding) elements. The tile's contents are destroyed.
  /// Returns the sum of the cosines of its negatives.
  double (*forward)(const SimilarityTile<T>& tile, TileSums rows, TileSums columns, T* scratch);
  /// s(i, j) becomes dLoss/ds of both anchors together, 0 where excluded.
  void (*backward)(const SimilarityTile<T>& tile, TileWeights<T> rows, TileWeights<T> columns);
};

struct ContrastiveTable {
  ContrastiveKernels<float> f32;
  ContrastiveKernels<double> f64;
};

const ContrastiveTable& contrastive();

}  // namespace dcl::kernels
