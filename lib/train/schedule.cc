#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace dcl {

double Schedule::at(int64_t step) const {
  if (step < warmup_steps) return base * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  if (kind == ScheduleKind::constant) return base;
  const int64_t last = std::max<int64_t>(total_steps - 1, warmup_steps + 1);
  const double progress =
      std::min(1.0, static_cast<double>(step - warmup_steps) / static_cast<double>(last - warmup_steps));
  return final + 0.5 * (base - final) * (1.0 + std::cos(std::numbers::pi * progress));
}

ScheduleKind schedule_kind_of(const std::string& name) {
  if (name == "constant") return ScheduleKind::constant;
  if (name == "cosine") return ScheduleKind::cosine;
  fail(ErrorKind::usage, "unknown schedule '" + name + "': expected constant or cosine");
}

}  // namespace dcl
