// The k largest of each row: one block per row narrows the key of the k-th largest down byte by byte (radix selection),
// gathers everything from it on, and sorts that. Keys are unique (score, then position), so the order in which threads
// gather does not matter.
#include <bit>

#include "cuda/launch.h"
#include "cuda/reduce.h"
#include "cuda/rows.h"

namespace dcl::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kBins = 256, kBinsPerLane = kBins / kWarp;
constexpr int64_t kMostInShared = 4096;  // candidates, 8 bytes each

using Key = unsigned long long;

/// Larger is better: by score, NaN below everything, equal scores by position.
__device__ __forceinline__ Key key_of(float score, int64_t index) {
  const unsigned bits = __float_as_uint(score == 0 ? 0.0f : score);
  const unsigned ordered = isnan(score) ? 0u : (bits & 0x80000000u) ? ~bits : bits | 0x80000000u;
  return static_cast<Key>(ordered) << 32 | static_cast<unsigned>(~static_cast<unsigned>(index));
}
__device__ __forceinline__ int32_t index_of(Key key) { return static_cast<int32_t>(~static_cast<unsigned>(key)); }

/// What is known of the k-th largest key.
struct Search {
  Key prefix;        ///< its leading bytes; the rest is 0
  unsigned needed;   ///< keys still to take among those with this prefix
  unsigned present;  ///< keys with this prefix
};

/// First warp: from the counts of the next byte to the byte of the k-th largest key.
__device__ void choose_byte(const unsigned* counts, int shift, Search& search) {
  const int lane = static_cast<int>(threadIdx.x);
  const int first = kBins - 1 - lane * kBinsPerLane;  // of the lane's bins, downwards
  unsigned own = 0;
  for (int i = 0; i < kBinsPerLane; ++i) own += counts[first - i];
  unsigned through = own;  // in this lane's bins and the better ones
  for (int step = 1; step < kWarp; step *= 2) {
    const unsigned before = __shfl_up_sync(kAllLanes, through, step);
    if (lane >= step) through += before;
  }
  const unsigned needed = search.needed;
  __syncwarp();  // everyone has read what one lane will change
  unsigned better = through - own;
  if (better >= needed || through < needed) return;
  int bin = first;
  while (better + counts[bin] < needed) better += counts[bin--];
  search.prefix |= static_cast<Key>(bin) << shift;
  search.needed = needed - better;
  search.present = counts[bin];
}

/// Returns the smallest of the k largest keys, or a bound below it and above the next. All threads call it.
__device__ Key select(const float* scores, int64_t n, unsigned k) {
  DCL_SHARED(unsigned, counts, [kBins]);
  DCL_SHARED(Search, search, [1]);
  if (threadIdx.x == 0) search[0] = {0, k, 0};
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int bin = threadIdx.x; bin < kBins; bin += kThreads) counts[bin] = 0;
    __syncthreads();
    const Key prefix = search[0].prefix;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      const Key key = key_of(scores[i], i);
      if (shift == 56 || (key ^ prefix) >> (shift + 8) == 0) atomicAdd(&counts[key >> shift & 0xff], 1u);
    }
    __syncthreads();
    if (threadIdx.x < kWarp) choose_byte(counts, shift, search[0]);
    __syncthreads();
    if (search[0].needed == search[0].present) break;  // all keys with this prefix belong to the k largest
  }
  return search[0].prefix;
}

/// Descending; count is a power of two, and 32 bits are enough for it. All threads call it.
__device__ void bitonic_sort(Key* keys, unsigned count) {
  for (unsigned width = 2; width <= count && width != 0; width *= 2)
    for (unsigned step = width / 2; step > 0; step /= 2) {
      __syncthreads();
      for (unsigned t = threadIdx.x; t < count / 2; t += kThreads) {
        const unsigned low = 2 * t - (t & (step - 1)), high = low + step;
        const bool descending = (low & width) == 0;
        const Key a = keys[low], b = keys[high];
        if ((a < b) == descending) keys[low] = b, keys[high] = a;
      }
    }
  __syncthreads();
}

/// `spilled`: kept x rows keys in device memory when they do not fit the block's, else null.
__global__ void __launch_bounds__(kThreads) top_k_kernel(const float* all_scores, int64_t n, int64_t k, int64_t kept,
                                                         Key* spilled, float* values, int32_t* indices) {
  DCL_SHARED(unsigned, taken, [1]);
  const int64_t row = blockIdx.x;
  const float* scores = all_scores + row * n;
  Key* keys = spilled ? spilled + row * kept : dynamic_shared<Key>();
  const Key smallest = select(scores, n, static_cast<unsigned>(k));
  if (threadIdx.x == 0) *taken = 0;
  for (int64_t i = k + threadIdx.x; i < kept; i += kThreads) keys[i] = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < n; i += kThreads) {
    const Key key = key_of(scores[i], i);
    if (key >= smallest) keys[atomicAdd(taken, 1u)] = key;
  }
  bitonic_sort(keys, static_cast<unsigned>(kept));
  for (int64_t i = threadIdx.x; i < k; i += kThreads) {
    const int32_t index = index_of(keys[i]);
    values[row * k + i] = scores[index];
    indices[row * k + i] = index;
  }
}

}  // namespace

void top_k(Context& context, ConstTensorRef scores, TensorRef values, TensorRef indices) {
  const int64_t rows = scores.shape[0], n = scores.shape[1], k = values.shape[1];
  if (rows == 0) return;
  const auto kept = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(k)));
  const bool shared = kept <= kMostInShared;
  Key* spilled = shared ? nullptr : context.scratch<Key>(rows * kept);
  launch(top_k_kernel, static_cast<unsigned>(rows), kThreads, shared ? static_cast<size_t>(kept) * sizeof(Key) : 0,
         context.stream(), scores.as<float>(), n, k, kept, spilled, values.as<float>(), indices.as<int32_t>());
}

}  // namespace dcl::cuda
