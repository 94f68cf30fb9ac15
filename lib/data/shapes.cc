#include "data/shapes.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"
#include "core/parallel.h"
#include "data/readers.h"
#include "data/shape_figures.h"
#include "math/philox.h"

namespace dcl {
namespace {

using figures::Point;

struct Colour {
  float r, g, b;
};

Colour mix(Colour a, Colour b, float t) {
  return {a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b)};
}

constexpr int kGrid = 4;  ///< cells a side of the texture field
constexpr int kMaxClutter = 4;

/// A short stroke behind the figure.
struct Stroke {
  Point from{}, to{};
  float half_width = 0;
  Colour colour{};
};

/// Everything random about one image but the noise of its pixels. Nothing here but `label` depends on the class.
struct Scene {
  int label = 0;
  Point centre{}, turn{};  ///< turn: cosine and sine of the rotation
  float scale = 1;         ///< image widths per unit of the figures
  Colour figure{}, ground{};
  Point slope{};  ///< of brightness across the image
  std::array<float, (kGrid + 1) * (kGrid + 1)> field{};
  float texture = 0, noise = 0;
  int strokes = 0;
  std::array<Stroke, kMaxClutter> clutter{};
};

float draw(RandomStream& random, float low, float high) { return static_cast<float>(random.uniform(low, high)); }

/// A random direction without trigonometry, which differs between machines in the last bit.
Point draw_direction(RandomStream& random) {
  for (;;) {
    const Point p{draw(random, -1, 1), draw(random, -1, 1)};
    const float norm = figures::length(p);
    if (norm > 0.1f && norm <= 1) return {p.x / norm, p.y / norm};
  }
}

/// A colour of the given lightness: moderate saturation, any hue.
Colour draw_colour(RandomStream& random, float lightness) {
  const float saturation = draw(random, 0, 0.3f);
  Colour c{draw(random, -1, 1), draw(random, -1, 1), draw(random, -1, 1)};
  const float luma = 0.299f * c.r + 0.587f * c.g + 0.114f * c.b;
  return {lightness + saturation * (c.r - luma), lightness + saturation * (c.g - luma),
          lightness + saturation * (c.b - luma)};
}

Scene draw_scene(RandomStream& random, int label) {
  Scene s;
  s.label = label;
  s.scale = draw(random, 0.30f, 0.46f);
  const float room = 0.5f - 0.85f * s.scale;
  s.centre = {0.5f + draw(random, -room, room), 0.5f + draw(random, -room, room)};
  s.turn = draw_direction(random);
  // Figure and ground differ in lightness, either way round, so that the figure survives the loss of colour.
  const float middle = draw(random, 0.38f, 0.62f), contrast = draw(random, 0.14f, 0.28f);
  const float sign = random.next_u32() & 1 ? 1.0f : -1.0f;
  s.figure = draw_colour(random, middle + sign * contrast);
  s.ground = draw_colour(random, middle - sign * contrast);
  const Point down = draw_direction(random);
  const float steepness = draw(random, 0, 0.2f);
  s.slope = {steepness * down.x, steepness * down.y};
  for (float& value : s.field) value = draw(random, -1, 1);
  s.texture = draw(random, 0.02f, 0.10f);
  s.noise = draw(random, 0.02f, 0.12f);
  s.strokes = static_cast<int>(random.below(kMaxClutter + 1));
  for (int i = 0; i < s.strokes; ++i) {
    Stroke& stroke = s.clutter[static_cast<size_t>(i)];
    stroke.from = {draw(random, 0, 1), draw(random, 0, 1)};
    const Point along = draw_direction(random);
    const float length = draw(random, 0.05f, 0.3f);
    stroke.to = {stroke.from.x + length * along.x, stroke.from.y + length * along.y};
    stroke.half_width = draw(random, 0.015f, 0.03f);
    stroke.colour = draw_colour(random, draw(random, 0.1f, 0.9f));
  }
  return s;
}

float stroke_distance(const Stroke& s, Point p) {
  const Point along{s.to.x - s.from.x, s.to.y - s.from.y}, from{p.x - s.from.x, p.y - s.from.y};
  const float t =
      std::clamp((from.x * along.x + from.y * along.y) / (along.x * along.x + along.y * along.y), 0.0f, 1.0f);
  return figures::length({from.x - t * along.x, from.y - t * along.y}) - s.half_width;
}

/// Bilinear interpolation of the random field.
float texture_at(const Scene& s, Point p) {
  const float x = p.x * kGrid, y = p.y * kGrid;
  const int column = std::min(static_cast<int>(x), kGrid - 1), row = std::min(static_cast<int>(y), kGrid - 1);
  const float fx = x - static_cast<float>(column), fy = y - static_cast<float>(row);
  const float* cell = &s.field[static_cast<size_t>(row * (kGrid + 1) + column)];
  const float top = cell[0] + fx * (cell[1] - cell[0]);
  const float bottom = cell[kGrid + 1] + fx * (cell[kGrid + 2] - cell[kGrid + 1]);
  return top + fy * (bottom - top);
}

/// Share of a pixel inside an edge at signed distance `d`, in pixels.
float coverage(float d) { return std::clamp(0.5f - d, 0.0f, 1.0f); }

Colour shade(const Scene& s, Point p, float size) {
  Colour c = s.ground;
  for (int i = 0; i < s.strokes; ++i) {
    const Stroke& stroke = s.clutter[static_cast<size_t>(i)];
    const float d = stroke_distance(stroke, p);
    if (d * size < 0.5f) c = mix(c, stroke.colour, coverage(d * size));
  }
  const Point q{(p.x - s.centre.x) / s.scale, (p.y - s.centre.y) / s.scale};
  const Point local{q.x * s.turn.x + q.y * s.turn.y, q.y * s.turn.x - q.x * s.turn.y};
  if (local.x * local.x + local.y * local.y < 1.7f) {  // no figure reaches further, edges included
    c = mix(c, s.figure, coverage(figures::distance(s.label, local) * s.scale * size));
  }
  const float light = s.slope.x * (p.x - 0.5f) + s.slope.y * (p.y - 0.5f) + s.texture * texture_at(s, p);
  return {c.r + light, c.g + light, c.b + light};
}

/// value in [0, 1] (clamped) plus noise from one random byte.
uint8_t quantise(float value, float noise, uint32_t byte) {
  const float noisy = value + noise * (static_cast<float>(byte) * (1.0f / 127.5f) - 1.0f);
  return static_cast<uint8_t>(std::clamp(noisy, 0.0f, 1.0f) * 255.0f + 0.5f);
}

ShapesSplit split_of(const std::string& name) {
  if (name == "train") return ShapesSplit::train;
  if (name == "test") return ShapesSplit::test;
  fail(ErrorKind::usage, "shapes has no split '" + name + "'; it has train, test");
}

}  // namespace

const std::vector<std::string>& shape_class_names() {
  static const std::vector<std::string> names = {"disc", "ring",     "square",  "triangle",     "cross",
                                                 "star", "crescent", "stripes", "checkerboard", "dots"};
  return names;
}

int32_t shape_label(int64_t index) { return static_cast<int32_t>(index % kShapeClasses); }

void draw_shape(uint64_t seed, ShapesSplit split, int64_t index, int32_t size, uint8_t* out) {
  RandomStream random(seed, RandomPurpose::shapes_data, 0, static_cast<uint32_t>(index), static_cast<uint16_t>(split));
  const Scene scene = draw_scene(random, shape_label(index));
  const auto extent = static_cast<float>(size);
  for (int32_t y = 0; y < size; ++y) {
    for (int32_t x = 0; x < size; ++x, out += 3) {
      const Point p{(static_cast<float>(x) + 0.5f) / extent, (static_cast<float>(y) + 0.5f) / extent};
      const Colour c = shade(scene, p, extent);
      const uint32_t bits = random.next_u32();
      out[0] = quantise(c.r, scene.noise, bits & 255);
      out[1] = quantise(c.g, scene.noise, bits >> 8 & 255);
      out[2] = quantise(c.b, scene.noise, bits >> 16 & 255);
    }
  }
}

Dataset load_shapes(const DatasetSpec& spec) {
  const ShapesSplit split = split_of(spec.split);
  if (spec.shapes_size < kMinShapeSize || spec.shapes_size > kMaxShapeSize) {
    fail(ErrorKind::usage, "shapes: size " + std::to_string(spec.shapes_size) + " is outside 16..256");
  }
  if (spec.shapes_count < 1 || spec.shapes_count > int64_t{1} << 31) {
    fail(ErrorKind::usage,
         "shapes: the number of images must be 1..2147483648, not " + std::to_string(spec.shapes_count));
  }
  std::vector<int32_t> labels(static_cast<size_t>(spec.shapes_count));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = shape_label(static_cast<int64_t>(i));
  const std::vector<int64_t> selected = select_images(spec, labels);
  const int32_t size = spec.shapes_size;
  const int64_t image_bytes = int64_t{3} * size * size;
  Dataset out;
  out.classes = shape_class_names();
  out.pixels.resize(static_cast<int64_t>(selected.size()) * image_bytes);
  for (size_t i = 0; i < selected.size(); ++i) {
    out.images.push_back({static_cast<int64_t>(i) * image_bytes, size, size});
    out.labels.push_back(labels[static_cast<size_t>(selected[i])]);
    out.names.push_back(spec.split + "/" + std::to_string(selected[i]));
  }
  parallel_for(static_cast<int64_t>(selected.size()), [&](int64_t i) {
    draw_shape(spec.shapes_seed, split, selected[static_cast<size_t>(i)], size, out.pixels.data() + i * image_bytes);
  });
  return out;
}

}  // namespace dcl
