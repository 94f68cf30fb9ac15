// Built with contraction: a * b + c is one fused operation where the processor has it.
#include "eigen/kernels/gemm.h"

#include "eigen/kernels/vector.h"

namespace dcl::kernels::DCL_ISA {
namespace {

// Accumulators take most registers; the rest hold one row of B and a broadcast of A.
#if defined(__AVX512F__)
constexpr int kTileRows = 12, kTileVectors = 2;  // 24 of 32
#elif defined(__aarch64__)
constexpr int kTileRows = 6, kTileVectors = 4;  // 24 of 32
#else
constexpr int kTileRows = 6, kTileVectors = 2;  // 12 of 16
#endif

template <class T>
constexpr int kTileColumns = kTileVectors* kLanes<T>;

/// Rows x kTileColumns of C, of which `columns` exist.
template <class T, int Rows>
void tile(int64_t columns, int64_t k, const T* a, const T* b, T* c, int64_t ldc, bool add) {
  Vec<T> sum[Rows][kTileVectors] = {};
  for (int64_t p = 0; p < k; ++p, a += kTileRows, b += kTileColumns<T>) {
    Vec<T> bv[kTileVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) bv[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
      const Vec<T> av = splat(a[r]);
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) sum[r][v] += av * bv[v];
    }
  }
  if (columns == kTileColumns<T>) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kTileVectors; ++v) {
        T* to = c + r * ldc + v * kLanes<T>;
        store(to, add ? load(to) + sum[r][v] : sum[r][v]);
      }
    }
    return;
  }
  T edge[Rows * kTileColumns<T>];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kTileVectors; ++v) store(edge + r * kTileColumns<T> + v * kLanes<T>, sum[r][v]);
  }
  for (int r = 0; r < Rows; ++r)
    for (int64_t j = 0; j < columns; ++j)
      c[r * ldc + j] = (add ? c[r * ldc + j] : T{0}) + edge[r * kTileColumns<T> + j];
}

template <class T>
using Tile = void (*)(int64_t, int64_t, const T*, const T*, T*, int64_t, bool);

template <class T, int Rows>
struct TileOf {
  /// The instance for `rows` in 1..Rows.
  static Tile<T> pick(int64_t rows) {
    if (rows == Rows) return &tile<T, Rows>;
    return TileOf<T, Rows - 1>::pick(rows);
  }
};
template <class T>
struct TileOf<T, 1> {
  static Tile<T> pick(int64_t) { return &tile<T, 1>; }
};

template <class T>
void multiply(int64_t m, int64_t n, int64_t k, const T* packed_a, const T* packed_b, T* c, int64_t ldc, bool add) {
  const int64_t last_rows = m % kTileRows;
  const Tile<T> last = last_rows ? TileOf<T, kTileRows>::pick(last_rows) : nullptr;
  for (int64_t j = 0; j < n; j += kTileColumns<T>) {
    const int64_t columns = n - j < kTileColumns<T> ? n - j : kTileColumns<T>;
    const T* b = packed_b + j * k;
    int64_t i = 0;
    for (; i + kTileRows <= m; i += kTileRows)
      tile<T, kTileRows>(columns, k, packed_a + i * k, b, c + i * ldc + j, ldc, add);
    if (last) last(columns, k, packed_a + i * k, b, c + i * ldc + j, ldc, add);
  }
}

/// 4 x 4 transpose: to[i * to_stride + j] = from[j * from_stride + i].
template <class T>
void transpose4(const T* from, int64_t from_stride, T* to, int64_t to_stride) {
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  typedef T Loose __attribute__((vector_size(4 * sizeof(T)), aligned(sizeof(T)), may_alias));
  Four r[4];
  for (int j = 0; j < 4; ++j) r[j] = *reinterpret_cast<const Loose*>(from + j * from_stride);
  const Four low01 = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5),
             high01 = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const Four low23 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5),
             high23 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  *reinterpret_cast<Loose*>(to) = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  *reinterpret_cast<Loose*>(to + to_stride) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  *reinterpret_cast<Loose*>(to + 2 * to_stride) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  *reinterpret_cast<Loose*>(to + 3 * to_stride) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

/// One panel of Width lanes: to[p * Width + lane] = from[lane * lane_stride + p * k_stride], zeros from lane `lanes`
/// on.
template <class T, int Width>
void pack_panel(const T* from, int64_t lane_stride, int64_t k_stride, int64_t lanes, int64_t k, T* to) {
  if (lanes == Width && lane_stride == 1) {
    for (int64_t p = 0; p < k; ++p)
      for (int lane = 0; lane < Width; ++lane) to[p * Width + lane] = from[p * k_stride + lane];
    return;
  }
  int64_t p = 0;
  int64_t lane = 0;
  if (k_stride == 1) {
    const int64_t k4 = k & ~int64_t{3};
    for (; lane + 4 <= lanes; lane += 4)
      for (p = 0; p < k4; p += 4) transpose4(from + lane * lane_stride + p, lane_stride, to + p * Width + lane, Width);
    for (p = k4; p < k; ++p)
      for (int64_t done = 0; done < lane; ++done) to[p * Width + done] = from[done * lane_stride + p];
  }
  for (; lane < Width; ++lane)
    for (p = 0; p < k; ++p) to[p * Width + lane] = lane < lanes ? from[lane * lane_stride + p * k_stride] : T{0};
}

template <class T, int Width>
void pack(const T* from, int64_t lane_stride, int64_t k_stride, int64_t lanes, int64_t k, T* packed) {
  for (int64_t lane = 0; lane < lanes; lane += Width)
    pack_panel<T, Width>(from + lane * lane_stride, lane_stride, k_stride, lanes - lane < Width ? lanes - lane : Width,
                         k, packed + lane * k);
}

template <class T>
void pack_a(const T* a, int64_t row_stride, int64_t k_stride, int64_t m, int64_t k, T* packed) {
  pack<T, kTileRows>(a, row_stride, k_stride, m, k, packed);
}

template <class T>
void pack_b(const T* b, int64_t k_stride, int64_t column_stride, int64_t k, int64_t n, T* packed) {
  pack<T, kTileColumns<T>>(b, column_stride, k_stride, n, k, packed);
}

template <class T>
constexpr GemmKernels<T> kernels_of() {
  return {kTileRows, kTileColumns<T>, &pack_a<T>, &pack_b<T>, &multiply<T>};
}

}  // namespace

extern const GemmTable gemm_table;
const GemmTable gemm_table = {kernels_of<float>(), kernels_of<double>()};

}  // namespace dcl::kernels::DCL_ISA
