#include "nn/arena.h"

#include <algorithm>
#include <numeric>

#include "core/extent.h"

namespace dcl {
namespace {

bool overlap(const Lifetime& a, const Lifetime& b) { return a.first <= b.last && b.first <= a.last; }

size_t live_peak(std::span<const Lifetime> lifetimes) {
  size_t peak = 0;
  for (const Lifetime& moment : lifetimes) {  // the peak begins where some lifetime begins
    size_t live = 0;
    for (const Lifetime& other : lifetimes)
      if (other.first <= moment.first && moment.first <= other.last) live += padded(other.bytes);
    peak = std::max(peak, live);
  }
  return peak;
}

}  // namespace

ArenaLayout lay_out(std::span<const Lifetime> lifetimes) {
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].bytes > lifetimes[b].bytes; });

  ArenaLayout layout{std::vector<size_t>(lifetimes.size(), 0), 0, live_peak(lifetimes)};
  std::vector<size_t> placed;  // by offset
  for (const size_t slot : order) {
    const size_t bytes = padded(lifetimes[slot].bytes);
    size_t offset = 0;
    for (const size_t other : placed) {
      if (!overlap(lifetimes[slot], lifetimes[other])) continue;
      if (layout.offsets[other] >= offset + bytes) break;
      offset = std::max(offset, layout.offsets[other] + padded(lifetimes[other].bytes));
    }
    layout.offsets[slot] = offset;
    layout.bytes = std::max(layout.bytes, offset + bytes);
    const auto after = std::upper_bound(placed.begin(), placed.end(), slot,
                                        [&](size_t a, size_t b) { return layout.offsets[a] < layout.offsets[b]; });
    placed.insert(after, slot);
  }
  return layout;
}

}  // namespace dcl
