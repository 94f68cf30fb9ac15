// Which backend a benchmark runs on: $DCL_BENCH_DEVICE, else what it was written for.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "core/registry.h"

namespace dcl::bench {

inline std::string bench_device(const char* usual) {
  const char* device = std::getenv("DCL_BENCH_DEVICE");
  return device && *device ? device : usual;
}
inline std::unique_ptr<Backend> bench_backend(const char* usual) { return make_backend(bench_device(usual)); }
inline bool on_gpu(const Backend& backend) { return backend.info().name == "cuda"; }

}  // namespace dcl::bench
