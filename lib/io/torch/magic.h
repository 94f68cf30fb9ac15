// The first bytes of a legacy PyTorch file: a pickle of one number. Private to lib/io.
#pragma once

#include <cstddef>
#include <string_view>

namespace dcl {

/// Of protocol 2, which PyTorch writes unless told otherwise.
inline constexpr std::string_view kTorchMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);
/// The longest form has a frame, which protocol 4 introduced, around the number.
inline constexpr size_t kMaxTorchMagicBytes = kTorchMagic.size() + 9;

/// Length of the pickle of that number, of protocol 2 to 5, with which `start` begins; 0 when it does not.
constexpr size_t torch_magic_bytes(std::string_view start) {
  constexpr std::string_view kFrame("\x95\x0d\0\0\0\0\0\0\0", 9), kNumber = kTorchMagic.substr(2);
  if (start.size() < 2 || start[0] != kTorchMagic[0] || start[1] < 2 || start[1] > 5) return 0;
  const size_t begin = start.substr(2).starts_with(kFrame) ? 2 + kFrame.size() : 2;
  return start.substr(begin).starts_with(kNumber) ? begin + kNumber.size() : 0;
}

}  // namespace dcl
