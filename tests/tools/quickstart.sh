#!/bin/sh
# tools/quickstart from another folder, with a run directory whose name has a space, after a setup of the build that was
# killed: everything ends up there. The programs are stand-ins, as are package manager and build.
set -eu
quickstart=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stand_in() { # FILE, its text from standard input
  mkdir -p "$(dirname "$work/$1")"
  { echo '#!/bin/sh'; cat; } > "$work/$1"
  chmod +x "$work/$1"
}
echo 'echo installed' | stand_in bin/dpkg-query
echo '[ -f "$2/build.ninja" ]' | stand_in bin/ninja
echo '[ -f "$2/meson-private/coredata.dat" ] || : > "$2/build.ninja"' | stand_in bin/meson  # no setup where one was
mkdir "$work/meson-private" && : > "$work/meson-private/coredata.dat"
stand_in apps/dcl-pretrain <<'E'
while [ "$1" != --run_dir ]; do shift; done
mkdir -p "$2/checkpoints" && echo model > "$2/checkpoints/latest"
E
for program in knn linear; do
  stand_in apps/dcl-$program <<'E'
top1=10.5
while [ $# -gt 0 ]; do
  if [ "$1" = --model_path ]; then [ "$(cat "$2")" = model ] && top1=87.5; fi
  shift
done
case $0 in *knn) echo "{\"knn_top1\":$top1,\"k\":20}" ;; *) echo "{\"top1\":$top1,\"top5\":99}" ;; esac
E
done

cd "$work"
PATH="$work/bin:$PATH" BUILD_DIR="$work" "$quickstart" "my run" > log 2>&1 || { cat log; exit 1; }
[ -e "my run/checkpoints/latest" ] || { echo "FAILED: no run in the folder it was asked for"; cat log; exit 1; }
for arguments in --run_dir 'a b'; do
  code=0
  PATH="$work/bin:$PATH" BUILD_DIR="$work" "$quickstart" $arguments > log2 2>&1 || code=$?
  [ "$code" = 2 ] || { echo "FAILED: '$arguments' is not refused"; cat log2; exit 1; }
done
"$quickstart" --help | grep -q '^Usage: ' || { echo "FAILED: no help"; exit 1; }
for line in 'untrained  kNN  10.50   linear (frozen)  10.50' 'trained    kNN  87.50   linear (frozen)  87.50'; do
  grep -qF "$line" log || { echo "FAILED: no line '$line'"; cat log; exit 1; }
done
