#!/usr/bin/env bash
# The server is gone for a while: what is done meanwhile waits, and is done when it
# is back, or fails when its time is over; then all goes on, without a remount.
# Stores: s3
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"
# shellcheck source=tests/support/proxylib.sh
. "$lib_dir/proxylib.sh"
# shellcheck disable=SC2034
EXPECT_ERRORS=yes # that is what the server being gone is

TIMEOUT=4
MOST=$((TIMEOUT * 1000 + 3000)) # ms that a call may take: the deadline, on a busy machine
! sanitized || skip "it is about time, of which a sanitizer takes its own"
PATIENCE=200 # seconds until nothing more is to be expected
BROKEN=()
ACTS='new over read delta list rename remove'

# A promise that is broken is told at the end, so that one run shows all.
broken() {
	echo "BROKEN: $*"
	BROKEN+=("$*")
}

proxy_start
mkdir "$WORK/direct" "$WORK/cache2" "$WORK/in"
mount_fs "timeout=${TIMEOUT}s,attr_timeout=0"
env "$BINARY" "$SPEC" "$WORK/direct" -o "${DIRECT/cache_dir=$CACHE/cache_dir=$WORK/cache2},attr_timeout=0" \
	>"$WORK/log.direct" 2>&1
D=$WORK/direct

noise 20000 1 >"$WORK/in/small"
noise 300000 2 >"$WORK/in/base"
{ head -c 1000 "$WORK/in/base"; echo changed; tail -c +2001 "$WORK/in/base"; } >"$WORK/in/delta"
noise 15000 3 >"$WORK/in/other"
noise 8000000 4 >"$WORK/in/large"

# What each round works on, in the directory $1.
furnish() {
	mkdir "$D/$1" "$D/$1/names"
	cp "$WORK/in/small" "$D/$1/over"
	cp "$WORK/in/small" "$D/$1/read"
	cp "$WORK/in/base" "$D/$1/base"
	cp "$WORK/in/delta" "$D/$1/delta"
	cp "$WORK/in/small" "$D/$1/rename"
	cp "$WORK/in/small" "$D/$1/remove"
	touch "$D/$1/names/"{a,b,c}
}

act() {
	"$lib_dir/faultcases" child "$2" "$3" "$4" >"$WORK/got.$1" 2>&1 &
	ACTING+=("$!")
}

begin_acts() {
	ACTING=()
	act new write "$MNT/$1/new" "$WORK/in/other"
	act over write "$MNT/$1/over" "$WORK/in/other"
	act read read "$MNT/$1/read" "$WORK/read.small"
	act delta read "$MNT/$1/delta" "$WORK/read.delta"
	act list list "$MNT/$1/names" "$WORK/read.list"
	act rename rename "$MNT/$1/rename" "$MNT/$1/renamed"
	act remove remove "$MNT/$1/remove" -
}

acts_ended() {
	local job

	for job in "${ACTING[@]}"; do
		has_ended "$job" || return 1
	done
}

# What came of the acts of directory $1, and does the bucket agree?
judge() {
	local dir=$1 want=$2 name said ms count=0

	for name in $ACTS; do
		CHECKS=$((CHECKS + 1))
		read -r said ms < <(jq -r '"\(.[0]) \(.[1] * 1000 | floor)"' "$WORK/got.$name") || :
		[ "${ms:-999999}" -le "$MOST" ] || broken "$dir: $name took $ms ms, with timeout=${TIMEOUT}s"
		case $want,$said in
		ok,ok) count=$((count + 1)) ;;
		fails,EIO | fails,ETIMEDOUT | fails,EHOSTUNREACH | fails,ECONNREFUSED | fails,ECONNRESET) count=$((count + 1)) ;;
		*) broken "$dir: $name: \"$said\", expected that it $([ "$want" = ok ] && echo 'waits and succeeds' || echo fails)" ;;
		esac
		printf '    %-9s %-8s %-12s %6s ms\n' "$dir" "$name" "$said" "$ms"
		case $name,$said in
		new,ok | over,ok) same "$WORK/in/other" "$D/$dir/$name" ;;
		new,*) [ ! -e "$D/$dir/new" ] || same "$WORK/in/other" "$D/$dir/new" ;;
		over,*) cmp -s "$WORK/in/small" "$D/$dir/over" || same "$WORK/in/other" "$D/$dir/over" ;;
		read,ok) same "$WORK/in/small" "$WORK/read.small" ;;
		delta,ok) same "$WORK/in/delta" "$WORK/read.delta" ;;
		list,ok) equal "$(tr '\n' ' ' <"$WORK/read.list")" 'a b c' ;;
		rename,ok) missing "$D/$dir/rename" && same "$WORK/in/small" "$D/$dir/renamed" ;;
		rename,*) same "$WORK/in/small" "$([ -e "$D/$dir/rename" ] && echo "$D/$dir/rename" || echo "$D/$dir/renamed")" ;;
		remove,ok) missing "$D/$dir/remove" ;;
		remove,*) [ ! -e "$D/$dir/remove" ] || same "$WORK/in/small" "$D/$dir/remove" ;;
		esac
	done
	echo "$dir: $count of 7 as they should be"
}

# Everything, now that the server is back, and the mount still the same.
works() {
	begin_acts "$1"
	until_true "$PATIENCE" acts_ended || fail "$1: the server is back, and they wait"
	judge "$1" ok
}

for how in refuse blackhole; do
	echo "== $how, for less than the deadline"
	furnish "$how-1"
	ls -l "$MNT/$how-1" >/dev/null
	proxy outage "$how"
	begin_acts "$how-1"
	read -r -t 1.5 <> <(:) || :
	acts_ended && broken "$how: they ended, one and all, while there was no server"
	proxy outage off
	until_true "$PATIENCE" acts_ended || fail "$how: they wait though the server is back"
	judge "$how-1" ok

	echo "== $how, for more"
	furnish "$how-2"
	ls -l "$MNT/$how-2" >/dev/null
	proxy outage "$how"
	begin_acts "$how-2"
	until_true "$PATIENCE" acts_ended || fail "$how: they wait for minutes"
	proxy outage off
	judge "$how-2" fails
	furnish "$how-3"
	works "$how-3"
done

echo "== cut off in the middle of the bytes"
for what in 'put drip-request' 'get drip'; do
	kind=${what% *}
	for how in cut blackhole; do
		cp "$WORK/in/large" "$D/$kind-$how"
		proxy rule name=slow "kind=$kind" "path=/$kind-$how" "action=${what#* }:3000000" first=1
		ACTING=()
		if [ "$kind" = put ]; then
			{ cat "$WORK/in/large"; echo more; } >"$WORK/in/larger"
			act large write "$MNT/$kind-$how" "$WORK/in/larger"
		else
			act large read "$MNT/$kind-$how" "$WORK/read.large"
		fi
		met() {
			[ "$(fired slow)" = 1 ]
		}
		until_true 20 met || fail "$kind: no transfer to cut"
		proxy outage "$how"
		read -r -t 1 <> <(:) || :
		proxy outage off
		until_true "$PATIENCE" acts_ended || fail "$kind: it waits though the server is back"
		equal "$(jq -r '.[0]' "$WORK/got.large")" ok "$kind, $how in the middle"
		[ "$kind" = get ] || same "$WORK/in/larger" "$D/$kind-$how"
		[ "$kind" = put ] || same "$WORK/in/large" "$WORK/read.large"
		proxy clear
	done
done

echo "== what could not be stored is tried again, with the bytes still there"
coproc HELD { exec "$lib_dir/heldfile" "$MNT/held"; }
MOUNTS+=("$HELD_PID")
say() {
	local said

	echo "$*" >&"${HELD[1]}"
	read -r -t "$PATIENCE" said <&"${HELD[0]}" || fail "$*: no answer"
	[ "${said#* }" -le "$MOST" ] || broken "held file: $* took ${said#* } ms"
	SAID=${said% *}
}
for how in refuse blackhole; do
	say write "$WORK/in/delta"
	proxy outage "$how"
	say fsync
	holds "$SAID" != ok
	say read "$WORK/in/delta"
	equal "$SAID" ok 'the bytes of the open file, after a failed fsync'
	proxy outage off
	say fsync
	equal "$SAID" ok 'fsync when the server is back'
	same "$WORK/in/delta" "$D/held"

	say open
	say write "$WORK/in/small"
	say open
	proxy outage "$how"
	say close
	holds "$SAID" != ok
	same "$WORK/in/delta" "$D/held"
	proxy outage off
	say close
	equal "$SAID" ok 'the close of another descriptor'
	same "$WORK/in/small" "$D/held"
	say read "$WORK/in/small"
	equal "$SAID" ok
done
held=${HELD[1]}
exec {held}>&-
until_true 10 has_ended "$HELD_PID"

echo "== nobody has to wait who does not want to"
mkdir "$D/names"
touch "$D/names/"{a,b,c}
proxy outage blackhole
for signal in INT KILL; do
	for command in 'ls' 'cat' 'stat'; do
		path=$MNT/names
		[ "$command" != cat ] || path=$MNT/held
		env --default-signal=INT "$command" "$path" >/dev/null 2>&1 &
		waits=$!
		read -r -t 0.4 <> <(:) || :
		! has_ended "$waits" || fail "$command does not wait for a server that says nothing"
		since=$EPOCHREALTIME
		kill -"$signal" "$waits"
		until_true 30 has_ended "$waits" || fail "$command outlives SIG$signal"
		ms=$(elapsed "$since")
		echo "$command dies of SIG$signal in $ms ms"
		[ "$ms" -lt 1000 ] || broken "$command dies of SIG$signal only after $ms ms"
		CHECKS=$((CHECKS + 1))
		wait "$waits" || :
	done
done
for command in 'stat -f' df; do
	since=$EPOCHREALTIME
	# shellcheck disable=SC2086
	timeout 20 $command "$MNT" >/dev/null || broken "$command needs the network"
	ms=$(elapsed "$since")
	echo "$command answers in $ms ms"
	[ "$ms" -lt 1000 ] || broken "$command takes $ms ms while there is no server"
done

echo "== unmounted while there is no server"
proxy outage off
chmod 600 "$MNT/held"
proxy outage blackhole
since=$EPOCHREALTIME
lib_umount "$MNT"
until_true "$PATIENCE" has_ended "$DPID" || fail "the daemon lives on after the unmount"
ms=$(elapsed "$since")
echo "it ended in $ms ms"
[ "$ms" -le $((2 * MOST)) ] || broken "the daemon ended $ms ms after the unmount"
! is_mounted "$MNT" || fail "it has left its mount"
proxy outage off
mount_fs "timeout=${TIMEOUT}s"
same "$WORK/in/small" "$MNT/held"
lib_umount "$D"
umount_fs
holds "${#BROKEN[@]}" = 0
