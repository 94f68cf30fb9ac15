#include "map/barnes_hut.h"

#include <algorithm>
#include <utility>

namespace dcl {
namespace {

/// Halving a box this often leaves points that cannot be told apart by what acts on others.
constexpr int kMaxDepth = 60;

double square(double x) { return x * x; }

/// From a place to the nearest one of a box along one axis.
double gap(double low, double high, double place) { return std::max({low - place, place - high, 0.0}); }

}  // namespace

/// What acts on a group of points, gathered so that the arithmetic runs over plain arrays.
struct BarnesHut::Sources {
  static constexpr size_t kMost = 256;
  std::array<double, kMost> x, y, mass;
  size_t count = 0;
};

/// At most kLeaf points that walk through the tree together; further lanes repeat the first point.
struct BarnesHut::Group {
  using Lanes = std::array<double, kLeaf>;

  explicit Group(std::span<const Placed> points) : low(points[0].at), high(points[0].at) {
    for (size_t i = 0; i < kLeaf; ++i) {
      const Point at = points[i < points.size() ? i : 0].at;
      x[i] = at.x, y[i] = at.y;
      low = {std::min(low.x, at.x), std::min(low.y, at.y)};
      high = {std::max(high.x, at.x), std::max(high.y, at.y)};
    }
  }

  double distance2(Point from) const { return square(gap(low.x, high.x, from.x)) + square(gap(low.y, high.y, from.y)); }

  void add(Point at, double mass) {
    if (sources.count == Sources::kMost) act();
    sources.x[sources.count] = at.x, sources.y[sources.count] = at.y, sources.mass[sources.count] = mass;
    ++sources.count;
  }

  /// The sources gathered so far act, and are forgotten.
  void act() {
    Lanes fx = force_x, fy = force_y, sum = q_sum;
    for (size_t s = 0; s < sources.count; ++s)
      for (size_t i = 0; i < kLeaf; ++i) {
        const double dx = x[i] - sources.x[s], dy = y[i] - sources.y[s];
        const double q = 1 / (1 + dx * dx + dy * dy), weighted = sources.mass[s] * q;
        sum[i] += weighted;
        fx[i] += weighted * q * dx, fy[i] += weighted * q * dy;
      }
    force_x = fx, force_y = fy, q_sum = sum;
    sources.count = 0;
  }

  Point low, high;
  Lanes x, y, force_x{}, force_y{}, q_sum{};
  Sources sources;
};

void BarnesHut::place(std::span<const Point> y) {
  if (placed_.size() != y.size()) {
    placed_.resize(y.size());
    for (size_t i = 0; i < y.size(); ++i) placed_[i].index = static_cast<int32_t>(i);
  }
  // Points move little from call to call: in the last order there is less to sort.
  for (Placed& point : placed_) point.at = y[static_cast<size_t>(point.index)];
  boxes_.clear(), leaves_.clear();
  if (!y.empty()) build(0, static_cast<int32_t>(y.size()), 0);
}

double BarnesHut::repel(int64_t part, std::span<Point> force) const {
  const auto first = static_cast<size_t>(part * kPart), last = std::min(first + kPart, leaves_.size());
  double sum = 0;
  for (size_t i = first; i < last; ++i) sum += repel_leaf(boxes_[static_cast<size_t>(leaves_[i])], force);
  return sum;
}

/// Of the points first .. last, at least one.
void BarnesHut::build(int32_t first, int32_t last, int depth) {
  const size_t at = boxes_.size();
  Box box{.low = placed_[static_cast<size_t>(first)].at, .first = first, .last = last};
  box.high = box.low;
  Point sum;
  for (const Placed& point :
       std::span(placed_).subspan(static_cast<size_t>(first), static_cast<size_t>(last - first))) {
    box.low = {std::min(box.low.x, point.at.x), std::min(box.low.y, point.at.y)};
    box.high = {std::max(box.high.x, point.at.x), std::max(box.high.y, point.at.y)};
    sum.x += point.at.x, sum.y += point.at.y;
  }
  box.mass = last - first;
  box.centre = {std::clamp(sum.x / box.mass, box.low.x, box.high.x),
                std::clamp(sum.y / box.mass, box.low.y, box.high.y)};
  box.side2 = square(std::max(box.high.x - box.low.x, box.high.y - box.low.y));
  box.leaf = box.mass <= kLeaf || box.side2 == 0 || depth == kMaxDepth;
  boxes_.push_back(box);
  if (box.leaf) {
    leaves_.push_back(static_cast<int32_t>(at));
  } else {
    const int32_t middle = halve(box);
    for (const auto& [from, to] : {std::pair{first, middle}, std::pair{middle, last}})
      if (from < to) build(from, to, depth + 1);
  }
  boxes_[at].after = static_cast<int32_t>(boxes_.size());
}

/// Points of the half with the smaller coordinate along the longer side come first; returns where the others begin.
int32_t BarnesHut::halve(const Box& box) {
  const auto begin = placed_.begin() + box.first, end = placed_.begin() + box.last;
  const double x = (box.low.x + box.high.x) / 2, y = (box.low.y + box.high.y) / 2;
  const auto middle = box.high.x - box.low.x >= box.high.y - box.low.y
                          ? std::partition(begin, end, [=](const Placed& point) { return point.at.x < x; })
                          : std::partition(begin, end, [=](const Placed& point) { return point.at.y < y; });
  return static_cast<int32_t>(middle - placed_.begin());
}

/// What acts on the points of a leaf, into `force`; returns their sum of q.
double BarnesHut::repel_leaf(const Box& leaf, std::span<Point> force) const {
  double sum = 0;
  for (auto first = static_cast<size_t>(leaf.first); first < static_cast<size_t>(leaf.last); first += kLeaf) {
    const auto points = std::span(placed_).subspan(first, std::min(kLeaf, static_cast<size_t>(leaf.last) - first));
    Group group(points);
    collect(group);
    for (size_t i = 0; i < points.size(); ++i) {
      force[static_cast<size_t>(points[i].index)] = {group.force_x[i], group.force_y[i]};
      sum += group.q_sum[i] - 1;  // a point is among those that act on it: without force, and with q = 1
    }
  }
  return sum;
}

/// Points that coincide are a box of side 0, which always acts as one. With theta < 0.7 no other box acts as one on a
/// point in it, since its centre of mass is within the diagonal.
void BarnesHut::collect(Group& group) const {
  for (size_t at = 0; at < boxes_.size();) {
    const Box& box = boxes_[at];
    if (box.side2 <= theta2_ * group.distance2(box.centre)) {
      group.add(box.centre, box.mass);
      at = static_cast<size_t>(box.after);
    } else if (box.leaf) {
      for (auto i = static_cast<size_t>(box.first); i < static_cast<size_t>(box.last); ++i) group.add(placed_[i].at, 1);
      at = static_cast<size_t>(box.after);
    } else {
      ++at;
    }
  }
  group.act();
}

}  // namespace dcl
