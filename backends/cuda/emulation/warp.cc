#include "cuda/emulation/warp.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "cuda/emulation/tensor_core.h"

namespace dcl::cuda::emulation {
namespace {

/// The lane whose value `lane` gets; itself where CUDA leaves its value as it is.
unsigned source_lane(const WarpCall& call, unsigned lane) {
  const auto width = static_cast<unsigned>(call.width);
  const unsigned begin = lane / width * width;
  const auto argument = static_cast<unsigned>(call.argument);
  unsigned source = lane;
  if (call.op == WarpOp::from_lane) source = begin + argument % width;
  if (call.op == WarpOp::from_xor) source = lane ^ argument;
  if (call.op == WarpOp::from_below) source = lane + argument;
  if (call.op == WarpOp::from_above) source = lane >= argument ? lane - argument : kLanes;
  return source >= begin && source < begin + width ? source : lane;
}

}  // namespace

std::string site(const std::source_location& where) {
  const std::string path = where.file_name();
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(where.line());
}

bool same_site(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

bool same_operation(const LaneCall& a, const LaneCall& b) {
  return a.call.mask == b.call.mask && a.call.op == b.call.op && same_site(a.where, b.where);
}

void exchange_values(const WarpLanes& lanes) {
  uint64_t sent[kLanes] = {};
  unsigned votes = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    if (lanes[lane]) {
      sent[lane] = lanes[lane]->value;
      votes |= static_cast<unsigned>(sent[lane] != 0) << lane;
    }
  // Not that of lane 0: when it is not in the mask, it may be in an operation of before.
  const WarpCall& call = (*std::ranges::find_if(lanes, [](const LaneCall* lane) { return lane != nullptr; }))->call;
  if (call.op == WarpOp::product) {
    const WarpProduct* parts[kLanes];
    std::memcpy(parts, sent, sizeof sent);
    multiply(parts, call.argument);
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (!lanes[lane]) continue;
    const unsigned source = source_lane(lanes[lane]->call, lane);
    if (!lanes[source])
      fail(ErrorKind::internal, site(lanes[lane]->where) + ": lane " + std::to_string(lane) + " reads from lane " +
                                    std::to_string(source) + ", which is not in the mask");
    lanes[lane]->value = call.op == WarpOp::ballot ? votes : sent[source];
  }
}

}  // namespace dcl::cuda::emulation
