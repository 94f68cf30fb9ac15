# Sourced by peer_*.sh: ends the test as skipped without DCL_PEER_PYTHON; $here is their folder, $work a temporary one.
[ -n "${DCL_PEER_PYTHON:-}" ] || { echo "skipped: DCL_PEER_PYTHON is not set"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
