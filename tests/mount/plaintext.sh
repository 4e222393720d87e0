#!/usr/bin/env bash
# Nothing of the user's data reaches the cache's disk in the clear: the cache
# is a file system in a file, which is searched byte by byte.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
[ "$(id -u)" = 0 ] || skip "only root may mount an image"
command -v mkfs.ext4 >/dev/null || skip "no mkfs.ext4"
lib_init "$@"

image=$WORK/image
disk=$WORK/disk
marker='the quick brown marker of this very test, which must not be found'
mkdir "$disk"
LIB_CLEANUP=end_disk
end_disk() {
	! is_mounted "$disk" || umount "$disk"
}

new_disk() {
	end_disk
	rm -f "$image"
	truncate -s 400M "$image"
	mkfs.ext4 -q -O ^has_journal -E lazy_itable_init=0 "$image"
	mount -o loop "$image" "$disk" || skip "no loop device"
}

# How many lines of the raw image have the text.
found() {
	sync -f "$disk"
	sync "$image"
	grep -acF -- "$1" "$image" || :
}

echo "== the search finds what is there"
new_disk
printf 'before %s after\n' "$marker" >"$disk/plain"
equal "$(found "$marker")" 1 'markers on a disk that has one'

new_disk
equal "$(found "$marker")" 0 'markers on a new disk'
mkdir "$disk/cache"
OPTS=${OPTS//cache_dir=$CACHE/cache_dir=$disk/cache}
# A marker every few hundred bytes, in text and in what compresses to nothing.
fill() {
	python3 -c '
import random, sys
random.seed(int(sys.argv[2]))
out = sys.stdout
for i in range(int(sys.argv[3])):
    out.write("%s %s %d %s\n" % (sys.argv[1], sys.argv[2], i, "".join(random.choice("abcdef012345") for _ in range(200))))
' "$marker" "$1" "$2"
}
fill 1 60000 >"$WORK/first"
{ fill 1 60000; fill 2 500; } >"$WORK/second"
sed "s/ 1 3[0-9]*00 / changed /" "$WORK/second" >"$WORK/third"

mount_fs
echo "== as a reference, as deltas, read back"
cp "$WORK/first" "$MNT/first"
cp "$WORK/second" "$MNT/second"
cp "$WORK/third" "$MNT/third"
equal "$(attribute "$MNT/third" storage)" delta
holds "$(stats .cache.bytes)" -gt 10000000
holds "$(du -s -B1 "$disk/cache" | cut -f1)" -gt 10000000
equal "$(found "$marker")" 0 'markers on the disk of a reference'
remount_fs ''
same "$WORK/third" "$MNT/third"
same "$WORK/first" "$MNT/first"
holds "$(du -s -B1 "$disk/cache" | cut -f1)" -gt 10000000
equal "$(found "$marker")" 0 'markers on the disk after reading'

echo "== written and not saved yet"
used=$(df --output=used -B1 "$disk" | tail -1)
# No shell: where one writes it closes a copy of the descriptor, which stores.
# The second is an old version's, which is brought to the disk to be changed.
exec 8< <(exec python3 -c '
import os, sys, time
new = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(new, open(sys.argv[3], "rb").read())
old = os.open(sys.argv[2], os.O_RDWR)
os.pwrite(old, b"a change", 5)
print("written", flush=True)
time.sleep(1000)' "$MNT/unsaved" "$MNT/third" "$WORK/second")
writer=$!
read -r line <&8
equal "$line" written
holds "$(stats .files.spool_bytes)" -gt 10000000
holds "$(df --output=used -B1 "$disk" | tail -1)" -gt $((used + 10000000))
equal "$(found "$marker")" 0 'markers on the disk of a spooled file'
equal "$(found unsaved)" 0 'names on the disk'

echo "== a crash leaves nothing that can be read"
kill -KILL "$DPID"
until_true 10 has_ended "$DPID" || fail 'it survives SIGKILL'
wait "$DPID" 2>/dev/null || :
kill "$writer"
lib_umount "$MNT"
holds "$(du -s -B1 "$disk/cache" | cut -f1)" -gt 10000000
equal "$(found "$marker")" 0 'markers on the disk after a crash'
mount_fs
same "$WORK/third" "$MNT/third"
missing "$MNT/unsaved"
umount_fs
nothing_left() {
	[ -z "$(ls -A "$disk/cache")" ]
}
until_true 10 nothing_left || fail "left: $(ls -A "$disk/cache")"
equal "$(found "$marker")" 0 'markers on the disk at last'

echo "== with a key that is kept, and a cache that is"
"$BINARY" --generate-key >"$WORK/key"
chmod 600 "$WORK/key"
mount_fs "cache_key_file=$WORK/key,cache_keep=yes"
direct "$MNT/third" | cmp - "$WORK/third"
cp "$WORK/second" "$MNT/another"
equal "$(attribute "$MNT/another" storage)" delta
exec 8< <(exec python3 -c '
import os, sys, time
new = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(new, open(sys.argv[2], "rb").read())
print("written", flush=True)
time.sleep(1000)' "$MNT/unsaved" "$WORK/second")
writer=$!
read -r line <&8
equal "$line" written
holds "$(stats .files.spool_bytes)" -gt 10000000
equal "$(found "$marker")" 0 'markers on the disk of a kept cache and a spool'
kill "$writer"
until_true 10 has_ended "$writer" || fail "the writer lives on"
umount_fs
holds "$(du -s -B1 "$disk/cache" | cut -f1)" -gt 10000000
equal "$(found "$marker")" 0 'markers on the disk of a cache that was kept'
equal "$(found "$(cat "$WORK/key")")" 0 'keys on the disk'
mount_fs "cache_key_file=$WORK/key"
direct "$MNT/third" | cmp - "$WORK/third"
equal "$(stats .cache.misses)" 0
rm "$MNT/another" "$MNT/unsaved"
umount_fs
until_true 10 nothing_left || fail "left: $(ls -A "$disk/cache")"

echo "== a full disk"
# What is left of the image is less than what is written.
mount_fs spool_size=2G
head -c 350M /dev/zero >"$disk/filler"
refuses 'no space' dd if=/dev/urandom of="$MNT/toolarge" bs=1M count=200
same "$WORK/third" "$MNT/third"
rm "$disk/filler"
cp "$WORK/second" "$MNT/afterwards"
same "$WORK/second" "$MNT/afterwards"
EXPECT_ERRORS=1 umount_fs
umount "$disk"
