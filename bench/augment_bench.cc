// Augmented views per second on one thread. bench/peers/augment.py runs `published_96` beside torchvision.
#include <benchmark/benchmark.h>

#include <vector>

#include "augment/augment.h"
#include "core/registry.h"
#include "math/philox.h"

namespace dcl {
namespace {

constexpr int kImages = 64, kViewsPerCall = 64;

/// Images with gradients and noise, `extent` pixels square.
std::vector<uint8_t> make_pool(int extent) {
  RandomStream stream(1, RandomPurpose::test);
  std::vector<uint8_t> pool;
  for (int image = 0; image < kImages; ++image)
    for (int i = 0; i < 3 * extent * extent; ++i)
      pool.push_back(static_cast<uint8_t>(i / 3 % extent + i / (3 * extent) + 40 * (i % 3) + stream.below(32)));
  return pool;
}

PooledImage image_at(int index, int extent) { return {int64_t{3} * extent * extent * index, extent, extent}; }

/// Views of settings, parameters drawn inside the timed loop; items are views.
void training_views(benchmark::State& state, const AugmentSettings& settings, int extent, DType dtype) {
  const auto backend = make_backend("eigen");
  const std::vector<uint8_t> pool = make_pool(extent);
  const AugmentDesc desc = augment_desc(settings);
  Buffer out(*backend, static_cast<size_t>(kViewsPerCall * 3 * settings.size * settings.size) * size_of(dtype));
  const TensorRef result = out.view({kViewsPerCall, settings.size, settings.size, 3}, dtype);
  std::vector<ViewParams> views(kViewsPerCall);
  uint32_t epoch = 0;
  for (auto _ : state) {
    for (int i = 0; i < kViewsPerCall; ++i)
      views[static_cast<size_t>(i)] =
          draw_view(settings, image_at(i % kImages, extent), 1, epoch, static_cast<uint32_t>(i), 0);
    backend->augment(desc, tensor_of(pool.data(), {static_cast<int64_t>(pool.size())}), views_tensor(views), result);
    benchmark::DoNotOptimize(result.data);
    ++epoch;
  }
  state.SetItemsProcessed(state.iterations() * kViewsPerCall);
}

AugmentSettings crop_only() {
  AugmentSettings settings;
  settings.flip_probability = settings.jitter_probability = settings.gray_probability = settings.blur_probability = 0;
  return settings;
}

AugmentSettings jitter_only(double AugmentSettings::*strength) {
  AugmentSettings settings = crop_only();
  settings.jitter_probability = 1;
  const double kept = settings.*strength;
  settings.brightness = settings.contrast = settings.saturation = settings.hue = 0;
  settings.*strength = kept;
  return settings;
}

AugmentSettings blur_only(int kernel) {
  AugmentSettings settings = crop_only();
  settings.blur_probability = 1;
  settings.blur_kernel = kernel;
  return settings;
}

/// The view for evaluation; bytes are those written.
void evaluation_views(benchmark::State& state, int extent, int64_t size, DType dtype) {
  const auto backend = make_backend("eigen");
  const std::vector<uint8_t> pool = make_pool(extent);
  AugmentDesc desc;
  desc.h = desc.w = size;
  Buffer out(*backend, static_cast<size_t>(kImages * 3 * size * size) * size_of(dtype));
  const TensorRef result = out.view({kImages, size, size, 3}, dtype);
  std::vector<ViewParams> views;
  for (int i = 0; i < kImages; ++i) views.push_back(evaluation_view(image_at(i, extent), size));
  for (auto _ : state) {
    backend->augment(desc, tensor_of(pool.data(), {static_cast<int64_t>(pool.size())}), views_tensor(views), result);
    benchmark::DoNotOptimize(result.data);
  }
  state.SetItemsProcessed(state.iterations() * kImages);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(result.bytes()));
}

BENCHMARK_CAPTURE(training_views, published_96, AugmentSettings{}, 96, DType::f32);
BENCHMARK_CAPTURE(training_views, published_bf16_96, AugmentSettings{}, 96, DType::bf16);
BENCHMARK_CAPTURE(training_views, published_32, AugmentSettings{}, 32, DType::f32);
BENCHMARK_CAPTURE(training_views, crop_96, crop_only(), 96, DType::f32);
BENCHMARK_CAPTURE(training_views, brightness_96, jitter_only(&AugmentSettings::brightness), 96, DType::f32);
BENCHMARK_CAPTURE(training_views, contrast_96, jitter_only(&AugmentSettings::contrast), 96, DType::f32);
BENCHMARK_CAPTURE(training_views, saturation_96, jitter_only(&AugmentSettings::saturation), 96, DType::f32);
BENCHMARK_CAPTURE(training_views, hue_96, jitter_only(&AugmentSettings::hue), 96, DType::f32);
BENCHMARK_CAPTURE(training_views, blur3_96, blur_only(3), 96, DType::f32);
BENCHMARK_CAPTURE(training_views, blur9_96, blur_only(9), 96, DType::f32);
BENCHMARK_CAPTURE(evaluation_views, whole_96, 96, 96, DType::f32);
BENCHMARK_CAPTURE(evaluation_views, whole_bf16_96, 96, 96, DType::bf16);
BENCHMARK_CAPTURE(evaluation_views, resized_96_to_32, 96, 32, DType::f32);
BENCHMARK_CAPTURE(evaluation_views, resized_32_to_96, 32, 96, DType::f32);

}  // namespace
}  // namespace dcl

BENCHMARK_MAIN();
