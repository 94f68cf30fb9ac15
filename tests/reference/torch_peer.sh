#!/bin/sh
# PyTorch's files and ours, in both directions ($DCL_PEER_PYTHON, a Python with torch; exit code 77 without it).
# $1 is the program of tests/support/torch_rewrite.cc.
set -eu
[ -n "${DCL_PEER_PYTHON:-}" ] || { echo "skipped: DCL_PEER_PYTHON is not set"; exit 77; }
exec "$DCL_PEER_PYTHON" "$(dirname "$0")/torch_peer.py" "$1"
