#!/usr/bin/env bash
# Two mounts of one bucket, twenty writers on each, the same files, the same
# references: each read is one version, whole; each file in the end is one that its
# writer was told is stored; and one mount sees within a second what the other does.
# With DG_TEST_LONG=1 for minutes.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
# shellcheck disable=SC2034
EXPECT_ERRORS=yes # a loser's close is one line each

WRITERS=20
READERS=2
FILES=16
LASTS=15
[ -z "${DG_TEST_LONG-}" ] || LASTS=240
SOON=1500 # ms: the second, and what it takes to look
! sanitized || WRITERS=6 SOON=5000
SEED=${DG_TEST_SEED:-$RANDOM}
A=$MNT
B=$WORK/other
C=$WORK/third # whose readers see nothing but what is in the bucket
mkdir "$B" "$C" "$WORK/cache2" "$WORK/cache3" "$WORK/ops" "$WORK/locks.a" "$WORK/locks.b"

# another DIR CACHE LOG: one more mount; $ANOTHER serves it.
another() {
	env "$BINARY" "$SPEC" "$1" -o "foreground,${OPTS/cache_dir=$CACHE/cache_dir=$2}" \
		>"$3" 2>&1 </dev/null &
	ANOTHER=$!
	MOUNTS+=("$ANOTHER")
	until_true "$DEADLINE" mounted_or_ended "$1" "$ANOTHER" || fail "$1 is not mounted"
	is_mounted "$1" || fail "$1 ended instead of mounting"
}

# another_ends DIR PID LOG
another_ends() {
	lib_umount "$1"
	until_true "$DEADLINE" has_ended "$2" || fail "the daemon of $1 lives on after its unmount"
	! grep -A60 'WARNING: ThreadSanitizer\|AddressSanitizer\|runtime error' "$3" || fail "a bug in the daemon of $1"
}

mount_fs
another "$B" "$WORK/cache2" "$WORK/log.other"
OTHER=$ANOTHER
another "$C" "$WORK/cache3" "$WORK/log.third"
THIRD=$ANOTHER

echo "== a change is seen within a second"
slowest=0
# seen WHAT COMMAND...: it is true on the other mount a second from now, and a little.
seen() {
	local since=$EPOCHREALTIME ms what=$1

	shift
	CHECKS=$((CHECKS + 1))
	until_true 20 "$@" || fail "$what: not seen in 20 s"
	ms=$(elapsed "$since")
	[ "$ms" -le "$SOON" ] || fail "$what: seen after $ms ms only"
	[ "$ms" -le "$slowest" ] || slowest=$ms
}
elapsed() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d\n", (b - a) * 1000 }'
}
holds_text() {
	[ "$(cat "$B/$1" 2>/dev/null)" = "$2" ]
}
gone() {
	[ ! -e "$B/$1" ]
}
listed() {
	grep -qx "$1" < <(ls "$B")
}
mode_is() {
	[ "$(stat -c %a "$B/$1")" = "$2" ]
}
ls -l "$B" >/dev/null
gone note
echo one >"$A/note"
seen 'a new file' holds_text note one
seen 'its name in a listing' listed note
echo 'another one' >"$A/note"
seen 'a new version' holds_text note 'another one'
cp "$A/note" "$A/note2"
seen 'a copy' holds_text note2 'another one'
mv "$A/note" "$A/moved"
seen 'a new name' holds_text moved 'another one'
seen 'the old one gone' gone note
rm "$A/moved"
seen 'a removal' gone moved
mkdir "$A/dir"
seen 'a directory' listed dir
rmdir "$A/dir"
seen 'its removal' gone dir
chmod 600 "$A/note2"
# Attributes wait a second for what comes next before they are stored.
until_true 5 mode_is note2 600 || fail 'a new mode: not seen in 5 s'
rm "$A/note2"
echo "the slowest in $slowest ms"

echo "== an open file is the version that was opened, or ESTALE"
cat >"$WORK/open.py" <<'PYTHON'
import errno, os, random, sys, time
a, b = sys.argv[1:3]
stale = kept = 0
for k in range(12):
    size = (3000, 200000, 3000000)[k % 3]
    name = "held%d" % k
    # Every third is a delta against one that is there.
    old, new = random.Random(k % 6).randbytes(size), random.Random(100 + k).randbytes(size)
    if k >= 6:
        old = old[:size // 2] + b"changed" + old[size // 2:]
    with open(os.path.join(a, name), "wb") as f:
        f.write(old)
    until = time.monotonic() + 1.5
    while True:
        # That there was no such name is believed for a second.
        try:
            fd = os.open(os.path.join(b, name), os.O_RDONLY)
            break
        except FileNotFoundError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
    try:
        got = os.pread(fd, 1000, 0)
        if k % 2:
            with open(os.path.join(a, name), "wb") as f:
                f.write(new)
        else:
            os.unlink(os.path.join(a, name))
        while len(got) < len(old):
            piece = os.pread(fd, 70000, len(got))
            if not piece:
                sys.exit("%s: ends at %d of %d" % (name, len(got), len(old)))
            got += piece
        if got != old:
            sys.exit("%s: a mixture of versions" % name)
        kept += 1
    except OSError as e:
        if e.errno not in (errno.ESTALE, errno.ENOENT):
            raise
        if got != old[:len(got)]:
            sys.exit("%s: a mixture of versions, then ESTALE" % name)
        stale += 1
    finally:
        os.close(fd)
    if k % 2:
        os.unlink(os.path.join(a, name))
print("%d read to the end, %d stale" % (kept, stale))
PYTHON
python3 "$WORK/open.py" "$A" "$B"
CHECKS=$((CHECKS + 12))

echo "== 2 x $WRITERS writers, 4 x $READERS readers, $FILES files, $LASTS s, DG_TEST_SEED=$SEED"
mkdir "$A/shared"
"$lib_dir/versions" plant "$A/shared" first "$WORK/ops/first" "$FILES"
until_true 5 listed shared
# Nothing is believed absent any more.
for dir in "$B" "$C"; do
	all_there() {
		[ "$(find "$dir/shared" -name 'f*' | wc -l)" = "$FILES" ]
	}
	until_true 5 all_there || fail "$dir does not show what was written to $A"
done
until=$(($(date +%s) + LASTS))
jobs=()
for ((k = 0; k < WRITERS; k++)); do
	for side in a b; do
		[ "$side" = a ] && dir=$A || dir=$B
		"$lib_dir/versions" overwrite "$dir/shared" "$side$k" "$WORK/ops/$side$k" "$until" "$SEED" "$FILES" "$WORK/locks.$side" &
		jobs+=("$!")
		[ "$k" -lt "$READERS" ] || continue
		"$lib_dir/versions" read "$dir/shared" "$WORK/ops/read-$side$k" "$until" "$SEED$k" "$FILES" "$WORK/locks.$side" &
		jobs+=("$!")
		"$lib_dir/versions" read "$C/shared" "$WORK/ops/read-third-$side$k" "$until" "$SEED$side$k" "$FILES" &
		jobs+=("$!")
	done
done
for j in "${jobs[@]}"; do
	wait "$j" || fail 'one of them has failed'
done
lost=0
for dir in "$A" "$B"; do
	CHECKS=$((CHECKS + 1))
	jq -r '"conflicts \(.errors.conflicts), deltas \(.files.written_delta), plain \(.files.written_plain), references \(.files.references_made)"' \
		"$dir/.dg/stats"
	equal "$(jq .errors.verify_failures "$dir/.dg/stats")" 0 'reads that failed their check'
	lost=$((lost + $(jq .errors.lost_at_release "$dir/.dg/stats")))
	holds "$(jq .files.written_delta "$dir/.dg/stats")" -gt 0
done
# Dropped with the last descriptor: nothing but what its close was told is not stored.
holds "$lost" -le "$(cat "$WORK"/ops/* | grep -c '^\["failed"')"
equal "$(jq .errors.verify_failures "$C/.dg/stats")" 0 'reads that failed their check'
another_ends "$B" "$OTHER" "$WORK/log.other"
another_ends "$C" "$THIRD" "$WORK/log.third"
umount_fs

echo "== in the end, to a mount that was not there"
mount_fs
"$lib_dir/versions" judge "$MNT/shared" "$FILES" "$WORK"/ops/* || fail 'a promise to a writer or a reader is broken'
CHECKS=$((CHECKS + FILES))
equal "$(stats .errors.verify_failures)" 0 'reads that failed their check'
umount_fs
