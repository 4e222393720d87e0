#!/usr/bin/env bash
# Through mount(8) and fstab, as a plain user, in front and in the background,
# and how each of them ends.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
# Where /dev/fuse is root's alone (udev makes it everybody's), a plain user has
# one in a mount namespace of our own: the machine's stays as it is.
private=
if [ "$(id -u)" = 0 ] && [ "$(stat -c %a /dev/fuse)" != 666 ] && unshare -m true 2>/dev/null; then
	[ -n "${DG_TEST_PRIVATE-}" ] || DG_TEST_PRIVATE=1 exec unshare -m "$0" "$@"
	private=1
fi
lib_init "$@"
if [ -n "$private" ]; then
	mkdir "$WORK/dev"
	mount -t tmpfs -o mode=755 tmpfs "$WORK/dev"
	mknod -m 666 "$WORK/dev/fuse" c 10 229
	mount --bind "$WORK/dev/fuse" /dev/fuse
fi

# The process in the background that serves the directory $1.
daemon_of() {
	local p

	for p in /proc/[0-9]*; do
		[ "$(cat "$p/comm" 2>/dev/null)" = mount.deltaglid ] || continue
		if grep -qxF -- "$1" < <(tr '\0' '\n' 2>/dev/null <"$p/cmdline"); then
			echo "${p#/proc/}"
		fi
	done
}

ends() {
	CHECKS=$((CHECKS + 1))
	until_true "$DEADLINE" has_ended "$1" || fail "process $1 does not end"
}

# Hold $1 open with the text $2 written and nothing closed: no shell, where a
# redirection that ends closes a copy of the descriptor.
hold_open() {
	exec 8< <(exec python3 -c '
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
os.write(fd, sys.argv[2].encode())
print("written", flush=True)
time.sleep(1000)' "$1" "$2")
	HOLDER=$!
	read -r _ <&8
	equal "$(attribute "$1" stored_size)" '' 'stored before it was closed'
}

let_go() {
	kill "$HOLDER"
	wait "$HOLDER" 2>/dev/null || :
	until_true 10 has_ended "$HOLDER" || fail 'the holder lives'
}

echo "== signals, with a file open that was never stored"
for signal in TERM INT HUP; do
	mount_fs
	hold_open "$MNT/held-$signal" "written before SIG$signal"
	kill "-$signal" "$DPID"
	if [ "$signal" = HUP ]; then
		content "$MNT/held-HUP" 'written before SIGHUP'
		let_go
		umount_fs
	else
		end_fs 0
		let_go
	fi
done
mount_fs
for signal in TERM INT HUP; do
	content "$MNT/held-$signal" "written before SIG$signal"
done
umount_fs

echo "== what is installed"
DESTDIR=$WORK/dest cmake --install "$(dirname "$BINARY")" >"$WORK/installed"
# mount(8) looks in /sbin and nowhere else.
helper=$(readlink "$WORK/dest/sbin/mount.deltaglider")
same "$WORK/dest$helper" "$BINARY"
holds -s "$WORK/dest/usr/local/share/man/man8/mount.deltaglider.8"

echo "== in the background"
mkdir "$WORK/relative" "$WORK/with space"
for dir in "$MNT" relative "with space"; do
	(cd "$WORK" && "$BINARY" "$SPEC" "$dir" -o "$OPTS" >out 2>&1)
	# The parent has ended, and so it is there.
	dir=$(cd "$WORK" && realpath "$dir")
	is_mounted "$dir" || fail "not mounted: $dir"
	equal "$(cat "$WORK/out")" '' 'said by a mount that works'
	echo "in $dir" >"$dir/background"
	lib_umount "$dir"
	[ "$dir" = "$MNT" ] || continue
	exec 9>"$WORK/held-by-the-caller"
	"$BINARY" "$SPEC" "$MNT" -o "$OPTS"
	exec 9>&-
	pid=$(daemon_of "$MNT")
	holds "$(wc -w <<<"$pid")" -ge 1
	pid=${pid##*$'\n'}
	equal "$(readlink "/proc/$pid/cwd")" /
	equal "$(readlink "/proc/$pid/fd/0")" /dev/null
	equal "$(readlink "/proc/$pid/fd/2")" /dev/null
	# A lock or a pipe of the caller's does not live as long as the mount.
	equal "$(find "/proc/$pid/fd" -lname "$WORK/held-by-the-caller" | wc -l)" 0
	content "$MNT/background" "in $MNT"
	hold_open "$MNT/held" 'when it was terminated'
	kill -TERM "$pid"
	ends "$pid"
	let_go
	is_mounted && fail 'mounted after SIGTERM'
done
mount_fs
content "$MNT/held" 'when it was terminated'
content "$MNT/background" "in $WORK/with space"
umount_fs

[ "$(id -u)" = 0 ] || {
	echo "the rest needs root"
	exit 0
}

echo "== a plain user, through fusermount3"
command -v fusermount3 >/dev/null || fail 'no fusermount3'
cp "$BINARY" "$WORK/mount.deltaglider"
chmod 755 "$WORK/mount.deltaglider"
user=$(id -u nobody)
group=$(id -g nobody)
as_user() {
	setpriv --reuid "$user" --regid "$group" --clear-groups env HOME="$WORK/home" "$@"
}
if as_user test -w /dev/fuse; then
	mkdir "$WORK/user" "$WORK/user/mnt" "$WORK/user/cache"
	user_spec=$SPEC
	[ "$STORE" = s3 ] || user_spec=file://$WORK/user/bucket
	chown -R "$user:$group" "$WORK/user"
	user_opts=${OPTS//cache_dir=$CACHE/cache_dir=$WORK/user/cache}
	umnt=$WORK/user/mnt
	as_user "$WORK/mount.deltaglider" "$user_spec" "$umnt" -o "$user_opts"
	is_mounted "$umnt"
	pid=$(daemon_of "$umnt")
	equal "$(stat -c %u "/proc/$pid")" "$user" 'who runs it'
	as_user bash -c "echo mine >'$umnt/user' && mkdir '$umnt/userdir' && cp /bin/true '$umnt/userdir'"
	equal "$(as_user cat "$umnt/user")" mine
	equal "$(as_user stat -c %u:%g "$umnt/user")" "$user:$group"
	refuses 'denied' ls "$umnt"
	as_user fusermount3 -u "$umnt"
	ends "$pid"
	as_user "$WORK/mount.deltaglider" "$user_spec" "$umnt" -o "$user_opts"
	equal "$(as_user cat "$umnt/user")" mine
	pid=$(daemon_of "$umnt")
	kill -TERM "$pid"
	ends "$pid"
	is_mounted "$umnt" && fail 'mounted after SIGTERM'
	# Not theirs to mount on.
	mkdir -m 755 "$WORK/roots"
	refuses 'roots' as_user "$WORK/mount.deltaglider" "$user_spec" "$WORK/roots" -o "$user_opts"
	holds ! -e "$WORK/roots/.dg"
else
	# In a chroot: there is no name space to give it a node of its own in.
	echo "/dev/fuse is closed to a plain user: not tested"
fi

echo "== mount(8) and fstab"
helper=/sbin/mount.deltaglider
[ ! -e "$helper" ] || {
	echo "$helper is installed: not replaced, so the rest is not tested"
	exit 0
}
LIB_CLEANUP=remove_helper
remove_helper() {
	rm -f "$helper"
}
cp "$BINARY" "$helper"
cat >"$WORK/config" <<END
[default]
cache_dir = $CACHE
END
[ "$STORE" = local ] || cat >>"$WORK/config" <<END
endpoint = $DG_TEST_S3_ENDPOINT
path_style = on
access_key_id = $AWS_ACCESS_KEY_ID
secret_access_key = $AWS_SECRET_ACCESS_KEY
END
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY TMPDIR
cat >"$WORK/fstab" <<END
$SPEC $MNT deltaglider _netdev,noauto,nofail,noatime,nosuid,x-systemd.automount,x-systemd.requires=network-online.target,x-gvfs-hide,comment=test,config=$WORK/config,allow_other,umask=022 0 0
END
mount -T "$WORK/fstab" "$MNT"
is_mounted
equal "$(findmnt -no FSTYPE "$MNT")" fuse.deltaglider
equal "$(findmnt -no SOURCE "$MNT")" "$SPEC"
for option in noatime nosuid allow_other rw; do
	CHECKS=$((CHECKS + 1))
	grep -qx "$option" < <(findmnt -no OPTIONS "$MNT" | tr , '\n') || fail "not mounted with $option: $(findmnt -no OPTIONS "$MNT")"
done
echo 'by mount(8)' >"$MNT/fstab"
equal "$(setpriv --reuid "$user" --regid "$group" --clear-groups cat "$MNT/fstab")" 'by mount(8)' 'allow_other'
grep -q '^attr_timeout' "$MNT/.dg/config"
pid=$(daemon_of "$MNT")
umount "$MNT"
ends "$pid"
mount -T "$WORK/fstab" "$MNT" -o ro
content "$MNT/fstab" 'by mount(8)'
refuses 'read-only' touch "$MNT/x"
pid=$(daemon_of "$MNT")
umount -T "$WORK/fstab" "$MNT" 2>/dev/null || umount "$MNT"
ends "$pid"
mount -t deltaglider "$SPEC" "$MNT" -o "config=$WORK/config"
content "$MNT/fstab" 'by mount(8)'
pid=$(daemon_of "$MNT")
umount "$MNT"
ends "$pid"
refuses 'nonsense' mount -t deltaglider "$SPEC" "$MNT" -o "config=$WORK/config,nonsense"
! is_mounted || fail "mounted"
# "mount -f" pretends; the helper is told so.
mount -f -t deltaglider "$SPEC" "$MNT" -o "config=$WORK/config"
! is_mounted || fail "mounted"
