// Points in the plane as a drawing that any browser shows: SVG 1.1 without scripts, fonts or images of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "math/point.h"

namespace dcl {

struct ScatterPlot {
  static constexpr int32_t kNoGroup = -1;
  struct Dot {
    Point at;  ///< of any scale, finite; y grows upwards
    int32_t group = kNoGroup;
    std::string title;  ///< shown where the pointer rests on the dot
  };

  std::string heading;
  std::vector<Dot> dots;
  std::vector<std::string> groups;
};

/// The file's text. Both axes have one scale. A legend names the groups that have dots, unless there are none, and "no
/// label", which is grey. Up to ten groups have colours that colour-blind readers tell apart, more have hues in turn;
/// dots of all groups are drawn in mixed order, so that none covers the others. Texts may hold any bytes.
std::string scatter_svg(const ScatterPlot& plot);

/// The text, made UTF-8 (made_utf8), with what XML gives a meaning escaped, and U+FFFD for what it does not allow:
/// control characters, U+FFFE and U+FFFF.
std::string xml_text(std::string_view text);

}  // namespace dcl
