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

constexpr int64_t kBlockBytes = int64_t{8} << 20;  ///< of pixels, drawn between two reports of progress
constexpr int kRows = 2;                           ///< figures of an image stand in kRows x kRows cells
constexpr int kFigures = kRows * kRows;
constexpr int kStrokes = 3;
constexpr int kField = 3;  ///< cells a side of the ground's field of colours
constexpr float kNoise = 0.06f;

struct Figure {
  Point centre{}, turn{};  ///< turn: cosine and sine of the rotation
  float scale = 1;         ///< image widths per unit of the figures
  Colour colour{};
};

/// A short line behind the figures.
struct Stroke {
  Point from{}, to{};
  float half_width = 0;
  Colour colour{};
};

/// Everything random about one image but the noise of its pixels. Nothing here but `label` depends on the class. What
/// else could tell one image from another varies within the image as well, colours most of all: two crops then share
/// their class and little more, so that contrasting images cannot be solved by colour.
struct Scene {
  int label = 0;
  std::array<Figure, kFigures> figures{};
  std::array<Stroke, kStrokes> strokes{};
  std::array<Colour, (kField + 1) * (kField + 1)> ground{};
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

/// A colour of the given lightness and any hue.
Colour draw_colour(RandomStream& random, float lightness, float max_saturation) {
  const float saturation = draw(random, 0, max_saturation);
  Colour c{draw(random, -1, 1), draw(random, -1, 1), draw(random, -1, 1)};
  const float luma = 0.299f * c.r + 0.587f * c.g + 0.114f * c.b;
  return {lightness + saturation * (c.r - luma), lightness + saturation * (c.g - luma),
          lightness + saturation * (c.b - luma)};
}

/// Lighter or darker than the ground, so that the figure survives the loss of colour.
Figure draw_figure(RandomStream& random, int cell) {
  constexpr float kCell = 1.0f / kRows;
  Figure f;
  f.scale = kCell * draw(random, 0.38f, 0.52f);
  const float room = 0.5f * kCell - 0.8f * f.scale;
  f.centre = {kCell * (static_cast<float>(cell % kRows) + 0.5f) + draw(random, -room, room),
              kCell * (static_cast<float>(cell / kRows) + 0.5f) + draw(random, -room, room)};
  f.turn = draw_direction(random);
  const float contrast = draw(random, 0.22f, 0.40f);
  f.colour = draw_colour(random, random.next_u32() & 1 ? 0.5f + contrast : 0.5f - contrast, 0.3f);
  return f;
}

Stroke draw_stroke(RandomStream& random) {
  Stroke s;
  s.from = {draw(random, 0, 1), draw(random, 0, 1)};
  const Point along = draw_direction(random);
  const float length = draw(random, 0.05f, 0.25f);
  s.to = {s.from.x + length * along.x, s.from.y + length * along.y};
  s.half_width = draw(random, 0.012f, 0.025f);
  s.colour = draw_colour(random, draw(random, 0.1f, 0.9f), 0.3f);
  return s;
}

Scene draw_scene(RandomStream& random, int label) {
  Scene s;
  s.label = label;
  for (int i = 0; i < kFigures; ++i) s.figures[static_cast<size_t>(i)] = draw_figure(random, i);
  for (Stroke& stroke : s.strokes) stroke = draw_stroke(random);
  for (Colour& colour : s.ground) colour = draw_colour(random, draw(random, 0.42f, 0.58f), 0.12f);
  return s;
}

float stroke_distance(const Stroke& s, Point p) {
  const Point along{s.to.x - s.from.x, s.to.y - s.from.y}, from{p.x - s.from.x, p.y - s.from.y};
  const float t =
      std::clamp((from.x * along.x + from.y * along.y) / (along.x * along.x + along.y * along.y), 0.0f, 1.0f);
  return figures::length({from.x - t * along.x, from.y - t * along.y}) - s.half_width;
}

/// Bilinear interpolation of the field.
Colour ground_at(const Scene& s, Point p) {
  const float x = p.x * kField, y = p.y * kField;
  const int column = std::min(static_cast<int>(x), kField - 1), row = std::min(static_cast<int>(y), kField - 1);
  const float fx = x - static_cast<float>(column), fy = y - static_cast<float>(row);
  const Colour* node = &s.ground[static_cast<size_t>(row * (kField + 1) + column)];
  return mix(mix(node[0], node[1], fx), mix(node[kField + 1], node[kField + 2], fx), fy);
}

/// Share of a pixel inside an edge at signed distance `d`, in pixels.
float coverage(float d) { return std::clamp(0.5f - d, 0.0f, 1.0f); }

Colour shade(const Scene& s, Point p, float size) {
  Colour c = ground_at(s, p);
  for (const Stroke& stroke : s.strokes) {
    const float d = stroke_distance(stroke, p) * size;
    if (d < 0.5f) c = mix(c, stroke.colour, coverage(d));
  }
  for (const Figure& f : s.figures) {
    const Point q{(p.x - f.centre.x) / f.scale, (p.y - f.centre.y) / f.scale};
    if (q.x * q.x + q.y * q.y > 1.4f) continue;  // no figure reaches so far, edges included
    const Point local{q.x * f.turn.x + q.y * f.turn.y, q.y * f.turn.x - q.x * f.turn.y};
    c = mix(c, f.colour, coverage(figures::distance(s.label, local) * f.scale * size));
  }
  return c;
}

/// value in [0, 1] (clamped) plus noise from one random byte.
uint8_t quantise(float value, uint32_t byte) {
  const float noisy = value + kNoise * (static_cast<float>(byte) * (1.0f / 127.5f) - 1.0f);
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
      out[0] = quantise(c.r, bits & 255);
      out[1] = quantise(c.g, bits >> 8 & 255);
      out[2] = quantise(c.b, bits >> 16 & 255);
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
  const int64_t count = std::ssize(selected), block = std::max<int64_t>(1, kBlockBytes / image_bytes);
  for (int64_t begin = 0; begin < count; begin += block) {
    parallel_for(std::min(block, count - begin), [&](int64_t at) {
      const int64_t i = begin + at;
      draw_shape(spec.shapes_seed, split, selected[static_cast<size_t>(i)], size, out.pixels.data() + i * image_bytes);
    });
    if (spec.on_images) spec.on_images(std::min(begin + block, count), count);
  }
  return out;
}

}  // namespace dcl
