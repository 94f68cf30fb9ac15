// Two stages, each in double: pieces of the input give partial sums, which one block adds in the order of the pieces.
#include "cuda/reduce.h"
#include "cuda/sums.h"
#include "cuda/vector.h"

namespace dcl::cuda {
namespace {

// ---- Sum of squares ---------------------------------------------------------------------------------------------
constexpr int kThreads = 256;
constexpr int64_t kPiece = 1 << 14;  // elements: 64 a thread

__device__ double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

template <int N>
__global__ void __launch_bounds__(kThreads) square_pieces(const float* values, int64_t count, double* partial) {
  const int64_t begin = int64_t{blockIdx.x} * kPiece;
  const int64_t end = min(begin + kPiece, count);
  double sum = 0;
#pragma unroll 4
  for (int64_t i = begin + int64_t{threadIdx.x} * N; i < end; i += kThreads * N) {
    float lanes[N];
    load(values + i, lanes);
#pragma unroll
    for (const float x : lanes) sum += square(x);
  }
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) add_pieces(const double* partial, int64_t pieces, double* result) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < pieces; i += kThreads) sum += partial[i];
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) *result = sum;
}

// ---- Column sums ------------------------------------------------------------------------------------------------
constexpr int kColumns = 32, kRows = 8;  // of a block
constexpr int64_t kMostPieces = 64, kFewestRows = 256;

__global__ void __launch_bounds__(kColumns* kRows)
    column_pieces(const float* x, int64_t rows, int64_t columns, int64_t piece_rows, double* partial) {
  DCL_SHARED(double, sums, [kRows][kColumns]);
  const int64_t column = int64_t{blockIdx.x} * kColumns + threadIdx.x;
  const int64_t begin = int64_t{blockIdx.y} * piece_rows;
  const int64_t end = min(begin + piece_rows, rows);
  double sum = 0;
  if (column < columns)
    for (int64_t row = begin + threadIdx.y; row < end; row += kRows)
      sum += static_cast<double>(x[row * columns + column]);
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= columns) return;
  for (int i = 1; i < kRows; ++i) sum += sums[i][threadIdx.x];
  partial[int64_t{blockIdx.y} * columns + column] = sum;
}

__global__ void add_columns(const double* partial, int64_t pieces, int64_t columns, bool add, float* sums) {
  const int64_t column = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= columns) return;
  double sum = add ? static_cast<double>(sums[column]) : 0;
  for (int64_t piece = 0; piece < pieces; ++piece) sum += partial[piece * columns + column];
  sums[column] = static_cast<float>(sum);
}

unsigned blocks(int64_t count, int64_t unit) { return static_cast<unsigned>(ceil_div(count, unit)); }

}  // namespace

int64_t square_sum_scratch(int64_t count) { return ceil_div(count, kPiece); }

void square_sum(Context& context, const float* values, int64_t count, double* scratch, double* result) {
  const int64_t pieces = square_sum_scratch(count);
  if (pieces > 0) {
    const auto kernel = vectorizable<float>(count, values) ? square_pieces<kVector<float>> : square_pieces<1>;
    launch(kernel, static_cast<unsigned>(pieces), kThreads, 0, context.stream(), values, count, scratch);
  }
  launch(add_pieces, 1, kThreads, 0, context.stream(), scratch, pieces, result);
}

void sum_of_squares(Context& context, ConstTensorRef x, TensorRef result) {
  const int64_t count = x.shape.elements();
  square_sum(context, x.as<float>(), count, context.scratch<double>(square_sum_scratch(count)), result.as<double>());
}

void column_sum(Context& context, ConstTensorRef x, TensorRef sums, Accum accum) {
  const int64_t rows = x.shape[0], columns = x.shape[1];
  const int64_t piece_rows = max(kFewestRows, ceil_div(rows, kMostPieces)), pieces = ceil_div(rows, piece_rows);
  double* partial = context.scratch<double>(pieces * columns);
  if (pieces > 0)
    launch(column_pieces, dim3(blocks(columns, kColumns), static_cast<unsigned>(pieces)), dim3(kColumns, kRows), 0,
           context.stream(), x.as<float>(), rows, columns, piece_rows, partial);
  launch(add_columns, blocks(columns, kThreads), kThreads, 0, context.stream(), partial, pieces, columns,
         accum == Accum::add, sums.as<float>());
}

}  // namespace dcl::cuda
