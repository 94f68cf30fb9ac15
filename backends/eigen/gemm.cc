// Slices of k, slabs of columns; of each, B is packed once by all threads and blocks of C are worked on in parallel.
#include "eigen/gemm.h"

#include <algorithm>

#include "core/extent.h"
#include "core/parallel.h"
#include "eigen/eigen_backend.h"
#include "eigen/kernels/gemm.h"
#include "eigen/kernels/isa.h"
#include "eigen/kernels/table.h"
#include "eigen/scratch.h"

DCL_DISPATCH(GemmTable, gemm)

namespace dcl {
namespace {

constexpr int64_t kSlabBytes = 2 << 20;     // of packed B: shared by the cores
constexpr int64_t kBlockBytes = 192 << 10;  // of packed A: private, in the second-level cache
constexpr int64_t kPieces = 16;             // blocks of C wanted at least, so that cores finish together

/// Extents of a block of C: whole register tiles, at most `rows` x `columns`, smaller when there would be too few
/// blocks.
struct BlockShape {
  int64_t rows, columns;
};
BlockShape choose_block(int64_t m, int64_t n, int64_t mr, int64_t nr, int64_t max_rows) {
  BlockShape block{std::min(round_up(m, mr), max_rows), round_up(n, nr)};
  const auto pieces = [&] { return ceil_div(m, block.rows) * ceil_div(n, block.columns); };
  while (pieces() < kPieces && (block.rows > 4 * mr || block.columns > 4 * nr)) {
    const bool halve_rows = block.columns <= 4 * nr || (block.rows > 4 * mr && block.rows >= block.columns);
    if (halve_rows)
      block.rows = round_up(block.rows / 2, mr);
    else
      block.columns = round_up(block.columns / 2, nr);
  }
  return block;
}

template <class T>
void add_bias(const MatrixProduct<T>& g, int64_t row, int64_t row_end, int64_t column, int64_t column_end) {
  for (int64_t i = row; i < row_end; ++i)
    for (int64_t j = column; j < column_end; ++j) g.c[i * g.ldc + j] += g.bias[j];
}

/// The columns [slab, slab + columns) of C for the slice [depth, depth + k) of the inner extent.
template <class T>
void multiply_slab(const MatrixProduct<T>& g, int64_t slab, int64_t columns, int64_t depth, int64_t k, T* packed_b) {
  const auto& kernel = kernels::of_type<T>(kernels::gemm());
  const int64_t pack_grain = 4 * kernel.nr;
  parallel_chunks(columns, pack_grain, [&](int64_t begin, int64_t end) {
    kernel.pack_b(g.b + depth * g.b_k + (slab + begin) * g.b_column, g.b_k, g.b_column, k, end - begin,
                  packed_b + begin * k);
  });
  const int64_t max_rows =
      kBlockBytes / (kernels::kGemmDepth * static_cast<int64_t>(sizeof(T))) / kernel.mr * kernel.mr;
  const BlockShape block = choose_block(g.m, columns, kernel.mr, kernel.nr, max_rows);
  const int64_t across = ceil_div(columns, block.columns);
  const int64_t down = ceil_div(g.m, block.rows);
  const bool last = depth + k == g.k;
  parallel_for(down * across, [&](int64_t piece) {
    const int64_t row = piece / across * block.rows, row_end = std::min(row + block.rows, g.m);
    const int64_t column = piece % across * block.columns, column_end = std::min(column + block.columns, columns);
    T* packed_a = thread_scratch<T>(ScratchSlot::gemm_a, kernel.packed_a(block.rows, k));
    kernel.pack_a(g.a + row * g.a_row + depth * g.a_k, g.a_row, g.a_k, row_end - row, k, packed_a);
    kernel.multiply(row_end - row, column_end - column, k, packed_a, packed_b + column * k,
                    g.c + row * g.ldc + slab + column, g.ldc, g.add || depth > 0);
    if (last && g.bias) add_bias(g, row, row_end, slab + column, slab + column_end);
  });
}

template <class T>
void run(const GemmDesc& d, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) {
  MatrixProduct<T> product;
  product.m = d.m, product.n = d.n, product.k = d.k;
  product.a = a.as<T>(), product.a_row = d.trans_a ? 1 : d.k, product.a_k = d.trans_a ? d.m : 1;
  product.b = b.as<T>(), product.b_k = d.trans_b ? 1 : d.n, product.b_column = d.trans_b ? d.k : 1;
  product.bias = bias ? bias.as<T>() : nullptr;
  product.c = c.as<T>(), product.ldc = d.n;
  product.add = d.accum == Accum::add;
  multiply(product);
}

}  // namespace

template <class T>
void multiply(const MatrixProduct<T>& g) {
  const auto& kernel = kernels::of_type<T>(kernels::gemm());
  const int64_t slab_columns =
      kSlabBytes / (kernels::kGemmDepth * static_cast<int64_t>(sizeof(T))) / kernel.nr * kernel.nr;
  const int64_t widest = std::min(slab_columns, round_up(g.n, kernel.nr));
  T* packed_b = thread_scratch<T>(ScratchSlot::gemm_b, kernel.packed_b(std::min(g.k, kernels::kGemmDepth), widest));
  for (int64_t slab = 0; slab < g.n; slab += slab_columns)
    for (int64_t depth = 0; depth < g.k; depth += kernels::kGemmDepth)
      multiply_slab(g, slab, std::min(slab_columns, g.n - slab), depth, std::min(kernels::kGemmDepth, g.k - depth),
                    packed_b);
}

template void multiply(const MatrixProduct<float>&);
template void multiply(const MatrixProduct<double>&);

void EigenBackend::do_gemm(const GemmDesc& d, ConstTensorRef a, ConstTensorRef b, ConstTensorRef bias, TensorRef c) {
  if (d.dtype == DType::f64) return run<double>(d, a, b, bias, c);
  run<float>(d, a, b, bias, c);
}

}  // namespace dcl
