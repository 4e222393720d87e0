#!/usr/bin/env bash
# kill -9 at any moment: each file is what was last acknowledged, or what was under
# way, whole; nothing that was acknowledged is missing, no name that nobody made.
# With DG_TEST_LONG=1 sixty rounds, otherwise twelve; DG_TEST_SEED repeats a run.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

ROUNDS=12
[ -z "${DG_TEST_LONG-}" ] || ROUNDS=60
! sanitized || ROUNDS=4
WRITERS=6
SEED=${DG_TEST_SEED:-$RANDOM}
RANDOM=$SEED
mkdir "$WORK/ops"
touch "$WORK/ops/w"{1..6}

acknowledged() {
	cat "$WORK"/ops/* | grep -c '^\["done"\]' || :
}
further() {
	[ "$(acknowledged)" -ge "$1" ]
}

# Parts for what is larger than 20 MiB, where the server's conditions allow them.
mount_fs part_size=5M
mkdir "$MNT/files"
echo "== $ROUNDS rounds, DG_TEST_SEED=$SEED"
for ((round = 1; round <= ROUNDS; round++)); do
	before=$(acknowledged)
	jobs=()
	for ((k = 1; k <= WRITERS; k++)); do
		"$lib_dir/versions" churn "$MNT/files" "w$k" "$WORK/ops/w$k" "$((SEED % 1000 * 100 + round))" &
		jobs+=("$!")
	done
	# Some of it has been done, and then a moment that nobody chose.
	until_true 60 further $((before + RANDOM % 40 + 1)) || fail "nothing is done in round $round"
	ms=$((RANDOM % 400))
	read -r -t "$(printf '0.%03d' "$ms")" <> <(:) || :
	kill -KILL "$DPID"
	wait "$DPID" 2>/dev/null || :
	for j in "${jobs[@]}"; do
		wait "$j" || fail 'a writer has failed'
	done
	umount -l "$MNT" 2>/dev/null || fusermount3 -uz "$MNT" || :
	mount_fs part_size=5M
	"$lib_dir/versions" verify "$MNT/files" "$WORK"/ops/* >"$WORK/verdict" || {
		cat "$WORK/verdict" >&2
		fail "after the kill of round $round"
	}
	echo "round $round: $(($(acknowledged) - before)) acknowledged, $ms ms; $(cat "$WORK/verdict")"
	CHECKS=$((CHECKS + WRITERS * 5))
	equal "$(cd "$MNT" && echo *)" files 'names at the top'
	equal "$(stats .errors.verify_failures)" 0 'reads that failed their check'
done

echo "== what remains in the bucket"
remount_fs
bucket_list | cut -f2 | sed 's|^\(\.dg/[a-z]*/\).*|\1|; s|^files/..*|files/NAME|' | sort | uniq -c
stray=$(bucket_list | cut -f2 | grep -vE '^(\.dg/(format|(refs|sums|hints)/.*)|files/(w[1-6]-[0-4])?)$' || :)
equal "$stray" '' 'objects that are nobody'"'"'s'
umount_fs
