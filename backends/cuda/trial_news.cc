#include "cuda/trial_news.h"

#include <cstdio>

#include "core/log.h"

namespace dcl::cuda {

void TrialNews::begin() {
  if (std::exchange(begun_, true)) return;
  log(LogLevel::info, "trying cuDNN's engines for convolutions that are new here: " +
                          (cache_.empty() ? "at every start, for there is no plan cache"
                                          : "once, what is chosen is kept in " + cache_.string()));
}

void TrialNews::passed_over(int64_t engine, const std::string& name, const std::string& why, const std::string& key) {
  if (!passed_over_.emplace(engine, why).second) return;
  log(LogLevel::info, "engine " + name + " of cuDNN gives " + why + " for " + key + ": passed over, wherever it does");
}

void TrialNews::composed(const std::string& key, float whole, float parts) {
  if (std::exchange(composed_, true)) return;
  char times[64];
  std::snprintf(times, sizeof times, "%.3f ms, the convolution and a pass %.3f ms", static_cast<double>(whole),
                static_cast<double>(parts));
  log(LogLevel::info,
      "cuDNN's best engine for " + key + " takes " + times + ": taken in two passes, as others like it");
}

}  // namespace dcl::cuda
