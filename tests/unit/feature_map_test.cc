// Maps of features: which images, by which distances, and how they are drawn.
#include "train/feature_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/registry.h"
#include "math/philox.h"

namespace dcl {
namespace {

Dataset images(int64_t count) {
  Dataset dataset;
  dataset.images.resize(static_cast<size_t>(count));
  dataset.classes = {"cat", "dog"};
  for (int64_t i = 0; i < count; ++i) {
    dataset.labels.push_back(i % 3 == 2 ? kUnknownLabel : static_cast<int32_t>(i % 3));
    dataset.names.push_back("<" + std::to_string(i) + ">");
  }
  return dataset;
}

/// Four clusters, point i in number i % 4, around `centre` and of size `scale`.
std::vector<float> clusters(int64_t count, int64_t dim, double centre, double scale) {
  RandomStream stream(53, RandomPurpose::test);
  std::vector<float> points;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t d = 0; d < dim; ++d)
      points.push_back(static_cast<float>(centre + scale * (stream.uniform(-1, 1) + (d == i % 4 ? 4 : 0))));
  return points;
}

/// Share of the points whose nearest neighbour in the map is of their cluster.
double at_home(const std::vector<Point>& map) {
  double count = 0;
  for (size_t i = 0; i < map.size(); ++i) {
    size_t nearest = i == 0 ? 1 : 0;
    const auto distance = [&](size_t j) { return std::hypot(map[j].x - map[i].x, map[j].y - map[i].y); };
    for (size_t j = 0; j < map.size(); ++j)
      if (j != i && distance(j) < distance(nearest)) nearest = j;
    count += nearest % 4 == i % 4;
  }
  return count / static_cast<double>(map.size());
}

ErrorKind kind_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::internal;
}

constexpr MapSettings kPca{MapSettings::Method::pca};

TEST(FeatureMap, ClustersStayTogetherAtAnyPlaceAndScale) {
  const auto backend = make_backend("eigen");
  for (const auto& [centre, scale] : {std::pair{0.0, 1.0}, {100.0, 1.0}, {0.0, 1e-20}, {0.0, 1e30}}) {
    const std::vector<Point> map = map_points(*backend, clusters(400, 12, centre, scale), 12, {.perplexity = 15});
    EXPECT_EQ(at_home(map), 1) << centre << ", " << scale;
  }
}

TEST(FeatureMap, SameBitsForEveryNumberOfThreads) {
  const auto backend = make_backend("eigen");
  const std::vector<float> points = clusters(1100, 12, 0, 1);
  set_thread_count(1);
  const std::vector<Point> one = map_points(*backend, points, 12, {.perplexity = 5});
  set_thread_count(3);
  const std::vector<Point> three = map_points(*backend, points, 12, {.perplexity = 5});
  set_thread_count(0);
  EXPECT_EQ(one, three);
}

TEST(FeatureMap, PrincipalComponentsHaveTheFeaturesUnit) {
  const auto backend = make_backend("eigen");
  const std::vector<Point> map = map_points(*backend, std::vector<float>{5, 1, 5, 4, 5, -2}, 2, kPca);
  ASSERT_EQ(map.size(), 3u);
  EXPECT_NEAR(map[0].x, 0, 1e-6);
  EXPECT_NEAR(map[1].x, 3, 1e-6);
  EXPECT_NEAR(map[2].x, -3, 1e-6);
  EXPECT_NEAR(map[1].y, 0, 1e-6);
}

TEST(FeatureMap, IdenticalFeaturesAreNoDivisionByZero) {
  const auto backend = make_backend("eigen");
  for (const size_t different : {0, 40}) {
    std::vector<float> points(120 * 12, 0.25f);
    const std::vector<float> others = clusters(static_cast<int64_t>(different), 12, 0, 1);
    std::copy(others.begin(), others.end(), points.begin());
    for (const MapSettings& settings : {kPca, MapSettings{.perplexity = 10}})
      for (const Point& at : map_points(*backend, points, 12, settings))
        ASSERT_TRUE(std::isfinite(at.x) && std::isfinite(at.y)) << different;
  }
  EXPECT_EQ(map_points(*backend, std::vector<float>{7, 8, 9}, 3, kPca), std::vector<Point>(1)) << "one point";
}

TEST(FeatureMap, BadInput) {
  const auto backend = make_backend("eigen");
  EXPECT_EQ(kind_of([] { check_map({.perplexity = 30}, 90); }), ErrorKind::usage);
  EXPECT_NO_THROW(check_map({.perplexity = 30}, 91));
  EXPECT_EQ(kind_of([] { check_map({.perplexity = 1.9}, 1000); }), ErrorKind::usage);
  EXPECT_EQ(kind_of([] { check_map({.perplexity = std::nan("")}, 1000); }), ErrorKind::usage);
  EXPECT_EQ(kind_of([] { check_map({}, 0); }), ErrorKind::usage);
  EXPECT_NO_THROW(check_map(kPca, 1));
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> points = clusters(100, 12, 0, 1);
    points[77] = bad;
    EXPECT_EQ(kind_of([&] { map_points(*backend, points, 12, {.perplexity = 5}); }), ErrorKind::numerical);
  }
}

TEST(FeatureMap, OfMoreImagesThanAreShown) {
  const auto backend = make_backend("eigen");
  const Dataset dataset = images(25'000);
  FeatureMap map(dataset, 2, kPca);
  EXPECT_EQ(map.points(), 10'000);
  std::vector<float> rows;
  for (int i = 0; i < 25'000; ++i) rows.insert(rows.end(), {static_cast<float>(i), 0.5f});
  map.append(std::span(rows).first(30));
  EXPECT_THROW(map.make(*backend), Error);
  map.append(std::span(rows).subspan(30));
  map.make(*backend);
  EXPECT_EQ(map.place(1), nullptr);
  ASSERT_NE(map.place(2), nullptr);
  EXPECT_NEAR(map.place(24'997)->x - map.place(0)->x, 24'997, 0.05);
  EXPECT_NE(map.svg().find("Principal components of the features of 10000 of 25000 images"), std::string::npos);
}

TEST(FeatureMap, DrawsNamesAndClasses) {
  const auto backend = make_backend("eigen");
  const Dataset dataset = images(30);
  FeatureMap map(dataset, 12, {.perplexity = 3.5});
  map.append(clusters(30, 12, 0, 1));
  map.make(*backend);
  const std::string svg = map.svg();
  for (const char* part : {"t-SNE of the features of 30 images, perplexity 3.5", "<title>&lt;3&gt;: cat</title>",
                           "<title>&lt;4&gt;: dog</title>", "<title>&lt;5&gt;</title>", ">cat<title>cat: 10</title>",
                           ">no label<title>no label: 10</title>"})
    EXPECT_NE(svg.find(part), svg.npos) << part;
}

}  // namespace
}  // namespace dcl
