#!/usr/bin/env bash
# A server that fails, in each of the ways that support/faultproxy knows, while a
# file is written, read, listed, renamed, removed: nothing lost, nothing wrong,
# nobody waits longer than timeout=, and all is well when the fault has gone.
# DG_TEST_ONLY=REGEX runs some of the cases; with DG_TEST_LONG=1 all are run, else
# every third, which is every third of what passes and of what stays alike.
# Stores: s3
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
# shellcheck source=tests/support/proxylib.sh
. "$lib_dir/proxylib.sh"
# shellcheck disable=SC2034
EXPECT_ERRORS=yes # the daemon's log is full of them, as it should be

# A build with a sanitizer is slow, and not what this is about: fewer, with more time.
[ -n "${DG_TEST_LONG-}${DG_TEST_ONLY-}" ] || export DG_TEST_PART=3
! sanitized || export DG_TEST_SLACK=10 DG_TEST_PART=7

proxy_start conditions
mkdir "$WORK/direct" "$WORK/cases" "$WORK/cache2"
# Attributes are asked for anew, so that each act meets the server.
mount_fs timeout=4s,part_size=5M,attr_timeout=0
env "$BINARY" "$SPEC" "$WORK/direct" -o "${DIRECT/cache_dir=$CACHE/cache_dir=$WORK/cache2},attr_timeout=0" \
	>"$WORK/log.direct" 2>&1

status=0
"$lib_dir/faultcases" run "$MNT" "$WORK/direct" "$CONTROL" "$LOG" 4 "$WORK/cases/state" "${DG_TEST_ONLY-}" || status=1
proxy clear

echo "== a clock that is wrong, and then another"
# The client believes the first that refuses it; each of these differs from the last.
for kind in put get list head delete; do
	echo clock >"$WORK/direct/clock"
	for ahead in 700 0; do
		where=path=/clock\$
		[ "$kind" != list ] || where=path=
		proxy rule name=clock "kind=$kind" "$where" "action=skewed:$ahead" first=1
		case $kind in
		put) echo "$ahead" >"$MNT/clock" ;;
		get | head) direct "$MNT/clock" ;;
		list) ls "$MNT" ;;
		delete) rm "$MNT/clock" && echo clock >"$WORK/direct/clock" ;;
		esac >/dev/null || { echo "BROKEN: $kind with a clock that is $ahead s ahead"; status=1; }
		[ "$(fired clock)" = 1 ] || { echo "BROKEN: $kind met no clock"; status=1; }
		proxy clear
		CHECKS=$((CHECKS + 1))
	done
done

echo "== read through the kernel's cache, which asks twice"
noise 3000000 78 >"$WORK/direct/cached"
proxy rule name=cached kind=get path=/cached\$ action=stall
for bytes in 1 4000000; do
	began=$EPOCHREALTIME
	refuses 'timed out' head -c "$bytes" "$MNT/cached"
	ms=$(elapsed "$began")
	echo "$bytes bytes: $ms ms"
	[ "$ms" -le $((4000 + 1000 * ${DG_TEST_SLACK:-3})) ] || { echo "BROKEN: a read took $ms ms"; status=1; }
done
holds "$(fired cached)" -ge 2
proxy clear
same "$MNT/cached" "$WORK/direct/cached"

echo "== three answers in ten are 503"
noise 20000 77 >"$WORK/cases/rate"
mkdir "$MNT/rate"
proxy rule name=rate rate=0.3 seed=7 action=status:503:SlowDown
since=$EPOCHREALTIME
longest=0
for ((k = 0; k < 12; k++)); do
	began=$EPOCHREALTIME
	if ! cp "$WORK/cases/rate" "$MNT/rate/$k" || ! cmp "$WORK/cases/rate" "$MNT/rate/$k"; then
		echo "BROKEN: a file was not copied, or not read, for one 503 after the other"
		status=1
	fi
	ms=$(elapsed "$began")
	[ "$ms" -le "$longest" ] || longest=$ms
done
echo "12 files copied and read in $(elapsed "$since") ms, the slowest in $longest; $(fired rate) times 503"
holds "$(fired rate)" -gt 20
proxy clear
for ((k = 0; k < 12; k++)); do
	same "$WORK/cases/rate" "$WORK/direct/rate/$k"
done

echo "== what is in the bucket, to a mount that was not there"
lib_umount "$WORK/direct"
umount_fs
OPTS=$DIRECT mount_fs
"$lib_dir/faultcases" verify "$MNT" "$WORK/cases/state" || status=1
equal "$(stats .errors.verify_failures)" 0 'reads that failed their check'
equal "$(bucket_list .dg/moves/)" '' 'notes that stay'
umount_fs
equal "$status" 0 'cases with a broken promise: see BROKEN and LOST above; status'
