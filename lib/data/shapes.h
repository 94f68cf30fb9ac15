// `shapes`: a built-in procedural data set. Ten classes that differ in form only: the colours of figure and background,
// place, size, rotation, texture, clutter and noise are drawn from the same distribution for every class.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dcl {

inline constexpr int kShapeClasses = 10;
inline constexpr int32_t kMinShapeSize = 16, kMaxShapeSize = 256;

const std::vector<std::string>& shape_class_names();

/// The splits are disjoint parts of one random sequence.
enum class ShapesSplit : uint16_t { train = 0, test = 1 };

/// The class of image `index`: classes take turns.
int32_t shape_label(int64_t index);

/// Draws image `index` into out [size, size, 3]; a pure function of its arguments, the same on every machine.
void draw_shape(uint64_t seed, ShapesSplit split, int64_t index, int32_t size, uint8_t* out);

}  // namespace dcl
