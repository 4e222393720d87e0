#!/usr/bin/env bash
# A mount that cannot work says so in one line, at once, and mounts nothing.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

# Nothing of ours: what is tested is what the user has.
config=$WORK/config
cat >"$config" <<'END'
[default]
max_ratio = 0.4
END

# refused TEXT [VAR=VALUE...] -- SPEC DIR [ARGUMENTS]: exit status not 0, one
# line on standard error that has TEXT, nothing mounted, within ten seconds;
# in the background and, which must make no difference, in front.
refused() {
	local text=$1 vars=() front status started

	shift
	while [ "$1" != -- ]; do
		vars+=("$1")
		shift
	done
	shift
	for front in '' foreground; do
		CHECKS=$((CHECKS + 1))
		started=$EPOCHREALTIME
		status=0
		timeout -k 1 20 env "${vars[@]}" "$BINARY" "$@" ${front:+-o "$front"} \
			>"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
		[ "$status" != 0 ] || fail "exit status 0: $*"
		awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { exit b - a > 10 }' ||
			fail "took more than ten seconds: $*"
		[ "$status" -lt 124 ] || fail "exit status $status: $*"
		[ ! -s "$WORK/out" ] || fail "on standard output: $(cat "$WORK/out")"
		[ "$(wc -l <"$WORK/err")" = 1 ] ||
			fail "$* ${front:+($front) }says $(wc -l <"$WORK/err") lines, not one: $(cat "$WORK/err")"
		grep -qE -- "$text" "$WORK/err" ||
			fail "$* says \"$(cat "$WORK/err")\", expected \"$text\""
		[ -z "$(mounts_below "$WORK/")" ] || fail "mounted: $*"
		[ -z "$(find "$CACHE" -mindepth 1)" ] || fail "left in the cache directory: $*"
	done
	sed "s|$WORK|...|g" "$WORK/err"
}

echo "== the mount point"
refused "$WORK/absent.*(exist|mkdir)" -- "$SPEC" "$WORK/absent" -o "$OPTS"
mkdir "$WORK/full"
touch "$WORK/full/x"
refused "$WORK/full.*empty" -- "$SPEC" "$WORK/full" -o "$OPTS"
refused "$WORK/full/x.*directory" -- "$SPEC" "$WORK/full/x" -o "$OPTS"
mount_fs
status=0
"$BINARY" "$SPEC" "$MNT" -o "$OPTS" >"$WORK/out" 2>"$WORK/err" </dev/null || status=$?
holds "$status" != 0
equal "$(wc -l <"$WORK/err")" 1 'lines'
holds "$(grep -c "$MNT.*mount already" "$WORK/err")" = 1
equal "$(mounts_below "$WORK/" | wc -l)" 1 'mounts'
umount_fs

echo "== the command line"
refused 'SPEC' -- "$SPEC"
refused 'SPEC' -- "$SPEC" "$MNT" more
refused '"-Q"' -- "$SPEC" "$MNT" -Q
refused '-o' -- "$SPEC" "$MNT" -o
refused 'ftp://' -- ftp://host/dir "$MNT" -o "$OPTS"
refused 'file://' -- file://relative "$MNT" -o "$OPTS"
refused 's3://' -- s3:// "$MNT" -o "$OPTS"
refused 'no_such_option' -- "$SPEC" "$MNT" -o "$OPTS,no_such_option"
refused 'no_such_option' -- "$SPEC" "$MNT" -o "$OPTS,no_such_option=3"
for bad in cache_size=many cache_size=-1 cache_size= cache_size=1X cache_size=10 \
	spool_size=99999999999T max_ratio=2 max_ratio=0 max_ratio=x timeout=5y timeout= \
	part_size=1K connections=0 connections=x uid=me umask=9 delta=perhaps codec=vcdiff codec= \
	path_style=maybe log_level=loud allow_other=7 endpoint= attr_timeout=1w; do
	refused "${bad%%=*}" -- "$SPEC" "$MNT" -o "$OPTS,$bad"
done
refused 'max_ratio.*DG_MAX_RATIO' DG_MAX_RATIO=x -- "$SPEC" "$MNT" -o "$OPTS"
refused 'log_level.*DG_LOG_LEVEL' DG_LOG_LEVEL=x -- "$SPEC" "$MNT" -o "cache_dir=$CACHE"

echo "== the configuration"
refused "$WORK/nowhere" -- "$SPEC" "$MNT" -o "$OPTS,config=$WORK/nowhere"
refused "$WORK/nowhere" DG_CONFIG="$WORK/nowhere" -- "$SPEC" "$MNT" -o "$OPTS"
refused "$WORK/full" -- "$SPEC" "$MNT" -o "$OPTS,config=$WORK/full"
if [ "$(id -u)" != 0 ]; then
	cp "$config" "$WORK/secret"
	chmod 000 "$WORK/secret"
	refused "$WORK/secret.*denied" -- "$SPEC" "$MNT" -o "$OPTS,config=$WORK/secret"
fi
printf '[default]\nmax_ratio = 0.4\nmax_rato = 0.5\n' >"$config.1"
refused "$config.1, line 3.*max_rato" -- "$SPEC" "$MNT" -o "$OPTS,config=$config.1"
printf '[default]\n\ncache_size = lots\n' >"$config.2"
refused "$config.2, line 3.*cache_size" -- "$SPEC" "$MNT" -o "$OPTS,config=$config.2"
printf '[default]\nnonsense\n' >"$config.3"
refused "$config.3, line 2" -- "$SPEC" "$MNT" -o "$OPTS,config=$config.3"

echo "== the cache directory"
S=${OPTS//cache_dir=$CACHE/}
refused "$WORK/nocache" -- "$SPEC" "$MNT" -o "$S,cache_dir=$WORK/nocache"
refused "$config" -- "$SPEC" "$MNT" -o "$S,cache_dir=$config"
mkdir -m 777 "$WORK/open"
refused "$WORK/open.*(writ|sticky|chmod)" -- "$SPEC" "$MNT" -o "$S,cache_dir=$WORK/open"
refused "$WORK/nocache" DG_CACHE_DIR="$WORK/nocache" -- "$SPEC" "$MNT" -o "$S"
chmod 1777 "$WORK/open"
OPTS=$S,cache_dir=$WORK/open mount_fs
umount_fs

if [ "$STORE" = local ]; then
	echo "== the local store"
	refused "$WORK/full" -- "file://$WORK/full" "$MNT" -o "$OPTS"
	refused "$config" -- "file://$config" "$MNT" -o "$OPTS"
	refused "/proc/nowhere" -- file:///proc/nowhere "$MNT" -o "$OPTS"
else
	echo "== the S3 server"
	key=${AWS_ACCESS_KEY_ID:?}
	refused "$key.*|key" AWS_SECRET_ACCESS_KEY=wrong -- "$SPEC" "$MNT" -o "$OPTS"
	refused 'nosuchkey|key' AWS_ACCESS_KEY_ID=nosuchkey -- "$SPEC" "$MNT" -o "$OPTS"
	refused 'credentials|AWS_ACCESS_KEY_ID|profile' -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -- "$SPEC" "$MNT" -o "$OPTS"
	refused 'nosuchprofile' -- "$SPEC" "$MNT" -o "$OPTS,profile=nosuchprofile"
	refused 'no-such-bucket-here' -- s3://no-such-bucket-here "$MNT" -o "$OPTS"
	refused 'anonymous|denied|key|credentials' -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY -- "$SPEC" "$MNT" -o "$OPTS,anonymous"
	E=${OPTS//endpoint=$DG_TEST_S3_ENDPOINT/}
	refused '127.0.0.1:1[^0-9]' -- "$SPEC" "$MNT" -o "$E,endpoint=http://127.0.0.1:1"
	refused 'no-such-host.invalid' -- "$SPEC" "$MNT" -o "$E,endpoint=http://no-such-host.invalid"
	refused 'nonsense' -- "$SPEC" "$MNT" -o "$E,endpoint=nonsense"
	refused "${DG_TEST_S3_ENDPOINT#http://}|TLS|SSL" -- "$SPEC" "$MNT" -o "$E,endpoint=https://${DG_TEST_S3_ENDPOINT#http://}"

	# One that takes the connection and never says a word.
	exec 6< <(exec python3 -c '
import socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(100)
print(s.getsockname()[1], flush=True)
kept = []
while True:
    kept.append(s.accept())')
	silent=$!
	read -r port <&6
	refused "127.0.0.1:$port" -- "$SPEC" "$MNT" -o "$E,endpoint=http://127.0.0.1:$port"
	kill "$silent"

	echo "== credentials from everywhere"
	unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
	mkdir "$HOME/.aws"
	printf '[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n[tests]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
		"$DG_TEST_S3_ACCESS_KEY" "$DG_TEST_S3_SECRET_KEY" >"$HOME/.aws/credentials"
	mount_fs profile=tests
	echo by profile >"$MNT/x"
	umount_fs
	AWS_PROFILE=tests mount_fs
	content "$MNT/x" 'by profile'
	umount_fs
	mount_fs "access_key_id=$DG_TEST_S3_ACCESS_KEY,secret_access_key=$DG_TEST_S3_SECRET_KEY"
	content "$MNT/x" 'by profile'
	CHECKS=$((CHECKS + 1))
	! grep -qF "$DG_TEST_S3_SECRET_KEY" < <(tr '\0' '\n' <"/proc/$DPID/cmdline") ||
		fail 'the secret key is in the process list'
	umount_fs
	printf '[%s]\nendpoint = %s\nmax_ratio = 0.3\n[default]\nprofile = tests\nmax_ratio = 0.2\n' \
		"$DG_TEST_S3_BUCKET" "$DG_TEST_S3_ENDPOINT" >"$config"
	OPTS=$E,config=$config mount_fs
	holds "$(grep -c '^max_ratio = 0.3 ' "$MNT/.dg/config")" = 1
	umount_fs
	# A bare name is an S3 bucket.
	SPEC=${SPEC#s3://} OPTS=$E,config=$config mount_fs
	content "$MNT/x" 'by profile'
	umount_fs
	export AWS_PROFILE=tests
fi

echo "== precedence"
printf '[default]\nmax_ratio = 0.11\nattr_timeout = 2s\n' >"$config"
mount_fs "config=$config"
holds "$(grep -c '^max_ratio = 0.11 ' "$MNT/.dg/config")" = 1
umount_fs
DG_MAX_RATIO=0.22 mount_fs "config=$config"
holds "$(grep -c '^max_ratio = 0.22 ' "$MNT/.dg/config")" = 1
holds "$(grep -c '^attr_timeout = 2000ms ' "$MNT/.dg/config")" = 1
umount_fs
DG_MAX_RATIO=0.22 mount_fs "config=$config,max_ratio=0.33"
holds "$(grep -c '^max_ratio = 0.33 ' "$MNT/.dg/config")" = 1
umount_fs
