#!/usr/bin/env bash
# The cache keeps its bounds, whatever comes: sampled from outside while it runs.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

REFERENCES=200
SIZE=400000 # bytes of each

# Pairs that resemble each other and nothing else; small ones, but many.
mkdir "$WORK/in"
for ((i = 0; i < REFERENCES; i++)); do
	noise "$SIZE" "$((i + 1))" >"$WORK/in/a.$i"
	{ head -c 1000 "$WORK/in/a.$i"; echo changed; tail -c +2001 "$WORK/in/a.$i"; } >"$WORK/in/b.$i"
done

# sample DIRECTORY FILE: note the most bytes ever seen below it, until the file
# is gone.
sample() {
	local most=0 now count=0

	while [ -e "$2" ]; do
		# Of a disk of its own one number, which no file that comes while
		# another goes is counted twice in, as du(1) would.
		now=$(stat -f -c '%b %f %S' "$1" | awk '{ print ($1 - $2) * $3 }')
		[ "${now:-0}" -le "$most" ] || most=$now
		count=$((count + 1))
		echo "$most $count" >"$2.result.new"
		mv "$2.result.new" "$2.result"
	done
}

sampled() {
	rm "$1"
	wait "$2"
	read -r MOST COUNT <"$1.result"
	echo "at most $MOST bytes in $COUNT samples"
	holds "$COUNT" -gt 20
}

# In an order that is the same each time, and no order.
scrambled() {
	shuf -i "0-$((REFERENCES - 1))" --random-source=<(noise 100000 "$1")
}

read_all() {
	local i

	for i in $(scrambled "$1"); do
		CHECKS=$((CHECKS + 1))
		direct "$MNT/b.$i" | cmp - "$WORK/in/b.$i" || fail "b.$i is not what was written"
	done
}

echo "== $REFERENCES references through a cache that holds 10"
limit=$((10 * (SIZE + 10000) + 60000))
mount_fs "cache_size=$limit"
for ((i = 0; i < REFERENCES; i++)); do
	cp "$WORK/in/a.$i" "$WORK/in/b.$i" "$MNT/"
done
deltas=$(stats .files.written_delta)
holds "$deltas" -ge $((REFERENCES * 9 / 10))
umount_fs
sampler=
whole=$OPTS
if [ "$(id -u)" = 0 ]; then
	mkdir "$WORK/own"
	mount -t tmpfs -o size=64m,mode=0700 none "$WORK/own"
	OPTS=${OPTS/cache_dir=$CACHE/cache_dir=$WORK/own}
	: >"$WORK/sampling"
	sample "$WORK/own" "$WORK/sampling" &
	sampler=$!
fi
mount_fs "cache_size=$limit"
read_all 1 &
one=$!
read_all 2
wait "$one"
holds "$(stats .cache.evictions_space)" -gt $((REFERENCES - 20))
holds "$(stats .cache.entries)" -ge 5
holds "$(stats .cache.entries)" -le 10
equal "$(stats .cache.unkept)" 0 'references that were not kept'
equal "$(stats .errors.verify_failures)" 0
if [ -n "$sampler" ]; then
	sampled "$WORK/sampling" "$sampler"
	holds "$MOST" -gt $((limit / 2))
	holds "$MOST" -le "$limit"
fi
umount_fs
OPTS=$whole
[ -z "$sampler" ] || umount "$WORK/own"

echo "== the same in memory, from the environment"
DG_CACHE_BACKEND=memory DG_CACHE_MEMORY_SIZE_MB=4 mount_fs
equal "$(stats .cache.backend)" memory
equal "$(stats .cache.limit)" $((4 << 20))
read_all 3
holds "$(stats .cache.bytes)" -le $((4 << 20))
holds "$(stats .cache.entries)" -ge 5
holds "$(stats .cache.evictions_space)" -gt $((REFERENCES - 20))
# Nothing but the empty directory is on the disk: what is read leaves no trace.
holds "$(du -s -B1 "$CACHE" | cut -f1)" -le 20000
echo 1 >"$MNT/.dg/clear_cache"
equal "$(stats .cache.bytes)" 0
umount_fs

echo "== one that is larger than the whole cache"
noise 9000000 777 >"$WORK/big.1"
{ head -c 5000000 "$WORK/big.1"; echo x; tail -c +5000001 "$WORK/big.1"; } >"$WORK/big.2"
for options in cache_size=4M cache_backend=memory,cache_memory_size=4M; do
	mount_fs "$options"
	cp "$WORK/big.1" "$WORK/big.2" "$MNT/"
	equal "$(attribute "$MNT/big.2" storage)" delta
	remount_fs "$options"
	read_all 4 >/dev/null &
	other=$!
	same "$WORK/big.2" "$MNT/big.2"
	wait "$other"
	holds "$(stats .cache.unkept)" -ge 1
	holds "$(stats .cache.bytes)" -le $((4 << 20))
	grep -q 'no room for a reference of 9000000 bytes: .* raise cache_' "$LOG" || fail 'no note of it in the log'
	equal "$(stats .files.spool_bytes)" 0
	umount_fs
	rm -f "$WORK/big.gone"
	mount_fs
	rm "$MNT/big.1" "$MNT/big.2"
	umount_fs
done

echo "== cache_min_free: others fill the disk"
if [ "$(id -u)" = 0 ]; then
	disk=$WORK/disk
	mkdir "$disk"
	LIB_CLEANUP=end_disk
	end_disk() {
		! is_mounted "$disk" || umount "$disk"
	}
	mount -t tmpfs -o size=64m,mode=0700 none "$disk"
	keep=$OPTS
	OPTS=${OPTS/cache_dir=$CACHE/cache_dir=$disk}
	mount_fs cache_size=40M,cache_min_free=8M
	read_all 5
	holds "$(stats .cache.bytes)" -gt 30000000
	# In the end 50 of 64 MiB are another's, who takes them as he can.
	shrunk() {
		[ "$(df --output=avail -B1 "$disk" | tail -1)" -ge $((8 << 20)) ]
	}
	for ((i = 0; i < 10; i++)); do
		head -c 5M /dev/zero >>"$disk/others"
		until_true 20 shrunk || fail "less than cache_min_free is left: $(df "$disk")"
	done
	holds "$(stats .cache.evictions_disk)" -ge 1
	read_all 6
	equal "$(stats .errors.verify_failures)" 0
	rm "$disk/others"
	umount_fs
	mount_fs cache_size=40M,cache_min_free=1G,spool_size=20M
	grep -q 'cache_min_free=1073741824 leaves nothing of the 67108864 bytes' "$LOG" || fail 'no warning of it'
	read_all 7
	equal "$(stats .cache.entries)" 0
	equal "$(grep -c 'warning: cache: no room for a reference of .* free some of the disk .* lower cache_min_free' "$LOG")" 1
	umount_fs

	echo "== a disk of 64 MiB, to the last block"
	umount "$disk"
	truncate -s 64M "$WORK/image"
	mkfs.ext4 -q -m 0 "$WORK/image"
	if mount -o loop "$WORK/image" "$disk"; then
		noise 40000000 888 >"$WORK/large"
		mount_fs cache_size=60M,cache_min_free=0,spool_size=200M
		read_all 7
		holds "$(stats .cache.bytes)" -gt 30000000
		# The spool takes the disk back from the cache.
		cp "$WORK/large" "$MNT/large"
		same "$WORK/large" "$MNT/large"
		refuses 'No space left' dd if=/dev/urandom of="$MNT/toolarge" bs=1M count=100
		read_all 8
		echo small >"$MNT/small"
		content "$MNT/small" small
		EXPECT_ERRORS=1 umount_fs
		umount "$disk"
	fi
	OPTS=$keep
fi

echo "== cleared at its interval"
mount_fs cache_clear_interval=1s
read_all 9
cleared() {
	[ "$(stats .cache.clears)" -ge 2 ]
}
until_true 20 cleared || fail 'not cleared'
grep -q 'cache cleared at its interval' "$LOG"
umount_fs
