// A class is named by its first image. Sums in double: they are few beside the objective's products.
#include "core/objective_form.h"
#include "cuda/reduce.h"
#include "cuda/supervised_term.h"

namespace dcl::cuda {
namespace {

constexpr int kWarps = 8;  // of a block

__device__ __forceinline__ int warp() { return static_cast<int>(threadIdx.x / kWarp); }
/// The image of this warp, below batch or beyond.
__device__ __forceinline__ int32_t warp_image() { return static_cast<int32_t>(blockIdx.x) * kWarps + warp(); }

/// Classes of a batch in the workspace.
struct Classes {
  int32_t* first;         ///< [batch] of the image's class
  int32_t* size;          ///< [batch] images of its class
  double* sums;           ///< [batch, dim] of the anchors of a class, in the row of its first image
  SupervisedSums* parts;  ///< [batch]

  Classes(const ObjectiveDesc& d, Carver& memory) {
    first = memory.take<int32_t>(d.batch);
    size = memory.take<int32_t>(d.batch);
    sums = memory.take<double>(d.batch * d.dim);
    parts = memory.take<SupervisedSums>(d.batch);
  }
};

/// One warp an image. An image without a label is a class of its own.
__global__ void classes_kernel(const int32_t* labels, int32_t batch, Classes classes) {
  const int32_t image = warp_image();
  if (image >= batch) return;
  const int32_t label = labels[image];
  int32_t first = image, size = 0;
  for (int32_t other = lane(); other < batch; other += kWarp) {
    const bool same = label < 0 ? other == image : labels[other] == label;
    if (same && other < first) first = other;
    size += same;
  }
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const int32_t other = __shfl_xor_sync(kAllLanes, first, step);
    first = other < first ? other : first;
  }
  size = warp_sum(size);
  if (lane() > 0) return;
  classes.first[image] = first;
  classes.size[image] = size;
}

/// Grid (images, runs of kWarp dims): the first image of a class sums it up, every warp a part of its images.
template <class T>
__global__ void __launch_bounds__(kWarps* kWarp)
    class_sums_kernel(const T* z, int32_t batch, int64_t dim, Classes classes) {
  DCL_SHARED(double, parts, [kWarps][kWarp]);
  const auto image = static_cast<int32_t>(blockIdx.x);
  if (classes.first[image] != image) return;  // the whole block
  const int64_t k = int64_t{blockIdx.y} * kWarp + lane();
  double sum = 0;
  for (int32_t other = image + warp(); other < batch; other += kWarps) {
    if (classes.first[other] != image || k >= dim) continue;
    sum += static_cast<double>(z[other * dim + k]) + static_cast<double>(z[(int64_t{other} + batch) * dim + k]);
  }
  parts[warp()][lane()] = sum;
  __syncthreads();
  if (warp() > 0 || k >= dim) return;
  double total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += parts[w][lane()];
  classes.sums[image * dim + k] = total;
}

/// One warp an image: both of its anchors. Where the pair is the only positive, they stay those of `biased` to the bit.
template <class T>
__global__ void anchors_kernel(const T* z, int32_t batch, int64_t dim, double pull, Classes classes, T* dz) {
  const int32_t image = warp_image();
  if (image >= batch) return;
  const double* sum = classes.sums + classes.first[image] * dim;
  const double positives = 2.0 * classes.size[image] - 1;
  const bool alone = classes.size[image] == 1;
  SupervisedSums sums;
#pragma unroll 1
  for (int view = 0; view < 2; ++view) {
    const int64_t anchor = image + int64_t{batch} * view, other = image + int64_t{batch} * (1 - view);
    const T *own = z + anchor * dim, *pair = z + other * dim;
    double pair_cosine = 0, cosines = 0;
    for (int64_t k = lane(); k < dim; k += kWarp) {
      const auto x = static_cast<double>(own[k]), y = static_cast<double>(pair[k]), others = sum[k] - x;
      pair_cosine += x * y;
      cosines += x * others;
      if (!dz || alone) continue;
      T& to = dz[anchor * dim + k];
      to = static_cast<T>(static_cast<double>(to) + pull * (y - others / positives));
    }
    pair_cosine = warp_sum(pair_cosine);
    cosines = alone ? pair_cosine : warp_sum(cosines);
    sums.add({pair_cosine, cosines / positives, cosines, positives});
  }
  if (lane() == 0) classes.parts[image] = sums;
}

/// One block.
__global__ void __launch_bounds__(kWarps* kWarp)
    result_kernel(int32_t batch, ContrastiveSettings<double> biased, Classes classes, double* result) {
  constexpr int kThreads = kWarps * kWarp;
  SupervisedSums own;
  for (auto image = static_cast<int32_t>(threadIdx.x); image < batch; image += kThreads) own.add(classes.parts[image]);
  const SupervisedSums total = {block_sum<kThreads>(own.pair), block_sum<kThreads>(own.positive),
                                block_sum<kThreads>(own.positive_cosines), block_sum<kThreads>(own.positives)};
  if (threadIdx.x == 0) add_supervised(total, biased, result);
}

template <class T>
void add_term(Context& context, const ObjectiveDesc& d, const T* z, const int32_t* labels, double* result, T* dz,
              const Classes& classes) {
  const ContrastiveSettings<double> biased = contrastive_settings(d);
  const auto batch = static_cast<int32_t>(d.batch);
  const auto images = static_cast<unsigned>(d.batch), warps = static_cast<unsigned>(ceil_div(d.batch, kWarps));
  const auto runs = static_cast<unsigned>(ceil_div(d.dim, kWarp));
  launch(classes_kernel, warps, kWarps * kWarp, 0, context.stream(), labels, batch, classes);
  launch(class_sums_kernel<T>, dim3(images, runs), kWarps * kWarp, 0, context.stream(), z, batch, d.dim, classes);
  launch(anchors_kernel<T>, warps, kWarps * kWarp, 0, context.stream(), z, batch, d.dim, supervised_pull(biased),
         classes, dz);
  launch(result_kernel, 1, kWarps * kWarp, 0, context.stream(), batch, biased, classes, result);
}

}  // namespace

size_t supervised_workspace(const ObjectiveDesc& d) {
  Carver memory(nullptr);
  Classes(d, memory);
  return memory.used();
}

void add_supervised_term(Context& context, const ObjectiveDesc& d, ConstTensorRef z, ConstTensorRef labels,
                         TensorRef result, TensorRef dz, Workspace workspace) {
  Carver memory(workspace.data);
  const Classes classes(d, memory);
  const auto add = [&]<class T>(T) {
    add_term(context, d, z.as<T>(), labels.as<int32_t>(), result.as<double>(), dz ? dz.as<T>() : nullptr, classes);
  };
  d.dtype == DType::f64 ? add(double{}) : add(float{});
}

}  // namespace dcl::cuda
