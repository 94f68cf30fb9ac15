// The repulsion of t-SNE between all pairs of points in O(n log n) (van der Maaten, "Accelerating t-SNE using
// tree-based algorithms", JMLR 2014): what is far away acts as one heavier point in its centre of mass.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "math/point.h"

namespace dcl {

class BarnesHut {
 public:
  /// A box acts as one point on points at `distance` when its side is at most theta * distance; theta in [0, 0.7), and
  /// 0 is exact.
  explicit BarnesHut(double theta) : theta2_(theta * theta) {}

  /// Says where the points are. What follows is of this place, and its parts may run side by side.
  void place(std::span<const Point> y);
  int64_t parts() const { return (static_cast<int64_t>(leaves_.size()) + kPart - 1) / kPart; }
  /// For the points i of this part: force[i] = sum over j of q_ij^2 (y_i - y_j), where q_ij = 1 / (1 + |y_i - y_j|^2).
  /// Returns the sum of q_ij over them and all j != i.
  double repel(int64_t part, std::span<Point> force) const;

 private:
  static constexpr size_t kLeaf = 8;
  static constexpr int64_t kPart = 128;  // leaves

  struct Placed {
    Point at;
    int32_t index;
  };
  /// Boxes lie in the order of a walk down the tree: the first child of a box follows it. They fit their points
  /// tightly.
  struct Box {
    Point low, high, centre;
    double mass, side2;
    int32_t after;  ///< the next box that is not within this one
    int32_t first, last;
    bool leaf;
  };
  struct Group;
  struct Sources;

  void build(int32_t first, int32_t last, int depth);
  int32_t halve(const Box& box);
  double repel_leaf(const Box& leaf, std::span<Point> force) const;
  void collect(Group& group) const;

  double theta2_;
  std::vector<Placed> placed_;  ///< all points, those of a box together
  std::vector<Box> boxes_;
  std::vector<int32_t> leaves_;
};

}  // namespace dcl
