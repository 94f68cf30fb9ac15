// The learning rate as a pure function of the step: constant (published) or cosine, both after a linear warm-up.
#pragma once

#include <cstdint>
#include <string>

namespace dcl {

enum class ScheduleKind : uint8_t { constant, cosine };

struct Schedule {
  ScheduleKind kind = ScheduleKind::constant;
  double base = 1e-3;        ///< learning rate after warm-up
  int64_t warmup_steps = 0;  ///< step s < warmup_steps uses base * (s + 1) / warmup_steps
  int64_t total_steps = 1;   ///< cosine reaches `final` at the last step; unused by constant
  double final = 0.0;        ///< learning rate at step total_steps - 1 (cosine)

  /// Learning rate of step `step` (from 0). Depends on nothing else, so a resumed run continues exactly.
  double at(int64_t step) const;
};

/// "constant" or "cosine"; Error{usage} otherwise.
ScheduleKind schedule_kind_of(const std::string& name);

}  // namespace dcl
