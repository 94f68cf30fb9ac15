// t-SNE in the plane: places at which near points are neighbours again, found by gradient descent on the
// Kullback-Leibler divergence of the affinities p in the space of the points from those in the plane, q (van der Maaten
// & Hinton, 2008). Settings and stopping are scikit-learn's, so that results compare.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "map/affinities.h"
#include "map/barnes_hut.h"
#include "math/point.h"

namespace dcl {

struct TsneSettings {
  int64_t iterations = 1000;
  int64_t exaggerated =
      250;  ///< of these, at the start, with affinities times `exaggeration` and momentum 0.5, not 0.8
  double exaggeration = 12;
  double theta = 0.5;              ///< of BarnesHut
  double least_gradient = 1e-7;    ///< it ends at a smaller norm of the scaled gradient ...
  int64_t without_progress = 300;  ///< ... or after so many iterations in which the divergence did not fall
};

struct TsneMap {
  std::vector<Point> points;
  double divergence = 0;  ///< in nats, of `points`
  int64_t iterations = 0;
};

/// The derivative of the divergence by every place y, with p times `exaggeration`; returns the sum of 1 / (1 + |y_i -
/// y_j|^2) over all i != j, which scales q.
double tsne_gradient(const Affinities& p, std::span<const Point> y, double exaggeration, BarnesHut& repulsion,
                     std::span<Point> gradient);

/// In nats; q_sum is what tsne_gradient returns for y.
double tsne_divergence(const Affinities& p, std::span<const Point> y, double q_sum);

/// From places of any scale, which are brought to a deviation of 1e-4 along x (principal components are the usual
/// start). progress, if any, is told iterations that are done, and of how many. The same bits for every number of
/// threads.
TsneMap tsne(const Affinities& p, std::vector<Point> start, const TsneSettings& settings = {},
             const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace dcl
