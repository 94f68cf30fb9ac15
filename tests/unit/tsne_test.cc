// t-SNE against scikit-learn and its definition: forces, gradient, descent, and where it ends.
#include "map/tsne.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/parallel.h"
#include "map/barnes_hut.h"
#include "map/pca.h"
#include "math/philox.h"
#include "support/map_points.h"
#include "support/map_values.h"

namespace dcl {
namespace {

using namespace test;

std::vector<Point> random_places(int64_t count, double extent, uint32_t which = 0) {
  RandomStream stream(47, RandomPurpose::test, which);
  std::vector<Point> places;
  for (int64_t i = 0; i < count; ++i) {
    const double x = stream.uniform(-extent, extent);
    places.push_back({x, stream.uniform(-extent, extent)});
  }
  return places;
}

struct Repulsion {
  double q_sum = 0;
  std::vector<Point> force;
};

Repulsion by_definition(std::span<const Point> y) {
  Repulsion result{0, std::vector<Point>(y.size())};
  for (size_t i = 0; i < y.size(); ++i)
    for (size_t j = 0; j < y.size(); ++j) {
      if (i == j) continue;
      const double dx = y[i].x - y[j].x, dy = y[i].y - y[j].y, q = 1 / (1 + dx * dx + dy * dy);
      result.q_sum += q;
      result.force[i].x += q * q * dx, result.force[i].y += q * q * dy;
    }
  return result;
}

Repulsion by_boxes(std::span<const Point> y, double theta) {
  Repulsion result{0, std::vector<Point>(y.size(), Point{1e9, 1e9})};
  BarnesHut boxes(theta);
  boxes.place(y);
  for (int64_t part = 0; part < boxes.parts(); ++part) result.q_sum += boxes.repel(part, result.force);
  return result;
}

double norm(std::span<const Point> of, std::span<const Point> minus = {}) {
  double sum = 0;
  for (size_t i = 0; i < of.size(); ++i) {
    const Point other = minus.empty() ? Point{} : minus[i];
    sum += std::pow(of[i].x - other.x, 2) + std::pow(of[i].y - other.y, 2);
  }
  return std::sqrt(sum);
}

/// The sum of p log(p / q) over all pairs.
double divergence_by_definition(const Affinities& p, std::span<const Point> y) {
  const double q_sum = by_definition(y).q_sum;
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i)
    for (auto e = static_cast<size_t>(p.begin[i]); e < static_cast<size_t>(p.begin[i + 1]); ++e) {
      const Point other = y[static_cast<size_t>(p.column[e])];
      const double q = 1 / (1 + std::pow(y[i].x - other.x, 2) + std::pow(y[i].y - other.y, 2)) / q_sum;
      sum += p.value[e] * std::log(p.value[e] / q);
    }
  return sum;
}

/// How many points have their nearest neighbour, by distance(i, j), in their own cluster.
template <class Distance>
int64_t neighbours_of_own_cluster(const Distance& distance) {
  int64_t count = 0;
  for (size_t i = 0; i < kCount; ++i) {
    size_t nearest = i == 0 ? 1 : 0;
    for (size_t j = 0; j < kCount; ++j)
      if (j != i && distance(i, j) < distance(i, nearest)) nearest = j;
    count += nearest % kClusters == i % kClusters;
  }
  return count;
}

TEST(BarnesHut, WithoutApproximationIsTheDefinition) {
  std::vector<Point> y = random_places(700, 5);
  for (size_t i = 0; i < 50; ++i) y[i] = y[0];  // more than a leaf holds
  for (size_t i = 50; i < 90; ++i)
    y[i] = {y[50].x + static_cast<double>(i) * 1e-17, y[50].y};  // closer than halving goes
  const Repulsion want = by_definition(y), got = by_boxes(y, 0);
  EXPECT_NEAR(got.q_sum, want.q_sum, 1e-10 * want.q_sum);
  EXPECT_LE(norm(got.force, want.force), 1e-10 * norm(want.force));
}

TEST(BarnesHut, ApproximatesAsCloselyAsScikitLearn) {
  for (const double extent : {1e-4, 3.0, 50.0}) {
    const std::vector<Point> y = random_places(3000, extent);
    Repulsion want = by_definition(y), got = by_boxes(y, 0.5);
    EXPECT_NEAR(got.q_sum, want.q_sum, 0.01 * want.q_sum) << extent;
    for (Repulsion* each : {&want, &got})
      for (Point& force : each->force) force = {force.x / each->q_sum, force.y / each->q_sum};
    // scikit-learn 1.9.1 at the same angle on such points: 0.009 of the norm at extent 3, 0.018 at 50.
    EXPECT_LE(norm(got.force, want.force), 0.013 * norm(want.force)) << extent;
    EXPECT_GT(norm(got.force, want.force), 0) << "boxes act as points";
  }
}

TEST(BarnesHut, FewPoints) {
  BarnesHut boxes(0.5);
  boxes.place({});
  EXPECT_EQ(boxes.parts(), 0);
  EXPECT_EQ(by_boxes(std::vector<Point>{{3, 4}}, 0.5).q_sum, 0);
  const Repulsion two = by_boxes(std::vector<Point>{{0, 0}, {2, 0}}, 0.5);
  EXPECT_DOUBLE_EQ(two.q_sum, 2 * 0.2);
  EXPECT_DOUBLE_EQ(two.force[0].x, -2 * 0.04);
}

TEST(Tsne, GradientIsTheDerivativeOfTheDivergence) {
  const Affinities p = affinities_of(test_points(30), 20, 6);
  std::vector<Point> y = random_places(30, 2), gradient(30);
  BarnesHut exact(0);
  const double q_sum = tsne_gradient(p, y, 1, exact, gradient);
  EXPECT_NEAR(tsne_divergence(p, y, q_sum), divergence_by_definition(p, y), 1e-12);
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < y.size(); ++i)
    for (double Point::*axis : {&Point::x, &Point::y}) {
      const double place = y[i].*axis;
      y[i].*axis = place + kStep;
      const double above = divergence_by_definition(p, y);
      y[i].*axis = place - kStep;
      const double below = divergence_by_definition(p, y);
      y[i].*axis = place;
      EXPECT_NEAR(gradient[i].*axis, (above - below) / (2 * kStep), 1e-9) << i;
    }
}

TEST(Tsne, ExaggerationMultipliesTheAffinities) {
  Affinities p = affinities_of(test_points(30), 20, 6);
  const std::vector<Point> y = random_places(30, 2);
  std::vector<Point> exaggerated(30), of_multiplied(30);
  BarnesHut exact(0);
  tsne_gradient(p, y, 12, exact, exaggerated);
  for (double& value : p.value) value *= 12;
  tsne_gradient(p, y, 1, exact, of_multiplied);
  EXPECT_LE(norm(exaggerated, of_multiplied), 1e-12 * norm(exaggerated));
}

TEST(Tsne, DescendsAsScikitLearnDoes) {
  const std::vector<float> points = test_points();
  const TsneMap map = tsne(affinities_of(points, neighbours_for(20), 20), principal_components(centred(points), kDim),
                           {.iterations = 60, .exaggerated = 30, .theta = 0});
  const double extent = norm(map.points) / std::sqrt(static_cast<double>(kCount));
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(map.points[i].x, kDescent[i][0], 1e-3 * extent) << "of " << extent;
    EXPECT_NEAR(map.points[i].y, kDescent[i][1], 1e-3 * extent) << "of " << extent;
  }
}

TEST(Tsne, ReachesTheDivergenceOfScikitLearn) {
  const std::vector<float> points = test_points();
  const Affinities p = affinities_of(points, neighbours_for(20), 20);
  int64_t told = 0;
  const TsneMap map = tsne(p, principal_components(centred(points), kDim), {}, [&](int64_t done, int64_t all) {
    EXPECT_EQ(done, ++told);
    EXPECT_EQ(all, 1000);
  });
  EXPECT_EQ(map.iterations, told);
  EXPECT_LE(map.divergence, 1.03 * kDivergence);
  EXPECT_NEAR(map.divergence, divergence_by_definition(p, map.points), 0.01 * map.divergence);

  // Nearest neighbours are as often of one cluster as those of the points themselves.
  const auto in_map = [&](size_t i, size_t j) {
    return std::hypot(map.points[j].x - map.points[i].x, map.points[j].y - map.points[i].y);
  };
  const auto in_space = [&](size_t i, size_t j) { return squared_distance(points, i, j); };
  EXPECT_GE(neighbours_of_own_cluster(in_map), neighbours_of_own_cluster(in_space) - 0.02 * kCount);
}

TEST(Tsne, SameBitsForEveryNumberOfThreads) {
  const std::vector<float> points = test_points(1500);
  const Affinities p = affinities_of(points, 31, 10);
  const auto run = [&](int threads) {
    set_thread_count(threads);
    return tsne(p, principal_components(centred(points), kDim), {.iterations = 60, .exaggerated = 30});
  };
  const TsneMap one = run(1), three = run(3);
  set_thread_count(0);
  EXPECT_EQ(one.points, three.points);
  EXPECT_EQ(one.divergence, three.divergence);
}

TEST(Tsne, IdenticalPointsShareAPlace) {
  std::vector<float> points = test_points(60);
  for (size_t i = 1; i < 20; ++i) std::copy_n(points.begin(), kDim, points.begin() + static_cast<int64_t>(i) * kDim);
  const TsneMap map =
      tsne(affinities_of(points, 16, 5), principal_components(centred(points), kDim), {.iterations = 300});
  for (const Point& at : map.points) ASSERT_TRUE(std::isfinite(at.x) && std::isfinite(at.y));
  const double extent = norm(map.points);
  for (size_t i = 1; i < 20; ++i)
    EXPECT_LE(std::hypot(map.points[i].x - map.points[0].x, map.points[i].y - map.points[0].y), 0.1 * extent);

  const std::vector<float> same(60 * kDim, 0.0f);
  const TsneMap one_place = tsne(affinities_of(same, 16, 5), principal_components(same, kDim));
  EXPECT_EQ(one_place.points, std::vector<Point>(60));
  EXPECT_EQ(one_place.iterations, 100) << "nothing moves, as is seen after 50 iterations of either part";
  EXPECT_TRUE(std::isfinite(one_place.divergence));
}

TEST(Tsne, EndsWithoutProgress) {
  const std::vector<float> points = test_points(40);
  const TsneMap map = tsne(affinities_of(points, 16, 5), principal_components(centred(points), kDim),
                           {.iterations = 100'000, .without_progress = 100});
  EXPECT_LT(map.iterations, 100'000);
  EXPECT_GT(map.iterations, 250);
}

}  // namespace
}  // namespace dcl
