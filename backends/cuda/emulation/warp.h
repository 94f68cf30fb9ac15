// What the lanes of a warp tell each other in one operation (the __*_sync functions of language.h).
#pragma once

#include <array>
#include <cstdint>
#include <source_location>
#include <string>

#include "cuda/emulation/emulator.h"

namespace dcl::cuda::emulation {

inline constexpr unsigned kLanes = 32;

/// A lane that waits: in which operation, where, and what it sends, in whose place its result comes.
struct LaneCall {
  WarpCall call{};
  uint64_t value = 0;
  std::source_location where;
};
/// Those in the mask of an operation; null: not in it.
using WarpLanes = std::array<LaneCall*, kLanes>;

inline bool in_mask(unsigned mask, unsigned lane) { return mask >> lane & 1u; }
/// Whether two lanes are in the same operation of the kernel's text.
bool same_operation(const LaneCall& a, const LaneCall& b);
/// Gives every lane its result. All are in the same operation, and at least one is there. Throws Error{internal} when
/// one of them reads from a lane that is not in the mask.
void exchange_values(const WarpLanes& lanes);

/// "file:line"
std::string site(const std::source_location& where);
bool same_site(const std::source_location& a, const std::source_location& b);

}  // namespace dcl::cuda::emulation
