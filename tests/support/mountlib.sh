# shellcheck shell=bash
# What the mount tests share.  Each begins with
#	. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
#	lib_init "$@"			{local|s3} /path/to/mount.deltaglider
# and has, from then on, a bucket of its own at $SPEC, an empty directory $MNT
# to mount on, $CACHE for cache_dir, $WORK for anything else, and $OPTS with
# what every mount of it needs.  Whatever is left is unmounted and removed.
#
# Needs bash, not sh.  Nothing sleeps to let things happen: they are waited for,
# up to a deadline.
set -eEuo pipefail

lib_dir=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
DEADLINE=${DG_TEST_DEADLINE:-60} # seconds until something that is waited for has failed
WORK=''
DPID=''
CHECKS=0
MOUNTS=()

skip() {
	echo "skipped: $*"
	exit 77
}

# Say what is wrong, with the place in the test, and end.
fail() {
	local i

	trap - ERR
	echo "FAILED: $*" >&2
	for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
		echo "    at ${BASH_SOURCE[i]##*/}:${BASH_LINENO[i - 1]} ${FUNCNAME[i]}" >&2
	done
	exit 1
}

lib_error() {
	fail "exit status $1 of: ${2%%$'\n'*}"
}

lib_end() {
	local status=$? dir job

	trap - ERR
	trap '' INT TERM HUP
	set +e
	for job in $(jobs -p); do
		kill "$job" 2>/dev/null
	done
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		for dir in "$WORK"/log.*; do
			[ -s "$dir" ] || continue
			echo "--- ${dir##*/}, the end of it:"
			tail -n 40 "$dir"
		done >&2
	fi
	mounts_below "$WORK/" | sort -r | while read -r dir; do
		lib_umount "$dir" 2>/dev/null || {
			umount -l "$dir" || fusermount3 -uz "$dir"
		} 2>/dev/null
	done
	for job in "${MOUNTS[@]}"; do
		kill -KILL "$job"
	done 2>/dev/null
	wait 2>/dev/null
	[ -z "${LIB_CLEANUP-}" ] || $LIB_CLEANUP
	[ -z "$WORK" ] || rm -rf --one-file-system "$WORK"
	[ "$status" = 0 ] && echo "passed: $CHECKS checks"
	exit "$status"
}

# Mount points that begin with $1, a line each.  The kernel writes a space as
# \040, which awk would take for one.
mounts_below() {
	cut -d' ' -f5 /proc/self/mountinfo | sed 's/\\040/ /g' |
		awk -v w="$1" 'index($0, w) == 1'
}

is_mounted() {
	grep -qxF -- "${1:-$MNT}" < <(mounts_below "${1:-$MNT}")
}

lib_init() {
	[ $# = 2 ] || {
		echo "usage: $0 {local|s3} /path/to/mount.deltaglider" >&2
		exit 2
	}
	STORE=$1
	BINARY=$(realpath "$2")
	# What the caller's environment would change.
	unset "${!AWS_@}" DG_CONFIG DG_CACHE_DIR DG_CACHE_SIZE DG_SPOOL_SIZE \
		DG_MAX_RATIO DG_LOG_LEVEL DG_ENCODE_MEMORY
	[ -w /dev/fuse ] || command -v fusermount3 >/dev/null ||
		skip "no /dev/fuse and no fusermount3"
	SAMPLES_HOME=${HOME:-/root}
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/dg-mount.XXXXXX")
	WORK=$(realpath "$WORK")
	trap lib_end EXIT
	trap 'lib_error "$?" "$BASH_COMMAND"' ERR
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	chmod 755 "$WORK"
	MNT=$WORK/mnt
	CACHE=$WORK/cache
	mkdir "$MNT" "$CACHE" "$WORK/home"
	export HOME=$WORK/home
	OPTS=log_level=debug,cache_dir=$CACHE
	case $STORE in
	local)
		BUCKET_DIR=$WORK/bucket
		SPEC=file://$BUCKET_DIR
		;;
	s3)
		[ -n "${DG_TEST_S3_ENDPOINT-}" ] ||
			skip "no S3 server: set DG_TEST_S3_ENDPOINT, _ACCESS_KEY, _SECRET_KEY, _BUCKET, or use tests/run"
		PREFIX=$(basename "$0" .sh)-$$-$RANDOM/
		SPEC=s3://$DG_TEST_S3_BUCKET/${PREFIX%/}
		OPTS=$OPTS,endpoint=$DG_TEST_S3_ENDPOINT,path_style=on
		export AWS_ACCESS_KEY_ID=$DG_TEST_S3_ACCESS_KEY
		export AWS_SECRET_ACCESS_KEY=$DG_TEST_S3_SECRET_KEY
		;;
	*) fail "store $STORE?" ;;
	esac
}

# until_true SECONDS COMMAND...: as soon as it succeeds; 1 if it never did.
until_true() {
	local until=$((SECONDS + $1))

	shift
	until "$@"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		read -r -t 0.02 <> <(:) || :
	done
}

# A child of ours that has ended stays a zombie until it is waited for.
has_ended() {
	local stat

	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
	stat=${stat##*) }
	[ "${stat%% *}" = Z ]
}

mounted_or_ended() {
	is_mounted "$1" || has_ended "$2"
}

# mount_fs [OPTIONS]: mount $SPEC on $MNT; $DPID is the process that serves it.
# It stays in front of us, in the background, and logs to $WORK/log.N.
mount_fs() {
	local log=$WORK/log.$((${#MOUNTS[@]} + 1))

	# A shell starts what is to run in the background deaf to SIGINT.
	env --default-signal=INT "$BINARY" "$SPEC" "$MNT" -o "foreground,$OPTS${1:+,$1}" \
		>"$log" 2>&1 </dev/null &
	DPID=$!
	MOUNTS+=("$DPID")
	LOG=$log
	until_true "$DEADLINE" mounted_or_ended "$MNT" "$DPID" ||
		fail "not mounted within $DEADLINE s"
	is_mounted "$MNT" || fail "it ended instead of mounting"
}

lib_umount() {
	if [ "$(id -u)" = 0 ]; then
		umount "$1"
	else
		fusermount3 -u "$1"
	fi
}

# Is it a build with a sanitizer, which has memory of its own?
sanitized() {
	grep -qE 'lib[at]san' < <(ldd "$BINARY")
}

# Unmount and wait for the daemon, which must end with status 0.
umount_fs() {
	lib_umount "$MNT"
	end_fs 0
}

# What the threads of a process that should have ended wait for.
where_it_hangs() {
	local task

	for task in /proc/"$1"/task/*; do
		echo "${task##*/} $(cat "$task/comm") wchan=$(cat "$task/wchan") syscall=$(cat "$task/syscall")"
	done
	! command -v gdb >/dev/null || gdb -p "$1" -batch -ex 'thread apply all bt' 2>&1
}

# The daemon ends by itself, with status $1.
end_fs() {
	local status=0

	until_true "$DEADLINE" has_ended "$DPID" || {
		where_it_hangs "$DPID" >&2
		fail "the daemon lives $DEADLINE s after the unmount"
	}
	wait "$DPID" || status=$?
	! grep -A60 'WARNING: ThreadSanitizer' "$LOG" || fail "a race in the daemon"
	[ "$status" = "$1" ] || fail "the daemon ended with status $status"
	! is_mounted "$MNT" || fail "the daemon has ended and left its mount"
	if grep -E ': error: |AddressSanitizer|runtime error' "$LOG"; then
		[ -n "${EXPECT_ERRORS-}" ] || fail "the daemon logged errors"
	fi
	DPID=
}

remount_fs() {
	umount_fs
	mount_fs "$@"
}

# Assertions.  Each says what it wanted.
equal() {
	CHECKS=$((CHECKS + 1))
	[ "$1" = "$2" ] || fail "${3:-value}: got \"$1\", expected \"$2\""
}

# holds TEST-ARGUMENTS, as of [ or [[ -eq.
holds() {
	CHECKS=$((CHECKS + 1))
	# shellcheck disable=SC2244
	[ "$@" ] || fail "not true: $*"
}

# same FILE FILE: every byte.
same() {
	CHECKS=$((CHECKS + 1))
	cmp -- "$1" "$2" || fail "$1 and $2 differ"
}

# alike FILE FILE: two texts, with what differs.
alike() {
	CHECKS=$((CHECKS + 1))
	diff -- "$1" "$2" >&2 || fail "$1 and $2 differ as above"
}

# content FILE TEXT: TEXT without the final newline.
content() {
	CHECKS=$((CHECKS + 1))
	[ "$(cat -- "$1")" = "$2" ] || fail "$1 holds \"$(head -c 200 -- "$1")\", expected \"$2\""
}

# refuses TEXT COMMAND...: it fails, and says TEXT (a regular expression).
refuses() {
	local text=$1 said

	shift
	CHECKS=$((CHECKS + 1))
	if said=$("$@" 2>&1); then
		fail "succeeded, and should have failed: $*"
	fi
	printf '%s\n' "$said" >"$WORK/refused"
	grep -qiE -- "$text" <<<"$said" || fail "$* said \"$said\", expected \"$text\""
}

missing() {
	CHECKS=$((CHECKS + 1))
	if [ -e "$1" ] || [ -L "$1" ]; then
		fail "$1 is there, and should not be"
	fi
}

# How a file is stored: attribute FILE storage.  Empty if it has none.
attribute() {
	getfattr --absolute-names -n "user.deltaglider.$2" --only-values -- "$1" 2>/dev/null || :
}

# stats JQ-EXPRESSION
stats() {
	jq -er "$1" "$MNT/.dg/stats"
}

# Requests of these kinds so far.
requests() {
	local kind n=0

	for kind in "$@"; do
		n=$((n + $(stats ".requests.$kind")))
	done
	echo "$n"
}

sha256() {
	sha256sum -- "$1" | cut -d' ' -f1
}

# Bytes of the whole bucket, or of what begins with $1.
bucket_bytes() {
	bucket_list "${1-}" | awk '{ n += $1 } END { printf "%d\n", n }'
}

# Size, tab, key of what begins with $1.
bucket_list() {
	if [ "$STORE" = s3 ]; then
		"$lib_dir/s3raw" list "$PREFIX${1-}" |
			awk -F'\t' -v n=${#PREFIX} -v OFS='\t' '{ print $1, substr($2, n + 1) }'
	else
		(cd "$BUCKET_DIR" && find . -path ./.tmp -prune -o -name '*.object' -printf '%s\t%P\n') |
			awk -F'\t' -v p="${1-}" -v OFS='\t' '{
				sub(/\.object$/, "", $2); gsub(/%2E/, ".", $2); gsub(/\/%$/, "/", $2)
				if (index($2, p) == 1) print $1 - 8192, $2 }'
	fi
}

# The bytes of an object, as they are in the bucket.
bucket_get() {
	local path

	if [ "$STORE" = s3 ]; then
		"$lib_dir/s3raw" get "$PREFIX$1"
	else
		# The store escapes a leading dot, and heads each file with 8 KiB.
		path=$(sed 's|^\.|%2E|; s|/\.|/%2E|g' <<<"$1")
		tail -c +8193 "$BUCKET_DIR/$path.object"
	fi
}

# bucket_put KEY [NAME=VALUE...]: standard input becomes that object, with that
# metadata and nothing else of ours.
bucket_put() {
	local key=$1 path

	shift
	if [ "$STORE" = s3 ]; then
		"$lib_dir/s3raw" put "$PREFIX$key" "${@/#/x-amz-meta-}"
	else
		path=$(sed 's|^\.|%2E|; s|/\.|/%2E|g' <<<"$key")
		"$lib_dir/localraw" "$BUCKET_DIR/$path.object" "$key" "$@"
	fi
}

# The bytes of a file, asked of the mount and not of the kernel's page cache.
direct() {
	dd if="$1" iflag=direct bs=1M status=none
}

# samples PACKAGE VERSION...: sets SAMPLES to the folder.
# shellcheck disable=SC2034
samples() {
	SAMPLES=$(HOME=$SAMPLES_HOME "$lib_dir/samples" "$@") ||
		skip "no sample packages"
}

# Fill standard output with $1 bytes that look like nothing, the same each time.
noise() {
	openssl enc -aes-128-ctr -nosalt -K "$(printf %032x "${2:-1}")" \
		-iv 00000000000000000000000000000000 </dev/zero 2>/dev/null |
		head -c "$1" || :
}
