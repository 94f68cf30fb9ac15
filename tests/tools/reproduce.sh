#!/bin/sh
# tools/reproduce with programs that only note how they were called: order, flags, results, going on, failures.
#   reproduce.sh SOURCE_ROOT
set -u
root=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/build/apps"
for tool in dpkg-query meson ninja; do  # all is installed and built
  mkdir -p "$work/bin"
  printf '#!/bin/sh\necho installed\n' >"$work/bin/$tool"
done
chmod +x "$work/bin/"*
PATH="$work/bin:$PATH"
export PATH BUILD_DIR="$work/build" CALLS="$work/calls" ANSWERS="$work/answers"
: >"$CALLS"
mkdir "$ANSWERS"

cat >"$work/build/apps/dcl-pretrain" <<'TEXT'
#!/bin/sh
echo "dcl-pretrain $*" >>"$CALLS"
while [ "$1" != --run_dir ]; do shift; done
[ -e "$ANSWERS/interrupt" ] && exit 75
mkdir -p "$2/checkpoints"
[ -e "$2/checkpoints/latest" ] || touch -d '1 hour ago' "$2/checkpoints/latest"
TEXT
# The accuracy is 10 times the seed above what the test asks for.
cat >"$work/build/apps/evaluation" <<'TEXT'
#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ -e "$ANSWERS/fail" ] && { echo '{"top1":1'; exit 7; }
while [ "$1" != --seed ]; do shift; done
echo "{\"top1\":$((60 + 10 * $2)).5,\"top5\":99.0,\"knn_top1\":$((50 + $2)).25}"
TEXT
cp "$work/build/apps/evaluation" "$work/build/apps/dcl-linear"
cp "$work/build/apps/evaluation" "$work/build/apps/dcl-knn"
chmod +x "$work/build/apps/"*

failures=0
check() { # what, command that has to succeed
  what=$1
  shift
  "$@" && return
  echo "FAILED: $what"
  failures=$((failures + 1))
}
same() { [ "$1" = "$2" ] || { echo "got '$1', expected '$2'" && return 1; }; }
run() { "$root/tools/reproduce" "$@" >"$work/stdout" 2>"$work/stderr"; }
calls() { grep -c -- "$1" "$CALLS"; }

mkdir "$work/stl10"
cd "$work"
set -- --data stl10 --out "$work/out" --seeds 0,2 --epochs 3 --device cuda
run "$@"
check "all goes well" same $? 0
check "an objective and seed is trained once" same "$(calls '^dcl-pretrain')" 6
check "three results of each" same "$(calls '^dcl-linear\|^dcl-knn')" 18
check "published settings" grep -q -- \
  "^dcl-pretrain --dataset stl10 --data $work/stl10 --split train+unlabeled --objective=debiased --tau_plus=0.05 --epochs 3 --seed 2 .*--device cuda" "$CALLS"
check "biased comes first" sh -c 'head -n 1 "$CALLS" | grep -q -- --objective=biased'
check "both protocols" same "$(calls 'protocol batch --epochs 100 --device cuda')" "$(calls 'protocol frozen --epochs 100')"
check "the table" grep -qxF "| tau+0.1 | 84.26 | 70.50 +- 14.14 | 70.50 +- 14.14 | 51.25 +- 1.41 |" "$work/out/results.md"
check "is printed too" grep -qF "| biased | 80.15 |" "$work/stdout"

: >"$CALLS"
run --data=stl10 "--out=$work/out" --seeds=0,2 --epochs=3 --device cuda
check "again, with = between names and values, goes well" same $? 0
check "training is asked to go on" same "$(calls '^dcl-pretrain')" 6
check "nothing is evaluated again" same "$(calls '^dcl-linear\|^dcl-knn')" 0

touch "$work/out/biased-seed0/checkpoints/latest" -d '1 hour'
run "$@"
check "a newer encoder is evaluated again" same "$(calls '^dcl-linear\|^dcl-knn')" 3

touch "$ANSWERS/interrupt"
run "$@"
check "an interruption is told" same $? 75
rm "$ANSWERS/interrupt"
touch "$ANSWERS/fail"
run --data "$work/stl10" --out "$work/other"
check "a failure is told" same $? 7
check "it leaves no result" sh -c "! ls '$work'/other/*/*.json 2>/dev/null"
rm "$ANSWERS/fail"

echo '{}' >"$work/out/biased-seed0/knn.json"
touch "$work/out/biased-seed0/"*.json -d '2 hours'
run "$@"
check "a result without the figure is an error" same $? 3
check "which names the file" grep -q "biased-seed0/knn.json has no knn_top1" "$work/stderr"

for wrong in "--seeds 1,x" "--seeds" "--data"; do
  run $wrong
  check "usage: $wrong" same $? 2
done
: >"$CALLS"
run --try --out "$work/try"
check "--try goes well" same $? 0
check "--try needs no data" same "$(calls 'dataset shapes')" 12
check "--try compares with nothing published" grep -q "^| biased |  | 60.50 " "$work/try/results.md"
exit "$failures"
