// Wall time of repeated runs.
#pragma once

#include <algorithm>
#include <chrono>

namespace dcl::bench {

template <class Body>
double seconds_of(Body&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The best of `repeats` runs after one that does not count.
template <class Body>
double best_seconds(int repeats, Body&& body) {
  body();
  double best = seconds_of(body);
  for (int i = 1; i < repeats; ++i) best = std::min(best, seconds_of(body));
  return best;
}

}  // namespace dcl::bench
