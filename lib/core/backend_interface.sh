#!/bin/sh
# backend_interface.sh OUTPUT HEADER...: a header with a number that is another one as soon as any of HEADER is.
set -eu
output=$1
shift
cat > "$output" <<END
// Made by backend_interface.sh.
#pragma once

namespace dcl {

/// What a module and the library know of each other: equal in both when they were built from the same headers.
inline constexpr int kBackendInterface = 0x$(cat "$@" | sha256sum | cut -c1-7);

}  // namespace dcl
END
