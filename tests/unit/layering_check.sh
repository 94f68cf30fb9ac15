#!/bin/sh
# The dependency rule holds for the sources, and the checker rejects planted violations.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
"$root/tools/check_layering" "$root"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lib/core" "$work/lib/nn" "$work/backends/cuda" "$work/apps"
rejected() {
  printf '%s\n' "$2" > "$work/$1"
  if "$root/tools/check_layering" "$work" > "$work/log"; then echo "not rejected: $1: $2"; exit 1; fi
  rm "$work/$1"
}
rejected lib/core/a.h '#include "nn/network.h"'
rejected lib/nn/a.h '  # include "train/schedule.h"'
rejected lib/nn/a.cc '#include <Eigen/Core>'
rejected lib/core/a.cc '#include "oneapi/dnnl/dnnl.hpp"'
rejected backends/cuda/a.cu '#include "eigen/eigen_backend.h"'
rejected apps/a.cc '#include "onednn/onednn_backend.h"'
rejected lib/nn/a.h "$(yes '' | head -n 501; echo .)"
rejected apps/a.cc "// $(printf '%0118d' 0)"
printf '// %s\n' "$(yes ä | head -n 117 | tr -d '\n')" > "$work/apps/b.cc"
mkdir "$work/lib/new" && rejected lib/new/a.h ''
"$root/tools/check_layering" "$work"
