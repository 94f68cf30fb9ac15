// PCA and affinities against NumPy, scikit-learn and their definitions.
#include <gtest/gtest.h>

#include <cmath>

#include "map/affinities.h"
#include "map/pca.h"
#include "support/map_points.h"
#include "support/map_values.h"

namespace dcl {
namespace {

using namespace test;

TEST(Pca, AgreesWithNumPysSingularValues) {
  // More dimensions than are followed at once, and similar variances.
  const std::vector<Point> got = principal_components(centred(test_points(), 40), 40);
  ASSERT_EQ(got.size(), 60u);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(got[i].x, kPrincipalComponents[i][0], 1e-6);
    EXPECT_NEAR(got[i].y, kPrincipalComponents[i][1], 1e-6);
  }
}

TEST(Pca, PointsOfFewDirections) {
  // On a line through eight dimensions; in one dimension; all in one place; a single point.
  std::vector<float> line;
  for (int i = -2; i <= 2; ++i)
    for (int d = 0; d < 8; ++d) line.push_back(static_cast<float>(i * (d == 3 ? -2 : 1)));
  const std::vector<Point> on_line = principal_components(line, 8);
  for (int i = 0; i < 5; ++i) {
    EXPECT_NEAR(on_line[static_cast<size_t>(i)].x, (2 - i) * std::sqrt(11.0), 1e-12) << "the largest entry is positive";
    EXPECT_NEAR(on_line[static_cast<size_t>(i)].y, 0, 1e-12);
  }
  const std::vector<Point> single = principal_components(std::vector<float>{-1, 3, -2}, 1);
  EXPECT_NEAR(single[1].x, 3, 1e-12);
  EXPECT_EQ(single[1].y, 0);
  EXPECT_EQ(principal_components(std::vector<float>(6), 2), std::vector<Point>(3));
  EXPECT_EQ(principal_components(std::vector<float>(4), 4), std::vector<Point>(1));
}

TEST(Affinities, AgreeWithScikitLearn) {
  const Affinities p = affinities_of(test_points(8), 7, 2.5);
  ASSERT_EQ(p.points(), 8);
  for (int64_t i = 0; i < 8; ++i) {
    ASSERT_EQ(p.begin[static_cast<size_t>(i)], i * 7);
    for (int64_t e = 0; e < 7; ++e) {
      const auto at = static_cast<size_t>(i * 7 + e);
      const int64_t j = e < i ? e : e + 1;
      ASSERT_EQ(p.column[at], j);
      EXPECT_NEAR(p.value[at], kJointProbabilities[i][j], 1e-7) << i << ", " << j;
    }
  }
}

TEST(Affinities, HaveThePerplexityAndAddUpToOne) {
  const std::vector<float> points = test_points();
  std::vector<double> distances, p(61);
  for (size_t j = 1; j <= p.size(); ++j) distances.push_back(1e4 * squared_distance(points, 0, j));
  conditional_probabilities(distances, 20, p);
  double entropy = 0, sum = 0;
  for (const double value : p) entropy -= value * std::log(value), sum += value;
  EXPECT_NEAR(sum, 1, 1e-12);
  EXPECT_NEAR(std::exp(entropy), 20, 20e-5);

  const Affinities joint = affinities_of(points, neighbours_for(20), 20);
  double total = 0;
  for (const double value : joint.value) total += value;
  EXPECT_NEAR(total, 1, 1e-12);
}

TEST(Affinities, OfMoreIdenticalNeighboursThanThePerplexityTheseShareAlone) {
  std::vector<double> p(6);
  conditional_probabilities(std::vector<double>{7, 3, 3, 3, 3, 1e30}, 2, p);
  EXPECT_EQ(p, (std::vector<double>{0, 0.25, 0.25, 0.25, 0.25, 0}));
  conditional_probabilities(std::vector<double>(6, 0.0), 2, p);
  for (const double value : p) EXPECT_DOUBLE_EQ(value, 1.0 / 6);
}

}  // namespace
}  // namespace dcl
