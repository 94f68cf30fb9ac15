#!/usr/bin/env bash
# tools/download against archives made here and served through file:// (--mirror): checksum, resuming, offline, safety.
set -euo pipefail
download=$1
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
for tool in curl md5sum tar awk; do command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }; done

check() { # what, command...
  local what=$1
  shift
  "$@" || { echo "FAILED: $what"; exit 1; }
}
expect_code() { # code, what, arguments of the downloader
  local expected=$1 what=$2 code=0
  shift 2
  "$download" "$@" >"$work/out" 2>&1 || code=$?
  [ "$code" = "$expected" ] || { echo "FAILED: $what: exit $code, expected $expected"; cat "$work/out"; exit 1; }
}

name=cifar-100-binary
archive=$name.tar.gz
make_archive() { (cd "$work" && tar czf "mirror/$archive" "$@"); }
mkdir -p "$work/mirror" "$work/$name"
truncate -s 153700000 "$work/$name/train.bin"
truncate -s 30740000 "$work/$name/test.bin"
echo apple >"$work/$name/fine_label_names.txt"
make_archive "$name"
from=(--mirror "file://$work/mirror" cifar100)

expect_code 2 "no data set"
expect_code 2 "unknown data set" mnist
expect_code 2 "unknown option" --fast cifar100

# The archive made here is not the published one: the true md5sum must refuse it.
expect_code 3 "wrong checksum" --dir "$work/wrong" "${from[@]}"
check "nothing is installed" [ ! -e "$work/wrong/$name" ]
check "no archive under its name" [ ! -e "$work/wrong/$archive" ]
check "what came is kept aside" [ -e "$work/wrong/$archive.part.bad" ]
expect_code 5 "absent mirror" --dir "$work/absent" --mirror "file://$work/nowhere" cifar100

# From here on md5sum takes the archive of the moment, and no other bytes, for the published one.
mkdir "$work/bin"
cat >"$work/bin/md5sum" <<STUB
#!/bin/sh
PATH=$PATH
if [ "\$(md5sum | cut -d' ' -f1)" = "\$(md5sum <"$work/mirror.kept" | cut -d' ' -f1)" ]; then
  echo "03b5dce01913d631647c71ecec9e9cb8  -"
else
  echo "00000000000000000000000000000000  -"
fi
STUB
chmod +x "$work/bin/md5sum"
export PATH="$work/bin:$PATH"
cp "$work/mirror/$archive" "$work/mirror.kept"

place="$work/a place"
mkdir "$place"
head -c 1000 "$work/mirror/$archive" >"$place/$archive.part"
expect_code 0 "resuming" --dir "$place" "${from[@]}"
check "the resumed archive is whole" cmp "$place/$archive" "$work/mirror.kept"
check "it is unpacked" cmp "$place/$name/fine_label_names.txt" "$work/$name/fine_label_names.txt"
check "no part is left" [ ! -e "$place/$archive.part" ]

away=(--mirror "file://$work/nowhere" cifar100)
expect_code 0 "offline, unpacked" --dir "$place" "${away[@]}"
rm -r "${place:?}/$name"
expect_code 0 "offline, archive" --dir "$place" "${away[@]}"
check "unpacked again" [ -f "$place/$name/train.bin" ]
rm -r "${place:?}/$name"
mv "$place/$archive" "$place/$archive.part"
expect_code 0 "offline, complete part" --dir "$place" "${away[@]}"

truncate -s 5 "$place/$name/test.bin"
expect_code 3 "a damaged set is not overwritten" --dir "$place" "${away[@]}"
check "it is as it was" [ "$(stat -c %s "$place/$name/test.bin")" = 5 ]

unsafe() { # what; the archive has been made
  cp "$work/mirror/$archive" "$work/mirror.kept"
  rm -rf "$work/unsafe"
  expect_code 3 "$1" --dir "$work/unsafe/deep" "${from[@]}"
  check "$1: nothing is unpacked" [ -z "$(find "$work/unsafe" -name '*evil*' -o -name "$name" -o -name '.unpack*')" ]
}
echo x >"$work/evil"
make_archive --transform "s,^evil,$name/../../evil," evil
unsafe "an entry above the folder"
make_archive -P --transform "s,^evil,$work/unsafe/evil," evil
unsafe "an absolute entry"
ln -s /etc "$work/$name/evil"
make_archive "$name"
unsafe "a link"
rm "$work/$name/evil"
mkfifo "$work/$name/evil"
make_archive "$name"
unsafe "a FIFO"
echo "no archive" >"$work/mirror/$archive"
unsafe "an HTML page or other text"
echo passed
