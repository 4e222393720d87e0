# shellcheck shell=bash disable=SC2154
# For tests of a mount whose server fails: after mountlib.sh and lib_init.
#	proxy_start [conditions]	$PROXY is its port, $CONTROL that of its controls,
#					$DIRECT the options of a mount that goes past it;
#					$OPTS from now on those of one that goes through it
#	proxy rule|clear|counts|outage [ARGUMENTS]

proxy_start() {
	local server=${DG_TEST_S3_ENDPOINT#http://}

	[ "$server" != "$DG_TEST_S3_ENDPOINT" ] || skip "the proxy reads http only"
	mkfifo "$WORK/proxy.in"
	exec 7<>"$WORK/proxy.in"
	"$lib_dir/faultproxy" serve "${server%%:*}" "${server##*:}" "$@" \
		<"$WORK/proxy.in" >"$WORK/proxy.out" 2>"$WORK/log.proxy" 7>&- &
	MOUNTS+=("$!")
	until_true 10 test -s "$WORK/proxy.out" || fail "the proxy does not start"
	read -r PROXY CONTROL <"$WORK/proxy.out"
	# shellcheck disable=SC2034
	DIRECT=$OPTS
	OPTS=${OPTS/endpoint=$DG_TEST_S3_ENDPOINT/endpoint=http://127.0.0.1:$PROXY}
}

proxy() {
	local what=$1

	shift
	"$lib_dir/faultproxy" "$what" "$CONTROL" "$@"
}

# fired RULE: how often it did.
fired() {
	proxy counts | jq -er ".rules[\"$1\"].fired"
}

# elapsed SINCE: milliseconds since $EPOCHREALTIME was that.
elapsed() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%d\n", (b - a) * 1000 }'
}
