#!/usr/bin/env bash
# Every system call at random, by several threads, on the mount and on a local
# file system at once: the results have to be the same, and after a remount all
# has to be as it was, here and on a second mount.
# The same calls at each run; with DG_TEST_LONG=1 others, for ten minutes.
# DG_TEST_SEED=N starts with that seed.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

MODEL=$WORK/model
SECOND=$WORK/second
mkdir "$MODEL" "$SECOND"
setfattr -n user.x -v x "$MODEL" 2>/dev/null || skip 'no extended attributes where the model would be'
seed=1
[ "${DG_TEST_LONG:-0}" = 0 ] || seed=$SRANDOM
seed=${DG_TEST_SEED:-$seed}
# The same to all, in 20,000 operations.
rounds=4
each=5000

exerciser() {
	PYTHONHASHSEED=0 python3 "$lib_dir/exerciser.py" "$@"
}
seen_by_second() {
	exerciser verify "$SECOND" "$MODEL" "$WORK/state" >"$WORK/second.said" 2>&1
}

mount_fs
first=$MNT
pid=$DPID
log=$LOG
MNT=$SECOND mount_fs "cache_dir=$WORK"
second_pid=$DPID
second_log=$LOG
DPID=$pid
LOG=$log
until=$((SECONDS + (${DG_TEST_LONG:-0} ? 600 : 0)))
for ((round = 0; round < rounds || SECONDS < until; round++)); do
	EXERCISER_MMAP=$((round % 2)) exerciser run "$MNT" "$MODEL" "$WORK/state" "$((seed + round))" "$each" 4 ||
		fail "seed $((seed + round))"
	CHECKS=$((CHECKS + each))
	# New attributes are sent within a second, and trusted for one.
	until_true 10 seen_by_second || fail "seed $((seed + round)), on the second mount: $(cat "$WORK/second.said")"
	equal "$(stats .errors.lost_at_release)" 0
	equal "$(stats .errors.lost_attributes)" 0
	equal "$(stats .errors.verify_failures)" 0
	remount_fs ''
	exerciser verify "$MNT" "$MODEL" "$WORK/state" || fail "seed $((seed + round)), after a remount"
done
umount_fs
MNT=$SECOND
DPID=$second_pid
LOG=$second_log
umount_fs
MNT=$first
