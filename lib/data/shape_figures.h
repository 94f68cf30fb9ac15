// The ten figures of `shapes` as signed distances, in units in which each of them covers an area of one, centred at the
// origin. Only +, -, *, /, sqrt and comparisons are used, so that every machine gets the same bits.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>

namespace dcl::figures {

struct Point {
  float x, y;
};

inline float length(Point p) { return std::sqrt(p.x * p.x + p.y * p.y); }
inline float disc(Point p, float radius) { return length(p) - radius; }
inline float box(Point p, float half_x, float half_y) {
  const Point d{std::fabs(p.x) - half_x, std::fabs(p.y) - half_y};
  return length({std::max(d.x, 0.0f), std::max(d.y, 0.0f)}) + std::min(std::max(d.x, d.y), 0.0f);
}

/// Distance of t from the nearest of the bands [k period - width/2, k period + width/2]; negative inside.
inline float bands(float t, float period, float width) {
  const float turn = t / period + 0.5f;
  return std::fabs((turn - std::floor(turn) - 0.5f) * period) - 0.5f * width;
}

template <size_t N>
float polygon(Point p, const std::array<Point, N>& vertices) {
  float nearest = 1e9f;
  bool inside = false;
  for (size_t i = 0, j = N - 1; i < N; j = i++) {
    const Point a = vertices[i], b = vertices[j];
    const Point edge{b.x - a.x, b.y - a.y}, from{p.x - a.x, p.y - a.y};
    const float along =
        std::clamp((from.x * edge.x + from.y * edge.y) / (edge.x * edge.x + edge.y * edge.y), 0.0f, 1.0f);
    const Point off{from.x - along * edge.x, from.y - along * edge.y};
    nearest = std::min(nearest, off.x * off.x + off.y * off.y);
    if ((a.y > p.y) != (b.y > p.y) && p.x < edge.x * (p.y - a.y) / edge.y + a.x) inside = !inside;
  }
  return inside ? -std::sqrt(nearest) : std::sqrt(nearest);
}

inline constexpr std::array<Point, 3> kTriangle = {{{0.0f, 0.8774f}, {0.7598f, -0.4387f}, {-0.7598f, -0.4387f}}};
/// Five points, inner radius 0.42 of the outer, 0.9000.
inline constexpr std::array<Point, 10> kStar = {{{0.0f, 0.9f},
                                                 {0.22218f, 0.30581f},
                                                 {0.85595f, 0.27812f},
                                                 {0.35950f, -0.11681f},
                                                 {0.52901f, -0.72812f},
                                                 {0.0f, -0.37800f},
                                                 {-0.52901f, -0.72812f},
                                                 {-0.35950f, -0.11681f},
                                                 {-0.85595f, 0.27812f},
                                                 {-0.22218f, 0.30581f}}};

inline float ring(Point p) { return std::fabs(length(p) - 0.6221f) - 0.1279f; }
inline float cross(Point p) { return std::min(box(p, 0.6708f, 0.2236f), box(p, 0.2236f, 0.6708f)); }
inline float crescent(Point p) {
  return std::max(disc({p.x - 0.1106f, p.y}, 0.8453f), -disc({p.x - 0.4813f, p.y}, 0.6860f));
}
/// Three bars, their gaps as wide as they are.
inline float stripes(Point p) { return std::max(box(p, 0.6455f, 0.6455f), bands(p.x, 0.5164f, 0.2582f)); }
/// Half of 4 x 4 cells. Beyond the middle of the outer cells the pattern does not alternate any more, or its next cells
/// would show through the anti-aliased rim.
inline float checkerboard(Point p) {
  static constexpr float kRim = 0.5303f;
  const auto across = [](float t) { return bands(std::clamp(t, -kRim, kRim) - 0.1768f, 0.7071f, 0.3536f); };
  const float columns = across(p.x), rows = across(p.y);
  const float cells = std::min(std::max(columns, rows), std::max(-columns, -rows));
  return std::max(box(p, 0.7071f, 0.7071f), cells);
}
inline float dots(Point p) {
  const auto to_grid = [](float t) { return t - 0.55f * std::clamp(std::floor(t / 0.55f + 0.5f), -1.0f, 1.0f); };
  return disc({to_grid(p.x), to_grid(p.y)}, 0.1881f);
}

/// Distance of p to the figure of class `label`; negative inside.
inline float distance(int label, Point p) {
  switch (label) {
    case 0:
      return disc(p, 0.5642f);
    case 1:
      return ring(p);
    case 2:
      return box(p, 0.5f, 0.5f);
    case 3:
      return polygon(p, kTriangle);
    case 4:
      return cross(p);
    case 5:
      return polygon(p, kStar);
    case 6:
      return crescent(p);
    case 7:
      return stripes(p);
    case 8:
      return checkerboard(p);
    default:
      return dots(p);
  }
}

}  // namespace dcl::figures
