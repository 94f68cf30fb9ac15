#include "map/pca.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "math/philox.h"

namespace dcl {
namespace {

/// Directions that are followed at once: it converges by the ratio of the variance along the next to that of the
/// second. Where there are fewer, the others are 0.
constexpr size_t kWidth = 12;
constexpr int kMaxIterations = 200;
constexpr double kTolerance = 1e-10;  // of the residual, relative to the largest variance
constexpr int64_t kRowPiece = 64, kColumnPiece = 64;

using Row = std::array<double, kWidth>;
using Square = std::array<Row, kWidth>;
using Tall = std::vector<Row>;

/// x f32 [count, dim] times v [dim].
Tall along(std::span<const float> x, const Tall& v) {
  const size_t dim = v.size();
  Tall y(x.size() / dim);
  parallel_chunks(static_cast<int64_t>(y.size()), kRowPiece, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      Row sum{};
      for (size_t c = 0; c < dim; ++c)
        for (size_t k = 0; k < kWidth; ++k) sum[k] += double{x[i * dim + c]} * v[c][k];
      y[i] = sum;
    }
  });
  return y;
}

/// The transpose of x f32 [count, dim] times y [count].
Tall back(std::span<const float> x, const Tall& y) {
  const size_t dim = x.size() / y.size();
  Tall w(dim);
  parallel_chunks(static_cast<int64_t>(dim), kColumnPiece, [&](int64_t begin, int64_t end) {
    for (size_t i = 0; i < y.size(); ++i) {
      const Row along_i = y[i];
      for (auto c = static_cast<size_t>(begin); c < static_cast<size_t>(end); ++c)
        for (size_t k = 0; k < kWidth; ++k) w[c][k] += double{x[i * dim + c]} * along_i[k];
    }
  });
  return w;
}

double column_product(const Tall& m, size_t a, size_t b) {
  double sum = 0;
  for (const Row& row : m) sum += row[a] * row[b];
  return sum;
}

/// Columns become orthonormal, by Gram-Schmidt twice; one that depends on those before it becomes 0.
void orthonormalise(Tall& m) {
  for (size_t k = 0; k < kWidth; ++k) {
    const double before = std::sqrt(column_product(m, k, k));
    for (int pass = 0; pass < 2; ++pass)
      for (size_t j = 0; j < k; ++j) {
        const double shared = column_product(m, j, k);
        for (Row& row : m) row[k] -= shared * row[j];
      }
    const double norm = std::sqrt(column_product(m, k, k));
    const double scale = norm > 1e-12 * before ? 1 / norm : 0;
    for (Row& row : m) row[k] *= scale;
  }
}

/// (a, b) <- (c a - s b, s a + c b)
void turn(double& a, double& b, double c, double s) {
  const double old = a;
  a = c * old - s * b, b = s * old + c * b;
}

/// The Jacobi rotation that makes t[p][q] zero; the columns of `vectors` turn with it.
void rotate(Square& t, Square& vectors, size_t p, size_t q) {
  const double theta = (t[q][q] - t[p][p]) / (2 * t[p][q]);
  const double tangent = std::copysign(1 / (std::abs(theta) + std::hypot(theta, 1.0)), theta);
  const double c = 1 / std::hypot(tangent, 1.0), s = tangent * c;
  for (Row& row : t) turn(row[p], row[q], c, s);
  for (size_t i = 0; i < kWidth; ++i) turn(t[p][i], t[q][i], c, s);
  for (Row& row : vectors) turn(row[p], row[q], c, s);
}

struct Spectrum {
  Square vectors{};  ///< columns
  Row values{};      ///< descending
};

/// Of a symmetric matrix without negative eigenvalues, by cyclic Jacobi rotations.
Spectrum spectrum_of(Square t) {
  Square vectors{};
  for (size_t i = 0; i < kWidth; ++i) vectors[i][i] = 1;
  bool diagonal = false;
  for (int sweep = 0; sweep < 50 && !diagonal; ++sweep) {
    diagonal = true;
    for (size_t p = 0; p < kWidth; ++p)
      for (size_t q = p + 1; q < kWidth; ++q)
        if (std::abs(t[p][q]) > 1e-16 * std::sqrt(std::abs(t[p][p] * t[q][q])))
          rotate(t, vectors, p, q), diagonal = false;
  }
  std::array<size_t, kWidth> order;
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return t[a][a] > t[b][b]; });
  Spectrum result;
  for (size_t k = 0; k < kWidth; ++k) {
    result.values[k] = t[order[k]][order[k]];
    for (size_t i = 0; i < kWidth; ++i) result.vectors[i][k] = vectors[i][order[k]];
  }
  return result;
}

Square gram(const Tall& y) {
  Square g;
  for (size_t a = 0; a < kWidth; ++a)
    for (size_t b = 0; b <= a; ++b) g[a][b] = g[b][a] = column_product(y, a, b);
  return g;
}

void multiply(Tall& m, const Square& by) {
  for (Row& row : m) {
    Row product{};
    for (size_t j = 0; j < kWidth; ++j)
      for (size_t k = 0; k < kWidth; ++k) product[k] += row[j] * by[j][k];
    row = product;
  }
}

Tall random_directions(size_t dim) {
  RandomStream stream(0, RandomPurpose::principal_components);
  Tall v(dim);
  for (Row& row : v)
    for (double& value : row) value = stream.uniform(-1, 1);
  orthonormalise(v);
  return v;
}

/// How far w = x'x v is from `values` times v in the first two columns.
double residual(const Tall& w, const Tall& v, const Row& values) {
  double square = 0;
  for (size_t i = 0; i < w.size(); ++i)
    for (size_t k = 0; k < 2; ++k) square += std::pow(w[i][k] - values[k] * v[i][k], 2);
  return std::sqrt(square);
}

/// +1 or -1: the sign of the column's entry of largest magnitude.
double sign_of(const Tall& v, size_t column) {
  double largest = 0;
  for (const Row& row : v)
    if (std::abs(row[column]) > std::abs(largest)) largest = row[column];
  return largest < 0 ? -1 : 1;
}

}  // namespace

std::vector<Point> principal_components(std::span<const float> points, int64_t dim) {
  if (points.empty()) return {};
  Tall v = random_directions(static_cast<size_t>(dim)), y;
  for (int iteration = 1;; ++iteration) {
    y = along(points, v);
    const Spectrum ritz = spectrum_of(gram(y));
    multiply(v, ritz.vectors), multiply(y, ritz.vectors);
    Tall w = back(points, y);
    if (iteration == kMaxIterations || residual(w, v, ritz.values) <= kTolerance * ritz.values[0]) break;
    orthonormalise(w);
    v = std::move(w);
  }
  const double x_sign = sign_of(v, 0), y_sign = sign_of(v, 1);
  std::vector<Point> plane;
  for (const Row& row : y) plane.push_back({x_sign * row[0], y_sign * row[1]});
  return plane;
}

}  // namespace dcl
