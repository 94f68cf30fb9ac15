#!/bin/sh
# Archives of numpy.savez and savez_compressed, read and written again, in numpy.load: needs DCL_PEER_PYTHON (a Python
# with numpy); exit code 77 without it. DCL_APPS is the folder of the programs.
set -eu
. "$(dirname "$0")/peer_setup.sh"

"$DCL_PEER_PYTHON" "$here/peer_npz.py" make "$work"
for name in plain compressed; do
  "$DCL_APPS/dcl-convert" "$work/$name.npz" "$work/$name.out.npz" 2> "$work/log" || { cat "$work/log"; exit 1; }
  "$DCL_PEER_PYTHON" "$here/peer_npz.py" check "$work" $name
done
