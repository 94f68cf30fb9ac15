// A place in the plane.
#pragma once

namespace dcl {

struct Point {
  double x = 0, y = 0;
  bool operator==(const Point&) const = default;
};

}  // namespace dcl
