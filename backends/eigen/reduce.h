// Sums over all cores whose value does not depend on how many there are.
#pragma once

#include <cstdint>

#include "core/extent.h"
#include "core/parallel.h"
#include "eigen/scratch.h"

namespace dcl {

/// The sum of piece(begin, end) over [0, total) cut into runs of `grain`, added in their order.
template <class Piece>
double sum_pieces(int64_t total, int64_t grain, Piece&& piece) {
  const int64_t pieces = ceil_div(total, grain);
  double* partial = thread_scratch<double>(ScratchSlot::reduce, pieces);
  parallel_chunks(total, grain, [&](int64_t begin, int64_t end) { partial[begin / grain] = piece(begin, end); });
  double sum = 0;
  for (int64_t i = 0; i < pieces; ++i) sum += partial[i];
  return sum;
}

/// Sum of squares of f32 values, in double; not finite when any value is not.
double square_sum(const float* values, int64_t count);

}  // namespace dcl
