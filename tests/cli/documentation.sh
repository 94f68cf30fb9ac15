#!/bin/sh
# Every option of every program is in docs/usage.md, and every option in docs/usage.md and README.md is one of a program
# or of the tools named here. Arguments: the programs.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options_in() { grep -ohE -- '(^|[^-A-Za-z0-9])--[a-z][a-z0-9_-]*' "$@" | sed 's/.*--/--/; s/-/_/g; s/^__/--/' | sort -u; }

for program; do "$program" --help; done | grep -E '^  (-h,)?--' | sed 's/^  \(-h,\)*//; s/ .*//' | sort -u > "$work/programs"
options_in "$root/docs/usage.md" | sed 's/^--no_/--/' | sort -u > "$work/described"
options_in "$root/docs/usage.md" "$root/README.md" | sed 's/^--no_/--/' | sort -u > "$work/mentioned"
# meson, pkg-config, TensorBoard, Slurm, tools/reproduce, bench/
printf -- '--%s\n' default_library destdir prefix cflags libs variable logdir signal seeds try batch only network step |
  sort - "$work/programs" > "$work/known"
[ "$(wc -l < "$work/programs")" -gt 50 ] || { echo "the programs' help was not understood"; exit 1; }
failed=0
for option in $(comm -23 "$work/programs" "$work/described"); do echo "not in docs/usage.md: $option" && failed=1; done
for option in $(comm -23 "$work/mentioned" "$work/known"); do echo "no program has $option" && failed=1; done
exit $failed
