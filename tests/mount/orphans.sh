#!/usr/bin/env bash
# What a killed mount has begun to upload in parts is aborted by the next one,
# and nothing else is.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
[ "$STORE" = s3 ] || skip "the local store uploads nothing in parts"

uploads() {
	"$lib_dir/s3raw" uploads "$PREFIX"
}

upload_is_noted() {
	[ -n "$(bucket_list .dg/uploads/)" ] && [ -n "$(uploads)" ]
}

parts() {
	stats .requests.part
}

noise 30000000 1 >"$WORK/large"

echo "== one that ends well leaves no note"
mount_fs part_size=5M,exclusive
cp "$WORK/large" "$MNT/well"
holds "$(parts)" -ge 6
equal "$(uploads)" '' 'uploads'
equal "$(bucket_list .dg/uploads/)" '' 'notes'

echo "== killed in the middle"
umount_fs
mount_fs part_size=5M,max_upload_rate=4M,delta=no,conflict=last-wins
cp "$WORK/large" "$MNT/large" 2>/dev/null &
copying=$!
until_true "$DEADLINE" upload_is_noted || fail "nothing was noted"
equal "$(uploads)" "${PREFIX}large" 'uploads'
kill -KILL "$DPID"
wait "$copying" 2>/dev/null || :
wait "$DPID" 2>/dev/null || :
umount -l "$MNT" 2>/dev/null || fusermount3 -uz "$MNT"
equal "$(uploads)" "${PREFIX}large" 'uploads after the kill'

echo "== notes that must stay"
# Of a process that lives, of another machine that was heard of just now, and
# what is no note at all.
"$lib_dir/s3raw" get "$PREFIX$(bucket_list .dg/uploads/ | cut -f2)" >"$WORK/note"
sed "s/^process .*/process $(stat -Lc %i /proc/self/ns/pid) $$ $(awk '{ print $22 }' /proc/$$/stat)/" "$WORK/note" >"$WORK/alive"
sed 's/^boot .*/boot 00000000-0000-0000-0000-000000000000/' "$WORK/note" >"$WORK/elsewhere"
for name in alive elsewhere; do
	bucket_put ".dg/uploads/$name" <"$WORK/$name"
done
head -c 3000 /dev/urandom | bucket_put .dg/uploads/nonsense
"$lib_dir/s3raw" delete "$PREFIX$(bucket_list .dg/uploads/ | cut -f2 | grep -vE 'alive|elsewhere|nonsense')"
mount_fs part_size=5M,exclusive
equal "$(uploads)" "${PREFIX}large" 'uploads that others have noted'
equal "$(bucket_list .dg/uploads/ | cut -f2 | tr '\n' ' ')" \
	'.dg/uploads/alive .dg/uploads/elsewhere .dg/uploads/nonsense ' 'notes'
umount_fs

echo "== the next mount clears up"
bucket_put .dg/uploads/ended <"$WORK/note"
mount_fs part_size=5M,exclusive
equal "$(uploads)" '' 'uploads that were left'
missing "$MNT/large"
same "$WORK/large" "$MNT/well"
equal "$(bucket_list .dg/uploads/ | cut -f2 | tr '\n' ' ')" \
	'.dg/uploads/alive .dg/uploads/elsewhere .dg/uploads/nonsense ' 'notes'
holds "$(grep -c '1 uploads' "$LOG")" = 1
umount_fs
