// Which backend a benchmark runs on: $DCL_BENCH_DEVICE, else what it was written for.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "core/log.h"
#include "core/registry.h"

namespace dcl::bench {

inline std::string bench_device(const char* usual) {
  const char* device = std::getenv("DCL_BENCH_DEVICE");
  return device && *device ? device : usual;
}
/// What the backend has to say of itself, such as engines it passes over, goes to the standard error.
inline std::unique_ptr<Backend> bench_backend(const char* usual) {
  set_log_sink([](LogLevel, std::string_view message) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
  });
  return make_backend(bench_device(usual));
}
inline bool on_gpu(const Backend& backend) { return backend.info().name == "cuda"; }

}  // namespace dcl::bench
