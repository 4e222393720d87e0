#!/usr/bin/env bash
# A server that fails, in each of the ways that support/faultproxy knows, while a
# file is written, read, listed, renamed, removed: nothing lost, nothing wrong,
# nobody waits longer than timeout=, and all is well when the fault has gone.
# DG_TEST_ONLY=REGEX runs some of the cases.
# Stores: s3
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
# shellcheck source=tests/support/proxylib.sh
. "$lib_dir/proxylib.sh"
# shellcheck disable=SC2034
EXPECT_ERRORS=yes # the daemon's log is full of them, as it should be

proxy_start conditions
mkdir "$WORK/direct" "$WORK/cases" "$WORK/cache2"
# Attributes are asked for anew, so that each act meets the server.
mount_fs timeout=4s,part_size=5M,attr_timeout=0
env "$BINARY" "$SPEC" "$WORK/direct" -o "${DIRECT/cache_dir=$CACHE/cache_dir=$WORK/cache2},attr_timeout=0" \
	>"$WORK/log.direct" 2>&1

status=0
"$lib_dir/faultcases" run "$MNT" "$WORK/direct" "$CONTROL" "$LOG" 4 "$WORK/cases/state" "${DG_TEST_ONLY-}" || status=1
proxy clear

echo "== what is in the bucket, to a mount that was not there"
lib_umount "$WORK/direct"
umount_fs
OPTS=$DIRECT mount_fs
"$lib_dir/faultcases" verify "$MNT" "$WORK/cases/state" || status=1
equal "$(stats .errors.verify_failures)" 0 'reads that failed their check'
equal "$(bucket_list .dg/moves/)" '' 'notes that stay'
umount_fs
equal "$status" 0 'cases with a broken promise: see BROKEN and LOST above; status'
