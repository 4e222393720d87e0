#!/usr/bin/env bash
# Objects that others wrote: their bytes are compared with the ETag, where that
# is an MD5, before they are returned, or as they go by.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
[ "$STORE" = s3 ] || skip "only S3 makes ETags of MD5s"

noise 3000000 1 >"$WORK/small"
noise 20000000 2 >"$WORK/large"
bucket_put small <"$WORK/small"
bucket_put large <"$WORK/large"
bucket_put empty </dev/null
mount_fs

echo "== as they are"
same "$WORK/small" "$MNT/small"
same "$WORK/large" "$MNT/large"
equal "$(stat -c %s "$MNT/empty")" 0
# Small ones are verified, of large ones it is known at their end only.
equal "$(stats .unverified_bytes)" 20000000
equal "$(stats .errors.verify_failures)" 0
# Out of order nothing can be said of a large one.
tail -c 1000000 "$WORK/large" >"$WORK/tail"
cmp <(tail -c 1000000 "$MNT/large") "$WORK/tail"
umount_fs

echo "== read-only, where nothing is probed"
mount_fs ro
same "$WORK/small" "$MNT/small"
same "$WORK/large" "$MNT/large"
equal "$(stats .errors.verify_failures)" 0
umount_fs
