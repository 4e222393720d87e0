#!/usr/bin/env bash
# One cache for several mounts: with a key that they have in common, kept from
# one day to the next, and whole whoever is killed.
# With DG_TEST_LONG=1 the killing goes on for ten minutes.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

"$BINARY" --generate-key >"$WORK/key"
"$BINARY" --generate-key >"$WORK/otherkey"
chmod 600 "$WORK/key" "$WORK/otherkey"
SHARED=cache_key_file=$WORK/key
SIZE=1500000

mkdir "$WORK/in"
for ((i = 0; i < 12; i++)); do
	noise "$SIZE" "$((i + 1))" >"$WORK/in/a.$i"
	{ head -c 1000 "$WORK/in/a.$i"; echo changed; tail -c +2001 "$WORK/in/a.$i"; } >"$WORK/in/b.$i"
done

# at N: the Nth mount is the one that mount_fs, stats and the rest are about.
PIDS=()
LOGS=()
at() {
	PIDS[AT]=$DPID
	LOGS[AT]=$LOG
	AT=$1
	MNT=$WORK/mnt$AT
	DPID=${PIDS[AT]-}
	LOG=${LOGS[AT]-}
	mkdir -p "$MNT"
}
AT=0
DPID=
LOG=
at 1

entries() {
	find "$CACHE" -type f -regextype posix-extended -regex '.*/[0-9a-f]{32}' | wc -l
}

read_all() {
	local i

	for ((i = 0; i < 12; i++)); do
		CHECKS=$((CHECKS + 1))
		direct "$1/b.$i" | cmp - "$WORK/in/b.$i" || fail "$1/b.$i is not what was written"
	done
}

mount_fs
for ((i = 0; i < 12; i++)); do
	cp "$WORK/in/a.$i" "$WORK/in/b.$i" "$MNT/"
	equal "$(attribute "$MNT/b.$i" storage)" delta
done
umount_fs

echo "== each byte once, for four at a time"
for n in 1 2 3 4; do
	at "$n"
	mount_fs "$SHARED,cache_size=100M"
done
jobs=()
for n in 1 2 3 4; do
	read_all "$WORK/mnt$n" &
	jobs+=($!)
done
for j in "${jobs[@]}"; do
	wait "$j" || fail 'one of four readers has failed'
done
fetched=0
for n in 1 2 3 4; do
	at "$n"
	fetched=$((fetched + $(stats .cache.fetched_bytes)))
	equal "$(stats .cache.entries)" 12
	equal "$(stats .cache.key)" persistent
	equal "$(stats .cache.shared)" 1
	equal "$(wc -l <"$MNT/.dg/refs")" 12
done
equal "$fetched" $((12 * SIZE)) 'bytes fetched by all four together'
equal "$(entries)" 12 'files in the cache'
holds "$(du -s -B1 "$CACHE" | cut -f1)" -le $((12 * (SIZE + 20000)))

echo "== emptied by one for all, and by the last that leaves"
echo 1 >"$MNT/.dg/clear_cache"
equal "$(entries)" 0 'files after clear_cache'
at 1
equal "$(stats .cache.entries)" 0
read_all "$MNT"
at 2
misses=$(stats .cache.misses)
read_all "$MNT"
equal "$(stats .cache.misses)" "$misses" 'misses of what another had fetched'
for n in 1 2 3; do
	at "$n"
	umount_fs
	equal "$(entries)" 12 'files while somebody is there'
done
at 4
umount_fs
equal "$(ls -A "$CACHE")" '' 'left in the cache directory'

echo "== kept, found again, and foreign to another key"
at 1
mount_fs "$SHARED,cache_keep=yes"
read_all "$MNT"
umount_fs
equal "$(entries)" 12
mount_fs "$SHARED,cache_keep=yes"
read_all "$MNT"
equal "$(stats .cache.misses)" 0 'misses of a cache that was kept'
equal "$(stats .cache.fetched_bytes)" 0
umount_fs
# A mount with a key of its own, and one without any, leave it alone or not.
mount_fs
read_all "$MNT"
equal "$(stats .cache.key)" ephemeral
equal "$(stats .cache.hits)" 0
umount_fs
equal "$(entries)" 12
mount_fs "cache_key_file=$WORK/otherkey,cache_keep=yes"
equal "$(stats .cache.foreign)" 12
equal "$(stats .cache.entries)" 0
grep -q 'removed 12 entries that were sealed under another key' "$LOG" || fail 'no line of it in the log'
read_all "$MNT"
umount_fs
mount_fs "cache_key_file=$WORK/otherkey"
read_all "$MNT"
equal "$(stats .cache.misses)" 0
umount_fs
equal "$(ls -A "$CACHE")" '' 'left in the cache directory'

echo "== one of four is killed, again and again, and the bound holds over all"
limit=$((6 * (SIZE + 10000) + 60000))
for n in 1 2 3 4; do
	at "$n"
	mount_fs "$SHARED,cache_size=$limit"
done
: >"$WORK/go"
reader() {
	while [ -e "$WORK/go" ]; do
		read_all "$1" || exit 1
	done
}
sampler() {
	local now most=0

	while [ -e "$WORK/go" ]; do
		now=$(du -s -B1 "$CACHE" 2>/dev/null | cut -f1) || :
		[ "${now:-0}" -le "$most" ] || most=$now
		echo "$most" >"$WORK/most"
	done
}
jobs=()
for n in 1 2 3; do
	reader "$WORK/mnt$n" & jobs+=($!)
done
sampler & jobs+=($!)
at 4
killed=0
until=$((SECONDS + (${DG_TEST_LONG:-0} ? 600 : 15)))
while [ "$SECONDS" -lt "$until" ]; do
	# Somewhere in the middle of what it does.
	for ((i = killed % 12; i < 12; i++)); do
		direct "$MNT/b.$i" >"$WORK/copy" 2>/dev/null || break
		cmp -s "$WORK/copy" "$WORK/in/b.$i" || fail "b.$i is not what was written"
	done &
	victim=$!
	read -r -t "0.$((RANDOM % 4))$((RANDOM % 10))" <> <(:) || :
	kill -KILL "$DPID"
	wait "$DPID" 2>/dev/null || :
	wait "$victim" || fail 'wrong bytes from the one that was killed'
	umount -l "$MNT" 2>/dev/null || fusermount3 -uz "$MNT"
	killed=$((killed + 1))
	for j in "${jobs[@]}"; do
		kill -0 "$j" 2>/dev/null || fail "one of the others has failed"
	done
	mount_fs "$SHARED,cache_size=$limit"
done
rm "$WORK/go"
for j in "${jobs[@]}"; do
	wait "$j" || fail "one of the others has failed"
done
echo "$killed killed; at most $(cat "$WORK/most") of $limit bytes"
holds "$killed" -ge 5
# du(1) may count one that goes and one that comes for it.
holds "$(cat "$WORK/most")" -le $((limit + 4096 + SIZE + 10000))
for n in 1 2 3 4; do
	at "$n"
	read_all "$MNT"
	equal "$(stats .errors.verify_failures)" 0
	equal "$(stats .cache.corruptions)" 0
done
for n in 1 2 3 4; do
	at "$n"
	umount_fs
done
# Nothing is locked, nothing is left.
equal "$(ls -A "$CACHE")" '' 'left in the cache directory'

echo "== an entry that got the name of a part, while it is read"
for n in 1 2; do
	at "$n"
	mount_fs "$SHARED"
done
at 1
exec 5<"$MNT/b.0"
head -c 1 <&5 >/dev/null
for f in "$CACHE"/deltaglider-cache-*/????????????????????????????????; do
	mv "$f" "$f.part"
done
at 2
read_all "$MNT"
# Not waited for, as one that somebody fills would be.
! grep -q 'does not answer' "$LOG" || fail 'it was waited for'
holds "$(stats .cache.corruptions)" -ge 1
exec 5<&-
for n in 1 2; do
	at "$n"
	umount_fs
done

echo "== a stopped one holds nobody up, whatever it has locked"
for n in 1 2; do
	at "$n"
	mount_fs "$SHARED,cache_size=$limit"
done
at 1
read_all "$MNT"
kill -STOP "$DPID"
at 2
read_all "$MNT"
kill -CONT "${PIDS[1]}" # before anybody looks at its mount: that would wait
# Stopped just then, it may have these: what all take turns at, and an entry.
for locked in space entry; do
	name=$(find "$CACHE" -type f -regextype posix-extended \
		-regex '.*/([0-9a-f]{32}|space)' | sort | { [ "$locked" = space ] && tail -n 1 || head -n 1; })
	exec {held}<"$name"
	flock -x "$held"
	begin=$SECONDS
	read_all "$MNT"
	# Twelve times ten seconds, if each file waited for it.
	holds $((SECONDS - begin)) -lt 60
	exec {held}<&-
done
read_all "$MNT"
for n in 1 2; do
	at "$n"
	umount_fs
done
equal "$(ls -A "$CACHE")" '' 'left in the cache directory'
