// Built with contraction.
#include "eigen/kernels/rows.h"

#include "eigen/kernels/exp.h"

namespace dcl::kernels::DCL_ISA {
namespace {

constexpr float kSmallestExponent = -87.0f;
constexpr ExpScale<float> kNaturalScale = {1.44269504f, 1.9259629911266175e-8f};  // log2(e)
constexpr int64_t kDotLanes = 16;

double dot(const float* a, const float* b, int64_t count) {
  double lanes[kDotLanes] = {};
  int64_t i = 0;
  for (; i + kDotLanes <= count; i += kDotLanes)
    for (int64_t lane = 0; lane < kDotLanes; ++lane)
      lanes[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

void divide(const float* x, float divisor, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] / divisor;
}

void project(const float* dy, const float* y, float projection, float divisor, int64_t count, float* dx) {
  for (int64_t i = 0; i < count; ++i) dx[i] = (dy[i] - projection * y[i]) / divisor;
}

double softmax_numerators(const float* x, int64_t count, float* exponentials, float* largest) {
  float top = x[0];
  for (int64_t i = 1; i < count; ++i) top = x[i] > top ? x[i] : top;
  *largest = top;
  double sum = 0;
  for (int64_t i = 0; i < count; i += kLanes<float>) {
    float run[kLanes<float>] = {};
    const int64_t filled = count - i < kLanes<float> ? count - i : kLanes<float>;
    for (int64_t lane = 0; lane < filled; ++lane) run[lane] = x[i + lane] - top;
    const Vec<float> value = load(run);
    store(run, exp_scaled<float>(value < kSmallestExponent ? splat(kSmallestExponent) : value, kNaturalScale));
    for (int64_t lane = 0; lane < filled; ++lane) {
      exponentials[i + lane] = run[lane];
      sum += static_cast<double>(run[lane]);
    }
  }
  return sum;
}

bool any_above(const float* x, float threshold) {
  VecBits<float> above{};
  for (int64_t i = 0; i < kScanRun; i += kLanes<float>) above |= ~(load(x + i) <= threshold);
  int32_t any = 0;
  for (int lane = 0; lane < kLanes<float>; ++lane) any |= above[lane];
  return any != 0;
}

void add_columns(const float* x, int64_t rows, int64_t columns, double* sums) {
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) sums[j] += static_cast<double>(x[i * columns + j]);
}

}  // namespace

extern const RowTable rows_table;
const RowTable rows_table = {&dot, &divide, &project, &softmax_numerators, &any_above, &add_columns};

}  // namespace dcl::kernels::DCL_ISA
