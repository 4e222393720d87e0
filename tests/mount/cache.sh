#!/usr/bin/env bash
# The cache: bounded, cleared at any time, gone when the mount is.
# With DG_TEST_LONG=1 the crowd goes on for ten minutes.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

samples typescript 5.4.2 5.4.3 5.4.4 5.4.5 5.5.2 5.5.3
from=$SAMPLES

# Bytes on disk below the cache directory.
on_disk() {
	du -s -B1 "$CACHE" | cut -f1
}

nothing_left() {
	[ -z "$(ls -A "$CACHE")" ]
}

clean() {
	CHECKS=$((CHECKS + 1))
	until_true 10 nothing_left || fail "left in the cache directory: $(ls -AR "$CACHE")"
}

echo "== control files"
mount_fs
equal "$(cd "$MNT/.dg" && echo *)" 'clear_cache config log_level metrics refs rotate_key stats version'
jq -e . "$MNT/.dg/stats" >"$WORK/stats"
for field in .version .unverified_bytes .cache.backend .cache.key .cache.key_source .cache.shared \
	.cache.bytes .cache.limit .cache.entries .cache.in_use .cache.clear_pending .cache.hits .cache.misses \
	.cache.fetched_bytes .cache.unkept .cache.evictions .cache.evictions_space .cache.evictions_disk \
	.cache.evictions_memory .cache.corruptions .cache.foreign .cache.clears .cache.rotations \
	.cache.memory_bytes .cache.memory_limit .cache.sealing_seconds .cache.opening_seconds \
	.cache.sealed_bytes .cache.opened_bytes .files.spool_bytes .files.spool_limit .files.written_plain .files.written_delta .files.logical_bytes .files.stored_bytes \
	.requests.head .requests.get .requests.put .requests.part .requests.copy .requests.delete .requests.list \
	.requests.retries .requests.errors .requests.bytes_in .requests.bytes_out \
	.errors.commit .errors.lost_at_release .errors.conflicts .errors.verify_failures; do
	CHECKS=$((CHECKS + 1))
	jq -e "$field != null" "$WORK/stats" >/dev/null || fail "stats have no $field"
done
# For Prometheus the same numbers, as its own parser reads them.
cat >"$WORK/metrics.py" <<'PYTHON'
import json, sys
from prometheus_client.parser import text_string_to_metric_families as parse
stats = json.load(open(sys.argv[1]))
seen = {}
for family in parse(open(sys.argv[2]).read()):
    assert family.documentation and family.type in ("counter", "gauge"), family.name
    for sample in family.samples:
        assert sample.name not in seen, sample.name
        seen[sample.name] = sample
count = 0
for group, value in stats.items():
    for name, v in (value if isinstance(value, dict) else {"": value}).items():
        full = "_".join(part for part in ("deltaglider", group, name) if part)
        if isinstance(v, str):
            full = full if name else "deltaglider_build"
            assert v in seen[full + "_info"].labels.values(), full
        else:
            assert full in seen or full + "_total" in seen, full
            assert (seen.get(full) or seen[full + "_total"]).value >= 0
        count += 1
assert count == len(seen), (count, len(seen))
print(count)
PYTHON
cat "$MNT/.dg/metrics" >"$WORK/metrics"
holds "$(/usr/bin/python3 "$WORK/metrics.py" "$WORK/stats" "$WORK/metrics")" -ge 50
equal "$(stats .version)" "$("$BINARY" --version | cut -d' ' -f2)"
equal "$(cat "$MNT/.dg/version")" "$(stats .version)"
for text in 0 2 '' yes '1 1' 11; do
	refuses 'invalid argument' bash -c "printf '%s\n' '$text' >'$MNT/.dg/clear_cache'"
done
printf 1 >"$MNT/.dg/clear_cache"
echo 1 >"$MNT/.dg/clear_cache"
equal "$(stats .cache.clears)" 2 'clears'
refuses 'denied' bash -c "echo 1 >'$MNT/.dg/stats'"
refuses 'permitted|denied|read-only' rm "$MNT/.dg/stats"
refuses 'permitted|denied|read-only' touch "$MNT/.dg/new"
refuses . rmdir "$MNT/.dg"
refuses . mv "$MNT/.dg" "$MNT/else"
refuses 'invalid argument' bash -c "echo loud >'$MNT/.dg/log_level'"
echo warning >"$MNT/.dg/log_level"
content "$MNT/.dg/log_level" warning
grep -q '^cache_dir = .*# -o$' "$MNT/.dg/config"
grep -q '^max_ratio = 0.5 .*# built-in$' "$MNT/.dg/config"
CHECKS=$((CHECKS + 2))
if [ "$STORE" = s3 ]; then
	CHECKS=$((CHECKS + 1))
	! grep -qF "$AWS_SECRET_ACCESS_KEY" "$MNT/.dg/config" || fail 'the secret key is in .dg/config'
fi

echo "== hits, and what clear_cache empties"
mkdir "$MNT/a"
for v in 5.4.2 5.4.3 5.4.4; do
	cp "$from/typescript-$v.tar" "$MNT/a/"
done
remount_fs ''
same "$from/typescript-5.4.3.tar" "$MNT/a/typescript-5.4.3.tar"
same "$from/typescript-5.4.4.tar" "$MNT/a/typescript-5.4.4.tar"
misses=$(stats .cache.misses)
cp "$from/typescript-5.4.5.tar" "$MNT/a/"
cp "$from/typescript-5.4.5.tar" "$MNT/a/twice"
holds "$(stats .cache.entries)" -ge 1
holds "$(stats .cache.bytes)" -ge "$(stat -c %s "$from/typescript-5.4.2.tar")"
holds "$(on_disk)" -ge 32000000
holds "$(stats .cache.hits)" -ge 1
holds "$(stats .cache.misses)" -le $((misses + 1))
echo 1 >"$MNT/.dg/clear_cache"
equal "$(stats .cache.entries)" 0 'entries after clear_cache'
equal "$(stats .cache.bytes)" 0 'bytes after clear_cache'
holds "$(on_disk)" -lt 1000000
same "$from/typescript-5.4.5.tar" "$MNT/a/typescript-5.4.5.tar"

echo "== gone after umount, SIGTERM, SIGINT"
umount_fs
clean
for signal in TERM INT; do
	mount_fs
	cat "$MNT/a/typescript-5.4.4.tar" >/dev/null
	cp "$from/typescript-5.4.5.tar" "$MNT/a/more-$signal"
	holds "$(on_disk)" -gt 1000000
	exec 8>"$MNT/a/open-$signal"
	printf 'not closed' >&8
	kill "-$signal" "$DPID"
	end_fs 0
	exec 8>&-
	clean
	mount_fs
	same "$from/typescript-5.4.5.tar" "$MNT/a/more-$signal"
	content "$MNT/a/open-$signal" 'not closed'
	umount_fs
done

echo "== killed: gone at the next mount"
mount_fs
cp "$from/typescript-5.4.5.tar" "$MNT/a/killed"
holds "$(on_disk)" -gt 1000000
kill -KILL "$DPID"
until_true 10 has_ended "$DPID" || fail 'it survives SIGKILL'
wait "$DPID" 2>/dev/null || :
refuses 'not connected' ls "$MNT"
lib_umount "$MNT"
holds "$(on_disk)" -gt 1000000
mkdir "$WORK/mnt2"
before=$(ls "$CACHE")
mount_fs
missing "$CACHE/$before"
same "$from/typescript-5.4.5.tar" "$MNT/a/killed"
# A second mount that lives is left alone by a third that starts.
mine=$(ls "$CACHE")
"$BINARY" "$SPEC" "$WORK/mnt2" -o "$OPTS"
holds -d "$CACHE/$mine"
equal "$(find "$CACHE" -mindepth 1 -maxdepth 1 | wc -l)" 2
same "$from/typescript-5.4.5.tar" "$WORK/mnt2/a/killed"
lib_umount "$WORK/mnt2"
umount_fs
clean

echo "== the bound"
# Five series that have nothing in common, each with a reference of 20 to 32 MB.
cp "$from/typescript-5.4.2.tar" "$WORK/v1.0"
for i in 1 2 3 4; do
	noise 20000000 "$i" >"$WORK/v1.$i"
done
for i in 0 1 2 3 4; do
	{ head -c 9000000 "$WORK/v1.$i"; echo "a line more"; tail -c +9000001 "$WORK/v1.$i"; } >"$WORK/v2.$i"
	{ head -c 3000 "$WORK/v1.$i"; tail -c +40001 "$WORK/v1.$i"; } >"$WORK/v3.$i"
done
limit=$((64 << 20))
mount_fs cache_size=64M
mkdir "$MNT/five"
equal "$(stats .cache.limit)" "$limit"
for v in 1 2 3; do
	for i in 0 1 2 3 4; do
		cp "$WORK/v$v.$i" "$MNT/five/"
		holds "$(stats .cache.bytes)" -le "$limit"
		# Named files only: what is being written has its own bound.
		holds "$(on_disk)" -le $((limit + (1 << 20)))
	done
done
for pass in 1 2; do
	for i in 0 1 2 3 4; do
		for v in 1 2 3; do
			same "$WORK/v$v.$i" "$MNT/five/v$v.$i"
			holds "$(stats .cache.bytes)" -le "$limit"
		done
	done
	echo "pass $pass: $(stats .cache.evictions) evictions"
done
for i in 0 1 2 3 4; do
	equal "$(attribute "$MNT/five/v2.$i" storage)" delta
	equal "$(attribute "$MNT/five/v3.$i" storage)" delta
done
holds "$(stats .cache.evictions)" -ge 5
umount_fs
clean

echo "== a crowd while it is cleared"
mount_fs cache_size=64M
mkdir "$MNT/crowd"
: >"$WORK/go"
clearing() {
	while [ -e "$WORK/go" ]; do
		echo 1 >"$MNT/.dg/clear_cache" || exit 1
	done
}
reading() {
	local i
	while [ -e "$WORK/go" ]; do
		for i in 0 1 2 3 4; do
			cmp "$WORK/v2.$i" "$MNT/five/v2.$i" || exit 1
			sha256sum <"$MNT/five/v3.$i" | cmp - <(sha256sum <"$WORK/v3.$i") || exit 1
		done
	done
}
writing() {
	local i n=0
	while [ -e "$WORK/go" ]; do
		for i in 0 1 2 3 4; do
			n=$((n + 1))
			cp "$WORK/v$((1 + n % 3)).$i" "$MNT/crowd/$1.$i" || exit 1
			cmp "$WORK/v$((1 + n % 3)).$i" "$MNT/crowd/$1.$i" || exit 1
		done
	done
	echo "$n" >"$WORK/written.$1"
}
# One that stays open and is written to slowly.
appending() {
	exec 9>"$MNT/crowd/slow"
	local n=0
	while [ -e "$WORK/go" ]; do
		n=$((n + 1))
		head -c 100000 "$WORK/v1.1" >&9 || exit 1
		echo "$n" >"$WORK/appended"
	done
	exec 9>&-
}
jobs=()
clearing & jobs+=($!)
reading & jobs+=($!)
writing one & jobs+=($!)
writing two & jobs+=($!)
appending & jobs+=($!)
DG_TEST_LONG=${DG_TEST_LONG:-0}
until=$((SECONDS + (DG_TEST_LONG ? 600 : 15)))
while [ "$SECONDS" -lt "$until" ]; do
	holds "$(stats .cache.bytes)" -le "$limit"
	for j in "${jobs[@]}"; do
		kill -0 "$j" 2>/dev/null || fail "one of the crowd has failed"
	done
	read -r -t 0.1 <> <(:) || :
done
rm "$WORK/go"
for j in "${jobs[@]}"; do
	wait "$j" || fail "one of the crowd has failed"
done
equal "$(stat -c %s "$MNT/crowd/slow")" $(($(cat "$WORK/appended") * 100000))
equal "$(stats .errors.verify_failures)" 0
equal "$(stats .errors.commit)" 0
equal "$(stats .cache.corruptions)" 0
echo "$(stats .cache.clears) clears, $(cat "$WORK"/written.* | awk "{ n += \$1 } END { print n }") files written"
remount_fs ''
for w in one two; do
	for i in 0 1 2 3 4; do
		CHECKS=$((CHECKS + 1))
		cmp -s "$WORK/v1.$i" "$MNT/crowd/$w.$i" || cmp -s "$WORK/v2.$i" "$MNT/crowd/$w.$i" ||
			cmp -s "$WORK/v3.$i" "$MNT/crowd/$w.$i" || fail "crowd/$w.$i is none of what was written"
	done
done
umount_fs
clean
