// Nothing is allocated per batch once the loader runs: counted by replacing the global operator new of the process.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>
#include <tuple>
#include <vector>

#include "augment/augment.h"
#include "core/registry.h"
#include "data/loader.h"

namespace {
std::atomic<int64_t> g_allocations{0};

void* counted(size_t bytes, size_t alignment) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* data = nullptr;
  if (posix_memalign(&data, alignment < sizeof(void*) ? sizeof(void*) : alignment, bytes > 0 ? bytes : 1) != 0) {
    throw std::bad_alloc();
  }
  return data;
}
}  // namespace

void* operator new(size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new[](size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) { return counted(bytes, static_cast<size_t>(alignment)); }
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t, std::align_val_t) noexcept { std::free(data); }

namespace dcl {
namespace {

TEST(LoaderAllocations, NonePerBatch) {
  const std::unique_ptr<Backend> backend = make_backend("eigen");
  DatasetSpec spec;
  spec.shapes_count = 40;
  const Dataset data = load_dataset(spec);
  const AugmentSettings settings;
  LoaderOptions options;
  options.batch = 8;
  options.threads = 2;
  options.augment = augment_desc(settings);
  Loader loader(data, *backend, training_views(settings, 1), options);
  const int64_t before = g_allocations.load();
  loader.start();
  const int64_t after_start = g_allocations.load();
  EXPECT_GT(after_start, before);  // the counter works: threads were made
  // The scratch of a worker's thread grows with its first slice, which on a busy machine may come late.
  bool none = false;
  for (int round = 0; round <= options.threads && !none; ++round) {
    const int64_t warm = g_allocations.load();
    for (int i = 0; i < 100; ++i) ASSERT_NE(loader.next(), nullptr);
    none = round > 0 && g_allocations.load() == warm;
  }
  EXPECT_TRUE(none) << "every hundred batches something is allocated";
}

/// Neither a larger crop nor a blur: whichever view comes first, the others of an image of that extent find room.
TEST(LoaderAllocations, NonePerView) {
  constexpr int32_t kExtent = 40;
  constexpr uint32_t kViews = 64;
  const std::unique_ptr<Backend> backend = make_backend("eigen");
  AugmentSettings settings;
  const AugmentDesc desc = augment_desc(settings);
  const std::vector<uint8_t> pool(3 * kExtent * kExtent, 7);
  const ConstTensorRef pixels{pool.data(), {static_cast<int64_t>(pool.size())}, DType::u8};
  std::vector<ViewParams> views;
  for (uint32_t i = 0; i < kViews; ++i) views.push_back(draw_view(settings, {0, kExtent, kExtent}, 1, 0, i, 0));
  std::stable_sort(views.begin(), views.end(), [](const ViewParams& a, const ViewParams& b) {
    return std::tuple(a.blur_radius, a.crop_h * a.crop_w) < std::tuple(b.blur_radius, b.crop_h * b.crop_w);
  });
  EXPECT_EQ(views.front().blur_radius, 0);
  EXPECT_GT(views.back().blur_radius, 0);
  const Buffer out(*backend, static_cast<size_t>(3 * desc.h * desc.w) * sizeof(float));
  const auto make = [&](const ViewParams& view) {
    backend->augment(desc, pixels, views_tensor({&view, 1}), out.view({1, desc.h, desc.w, 3}, DType::f32));
  };
  make(views.front());
  const int64_t warm = g_allocations.load();
  for (const ViewParams& view : views) make(view);
  EXPECT_EQ(g_allocations.load(), warm);
}

}  // namespace
}  // namespace dcl
