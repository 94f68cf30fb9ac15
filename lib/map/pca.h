// Principal component analysis down to the plane: the two directions along which points vary most.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "math/point.h"

namespace dcl {

/// Coordinates of points f32 [count, dim], whose mean is 0 in every column, along their first two principal components.
/// Of a component's two directions it takes the one whose largest entry is positive, as scikit-learn does. By subspace
/// iteration in double with Rayleigh-Ritz; the same bits for every number of threads. A direction in which nothing
/// varies gives 0.
std::vector<Point> principal_components(std::span<const float> points, int64_t dim);

}  // namespace dcl
