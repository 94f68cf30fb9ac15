#!/bin/sh
# What `meson install` leaves, moved to another prefix: the programs start, find every backend that those of the build
# find, and programs outside, in C++ and in C, build and link with pkg-config alone. Arguments: meson, build folder,
# prefix, C++ compiler; $CC: C compiler.
set -eu
unset LD_LIBRARY_PATH  # with which Meson leads to the build
meson=$1 build=$2 prefix=$3
shift 3
command -v pkg-config > /dev/null || { echo "skipped: no pkg-config"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$meson" install -C "$build" --no-rebuild --destdir "$work/dest" > "$work/log" || { cat "$work/log"; exit 1; }
moved=$work/moved
mv "$work/dest$prefix" "$moved"
program=$(find "$moved" -name dcl-info)
ln -s "$program" "$work/link"
cd /

# Where the module files lie is the only difference.
available() { "$1" --json | sed 's/"path": *"[^"]*"//'; }
available "$build/apps/dcl-info" > "$work/built"
for path in "$program" "$work/link"; do
  available "$path" > "$work/installed"
  cmp "$work/built" "$work/installed"
done

PKG_CONFIG_PATH=$(dirname "$(find "$moved" -name dcl.pc)")
export PKG_CONFIG_PATH
# A build folder set up before pkg-config files were relocatable keeps its prefix.
fixed=
grep -q '^prefix=${pcfiledir}' "$PKG_CONFIG_PATH/dcl.pc" || fixed=--define-variable=prefix=$moved
package() { pkg-config $fixed "$@" dcl; }
headers=$(package --variable=includedir)/dcl
(cd "$headers" && find . -name '*.h' | sed 's/.*/#include "&"/') > "$work/all.cc"
"$@" -std=c++20 -Wall -Wextra -Werror -fsyntax-only $(package --cflags) "$work/all.cc"
"$@" -std=c++20 "$here/install_consumer.cc" -o "$work/consumer" $(package --cflags --libs)
LD_LIBRARY_PATH=$(package --variable=libdir) "$work/consumer"

# The program of docs/usage.md says of an image what dcl-predict does.
sed -n '/^## From a C program/,/^## Benchmarks/s/^    //p' "$here/../../docs/usage.md" | sed '/^}/q' > "$work/program.c"
link=$CC
[ -e "$(package --variable=libdir)/libdcl.so" ] || link=$*  # a static library needs what C++ programs do
$CC -std=c99 -Wall -Wextra -Werror -pedantic $(package --cflags) -c "$work/program.c" -o "$work/program.o"
$link "$work/program.o" -o "$work/program" $(package --libs)
bin=$(dirname "$program")
cd "$work"
silent() { "$@" > log 2>&1 || { cat log; exit 1; }; }
silent "$bin/dcl-linear" --dataset shapes --shapes_count 20 --shapes_test_count 10 --shapes_size 16 --untrained \
  --arch resnet18 --protocol frozen --epochs 1 --out model.safetensors
mkdir photos
head -c 27648 "$program" > pixels
{ printf 'P6 96 96 255\n'; cat pixels; } > photos/0.ppm
silent "$bin/dcl-predict" --dataset folder --data photos --model_path model.safetensors --out table.csv
LD_LIBRARY_PATH=$(package --variable=libdir) ./program model.safetensors < pixels > said
awk -F, 'NR == 2 { print $4, $5 }' table.csv | paste -d' ' - said |
  awk '$1 == $3 && $2 > 0 && ($2 - $4) ^ 2 < 1e-10 { same = 1 } { print } END { exit !same }'
if LD_LIBRARY_PATH=$(package --variable=libdir) ./program pixels < pixels > said; then echo "no model: not refused"; exit 1; fi
grep -q pixels said
