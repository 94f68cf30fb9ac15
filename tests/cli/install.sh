#!/bin/sh
# What `meson install` leaves, moved to another prefix: the programs start, find every backend that those of the build
# find, and a program outside builds and links with pkg-config alone. Arguments: meson, build folder, prefix, compiler.
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
package() { pkg-config --define-variable=prefix="$moved" "$@" dcl; }
headers=$(package --variable=includedir)/dcl
(cd "$headers" && find . -name '*.h' | sed 's/.*/#include "&"/') > "$work/all.cc"
"$@" -std=c++20 -Wall -Wextra -Werror -fsyntax-only $(package --cflags) "$work/all.cc"
"$@" -std=c++20 "$here/install_consumer.cc" -o "$work/consumer" $(package --cflags --libs)
LD_LIBRARY_PATH=$(package --variable=libdir) "$work/consumer"
