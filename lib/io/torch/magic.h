// The first bytes of a legacy PyTorch file: a pickle of one number. Private to lib/io.
#pragma once

#include <string_view>

namespace dcl {

inline constexpr std::string_view kTorchMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);

}  // namespace dcl
