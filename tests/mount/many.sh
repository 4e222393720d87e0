#!/usr/bin/env bash
# One directory with many files: requests and memory for each, on a mount that
# has not seen it.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

# Enough for the memory that each takes to stand out from what any mount takes.
N=20000
[ "$STORE" = local ] || N=2000
[ -z "${DG_TEST_LONG-}" ] || N=100000
! sanitized || N=$((N / 10))

# Bytes of memory of the daemon's own.
memory() {
	awk '/^RssAnon/ { print $2 * 1024 }' "/proc/$DPID/status"
}

mount_fs
mkdir "$MNT/d"
python3 - "$MNT/d" "$N" <<'END'
import sys
for k in range(int(sys.argv[2])):
    with open("%s/file-%06d" % (sys.argv[1], k), "w") as f:
        f.write("%d\n" % k)
END
remount_fs
before=$(requests head get list)
memory_before=$(memory)
# shellcheck disable=SC2012
equal "$(ls -l "$MNT/d" | tail -n +2 | awk '{ n++; bytes += $5 } END { print n, bytes }')" \
	"$(seq 0 $((N - 1)) | wc -lc | awk '{ print $1, $2 }')"
took=$(($(requests head get list) - before))
echo "$N files: $took requests"
# A page of a thousand, some pages once more because it took too long, and what
# was stored in the last seconds before the hints were.
holds "$took" -le $((N / 200 + 100))
holds "$(stats .files.inodes)" -ge "$N"

# Freed memory is given back after a second.
small() {
	[ $((($(memory) - memory_before) / N)) -lt 512 ]
}
if sanitized; then
	echo "memory is not looked at: a sanitizer has its own"
elif [ "$N" -ge 20000 ]; then
	until_true 20 small ||
		fail "$((($(memory) - memory_before) / N)) bytes of memory for each file"
	echo "$((($(memory) - memory_before) / N)) bytes of memory for each file"
	CHECKS=$((CHECKS + 1))
fi

if [ "$(id -u)" = 0 ]; then
	echo "== what the kernel forgets, we forget"
	echo 2 >/proc/sys/vm/drop_caches
	few() {
		[ "$(stats .files.inodes)" -lt $((N / 10)) ]
	}
	until_true 20 few || fail "$(stats .files.inodes) inodes are known yet"
	CHECKS=$((CHECKS + 1))
	for k in {1..200}; do
		mkdir "$MNT/small$k"
		echo "$k" >"$MNT/small$k/file"
	done
	echo 2 >/proc/sys/vm/drop_caches
	# Not those whose attributes wait, or were just sent.
	most() {
		[ "$(stats .files.inodes)" -lt 350 ]
	}
	until_true 20 most || fail "$(stats .files.inodes) inodes of small directories"
	rm -r "$MNT"/small*
	echo 2 >/proc/sys/vm/drop_caches
	until_true 20 most || fail "$(stats .files.inodes) inodes of removed directories"
fi
content "$MNT/d/file-000007" 7
umount_fs
