// e^(c s) for vectors. Include only from kernel files built with contraction.
//
// Method: c s log2(e) = n + f with n an integer and |f| <= 1/2 (n by adding 1.5 * 2^mantissa), 2^f by a minimax
// polynomial (relative error 1.9e-9 in degree 6 for f32, 3.1e-18 in degree 11 for f64), times 2^n put together from
// bits. Valid while |c s| <= 87 (f32) or 708 (f64); beyond that the result is meaningless. NaN gives NaN. Relative
// error: at most 1.5 ulp with fused multiply-add; without it (baseline on x86-64), |c s| ulp more.
#pragma once

#include "eigen/kernels/vector.h"

namespace dcl::kernels::DCL_ISA {

/// c log2(e) in two parts, so that the product with s is not rounded before n is taken off.
template <class T>
struct ExpScale {
  T high, low;
};

template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  static constexpr int kMantissaBits = 23, kExponentBias = 127, kDegree = 6;
  static constexpr float kPolynomial[kDegree + 1] = {1.0f,           0.69314720574f, 0.24022646891f, 0.055503287770f,
                                                     0.00961848896f, 0.00133999312f, 0.00015345812f};
};
template <>
struct ExpConstants<double> {
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissaBits = 52, kExponentBias = 1023, kDegree = 11;
  static constexpr double kPolynomial[kDegree + 1] = {1.0,
                                                      0.69314718055994533046,
                                                      0.24022650695910156205,
                                                      0.055504108664819921483,
                                                      0.0096181291075883350833,
                                                      0.0013333558146789950323,
                                                      0.00015403530462514613026,
                                                      0.0000152527334899608046,
                                                      1.3215433089594629037e-6,
                                                      1.0178198033328527662e-7,
                                                      7.0741056262456593708e-9,
                                                      4.4352809446103361611e-10};
};

template <class T>
__attribute__((always_inline)) inline Vec<T> exp_scaled(Vec<T> s, ExpScale<T> scale) {
  using C = ExpConstants<T>;
  const Vec<T> shifted = s * scale.high + C::kRound;
  const Vec<T> n = shifted - C::kRound;
  const Vec<T> f = s * scale.low + (s * scale.high - n);
  Vec<T> power = splat(C::kPolynomial[C::kDegree]);
#pragma GCC unroll 16
  for (int i = C::kDegree - 1; i >= 0; --i) power = power * f + C::kPolynomial[i];
  const VecBits<T> exponent = (reinterpret_cast<VecBits<T>>(shifted) + C::kExponentBias) << C::kMantissaBits;
  return power * reinterpret_cast<Vec<T>>(exponent);
}

}  // namespace dcl::kernels::DCL_ISA
