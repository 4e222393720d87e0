#!/usr/bin/env bash
# A spool or a disk that is full: the writer hears of it, the version before
# stays, and nobody else notices.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
EXPECT_ERRORS=1

samples typescript 5.4.2 5.4.3
old=$SAMPLES/typescript-5.4.2.tar
new=$SAMPLES/typescript-5.4.3.tar

# full_with MOUNT-OPTIONS
full_with() {
	mount_fs "$1"
	refuses 'No space left' cp "$new" "$MNT/a.tar"
	until_true 10 cmp -s "$old" "$MNT/a.tar" || fail "the version before is gone"
	refuses 'No space left' cp "$new" "$MNT/b.tar"
	# Its last descriptor is released a moment after cp has closed it.
	until_true 10 [ ! -e "$MNT/b.tar" ] || fail "b.tar was never stored, and is there"
	echo small >"$MNT/small"
	content "$MNT/small" small
	holds "$(stats .errors.commit)" -ge 1
	holds "$(stats .errors.lost_at_release)" -ge 1
	umount_fs
}

mount_fs
cp "$old" "$MNT/a.tar"
umount_fs

full_with spool_size=4M

if [ "$(id -u)" = 0 ]; then
	mkdir "$WORK/disk"
	mount -t tmpfs -o size=8m,mode=0700 none "$WORK/disk"
	OPTS=${OPTS/cache_dir=$CACHE/cache_dir=$WORK/disk}
	full_with ''
fi

# With room again all is as ever.
OPTS=${OPTS/cache_dir=$WORK\/disk/cache_dir=$CACHE}
mount_fs
cp "$new" "$MNT/a.tar"
same "$new" "$MNT/a.tar"
equal "$(attribute "$MNT/a.tar" storage)" plain
umount_fs
