#!/usr/bin/env bash
# The key of the cache: where it may come from, that it shows nowhere, and how
# it is changed while files are read.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

key() {
	"$BINARY" --generate-key
}

for ((i = 0; i < 3; i++)); do
	noise 3000000 "$((i + 1))" >"$WORK/a.$i"
	{ head -c 1000 "$WORK/a.$i"; echo changed; tail -c +2001 "$WORK/a.$i"; } >"$WORK/b.$i"
done
read_all() {
	local i

	for i in 0 1 2; do
		CHECKS=$((CHECKS + 1))
		direct "$MNT/b.$i" | cmp - "$WORK/b.$i" || fail "b.$i is not what was written"
	done
}
entries() {
	find "$CACHE" -type f -regextype posix-extended -regex '.*/[0-9a-f]{32}' | wc -l
}
mount_fs
for i in 0 1 2; do
	cp "$WORK/a.$i" "$WORK/b.$i" "$MNT/"
done
umount_fs

echo "== keys that are made"
one=$(key)
two=$(key)
equal "${#one}" 44
[ "$one" != "$two" ] || fail 'the same key twice'
equal "$(base64 -d <<<"$one" | wc -c)" 32
# As DeltaGlider's guide has it, encoded twice.
equal "$(printf %s "$one" | base64 -w0 | wc -c)" 60

echo "== one key in all its forms opens the same cache"
printf '%s\n' "$one" >"$WORK/standard"
tr '+/' '-_' <"$WORK/standard" >"$WORK/url"
base64 -d <"$WORK/standard" >"$WORK/raw"
printf %s "$one" | base64 -w0 >"$WORK/twice"
printf '#!/bin/sh\nshift\ncat "$1"\n' >"$WORK/vault"
chmod 700 "$WORK/vault"
chmod 600 "$WORK/standard" "$WORK/url" "$WORK/raw" "$WORK/twice"
mount_fs "cache_keep=yes,cache_key_file=$WORK/standard"
read_all
umount_fs
again() {
	read_all
	equal "$(stats .cache.misses)" 0 'misses'
	equal "$(stats .cache.foreign)" 0 'foreign entries'
	equal "$(stats .cache.key)" persistent
	equal "$(stats .cache.key_source)" "$1"
	grep -q "cache key loaded from .*, for user $(id -u)\$" "$LOG" || fail 'no line of it in the log'
	! grep -qF -e "$one" -e "$(cat "$WORK/twice")" "$LOG" "$MNT/.dg/config" "$MNT/.dg/stats" "$MNT/.dg/metrics" ||
		fail 'the key shows'
	umount_fs
}
for form in standard url raw twice; do
	mount_fs "cache_keep=yes,cache_key_file=$WORK/$form"
	grep -q "^cache_key_file = $WORK/$form  # -o\$" "$MNT/.dg/config"
	again file
done
(cd "$WORK" && umask 077 && cp standard relative)
cd "$WORK"
mount_fs "cache_keep=yes,cache_key_file=relative"
cd /
again file
mount_fs "cache_keep=yes,cache_key_command=$WORK/vault 'with blanks' \"$WORK/standard\""
again command
for form in standard url twice; do
	DG_CACHE_ENCRYPTION_KEY=$(cat "$WORK/$form") mount_fs cache_keep=yes
	grep -q '^cache_encryption_key = set  # environment$' "$MNT/.dg/config"
	CHECKS=$((CHECKS + 1))
	! grep -qF "$(cat "$WORK/$form")" < <(tr '\0' '\n' <"/proc/$DPID/environ") || fail 'the key is in the environment'
	! grep -qF "$(cat "$WORK/$form")" < <(tr '\0' ' ' <"/proc/$DPID/cmdline") || fail 'the key is on the command line'
	again environment
done
# Where several are set, the firmer one is taken: -o before the environment.
DG_CACHE_ENCRYPTION_KEY=$two mount_fs "cache_keep=yes,cache_key_file=$WORK/standard"
again file
printf '%s\n' "$two" >"$WORK/second"
chmod 600 "$WORK/second"

echo "== what is no key, in one line that does not show it"
bad() {
	refuses "$1" "$BINARY" "$SPEC" "$MNT" -o "$OPTS,$2"
	CHECKS=$((CHECKS + 1))
	! grep -qF "${one:0:12}" "$WORK/refused" || fail 'the message shows the key'
	! is_mounted "$MNT" || fail 'mounted all the same'
	equal "$(wc -l <"$WORK/refused")" 1 'lines of the message'
}
printf '%s\n' "${one:0:40}" >"$WORK/short"
: >"$WORK/empty"
head -c 5000 /dev/zero >"$WORK/long"
cp "$WORK/standard" "$WORK/open"
chmod 600 "$WORK/short" "$WORK/empty" "$WORK/long"
chmod 644 "$WORK/open"
bad 'short.*key' "cache_key_file=$WORK/short"
bad 'empty' "cache_key_file=$WORK/empty"
bad 'long' "cache_key_file=$WORK/long"
bad 'open.*0644.*chmod 600' "cache_key_file=$WORK/open"
bad 'none.*No such file' "cache_key_file=$WORK/none"
bad 'false.*status 1' cache_key_command=false
bad 'true' cache_key_command=true
bad 'nosuchprogram' cache_key_command=nosuchprogram
bad 'both cache_key_file and cache_key_command' "cache_key_file=$WORK/standard,cache_key_command=true"
bad 'cache_keep=yes.*cache_key_file' cache_keep=yes
bad 'cache_encryption_key.*DG_CACHE_ENCRYPTION_KEY' "cache_encryption_key=$one"
DG_CACHE_ENCRYPTION_KEY=${one:0:20} bad 'DG_CACHE_ENCRYPTION_KEY' log_level=info
# A key that stands where a file or a command is to be named.
bad 'stands where a file' "cache_key_file=$one"
bad 'stands where a command' "cache_key_command=$one"
mkfifo -m 600 "$WORK/pipe"
bad 'not a regular file' "cache_key_file=$WORK/pipe"
bad 'not a regular file' "config=$WORK/pipe"
bad 'not a regular file' config=/dev/zero
# Nor does any other message show one.
bad 'cache_keep=\.\.\.' "cache_keep=$one"
bad 'unknown option "\.\.\."' "$one"
bad 'key command \.\.\.' "cache_key_command=$one x"
printf '[default]\n%s\n' "$one" >"$WORK/keyconf"
bad 'line 2: unknown option "\.\.\."' "config=$WORK/keyconf"
# The first mistake is told, whatever follows.
printf '[default]\nspool_size=zzz\ncache_size=60M\nbogus=1\n' >"$WORK/keyconf"
bad 'line 2: option spool_size=zzz' "config=$WORK/keyconf"
printf '[default]\ngarbage\nbogus=1\n' >"$WORK/keyconf"
bad 'line 2: not "name = value"' "config=$WORK/keyconf"
ln -s "$CACHE" "$WORK/link"
bad 'symbolic link' "cache_dir=$WORK/link/"
# What needs no key to be seen, -f sees.
refuses 'cache_keep=yes' "$BINARY" -f "$SPEC" "$MNT" -o "$OPTS,cache_keep=yes"
refuses 'both cache_key_file and' "$BINARY" -f "$SPEC" "$MNT" -o "$OPTS,cache_key_file=x,cache_key_command=y"
start=$SECONDS
bad 'sleep.*8 s' 'cache_key_command=sleep 1000'
holds $((SECONDS - start)) -le 30
! pgrep -f '^sleep 1000$' >/dev/null || fail 'the command lives on'

echo "== interrupted while the key is got: no mount comes after it"
command_is_gone() {
	! pgrep -f '^sleep 1001$' >/dev/null
}
for signal in TERM INT; do
	env --default-signal=INT "$BINARY" "$SPEC" "$MNT" -o "$OPTS,cache_key_command=sleep 1001" 2>"$WORK/refused" &
	starter=$!
	until_true 10 pgrep -f '^sleep 1001$' >/dev/null || fail 'the command is not run'
	kill "-$signal" "$starter"
	! wait "$starter" || fail 'interrupted, and a success'
	gone() {
		! pgrep -f "^$BINARY $SPEC $MNT " >/dev/null
	}
	until_true 10 gone || fail 'it lives on'
	! is_mounted "$MNT" || fail 'mounted all the same'
	CHECKS=$((CHECKS + 1))
	until_true 10 command_is_gone || fail 'the command lives on'
done

echo "== rotated while files are read"
: >"$WORK/go"
reader() {
	while [ -e "$WORK/go" ]; do
		read_all || exit 1
	done
}
mount_fs "cache_key_file=$WORK/standard"
reader & one_reader=$!
reader & other_reader=$!
for ((k = 0; k < 10; k++)); do
	echo "file $WORK/second" >"$MNT/.dg/rotate_key"
	grep -q "^cache_key_file = $WORK/second  # .dg/rotate_key\$" "$MNT/.dg/config"
	echo ephemeral >"$MNT/.dg/rotate_key"
	equal "$(stats .cache.key)" ephemeral
	echo "file $WORK/standard" >"$MNT/.dg/rotate_key"
	equal "$(stats .cache.key)" persistent
	kill -0 "$one_reader" "$other_reader" || fail 'a reader has failed'
done
refuses 'invalid argument' bash -c "echo sesame >'$MNT/.dg/rotate_key'"
refuses 'invalid argument' bash -c "echo command >'$MNT/.dg/rotate_key'"
refuses 'no such file' bash -c "echo file $WORK/none >'$MNT/.dg/rotate_key'"
refuses 'permission denied' bash -c "echo file $WORK/open >'$MNT/.dg/rotate_key'"
equal "$(stats .cache.key)" persistent
equal "$(stats .cache.rotations)" 30
rm "$WORK/go"
wait "$one_reader" "$other_reader" || fail 'a reader has failed'
equal "$(stats .errors.verify_failures)" 0
equal "$(grep -c 'cache key rotated: the new one is from' "$LOG")" 30
# What the old keys had sealed is gone.
echo "file $WORK/second" >"$MNT/.dg/rotate_key"
equal "$(stats .cache.entries)" 0
equal "$(entries)" 0
read_all
equal "$(entries)" 3
EXPECT_ERRORS=1 umount_fs
equal "$(ls -A "$CACHE")" '' 'left in the cache directory'

echo "== by command, and by a configuration file that is read again"
cp "$WORK/standard" "$WORK/current"
mount_fs "cache_key_command=$WORK/vault - $WORK/current"
read_all
cat "$WORK/second" >"$WORK/current"
echo command >"$MNT/.dg/rotate_key"
equal "$(stats .cache.entries)" 0
read_all
umount_fs
conf() {
	printf '[default]\n' >"$WORK/conf"
	printf '%s\n' "$@" >>"$WORK/conf"
}
conf log_level=info cache_size=20M cache_clear_interval=0 "cache_key_file=$WORK/standard"
cd "$WORK"
OPTS=${OPTS/log_level=debug,/} mount_fs "config=conf"
cd /
read_all
equal "$(stats .cache.limit)" $((20 << 20))
equal "$(entries)" 3
said() {
	grep -q "$1" "$LOG"
}
conf log_level=debug cache_size=8M cache_clear_interval=1h spool_size=50M max_ratio=0.3 "cache_key_file=$WORK/second"
kill -HUP "$DPID"
until_true 10 said 'configuration read again' || fail 'SIGHUP does nothing'
equal "$(stats .cache.limit)" $((8 << 20))
equal "$(stats .files.spool_limit)" $((50 << 20))
content "$MNT/.dg/log_level" debug
grep -q '^cache_clear_interval = 3600000ms  # config \[default\]$' "$MNT/.dg/config"
grep -q '^max_ratio = 0.5  # built-in$' "$MNT/.dg/config"
said 'only a new mount takes it over: max_ratio' || fail 'what cannot change is not named'
equal "$(stats .cache.rotations)" 1
equal "$(entries)" 0
read_all
conf 'cache_size=tiny'
kill -HUP "$DPID"
until_true 10 said 'configuration not read again: .*cache_size=tiny' || fail 'a mistake is not named'
equal "$(stats .cache.limit)" $((8 << 20))
# Whole or not at all: the size that is right is not taken over either.
conf log_level=info cache_size=9M "cache_key_file=$WORK/none"
kill -HUP "$DPID"
until_true 10 said "configuration not read again: key file $WORK/none: No such file" || fail 'a missing key is not named'
conf log_level=info cache_size=9M cache_keep=yes
kill -HUP "$DPID"
until_true 10 said 'configuration not read again: cache_keep=yes' || fail 'a contradiction is not named'
equal "$(stats .cache.limit)" $((8 << 20))
content "$MNT/.dg/log_level" debug
equal "$(stats .cache.key)" persistent
equal "$(stats .cache.rotations)" 1
read_all
# By the section, as a new mount would have it: the bucket's wins, and what is
# given twice in one is a mistake even where one of the two was there before.
both() {
	printf '[default]\n%s\n' "$1" >"$WORK/conf"
	[ -z "${2-}" ] || printf '[%s]\n%s\n' "$BUCKET_NAME" "$2" >>"$WORK/conf"
	kill -HUP "$DPID"
}
BUCKET_NAME=${SPEC#*://}
[[ $SPEC != s3://* ]] || BUCKET_NAME=${BUCKET_NAME%%/*}
both "cache_key_command=false"$'\n'log_level=debug "cache_key_file=$WORK/second"
twice() {
	[ "$(grep -c 'configuration read again' "$LOG")" -ge 2 ]
}
until_true 10 twice ||
	fail 'the section of the bucket does not win'
both "cache_key_file=$WORK/second"$'\n'"cache_key_command=false"
until_true 10 said 'configuration not read again: both cache_key_file and cache_key_command' ||
	fail 'a contradiction is not named where one of the two was there before'
# Relative to where the mount was started, whatever directory it is in now.
conf log_level=debug cache_size=9M cache_key_file=standard
kill -HUP "$DPID"
until_true 10 said "cache key rotated: the new one is from file $WORK/standard," || fail 'a relative path is not found'
again_and_again() {
	[ "$(grep -c 'configuration read again' "$LOG")" -ge 3 ]
}
until_true 10 again_and_again
equal "$(stats .cache.limit)" $((9 << 20))
read_all
EXPECT_ERRORS=1 umount_fs

if [ "$(id -u)" != 0 ]; then
	exit 0
fi

echo "== only root and who has mounted it may"
mount_fs allow_other
for f in clear_cache rotate_key; do
	refuses 'permission denied' setpriv --reuid=65534 --regid=65534 --clear-groups \
		bash -c "echo 1 >'$MNT/.dg/$f'"
done
umount_fs

# A sanitizer has memory of its own, and locks none.
! sanitized || exit 0
echo "== no key in a core dump"
# What gdb's gcore writes: all memory that is not excluded from dumps.  And what
# it does not, to see that the search would find the key.
cat >"$WORK/core.py" <<'PYTHON'
import re, sys
pid, key = sys.argv[1], open(sys.argv[2], "rb").read()
found = {True: 0, False: 0}
with open("/proc/%s/smaps" % pid) as maps, open("/proc/%s/mem" % pid, "rb", 0) as mem:
    for line in maps:
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (....) ", line)
        if head:
            start, end, mode = int(head[1], 16), int(head[2], 16), head[3]
        elif line.startswith("VmFlags:") and mode[0] == "r" and "io" not in line.split():
            try:
                mem.seek(start)
                data = mem.read(end - start)
            except (OSError, ValueError):
                continue
            found["dd" in line.split()] += data.count(key)
print(found[False], found[True])
PYTHON
mount_fs "cache_key_file=$WORK/raw"
read_all
cp "$WORK/b.1" "$MNT/new"
read -r dumped kept < <(python3 "$WORK/core.py" "$DPID" "$WORK/raw")
equal "$dumped" 0 'keys in what a core dump holds'
holds "$kept" -ge 1
# A crash writes none at all.
equal "$(awk '/Max core file size/ { print $5, $6 }' "/proc/$DPID/limits")" '0 0'
equal "$(stat -c %u "/proc/$DPID/environ")" 0
grep -q '^VmLck:[[:space:]]*[1-9]' "/proc/$DPID/status" || fail 'no memory is locked'
umount_fs
