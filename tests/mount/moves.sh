#!/usr/bin/env bash
# Renames of directories with many files, whole and cut off.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

N=600
ROUNDS=4
[ -z "${DG_TEST_LONG-}" ] || { N=3000; ROUNDS=40; }
! sanitized || N=200

# Each file is "its number, its directory": what is read says what it is.
mount_fs
mkdir "$MNT/old"
python3 - "$MNT/old" "$N" <<'END'
import os, sys
for k in range(int(sys.argv[2])):
    d = "%s/%d/deep" % (sys.argv[1], k % 7)
    if k < 7:
        os.makedirs(d)
    with open("%s/f%d" % (d, k), "w") as f:
        f.write("%d in %d\n" % (k, k % 7))
os.mkdir(sys.argv[1] + "/empty")
os.chmod(sys.argv[1] + "/empty", 0o711)
END
remount_fs ''

# all DIR...: each file is in one of them, whole; how many are in the first.
all() {
	python3 - "$N" "$MNT" "$@" <<'END'
import sys
n, mnt, *dirs = sys.argv[1:]
first = 0
for k in range(int(n)):
    there = 0
    for at, d in enumerate(dirs):
        try:
            got = open("%s/%s/%d/deep/f%d" % (mnt, d, k % 7, k)).read()
        except FileNotFoundError:
            continue
        if got != "%d in %d\n" % (k, k % 7):
            sys.exit("%s has another content in %s: %r" % (k, d, got))
        there += 1
        first += at == 0
    if not there:
        sys.exit("file %d is in none of %s" % (k, dirs))
print(first)
END
}

echo "== whole"
before=$(stats '.requests | .copy + .delete + .put')
mv "$MNT/old" "$MNT/new"
took=$(($(stats '.requests | .copy + .delete + .put') - before))
holds "$took" -le $((2 * N + 60))
missing "$MNT/old"
equal "$(all new)" "$N"
mv "$MNT/new" "$MNT/old"
equal "$(all old)" "$N"
equal "$(bucket_list .dg/moves/)" '' 'notes that stay'

echo "== onto what is there"
mkdir "$MNT/full"
echo mine >"$MNT/full/mine"
refuses 'not empty' mv -T "$MNT/old" "$MNT/full"
content "$MNT/full/mine" mine
mkdir "$MNT/void"
mv -T "$MNT/old" "$MNT/void"
equal "$(all void)" "$N"
mv "$MNT/void" "$MNT/old"

echo "== what another mount has made since it was looked up is not mixed in"
mkdir "$WORK/other"
env "$BINARY" "$SPEC" "$WORK/other" -o "$OPTS" >"$WORK/log.other" 2>&1
ls "$MNT" "$WORK/other" >/dev/null
# Several lookups, so that the directory is listed and its answer kept.
ls -d "$MNT"/{1,2,3,4,5,6,fresh} 2>/dev/null || :
mkdir "$WORK/other/fresh"
echo precious >"$WORK/other/fresh/f1"
refuses 'not empty' python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$MNT/old" "$MNT/fresh"
content "$WORK/other/fresh/f1" precious
rm -r "$WORK/other/fresh"
lib_umount "$WORK/other"
equal "$(all old)" "$N"

echo "== cut off"
cut=0
from=old
to=new
for ((round = 0; round < ROUNDS; round++)); do
	mv -T "$MNT/$from" "$MNT/$to" 2>"$WORK/mv" &
	mover=$!
	# Later and later, so that copies and removals are met.
	enough() {
		[ "$(bucket_list "$to/" | wc -l)" -gt $((round * N / ROUNDS)) ]
	}
	if ((round % 2)); then
		gone() {
			[ "$(bucket_list "$from/" | wc -l)" -lt $((N - round * N / ROUNDS / 2)) ]
		}
		until_true 60 gone || fail "$from stays"
	else
		until_true 60 enough || fail "$to does not come"
	fi
	kill -KILL "$DPID"
	wait "$DPID" || :
	wait "$mover" || cut=$((cut + 1))
	umount -l "$MNT" 2>/dev/null || fusermount3 -uz "$MNT" || :
	mount_fs
	# Cut off once more, the second try.
	if [ "$round" = 2 ] && [ -d "$MNT/$from" ]; then
		mv -T "$MNT/$from" "$MNT/$to" 2>"$WORK/mv" &
		mover=$!
		more() {
			[ "$(bucket_list "$to/" | wc -l)" -gt $((round * N / ROUNDS + N / 5)) ]
		}
		until_true 60 more || fail "$to does not come"
		kill -KILL "$DPID"
		wait "$DPID" || :
		wait "$mover" || :
		umount -l "$MNT" 2>/dev/null || fusermount3 -uz "$MNT" || :
		mount_fs
	fi
	if [ -d "$MNT/$from" ]; then
		first=$(all "$from" "$to")
		echo "cut off with $first of $N under the old name"
		grep -q "the rename of $from/ to $to/ was begun and has not ended" "$LOG" ||
			fail "nothing of it in the log"
		mv -T "$MNT/$from" "$MNT/$to"
	fi
	missing "$MNT/$from"
	equal "$(all "$to")" "$N" 'after the second try'
	equal "$(stat -c %a "$MNT/$to/empty")" 711
	[ "$from" = old ] && from=new to=old || from=old to=new
done
equal "$(bucket_list .dg/moves/)" '' 'notes that stay'
holds "$cut" -ge 1

echo "== what came since is nobody's to replace"
mv -T "$MNT/$from" "$MNT/$to" 2>"$WORK/mv" &
mover=$!
enough() {
	[ "$(bucket_list "$to/" | wc -l)" -gt $((N / 3)) ]
}
until_true 60 enough || fail "$to does not come"
kill -KILL "$DPID"
wait "$DPID" || :
wait "$mover" || :
umount -l "$MNT" 2>/dev/null || fusermount3 -uz "$MNT" || :
mount_fs
if [ "$(all "$from" "$to")" = "$N" ]; then
	have=$(cd "$MNT/$to" && find . -type f -print -quit)
	read -r -t 1.1 <> <(:) || :
	echo 'changed since' >"$MNT/$to/$have"
	refuses 'not empty' mv -T "$MNT/$from" "$MNT/$to"
	content "$MNT/$to/$have" 'changed since'
	rm "$MNT/$to/$have"
	mv -T "$MNT/$from" "$MNT/$to"
	equal "$(all "$to")" "$N"
fi
umount_fs
