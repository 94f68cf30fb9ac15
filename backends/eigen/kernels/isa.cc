#include "eigen/kernels/isa.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/log.h"

namespace dcl::kernels {
namespace {

Isa detect() {
#ifdef DCL_X86_LEVELS
  __builtin_cpu_init();
  Isa best = Isa::baseline;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = Isa::v3;
  if (best == Isa::v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
    best = Isa::v4;
  const char* cap = std::getenv("DCL_MAX_ISA");
  if (cap && std::strcmp(cap, "baseline") == 0) return Isa::baseline;
  if (cap && std::strcmp(cap, "v3") == 0) return std::min(best, Isa::v3);
  if (cap && *cap && std::strcmp(cap, "v4") != 0)
    log(LogLevel::warning, "environment variable DCL_MAX_ISA: expected baseline, v3 or v4, got '" + std::string(cap) +
                               "': no limit is set");
  return best;
#else
  return Isa::baseline;
#endif
}

}  // namespace

Isa active_isa() {
  static const Isa isa = detect();
  return isa;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::v4:
      return "x86-64-v4 (AVX-512)";
    case Isa::v3:
      return "x86-64-v3 (AVX2)";
    default:
      return "any processor";
  }
}

}  // namespace dcl::kernels
