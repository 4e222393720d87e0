#!/usr/bin/env bash
# codec=bsdiff: Debian's bspatch restores what is stored, and what Debian's
# bsdiff makes is read.  Nothing of ours takes part in either.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

command -v bspatch >/dev/null || skip "no bsdiff"
samples typescript 5.4.2 5.4.3 5.5.3
samples @esbuild/linux-x64 0.20.2 0.21.5

# The key of a reference as the bucket_ functions take it.
reference_of() {
	local ref

	ref=$(attribute "$1" reference)
	echo "${ref#"${PREFIX-}"}"
}

echo "== written with codec=bsdiff"
mount_fs codec=bsdiff
mkdir "$MNT/ts" "$MNT/es" "$MNT/odd"
for v in 5.4.2 5.4.3 5.5.3; do
	cp "$SAMPLES/typescript-$v.tar" "$MNT/ts/"
done
for v in 0.20.2 0.21.5; do
	cp "$SAMPLES/esbuild-linux-x64-$v.tar" "$MNT/es/"
done
seq 1 30000 >"$WORK/base"
noise 100000 >>"$WORK/base"
{ tail -c 60000 "$WORK/base"; head -c 150000 "$WORK/base"; } >"$WORK/moved"
sed -e '500,700d' -e 's/^777$/seven/' "$WORK/base" >"$WORK/edited"
cp "$WORK/base" "$WORK/same"
for f in base moved edited same; do
	cp "$WORK/$f" "$MNT/odd/$f"
done
equal "$(stats .errors.verify_failures)" 0
equal "$(stats .errors.commit)" 0
remount_fs

echo "== read by a mount with the default codec, and by bspatch"
# restored PATH FILE: the mount and bspatch agree that it is FILE.
restored() {
	same "$MNT/$1" "$2"
	equal "$(attribute "$MNT/$1" storage)" delta "storage of $1"
	equal "$(attribute "$MNT/$1" codec)" bsdiff "codec of $1"
	equal "$(attribute "$MNT/$1" sha256)" "$(sha256 "$2")"
	bucket_get "$1" >"$WORK/patch"
	bucket_get "$(reference_of "$MNT/$1")" >"$WORK/reference"
	equal "$(stat -c %s "$WORK/patch")" "$(attribute "$MNT/$1" stored_size)"
	rm -f "$WORK/restored"
	bspatch "$WORK/reference" "$WORK/restored" "$WORK/patch"
	same "$WORK/restored" "$2"
	printf '%-32s %10d %9d\n' "${1##*/}" "$(stat -c %s "$2")" "$(stat -c %s "$WORK/patch")"
}
for v in 5.4.2 5.4.3 5.5.3; do
	restored "ts/typescript-$v.tar" "$SAMPLES/typescript-$v.tar"
done
for v in 0.20.2 0.21.5; do
	restored "es/esbuild-linux-x64-$v.tar" "$SAMPLES/esbuild-linux-x64-$v.tar"
done
for f in base moved edited same; do
	restored "odd/$f" "$WORK/$f"
done
holds "$(attribute "$MNT/ts/typescript-5.4.3.tar" stored_size)" -lt 20000
holds "$(attribute "$MNT/es/esbuild-linux-x64-0.21.5.tar" stored_size)" -lt 2500000
if [ "$STORE" = s3 ]; then
	"$lib_dir/s3raw" head "${PREFIX}odd/edited" >"$WORK/head"
	for line in 'content-type: application/x-bsdiff' 'x-amz-meta-dg-codec: bsdiff' \
		"x-amz-meta-dg-file-sha256: $(sha256 "$WORK/edited")" \
		"x-amz-meta-dg-file-size: $(stat -c %s "$WORK/edited")" \
		"x-amz-meta-dg-ref-key: $PREFIX$(reference_of "$MNT/odd/edited")" \
		"x-amz-meta-dg-ref-sha256: $(sha256 "$WORK/base")" \
		"x-amz-meta-dg-ref-size: $(stat -c %s "$WORK/base")"; do
		CHECKS=$((CHECKS + 1))
		grep -qF -- "$line" "$WORK/head" || fail "no \"$line\" in: $(cat "$WORK/head")"
	done
	holds "$(grep -ci '^content-encoding' "$WORK/head")" = 0
fi

echo "== parts, names, attributes, appending"
equal "$(dd if="$MNT/odd/edited" bs=1000 skip=70 count=3 status=none | sha256sum)" \
	"$(dd if="$WORK/edited" bs=1000 skip=70 count=3 status=none | sha256sum)"
mv "$MNT/odd/edited" "$MNT/es/other"
chmod 600 "$MNT/es/other"
remount_fs
restored es/other "$WORK/edited"
equal "$(stat -c %a "$MNT/es/other")" 600
# Many at once share what is decoded: nothing is left of it afterwards.
for _ in 1 2 3 4 5 6; do
	cmp "$MNT/ts/typescript-5.4.3.tar" "$SAMPLES/typescript-5.4.3.tar" &
	readers+=($!)
done
for job in "${readers[@]}"; do
	wait "$job" || fail "a reader among others"
done
spool_is_empty() {
	[ "$(stats .files.spool_bytes)" = 0 ]
}
until_true "$DEADLINE" spool_is_empty || fail "left in the spool"
# A new version by the default codec, against the same reference.
echo more >>"$WORK/edited"
echo more >>"$MNT/es/other"
same "$MNT/es/other" "$WORK/edited"
cp "$WORK/edited" "$MNT/odd/next"
equal "$(attribute "$MNT/odd/next" codec)" native
equal "$(reference_of "$MNT/odd/next")" "$(reference_of "$MNT/odd/base")"
remount_fs
same "$MNT/es/other" "$WORK/edited"
same "$MNT/odd/next" "$WORK/edited"

echo "== made by Debian's bsdiff"
# foreign PATH REFERENCE-KEY REFERENCE FILE [NAME=VALUE...]: as BSDIFF.md has it.
foreign() {
	local path=$1 key=$2 ref=$3 file=$4

	shift 4
	bsdiff "$ref" "$file" "$WORK/patch"
	bucket_put "$path" "dg-codec=bsdiff" ${key:+"dg-ref-key=${PREFIX-}$key"} \
		"dg-ref-sha256=$(sha256 "$ref")" "dg-file-sha256=$(sha256 "$file")" \
		"dg-file-size=$(stat -c %s "$file")" "$@" <"$WORK/patch"
}
es=$(reference_of "$MNT/es/esbuild-linux-x64-0.21.5.tar")
bucket_get "$es" >"$WORK/reference"
mkdir "$MNT/theirs"
foreign theirs/esbuild.tar "$es" "$WORK/reference" "$SAMPLES/esbuild-linux-x64-0.21.5.tar"
ours=$(attribute "$MNT/es/esbuild-linux-x64-0.21.5.tar" stored_size)
echo "esbuild-linux-x64-0.21.5.tar: bsdiff's own $(stat -c %s "$WORK/patch"), ours $ours"
# The reference by its digest alone; and a plain object under any key.
foreign theirs/edited '' "$WORK/base" "$WORK/edited"
bucket_put theirs/old <"$WORK/moved"
foreign theirs/new theirs/old "$WORK/moved" "$WORK/edited" "dg-ref-size=$(stat -c %s "$WORK/moved")"
tar -xOf "$SAMPLES/typescript-5.4.2.tar" package/lib/typescript.js >"$WORK/old.js"
tar -xOf "$SAMPLES/typescript-5.5.3.tar" package/lib/typescript.js >"$WORK/new.js"
bucket_put theirs/old.js <"$WORK/old.js"
foreign theirs/new.js theirs/old.js "$WORK/old.js" "$WORK/new.js"
restored theirs/esbuild.tar "$SAMPLES/esbuild-linux-x64-0.21.5.tar"
same "$MNT/theirs/edited" "$WORK/edited"
restored theirs/new "$WORK/edited"
restored theirs/new.js "$WORK/new.js"
# Without what a reader needs it is a file like any other.
bucket_put theirs/nothing "dg-codec=bsdiff" "dg-file-size=5" <"$WORK/patch"
same "$MNT/theirs/nothing" "$WORK/patch"
equal "$(attribute "$MNT/theirs/nothing" storage)" plain
umount_fs

echo "== damage is EIO and nothing else"
bsdiff "$WORK/base" "$WORK/edited" "$WORK/good"
len=$(stat -c %s "$WORK/good")
spoilt=()
# spoil NAME: standard input under that name, described as the good one.
spoil() {
	bucket_put "theirs/$1" dg-codec=bsdiff "dg-ref-sha256=$(sha256 "$WORK/base")" \
		"dg-file-sha256=$(sha256 "$WORK/edited")" "dg-file-size=${2-$(stat -c %s "$WORK/edited")}"
	spoilt+=("$1")
}
for at in 3 9 20 25 45 $((len / 2)) $((len - 20)); do
	{
		head -c "$at" "$WORK/good"
		tail -c +$((at + 1)) "$WORK/good" | head -c 1 | tr '\000-\377' '\001-\377\000'
		tail -c +$((at + 2)) "$WORK/good"
	} >"$WORK/bad"
	spoil "byte-$at" <"$WORK/bad"
done
head -c $((len - 1)) "$WORK/good" >"$WORK/bad"
spoil short <"$WORK/bad"
{ cat "$WORK/good"; echo; } >"$WORK/bad"
spoil long <"$WORK/bad"
head -c 10 "$WORK/good" >"$WORK/bad"
spoil stump <"$WORK/bad"
spoil other-size 123456 <"$WORK/good"
bsdiff "$WORK/base" "$WORK/moved" "$WORK/patch"
spoil other-patch <"$WORK/patch"
bucket_put theirs/lost dg-codec=bsdiff "dg-ref-sha256=$(sha256 "$WORK/edited")" \
	"dg-file-sha256=$(sha256 "$WORK/moved")" dg-file-size=210000 dg-ref-key=nowhere <"$WORK/patch"
EXPECT_ERRORS=1
mount_fs
equal "${#spoilt[@]}" 12
for f in "${spoilt[@]}" lost; do
	refuses 'Input/output error' cat "$MNT/theirs/$f"
	: >"$WORK/out"
	dd if="$MNT/theirs/$f" of="$WORK/out" bs=512 count=1 status=none 2>/dev/null || :
	equal "$(stat -c %s "$WORK/out")" 0 "bytes of $f"
	holds "$(grep -cF "theirs/$f" "$LOG")" -gt 0
done
holds "$(grep -c 'theirs/byte-45: damaged in the bucket' "$LOG")" -ge 1
holds "$(grep -c 'theirs/lost: its reference .* is missing' "$LOG")" -ge 1
holds "$(stats .errors.verify_failures)" -ge "${#spoilt[@]}"
same "$MNT/theirs/edited" "$WORK/edited"
restored ts/typescript-5.4.3.tar "$SAMPLES/typescript-5.4.3.tar"
remount_fs spool_size=4M
echo "== no room to decode"
refuses 'No space left' cat "$MNT/ts/typescript-5.4.3.tar"
holds "$(grep -c 'no room in spool_size for the 32451584 bytes' "$LOG")" -ge 1
same "$MNT/odd/moved" "$WORK/moved"
equal "$(stats .files.spool_bytes)" 0
umount_fs
