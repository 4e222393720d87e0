#!/usr/bin/env bash
# A cache in memory makes room before the kernel kills: the mount is in a cgroup
# that gets full.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
[ "$(id -u)" = 0 ] || skip "only root may make a cgroup"
lib_init "$@"

LIMIT=$((400 << 20))
GROUP=
LIB_CLEANUP=end_group
end_group() {
	[ -z "$GROUP" ] || rmdir "$GROUP"
}

# Of version 1 or 2, whichever has the memory here.
make_group() {
	local top

	top=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/mounts)
	if [ -n "$top" ]; then
		mkdir "$top/dg-test-$$" 2>/dev/null || return 1
		GROUP=$top/dg-test-$$
		BOUND=$GROUP/memory.limit_in_bytes
		echo "$LIMIT" >"$BOUND"
		return
	fi
	top=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -n "$top" ] && grep -qw memory "$top/cgroup.subtree_control" &&
		mkdir "$top/dg-test-$$" 2>/dev/null || return 1
	GROUP=$top/dg-test-$$
	BOUND=$GROUP/memory.max
	echo "$LIMIT" >"$BOUND"
}
! sanitized || skip "a sanitizer takes the memory that this is about"
make_group || skip "no cgroup with memory can be made here"

for ((i = 0; i < 8; i++)); do
	noise 20000000 "$((i + 1))" >"$WORK/a.$i"
	{ head -c 1000 "$WORK/a.$i"; echo changed; tail -c +2001 "$WORK/a.$i"; } >"$WORK/b.$i"
done
mount_fs
for ((i = 0; i < 8; i++)); do
	cp "$WORK/a.$i" "$WORK/b.$i" "$MNT/"
done
umount_fs

cat >"$WORK/inside" <<SCRIPT
#!/bin/sh
echo \$\$ >"$GROUP/cgroup.procs"
exec "$BINARY" "\$@"
SCRIPT
chmod 755 "$WORK/inside"
BINARY=$WORK/inside
mount_fs cache_backend=memory,cache_memory_size=300M
for ((i = 0; i < 8; i++)); do
	direct "$MNT/b.$i" | cmp - "$WORK/b.$i"
done
before=$(stats .cache.bytes)
equal "$(stats .cache.entries)" 8
equal "$(stats .cache.evictions_memory)" 0 'evictions without need'

echo "== another in the group takes what there is"
# All that it wants would not fit beside the cache.
cat >"$WORK/hog.py" <<'PYTHON'
import os, sys, time
group, limit = sys.argv[1], int(sys.argv[2])
open(group + "/cgroup.procs", "w").write("0")
def used():
    for usage, cached in ("memory.usage_in_bytes", "total_inactive_file"), ("memory.current", "inactive_file"):
        if os.path.exists(group + "/" + usage):
            stat = dict(line.split() for line in open(group + "/memory.stat"))
            return int(open(group + "/" + usage).read()) - int(stat[cached])
held = []
for k in range(30):
    held.append(bytearray(b"x" * (10 << 20)))
    deadline = time.monotonic() + 10
    while used() > limit * 9 // 10:
        if time.monotonic() > deadline:
            sys.exit("no room is made: %d MiB of %d are used" % (used() >> 20, limit >> 20))
        time.sleep(0.02)
print(len(held) * 10, "MiB taken")
PYTHON
python3 "$WORK/hog.py" "$GROUP" "$LIMIT" || fail 'no room is made, or somebody was killed'
holds "$(stats .cache.evictions_memory)" -ge 1
holds "$(stats .cache.bytes)" -lt "$before"
grep -q 'memory is short (cgroup .*): the cache gives up' "$LOG" || fail 'no line of it in the log'
! has_ended "$DPID" || fail 'the mount was killed'
for ((i = 0; i < 8; i++)); do
	direct "$MNT/b.$i" | cmp - "$WORK/b.$i"
	CHECKS=$((CHECKS + 1))
done
umount_fs

echo "== references come faster than anybody looks"
echo $((100 << 20)) >"$BOUND"
mount_fs cache_backend=memory,cache_memory_size=300M
for ((round = 0; round < 2; round++)); do
	readers=()
	for ((i = 0; i < 8; i++)); do
		direct "$MNT/b.$i" | cmp - "$WORK/b.$i" &
		readers+=($!)
		((i % 3 != 2)) || { wait "${readers[@]}" && readers=(); }
	done
	wait "${readers[@]}" || fail 'not what was written, or the mount was killed'
	CHECKS=$((CHECKS + 8))
done
holds $(($(stats .cache.evictions_memory) + $(stats .cache.unkept))) -ge 1
equal "$(stats .cache.limit)" $((300 << 20))
umount_fs
mount_fs cache_backend=memory
holds "$(stats .cache.limit)" -le $((25 << 20))
holds "$(stats .cache.memory_limit)" -le $((50 << 20))
umount_fs
