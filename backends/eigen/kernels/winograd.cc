// Built with contraction, as gemm.cc.
#include "eigen/kernels/winograd.h"

#include "eigen/kernels/vector.h"
#include "eigen/kernels/winograd_tiles.h"

namespace dcl::kernels::DCL_ISA {
namespace {

using Vector = Vec<float>;

constexpr int kWidth = kLanes<float>, kPanelVectors = 2, kPanel = kPanelVectors * kWidth;
constexpr int kRows = kVectorBytes == 64 ? 12 : 6;  // sums take 24 of 32 registers, or 12 of 16

/// How pixels are stored.
struct InF32 {
  static constexpr int64_t kBytes = 4;
  static DCL_WINOGRAD_INLINE Vector get(const char* from) { return load(reinterpret_cast<const float*>(from)); }
  static DCL_WINOGRAD_INLINE void put(char* to, Vector value) { store(reinterpret_cast<float*>(to), value); }
};

struct InBf16 {
  static constexpr int64_t kBytes = 2;
  typedef uint16_t Halves __attribute__((vector_size(kWidth * sizeof(uint16_t))));
  typedef uint16_t UnalignedHalves
      __attribute__((vector_size(kWidth * sizeof(uint16_t)), aligned(sizeof(uint16_t)), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(kWidth * sizeof(uint32_t))));

  static DCL_WINOGRAD_INLINE Vector get(const char* from) {
    const Halves halves = *reinterpret_cast<const UnalignedHalves*>(from);
    return reinterpret_cast<Vector>(__builtin_convertvector(halves, Bits) << 16);
  }
  /// As bf16::round_to_bits (math/bfloat16.h).
  static DCL_WINOGRAD_INLINE void put(char* to, Vector value) {
    const Bits bits = reinterpret_cast<Bits>(value);
    const Bits rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16, quiet_nan = (bits >> 16) | 0x40u;
    const Bits is_nan = reinterpret_cast<Bits>(value != value);
    *reinterpret_cast<UnalignedHalves*>(to) =
        __builtin_convertvector((quiet_nan & is_nan) | (rounded & ~is_nan), Halves);
  }
};

/// Both dimensions: from[kFrom][kFrom] to out[kTo][kTo].
template <class Step>
DCL_WINOGRAD_INLINE void apply_twice(const Vector* from, Vector* out) {
  Vector half[Step::kFrom * Step::kTo], column[Step::kTo];
#pragma GCC unroll 6
  for (int row = 0; row < Step::kFrom; ++row) Step::apply(from + row * Step::kFrom, 1, half + row * Step::kTo);
#pragma GCC unroll 6
  for (int at = 0; at < Step::kTo; ++at) {
    Step::apply(half + at, Step::kTo, column);
#pragma GCC unroll 6
    for (int row = 0; row < Step::kTo; ++row) out[row * Step::kTo + at] = column[row];
  }
}

// ---- Tiles ----------------------------------------------------------------------------------------------------------

template <class Byte>
DCL_WINOGRAD_INLINE bool has(const WinogradPixels<Byte>& pixels, int row, int column) {
  return row >= pixels.row_begin && row < pixels.row_end && column >= pixels.column_begin && column < pixels.column_end;
}

template <class Byte>
DCL_WINOGRAD_INLINE bool is_whole(const WinogradPixels<Byte>& pixels, int size) {
  return pixels.row_begin == 0 && pixels.column_begin == 0 && pixels.row_end == size && pixels.column_end == size;
}

template <class Step, class Stored, bool kWhole>
void transform_pixels(const WinogradPixels<const char>& pixels, float* to, int64_t position) {
  for (int64_t channel = 0; channel < pixels.channels; channel += kWidth) {
    Vector from[Step::kFrom * Step::kFrom], out[Step::kTo * Step::kTo];
#pragma GCC unroll 6
    for (int row = 0; row < Step::kFrom; ++row)
#pragma GCC unroll 6
      for (int column = 0; column < Step::kFrom; ++column) {
        const char* at =
            pixels.origin + row * pixels.row_stride + column * pixels.pixel_stride + channel * Stored::kBytes;
        from[row * Step::kFrom + column] = kWhole || has(pixels, row, column) ? Stored::get(at) : Vector{};
      }
    apply_twice<Step>(from, out);
#pragma GCC unroll 36
    for (int at = 0; at < Step::kTo * Step::kTo; ++at) store(to + at * position + channel, out[at]);
  }
}

template <class Step, class Stored>
void transform_stored(const WinogradPixels<const char>& pixels, float* to, int64_t position) {
  if (is_whole(pixels, Step::kFrom))
    transform_pixels<Step, Stored, true>(pixels, to, position);
  else
    transform_pixels<Step, Stored, false>(pixels, to, position);
}

template <class Step>
void transform(const WinogradPixels<const char>& pixels, float* to, int64_t position) {
  pixels.bf16 ? transform_stored<Step, InBf16>(pixels, to, position)
              : transform_stored<Step, InF32>(pixels, to, position);
}

template <class Tile, class Stored>
void inverse_stored(const float* from, int64_t position, const WinogradPixels<char>& pixels,
                    const WinogradEpilogue& epilogue) {
  const bool whole = is_whole(pixels, Tile::kTile);
  for (int64_t channel = 0; channel < pixels.channels; channel += kWidth) {
    Vector sums[Tile::kWindow * Tile::kWindow], out[Tile::kTile * Tile::kTile];
#pragma GCC unroll 36
    for (int at = 0; at < Tile::kWindow * Tile::kWindow; ++at) sums[at] = load(from + at * position + channel);
    apply_twice<typename Tile::Output>(sums, out);
    for (int row = 0; row < Tile::kTile; ++row)
#pragma GCC unroll 4
      for (int column = 0; column < Tile::kTile; ++column) {
        if (!whole && !has(pixels, row, column)) continue;
        const int64_t offset = row * pixels.row_stride + column * pixels.pixel_stride + channel * Stored::kBytes;
        Vector value = Tile::finish(out[row * Tile::kTile + column]);
        if (epilogue.bias) value += load(epilogue.bias + channel);
        if (epilogue.add) value += Stored::get(pixels.origin + offset);
        if (epilogue.residual) value += Stored::get(epilogue.residual + offset);
        if (epilogue.relu) value = value < Vector{} ? Vector{} : value;
        Stored::put(pixels.origin + offset, value);
      }
  }
}

template <class Tile>
void inverse_output(const float* from, int64_t position, const WinogradPixels<char>& pixels,
                    const WinogradEpilogue& epilogue) {
  pixels.bf16 ? inverse_stored<Tile, InBf16>(from, position, pixels, epilogue)
              : inverse_stored<Tile, InF32>(from, position, pixels, epilogue);
}

// ---- Filters --------------------------------------------------------------------------------------------------------

template <class Tile>
void transform_filter(const WinogradFilter& filter, float* to, int64_t position) {
  for (int64_t input = 0; input < filter.inputs; ++input, to += kPanel) {
    const float* taps = filter.data + input * filter.input;
    float lanes[9][kPanel];
    for (int tap = 0; tap < 9; ++tap)
      for (int lane = 0; lane < kPanel; ++lane) lanes[tap][lane] = taps[tap * filter.tap + lane * filter.output];
#pragma GCC unroll 2
    for (int part = 0; part < kPanelVectors; ++part) {
      Vector from[9], out[Tile::kWindow * Tile::kWindow];
#pragma GCC unroll 9
      for (int tap = 0; tap < 9; ++tap) from[tap] = load(lanes[tap] + part * kWidth);
      apply_twice<typename Tile::Filter>(from, out);
#pragma GCC unroll 36
      for (int at = 0; at < Tile::kWindow * Tile::kWindow; ++at) store(to + at * position + part * kWidth, out[at]);
    }
  }
}

template <class Tile>
void inverse_filter(const WinogradSums& from, float* to, int64_t tap, int64_t channels, bool add) {
  for (int64_t channel = 0; channel < channels; channel += kWidth) {
    Vector sums[Tile::kWindow * Tile::kWindow], out[9];
#pragma GCC unroll 36
    for (int at = 0; at < Tile::kWindow * Tile::kWindow; ++at) {
      const float* part = from.data + at * from.position + channel;
      sums[at] = load(part);
      for (int64_t i = 1; i < from.parts; ++i) sums[at] += load(part + i * from.part);
    }
    apply_twice<typename Tile::FilterGradient>(sums, out);
#pragma GCC unroll 9
    for (int at = 0; at < 9; ++at) {
      float* sum = to + at * tap + channel;
      const Vector value = Tile::finish(out[at]);
      store(sum, add ? load(sum) + value : value);
    }
  }
}

// ---- Products -------------------------------------------------------------------------------------------------------

/// kCount rows of one panel. kTogether: rows are neighbours (a_row is 1), else steps are.
template <int kCount, bool kTogether>
void multiply_rows(const WinogradProduct& p, const float* a, const float* b, float* c) {
  Vector sum[kCount][kPanelVectors];
#pragma GCC unroll 16
  for (int row = 0; row < kCount; ++row)
#pragma GCC unroll 2
    for (int part = 0; part < kPanelVectors; ++part) sum[row][part] = Vector{};
  const int64_t a_row = kTogether ? 1 : p.a_row, a_step = kTogether ? p.a_step : 1;
  for (int64_t step = 0; step < p.steps; ++step, a += a_step, b += p.b_step) {
    const Vector b0 = load(b), b1 = load(b + kWidth);
#pragma GCC unroll 16
    for (int row = 0; row < kCount; ++row) {
      const float value = a[row * a_row];
      sum[row][0] += value * b0;
      sum[row][1] += value * b1;
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < kCount; ++row)
#pragma GCC unroll 2
    for (int part = 0; part < kPanelVectors; ++part) {
      float* to = c + row * p.c_row + part * kWidth;
      store(to, p.add ? load(to) + sum[row][part] : sum[row][part]);
    }
}

using MultiplyRows = void (*)(const WinogradProduct&, const float*, const float*, float*);

/// The function for `count` rows, 1 to kRows.
template <bool kTogether, int kCount = kRows>
MultiplyRows rows_function(int64_t count) {
  if constexpr (kCount > 1)
    if (count < kCount) return rows_function<kTogether, kCount - 1>(count);
  return multiply_rows<kCount, kTogether>;
}

/// A panel of b stays in the first-level cache while all rows of a pass by.
void multiply(const WinogradProduct& p) {
  const bool together = p.a_row == 1;
  const int64_t rest = p.rows % kRows, full = p.rows - rest;
  const MultiplyRows many = together ? multiply_rows<kRows, true> : multiply_rows<kRows, false>;
  const MultiplyRows few = together ? rows_function<true>(rest) : rows_function<false>(rest);
  const float* b = p.b;
  for (int64_t column = 0; column < p.columns; column += kPanel, b += p.b_panel) {
    for (int64_t row = 0; row < full; row += kRows) many(p, p.a + row * p.a_row, b, p.c + row * p.c_row + column);
    if (rest > 0) few(p, p.a + full * p.a_row, b, p.c + full * p.c_row + column);
  }
}

template <class Tile>
constexpr WinogradTransforms transforms() {
  return {Tile::kTile,          transform<typename Tile::Input>,    transform_filter<Tile>,
          inverse_output<Tile>, transform<typename Tile::Gradient>, inverse_filter<Tile>};
}

}  // namespace

extern const WinogradTable winograd_table{kPanel, transforms<TileOf2<Vector>>(), transforms<TileOf4<Vector>>(),
                                          multiply};

}  // namespace dcl::kernels::DCL_ISA
