#!/usr/bin/env bash
# Hints: what a directory of many files costs a mount that has not seen it, and
# that nothing they say is believed of another version.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

FILES=300
# All that ls -l and rsync would look at, of what is below $1.
attributes() {
	(cd "$1" && find . -mindepth 1 -printf '%P %y %m %U %G %s %T@ %C@ %l\n' | sort)
}
written() {
	[ "$(stats .hints.waiting)" = 0 ]
}
wait_written() {
	until_true 20 written || fail "hints were not written"
}
hint_keys() {
	bucket_list .dg/hints/ | cut -f2
}
# looks MOST: the attributes of d are what they were, for at most MOST requests.
looks() {
	local before now

	before=$(requests head get list)
	attributes "$MNT/d" >"$WORK/now"
	now=$(($(requests head get list) - before))
	alike "$WORK/now" "$WORK/were"
	echo "$now requests"
	[ "$now" -le "$1" ] || fail "$now requests, at most $1 expected"
	CHECKS=$((CHECKS + 1))
}

mount_fs
mkdir "$MNT/d"
python3 - "$MNT/d" "$FILES" <<'END'
import os, sys
for k in range(int(sys.argv[2])):
    p = "%s/f%d" % (sys.argv[1], k)
    with open(p, "wb") as f:
        f.write(b"%d " % k * k)
    os.chmod(p, 0o600 + k % 64)
    os.utime(p, ns=(k * 10**9 + 5, k * 10**9 + 7))
END
ln -s 'f1 and more' "$MNT/d/link"
setfattr -n user.note -v 'kept too' "$MNT/d/f7"
chown 12:34 "$MNT/d/f8" 2>/dev/null || :
printf 'of another program' | bucket_put d/foreign
attributes "$MNT/d" | grep -v ^foreign >"$WORK/were.ours"

echo "== at the end of the mount what is known is stored"
remount_fs
equal "$(hint_keys | wc -l)" 1 'objects of hints'
attributes "$MNT/d" >"$WORK/were"
alike <(grep -v ^foreign "$WORK/were") "$WORK/were.ours"
holds "$(stats .hints.used)" -ge $((FILES - 10))
remount_fs
looks 20
equal "$(getfattr --absolute-names --only-values -n user.note "$MNT/d/f7")" 'kept too'
content "$MNT/d/f9" "$(cat <(for _ in 1 2 3 4 5 6 7 8 9; do printf '9 '; done))"

echo "== what the kernel forgets is not asked for again"
if [ "$(id -u)" = 0 ]; then
	wait_written
	echo 2 >/proc/sys/vm/drop_caches
	read -r -t 1.5 <> <(:) || :
	looks 20
fi

echo "== another version is not taken for the one that was seen"
remount_fs
printf 'longer than it was' | bucket_put d/f3
printf 'of another\nprogram' | bucket_put d/foreign
chmod 604 "$MNT/d/f4"
echo more >>"$MNT/d/f5"
rm "$MNT/d/f6"
mv "$MNT/d/f10" "$MNT/d/f11"
sync "$MNT/d/f4"
attributes "$MNT/d" >"$WORK/were"
equal "$(awk '$1 == "f3" { print $6 }' "$WORK/were")" 18
equal "$(awk '$1 == "f4" { print $3 }' "$WORK/were")" 604
remount_fs
looks 40

echo "== what is assumed of others is this mount's to assume"
remount_fs uid=321,file_mode=0606
equal "$(stat -c '%u %a' "$MNT/d/foreign")" '321 606'
holds "$(stat -c %u "$MNT/d/f1")" != 321
ls -l "$MNT/d" >/dev/null
equal "$(stat -c '%u %a' "$MNT/d/foreign")" '321 606'

echo "== they may be lost, or damaged, or not to be read"
remount_fs
key=$(hint_keys)
bucket_get "$key" >"$WORK/hints"
python3 - "$WORK/hints" <<'END'
import sys
b = bytearray(open(sys.argv[1], "rb").read())
b[len(b) // 2] ^= 1
open(sys.argv[1], "wb").write(b)
END
bucket_put "$key" <"$WORK/hints"
looks $((FILES + 60))
until_true 10 grep -q 'warning.*cannot be used' "$LOG" || fail "no word of damaged hints"
equal "$(grep -c 'cannot be used' "$LOG")" 1 'warnings'
# And they are mended by what was asked instead.
wait_written
remount_fs
looks 40
bucket_put "$key" </dev/null
remount_fs
looks $((FILES + 60))

echo "== two mounts"
mkdir "$WORK/other"
env "$BINARY" "$SPEC" "$WORK/other" -o "$OPTS" >"$WORK/log.other" 2>&1
wait_written
chmod 611 "$WORK/other/d/f20"
echo changed >"$WORK/other/d/f21"
for k in {1..40}; do
	echo "$k" >"$WORK/other/d/new$k"
done
sync "$WORK/other/d/f20"
attributes "$WORK/other/d" >"$WORK/were"
lib_umount "$WORK/other"
read -r -t 1.2 <> <(:) || :
looks $((FILES + 60))
remount_fs
looks 120

echo "== a mount that may not write leaves them"
bucket_list .dg/hints/ >"$WORK/before"
printf 'longer than it was again' | bucket_put d/f3
remount_fs ro
attributes "$MNT/d" >/dev/null
umount_fs
alike <(bucket_list .dg/hints/) "$WORK/before"

echo "== they go with the directory"
mount_fs
rm -r "$MNT/d"
umount_fs
equal "$(hint_keys)" ''
