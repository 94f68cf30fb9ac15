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
cat >"$work/build/apps/dcl-inspect" <<'TEXT'
#!/bin/sh
echo "{\"path\":\"$1\",\"metadata\":{\"dcl.epoch\":\"$(cat "$ANSWERS/epochs")\",\"dcl.step\":\"9\"}}"
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
echo 3 >"$ANSWERS/epochs"
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

run "$@" --linear_epochs 7
check "what another command gives is evaluated again" same "$(calls '^dcl-linear.*--epochs 7')/$(calls '^dcl-knn')" 12/0
echo 5 >"$ANSWERS/epochs"
run "$@"
check "an encoder of more epochs is an error" same $? 2
check "which names both" grep -q "out/biased-seed0 is trained for 5 epochs, not for 3: give --epochs 5" "$work/stderr"
echo 3 >"$ANSWERS/epochs"
run "$@"

: >"$CALLS"
touch "$work/out/biased-seed0/checkpoints/latest" -d '1 hour'
run "$@"
check "a newer encoder is evaluated again" same "$(calls '^dcl-linear\|^dcl-knn')" 3

touch "$ANSWERS/interrupt"
run "$@"
check "an interruption is told" same $? 75
rm "$ANSWERS/interrupt"
touch "$ANSWERS/fail"
run --data "$work/stl10" --out "$work/other" --epochs 3
check "a failure is told" same $? 7
check "it leaves no result" sh -c "! ls '$work'/other/*/*.json 2>/dev/null"
rm "$ANSWERS/fail"

echo '{}' >"$work/out/biased-seed0/knn.json"
touch "$work/out/biased-seed0/"*.json -d '2 hours'
run "$@"
check "a result without the figure is an error" same $? 3
check "which names the file" grep -q "biased-seed0/knn.json has no knn_top1" "$work/stderr"

# Differences between planted results, as NumPy and SciPy 1.17.1 compute them; the first of tau+0.1, for example:
#   d = [80.02 - 78.21, 79.94 - 79.05, 80.55 - 78.63]
#   numpy.mean(d), numpy.std(d, ddof=1), scipy.stats.ttest_1samp(d, 0).confidence_interval(0.95)
#   1.54000 0.56560 (0.13498, 2.94502)
plant() { # objective, seed, top1 under both protocols, knn_top1
  echo "{\"top1\":$3,\"top5\":99.0}" >"$work/planted/$1-seed$2/linear-batch.json"
  echo "{\"top1\":$4,\"top5\":99.0}" >"$work/planted/$1-seed$2/linear-frozen.json"
  echo "{\"knn_top1\":$5,\"knn_top5\":99.0}" >"$work/planted/$1-seed$2/knn.json"
}
run --data stl10 --out "$work/planted" --seeds 0,1,2 --epochs 3
plant biased 0 78.21 70.10 66.5
plant biased 1 79.05 71.45 67.25
plant biased 2 78.63 70.02 65.875
plant tau+0.05 0 79.40 70.95 67.0
plant tau+0.05 1 80.62 71.20 67.75
plant tau+0.05 2 79.11 71.33 66.375
plant tau+0.1 0 80.02 69.40 68.125
plant tau+0.1 1 79.94 70.87 67.5
plant tau+0.1 2 80.55 69.91 67.0
differences() { # seeds, then what the rows of tau+0.05 and tau+0.1 have to be
  : >"$CALLS"
  run --data stl10 --out "$work/planted" --seeds "$1" --epochs 3
  check "planted results of seeds $1 are taken" same "$? $(calls '^dcl-linear\|^dcl-knn')" "0 0"
  after=$(sed -n '/^| difference to biased |/,$p' "$work/planted/results.md")
  check "differences of seeds $1, tau+0.05" same "$(echo "$after" | sed -n 3p)" "| tau+0.05 | $2 |"
  check "differences of seeds $1, tau+0.1" same "$(echo "$after" | sed -n 4p)" "| tau+0.1 | $3 |"
  check "differences of seeds $1, nothing else" same "$(echo "$after" | grep -c '^| tau')" 2
}
differences 0,1,2 \
  "+1.08 +- 0.55 [-0.29, +2.45] | +0.64 +- 0.80 [-1.35, +2.63] | +0.50 +- 0.00 [+0.50, +0.50]" \
  "+1.54 +- 0.57 [+0.13, +2.95] | -0.46 +- 0.31 [-1.24, +0.31] | +1.00 +- 0.70 [-0.73, +2.73]"
check "mean and deviation beside them" grep -qxF \
  "| tau+0.1 | 84.26 | 80.17 +- 0.33 | 70.06 +- 0.75 | 67.54 +- 0.56 |" "$work/planted/results.md"
check "the interval is explained" grep -qF "95 % confidence interval" "$work/planted/results.md"
differences 1,0 \
  "+1.38 +- 0.27 [-1.03, +3.79] | +0.30 +- 0.78 [-6.69, +7.29] | +0.50 +- 0.00 [+0.50, +0.50]" \
  "+1.35 +- 0.65 [-4.49, +7.19] | -0.64 +- 0.08 [-1.40, +0.12] | +0.94 +- 0.97 [-7.80, +9.67]"
differences 2 "+0.48 | +1.31 | +0.50" "+1.92 | -0.11 | +1.12"
check "one seed says nothing about the spread" grep -qF "one seed, which says nothing about the spread" \
  "$work/planted/results.md"
check "and has no interval" sh -c "! grep -qF '+-' '$work/planted/results.md'"

# Quantiles of Student's t: scipy.stats.t.ppf(0.975, degrees of freedom).
eval "$(sed -n "/^student='/,/}'\$/p" "$root/tools/reproduce")"
quantile() { awk "$student BEGIN { printf \"%.9f\", student($1) }"; }
for expected in 1:12.706204736 2:4.302652730 3:3.182446305 4:2.776445105 9:2.262157163 10:2.228138852 99:1.984216952; do
  check "quantile of Student's t, ${expected%:*} degrees of freedom" same "$(quantile "${expected%:*}")" "${expected#*:}"
done

for wrong in "--seeds 1,x" "--seeds 0,1,0" "--seeds" "--data"; do
  run $wrong
  check "usage: $wrong" same $? 2
done
: >"$CALLS"
echo 8 >"$ANSWERS/epochs"
run --try --out "$work/try"
check "--try goes well" same $? 0
check "--try needs no data" same "$(calls 'dataset shapes')" 12
check "--try compares with nothing published" grep -q "^| biased |  | 60.50 " "$work/try/results.md"
exit "$failures"
