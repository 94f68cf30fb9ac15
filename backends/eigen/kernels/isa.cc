#include "eigen/kernels/isa.h"

#include <algorithm>
#include <string>

#include "core/environment.h"
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
  const std::string cap = environment_variable("DCL_MAX_ISA");
  if (cap == "baseline") return Isa::baseline;
  if (cap == "v3") return std::min(best, Isa::v3);
  if (!cap.empty() && cap != "v4")
    log(LogLevel::warning,
        "environment variable DCL_MAX_ISA: expected baseline, v3 or v4, got '" + cap + "': no limit is set");
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
