// The one-dimensional transforms of Winograd convolution (winograd.h). Vector: a type with arithmetic, also
// with float; elements are `stride` apart. Inlined always, so that no copy for one instruction set reaches another.
#pragma once

#define DCL_WINOGRAD_INLINE __attribute__((always_inline)) inline

namespace dcl::kernels::DCL_ISA {

/// Points 0, 1, -1 and infinity.
template <class Vector>
struct TileOf2 {
  static constexpr int kTile = 2, kWindow = 4;

  /// B^T.
  struct Input {
    static constexpr int kFrom = 4, kTo = 4;
    static DCL_WINOGRAD_INLINE void apply(const Vector* d, int stride, Vector* out) {
      out[0] = d[0] - d[2 * stride];
      out[1] = d[stride] + d[2 * stride];
      out[2] = d[2 * stride] - d[stride];
      out[3] = d[3 * stride] - d[stride];
    }
  };

  /// G.
  struct Filter {
    static constexpr int kFrom = 3, kTo = 4;
    static DCL_WINOGRAD_INLINE void apply(const Vector* g, int stride, Vector* out) {
      const Vector even = 0.5f * (g[0] + g[2 * stride]), odd = 0.5f * g[stride];
      out[0] = g[0];
      out[1] = even + odd;
      out[2] = even - odd;
      out[3] = g[2 * stride];
    }
  };

  /// A^T.
  struct Output {
    static constexpr int kFrom = 4, kTo = 2;
    static DCL_WINOGRAD_INLINE void apply(const Vector* m, int stride, Vector* out) {
      out[0] = m[0] + m[stride] + m[2 * stride];
      out[1] = m[stride] - m[2 * stride] + m[3 * stride];
    }
  };

  /// A.
  struct Gradient {
    static constexpr int kFrom = 2, kTo = 4;
    static DCL_WINOGRAD_INLINE void apply(const Vector* y, int stride, Vector* out) {
      out[0] = y[0];
      out[1] = y[0] + y[stride];
      out[2] = y[0] - y[stride];
      out[3] = y[stride];
    }
  };

  /// G^T.
  struct FilterGradient {
    static constexpr int kFrom = 4, kTo = 3;
    static DCL_WINOGRAD_INLINE void apply(const Vector* m, int stride, Vector* out) {
      const Vector sum = 0.5f * (m[stride] + m[2 * stride]);
      out[0] = m[0] + sum;
      out[1] = 0.5f * (m[stride] - m[2 * stride]);
      out[2] = m[3 * stride] + sum;
    }
  };

  static DCL_WINOGRAD_INLINE Vector finish(Vector value) { return value; }
};

/// Points 0, 1, -1, 2, -2 and infinity; filters three times as large, so sums are nine times as large as results.
template <class Vector>
struct TileOf4 {
  static constexpr int kTile = 4, kWindow = 6;

  /// B^T.
  struct Input {
    static constexpr int kFrom = 6, kTo = 6;
    static DCL_WINOGRAD_INLINE void apply(const Vector* d, int stride, Vector* out) {
      const Vector d0 = d[0], d1 = d[stride], d2 = d[2 * stride], d3 = d[3 * stride], d4 = d[4 * stride],
                   d5 = d[5 * stride];
      const Vector even = d4 - 4.0f * d2, odd = d3 - 4.0f * d1;
      const Vector far_even = d4 - d2, far_odd = 2.0f * (d3 - d1);
      out[0] = 4.0f * d0 + (d4 - 5.0f * d2);
      out[1] = even + odd;
      out[2] = even - odd;
      out[3] = far_even + far_odd;
      out[4] = far_even - far_odd;
      out[5] = 4.0f * d1 + (d5 - 5.0f * d3);
    }
  };

  /// 3 G.
  struct Filter {
    static constexpr int kFrom = 3, kTo = 6;
    static DCL_WINOGRAD_INLINE void apply(const Vector* g, int stride, Vector* out) {
      const Vector g0 = g[0], g1 = g[stride], g2 = g[2 * stride];
      const Vector even = -0.5f * (g0 + g2), odd = 0.5f * g1;
      const Vector far_even = 0.125f * g0 + 0.5f * g2, far_odd = 0.25f * g1;
      out[0] = 0.75f * g0;
      out[1] = even - odd;
      out[2] = even + odd;
      out[3] = far_even + far_odd;
      out[4] = far_even - far_odd;
      out[5] = 3.0f * g2;
    }
  };

  /// A^T.
  struct Output {
    static constexpr int kFrom = 6, kTo = 4;
    static DCL_WINOGRAD_INLINE void apply(const Vector* m, int stride, Vector* out) {
      const Vector sum = m[stride] + m[2 * stride], difference = m[stride] - m[2 * stride];
      const Vector far_sum = m[3 * stride] + m[4 * stride], far_difference = m[3 * stride] - m[4 * stride];
      out[0] = m[0] + sum + far_sum;
      out[1] = difference + 2.0f * far_difference;
      out[2] = sum + 4.0f * far_sum;
      out[3] = difference + 8.0f * far_difference + m[5 * stride];
    }
  };

  /// A.
  struct Gradient {
    static constexpr int kFrom = 4, kTo = 6;
    static DCL_WINOGRAD_INLINE void apply(const Vector* y, int stride, Vector* out) {
      const Vector y0 = y[0], y1 = y[stride], y2 = y[2 * stride], y3 = y[3 * stride];
      const Vector even = y0 + y2, odd = y1 + y3;
      const Vector far_even = y0 + 4.0f * y2, far_odd = 2.0f * y1 + 8.0f * y3;
      out[0] = y0;
      out[1] = even + odd;
      out[2] = even - odd;
      out[3] = far_even + far_odd;
      out[4] = far_even - far_odd;
      out[5] = y3;
    }
  };

  /// 3 G^T.
  struct FilterGradient {
    static constexpr int kFrom = 6, kTo = 3;
    static DCL_WINOGRAD_INLINE void apply(const Vector* m, int stride, Vector* out) {
      const Vector sum = m[stride] + m[2 * stride], difference = m[2 * stride] - m[stride];
      const Vector far_sum = m[3 * stride] + m[4 * stride], far_difference = m[3 * stride] - m[4 * stride];
      out[0] = 0.75f * m[0] - 0.5f * sum + 0.125f * far_sum;
      out[1] = 0.5f * difference + 0.25f * far_difference;
      out[2] = 3.0f * m[5 * stride] - 0.5f * sum + 0.5f * far_sum;
    }
  };

  /// A ninth: exact where the quotient is a float.
  static DCL_WINOGRAD_INLINE Vector finish(Vector value) {
    constexpr float kNinth = 1.0f / 9.0f;
    const Vector quotient = kNinth * value;
    return quotient + kNinth * (value - 9.0f * quotient);
  }
};

}  // namespace dcl::kernels::DCL_ISA
