#!/usr/bin/env bash
# Versions of a package become deltas, cost little, and come back byte by byte.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

versions=(5.4.2 5.4.3 5.4.4 5.4.5 5.5.3)
samples typescript "${versions[@]}"
from=$SAMPLES
samples @esbuild/linux-x64 0.20.2 0.21.5
esbuild=("$SAMPLES"/esbuild-linux-x64-0.20.2.tar "$SAMPLES"/esbuild-linux-x64-0.21.5.tar)

tar() {
	echo "$from/typescript-$1.tar"
}

# stored_as FILE FORM
stored_as() {
	equal "$(attribute "$1" storage)" "$2" "storage of ${1##*/}"
}

mount_fs
mkdir "$MNT/ts"

echo "== five versions"
started=$EPOCHREALTIME
for v in "${versions[@]}"; do
	cp "$(tar "$v")" "$MNT/ts/"
done
echo "copied in $(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')"
holds "$(stats .files.written_delta)" -ge 4
equal "$(stats .files.references_made)" 1 'references made'
equal "$(stats .errors.verify_failures)" 0
logical=$(stats .files.logical_bytes)
equal "$logical" "$(cat "$from"/typescript-5.4.[2345].tar "$from/typescript-5.5.3.tar" | wc -c)"
remount_fs ''
started=$EPOCHREALTIME
for v in "${versions[@]}"; do
	same "$(tar "$v")" "$MNT/ts/typescript-$v.tar"
done
echo "compared in $(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f s", b - a }')"
for v in "${versions[@]:1}"; do
	f=$MNT/ts/typescript-$v.tar
	stored_as "$f" delta
	equal "$(attribute "$f" codec)" native
	equal "$(attribute "$f" size)" "$(stat -c %s "$f")"
	equal "$(attribute "$f" sha256)" "$(sha256 "$(tar "$v")")"
	holds "$(attribute "$f" stored_size)" -lt $(($(stat -c %s "$f") / 20))
	awk -v r="$(attribute "$f" ratio)" 'BEGIN { exit !(r > 0 && r < 0.05) }'
done
# Everything counts: the reference in full, tables, marks.
all=$(bucket_bytes "")
holds "$all" -lt $((logical * 45 / 100))
echo "$logical bytes are kept in $all"

echo "== the bucket as others see it"
reference=$(attribute "$MNT/ts/typescript-5.4.3.tar" reference)
reference=${reference#"${PREFIX-}"}
digest=$(sha256 "$(tar 5.4.2)")
equal "$reference" ".dg/refs/$digest/reference.bin"
bucket_get "$reference" >"$WORK/reference"
equal "$(sha256 "$WORK/reference")" "$digest" 'digest of the reference'
bucket_get ts/typescript-5.4.3.tar >"$WORK/object"
equal "$(stat -c %s "$WORK/object")" "$(attribute "$MNT/ts/typescript-5.4.3.tar" stored_size)"
head -c 200 "$WORK/object" | head -n 1 | tr -d '\0' >"$WORK/line"
holds "$(grep -cE '^DeltaGlider delta 1, [ -~]*$' "$WORK/line")" = 1
holds "$(grep -c "$digest" "$WORK/line")" = 1
echo 'anybody reads this' >"$MNT/ts/plain.txt"
content <(bucket_get ts/plain.txt) 'anybody reads this'
stored_as "$MNT/ts/plain.txt" plain
if [ "$STORE" = s3 ]; then
	"$lib_dir/s3raw" head "${PREFIX}ts/typescript-5.4.3.tar" >"$WORK/head"
	for line in 'content-type: application/vnd.deltaglider' \
		'content-encoding: deltaglider' 'x-amz-meta-dg-codec: ' \
		"x-amz-meta-dg-file-sha256: $(sha256 "$(tar 5.4.3)")" \
		"x-amz-meta-dg-file-size: $(stat -c %s "$(tar 5.4.3)")" \
		"x-amz-meta-dg-ref-key: $PREFIX$reference" \
		"x-amz-meta-dg-ref-sha256: $digest" 'x-amz-meta-mtime: ' \
		'x-amz-meta-mode: ' 'x-amz-meta-uid: ' 'x-amz-meta-gid: '; do
		CHECKS=$((CHECKS + 1))
		grep -qiF -- "$line" "$WORK/head" || fail "no \"$line\" in: $(cat "$WORK/head")"
	done
	# And the other way round: what another program puts there is a file.
	printf 'from elsewhere' | "$lib_dir/s3raw" put "${PREFIX}ts/foreign"
	content "$MNT/ts/foreign" 'from elsewhere'
	"$lib_dir/s3raw" get "${PREFIX}.dg/format" >/dev/null
fi
missing "$MNT/.dg/refs/$digest"
equal "$(find "$MNT" -maxdepth 1 -name .dg | wc -l)" 0 '.dg in a listing'

echo "== random reads of deltas"
python3 - "$(tar 5.5.3)" "$MNT/ts/typescript-5.5.3.tar" <<'END'
import os, random, sys
source, mounted = (os.open(p, os.O_RDONLY) for p in sys.argv[1:])
size = os.fstat(source).st_size
assert os.fstat(mounted).st_size == size
random.seed(5)
ends = [(0, 1), (size - 1, 1), (size - 1, 10), (size, 1), (size + 5, 10), (0, 1 << 20), (size - 70000, 131072)]
for off, n in ends + [(random.randrange(size), random.choice((1, 511, 4096, 65536, 300000))) for _ in range(300)]:
    os.posix_fadvise(mounted, 0, 0, os.POSIX_FADV_DONTNEED)
    if os.pread(mounted, n, off) != os.pread(source, n, off):
        sys.exit("%d bytes at %d are wrong" % (n, off))
END
CHECKS=$((CHECKS + 300))

echo "== under the names that rsync and editors write first"
mkdir "$MNT/rs"
cp "$(tar 5.4.2)" "$MNT/rs/first"
rsync -a "$(tar 5.4.3)" "$MNT/rs/"
stored_as "$MNT/rs/typescript-5.4.3.tar" delta
same "$(tar 5.4.3)" "$MNT/rs/typescript-5.4.3.tar"
equal "$(rsync -ai "$(tar 5.4.3)" "$MNT/rs/")" ''
cp "$(tar 5.4.4)" "$MNT/rs/.swp"
mv "$MNT/rs/.swp" "$MNT/rs/typescript-5.4.3.tar"
stored_as "$MNT/rs/typescript-5.4.3.tar" delta
same "$(tar 5.4.4)" "$MNT/rs/typescript-5.4.3.tar"

echo "== what resembles nothing stays plain, whatever it is called"
cp "${esbuild[0]}" "$MNT/ts/typescript-9.9.9.tar"
stored_as "$MNT/ts/typescript-9.9.9.tar" plain
cp "${esbuild[1]}" "$MNT/ts/other"
same "${esbuild[0]}" "$MNT/ts/typescript-9.9.9.tar"
same "${esbuild[1]}" "$MNT/ts/other"
noise 5000000 >"$WORK/noise"
cp "$WORK/noise" "$MNT/ts/noise.tar"
stored_as "$MNT/ts/noise.tar" plain
bucket_get ts/noise.tar >"$WORK/object"
same "$WORK/noise" "$WORK/object"

echo "== small files, identical files"
noise 4095 3 >"$WORK/small"
cp "$WORK/small" "$MNT/ts/small1"
cp "$WORK/small" "$MNT/ts/small2"
stored_as "$MNT/ts/small1" plain
stored_as "$MNT/ts/small2" plain
cp "$(tar 5.4.5)" "$MNT/ts/twin"
stored_as "$MNT/ts/twin" delta
same "$(tar 5.4.5)" "$MNT/ts/twin"
cp "$(tar 5.4.2)" "$MNT/ts/twin-of-the-first"
holds "$(attribute "$MNT/ts/twin-of-the-first" stored_size)" -lt 4096
same "$(tar 5.4.2)" "$MNT/ts/twin-of-the-first"

echo "== in place"
f=$MNT/ts/typescript-5.4.4.tar
cp "$(tar 5.5.3)" "$f"
same "$(tar 5.5.3)" "$f"
stored_as "$f" delta
cp "$f" "$WORK/edited"
for g in "$WORK/edited" "$f"; do
	printf 'a few bytes in the middle' | dd of="$g" bs=1 seek=10000000 conv=notrunc status=none
	printf 'and at the end' >>"$g"
done
same "$WORK/edited" "$f"
stored_as "$f" delta
# The first of them is what the others are made from: they must not mind.
echo 'gone' >"$MNT/ts/typescript-5.4.2.tar"
rm "$MNT/rs/first"
remount_fs ''
same "$WORK/edited" "$f"
same "$(tar 5.4.3)" "$MNT/ts/typescript-5.4.3.tar"
same "$(tar 5.4.4)" "$MNT/rs/typescript-5.4.3.tar"
content "$MNT/ts/typescript-5.4.2.tar" gone

echo "== max_ratio, delta=no"
# Two thirds in common: a delta of about a third.
head -c 6000000 "$WORK/noise" >"$WORK/base"
{ head -c 3300000 "$WORK/noise"; noise 1700000 9; } >"$WORK/third"
remount_fs max_ratio=0.5
mkdir "$MNT/half"
cp "$WORK/base" "$MNT/half/a"
cp "$WORK/third" "$MNT/half/b"
stored_as "$MNT/half/b" delta
awk -v r="$(attribute "$MNT/half/b" ratio)" 'BEGIN { exit !(r > 0.3 && r < 0.4) }'
remount_fs max_ratio=0.25
mkdir "$MNT/quarter"
cp "$WORK/base" "$MNT/quarter/a"
cp "$WORK/third" "$MNT/quarter/b"
stored_as "$MNT/quarter/b" plain
same "$WORK/third" "$MNT/quarter/b"
remount_fs delta=no
mkdir "$MNT/none"
cp "$(tar 5.4.2)" "$MNT/none/a"
cp "$(tar 5.4.3)" "$MNT/none/b"
stored_as "$MNT/none/b" plain
same "$(tar 5.4.3)" "$MNT/ts/typescript-5.4.3.tar"

echo "== 160 MB in bounded memory"
remount_fs ''
mkdir "$MNT/big"
cat "$from"/typescript-5.4.[2345].tar "$from/typescript-5.5.3.tar" "${esbuild[0]}" >"$WORK/big1"
# The next version of it: parts changed, moved and replaced.
cat "${esbuild[1]}" "$from"/typescript-5.4.[345].tar "$WORK/edited" "$from/typescript-5.5.3.tar" >"$WORK/big2"
holds "$(stat -c %s "$WORK/big1")" -gt 160000000
for i in 1 2; do
	started=$EPOCHREALTIME
	cp "$WORK/big$i" "$MNT/big/"
	took=$(awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	echo "$(stat -c %s "$WORK/big$i") bytes in $took s, stored as $(attribute "$MNT/big/big$i" storage) of $(attribute "$MNT/big/big$i" stored_size)"
	holds "${took%.*}" -lt 60
done
stored_as "$MNT/big/big2" delta
same "$WORK/big2" "$MNT/big/big2"
peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$DPID/status")
echo "peak memory of the daemon: $((peak / 1024)) MB"
sanitized || holds "$peak" -lt $((600 * 1024))
remount_fs ''
same "$WORK/big1" "$MNT/big/big1"
same "$WORK/big2" "$MNT/big/big2"
peak=$(awk '/^VmHWM/ { print $2 }' "/proc/$DPID/status")
holds "$peak" -lt $((600 * 1024))
equal "$(stats .errors.verify_failures)" 0
umount_fs
