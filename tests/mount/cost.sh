#!/usr/bin/env bash
# What tools cost in requests, as .dg/stats counts them at the wire.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

FILES=500
# Ten directories of fifty, so that each costs what a directory costs.
python3 - "$WORK/in" "$FILES" <<'END'
import os, sys
for k in range(int(sys.argv[2])):
    d = "%s/d%d" % (sys.argv[1], k % 10)
    os.makedirs(d, exist_ok=True)
    with open("%s/f%d" % (d, k), "wb") as f:
        f.write(b"%d " % k * (100 + k))
END
tar -C "$WORK/in" -cf "$WORK/in.tar" .

ALL='head get put copy delete list'
before() {
	# shellcheck disable=SC2086
	AT=$(requests $ALL)
	PUTS=$(requests put copy)
}
# costs MOST WHAT: it took at most so many requests since `before`.
costs() {
	local now

	# What waits is sent: new attributes, after a second.
	until_true 20 calm
	# shellcheck disable=SC2086
	now=$(($(requests $ALL) - AT))
	echo "$2: $now requests"
	[ "$now" -le "$1" ] || fail "$2: $now requests, at most $1 expected"
	CHECKS=$((CHECKS + 1))
}
# Nothing was written for two looks a good second apart, and hints are.
calm() {
	local now

	[ "$(stats .hints.waiting)" = 0 ] || return 1
	now=$(requests put copy delete)
	read -r -t 1.3 <> <(:) || :
	[ "$(requests put copy delete)" = "$now" ]
}

# Lookups are trusted for longer, so that a slow machine counts as a fast one.
mount_fs attr_timeout=20
echo "== copied"
before
cp -r "$WORK/in" "$MNT/cp"
costs $((FILES * 12 / 10 + 10)) 'cp -r'
before
mkdir "$MNT/tar"
tar -C "$MNT/tar" -xf "$WORK/in.tar"
costs $((FILES * 12 / 10 + 20)) 'tar x'

echo "== rsync"
before
rsync -a "$WORK/in/" "$MNT/rsync/"
costs $((FILES * 3 + 150)) 'rsync -a of new files'
diff -r "$WORK/in" "$MNT/rsync" || fail 'not what was copied'
before
rsync -a "$WORK/in/" "$MNT/rsync/"
costs 50 'rsync -a of the same'
equal "$(requests put copy)" "$PUTS" 'uploads where nothing has changed'

echo "== attributes"
before
chmod 640 "$MNT"/cp/d0/*
chown "$(id -u):$(id -g)" "$MNT"/cp/d0/*
touch -d @1234567890 "$MNT"/cp/d0/*
# Three changes of a file are one request, or two where the server keeps no
# condition for a copy.
costs $((50 * 2 + 20)) 'chmod, chown and touch of 50 files'
equal "$(stat -c '%a %Y' "$MNT/cp/d0/f10")" '640 1234567890'

echo "== asked again when it is no longer trusted"
remount_fs attr_timeout=1
ls -lR "$MNT/rsync" >"$WORK/ls"
read -r -t 2.5 <> <(:) || :
ls -lR "$MNT/rsync" >/dev/null
read -r -t 2.5 <> <(:) || :
before
ls -lR "$MNT/rsync" >"$WORK/ls2"
costs 50 'ls -lR of what has not changed'
cmp "$WORK/ls" "$WORK/ls2"
umount_fs
