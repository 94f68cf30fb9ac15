#!/bin/sh
# Archives of numpy.savez and savez_compressed, read and written again, in numpy.load: needs DCL_PEER_PYTHON (a Python
# with numpy); exit code 77 without it. DCL_NPZ_PROBE copies an archive.
set -eu
[ -n "${DCL_PEER_PYTHON:-}" ] || { echo "skipped: DCL_PEER_PYTHON is not set"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$DCL_PEER_PYTHON" "$here/peer_npz.py" make "$work"
for name in plain compressed; do
  "$DCL_NPZ_PROBE" "$work/$name.npz" "$work/$name.out.npz"
  "$DCL_PEER_PYTHON" "$here/peer_npz.py" check "$work" $name
done
