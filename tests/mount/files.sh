#!/usr/bin/env bash
# Ordinary tools on ordinary files, and what of it is there after a remount.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

# Name, type, size, mode, owner, group, mtime to the nanosecond, link target.
listing() {
	(cd "$1" && find . ! -path ./.dg -printf '%P %y %s %m %U %G %T@ %l\n' | sort)
}

# The same without directories' times, which a copy of their content changes.
listing_files() {
	(cd "$1" && find . ! -type d -printf '%P %y %s %m %T@ %l\n' | sort)
}

mount_fs
cd "$MNT"

echo "== redirections"
echo x >new
content new x
echo y >new
content new y
: >empty
holds -f empty
equal "$(stat -c %s empty)" 0
(echo a; echo b) >both
content both $'a\nb'
echo c >>both
content both $'a\nb\nc'
: >both
equal "$(stat -c %s both)" 0
cat >heredoc <<'END'
one
two
END
content heredoc $'one\ntwo'
printf 'no newline' >heredoc
content heredoc 'no newline'
set -C
refuses 'cannot overwrite|exist' bash -C -c 'echo z >new'
set +C
content new y
exec 7>>log
echo 1 >&7
echo 2 >&7
content log $'1\n2'
exec 7>&-
content log $'1\n2'
exec 7<>new
read -r line <&7
equal "$line" y
echo more >&7
exec 7>&-
content new $'y\nmore'

echo "== cp, mv, rm, mkdir, rmdir, ln -s"
mkdir -p dir/sub/deep
noise 300000 >"$WORK/noise"
cp "$WORK/noise" dir/a
same "$WORK/noise" dir/a
cp dir/a dir/sub/b
cp -a dir copy
listing dir >"$WORK/one"
listing copy >"$WORK/two"
alike "$WORK/one" "$WORK/two"
mv dir/a dir/sub/deep/c
missing dir/a
same "$WORK/noise" dir/sub/deep/c
mv "$MNT/dir/sub" "$MNT/moved"
same "$WORK/noise" moved/deep/c
missing dir/sub
cp "$WORK/noise" "$WORK/outside"
mv "$WORK/outside" inside
same "$WORK/noise" inside
mv inside "$WORK/outside"
missing inside
same "$WORK/noise" "$WORK/outside"
echo target >target
echo source >source
mv source target
content target source
missing source
refuses 'not empty' rmdir moved
rmdir dir
missing dir
ln -s target link
content link source
equal "$(readlink link)" target
ln -s 'no where/ at ä all' dangling
equal "$(readlink dangling)" 'no where/ at ä all'
refuses 'no such file' cat dangling
rm dangling
missing dangling
rm -r moved copy
missing moved
refuses 'not permitted' ln target hard
mkdir dir
refuses 'cannot overwrite directory' cp -T /etc/passwd dir
refuses 'not a directory' ls target/x
refuses 'exists' mkdir target
refuses 'no such file' cat absent

echo "== names"
mkdir names
long=$(printf 'n%.0s' {1..255})
odd=()
# S3's keys are UTF-8; the local store's are bytes.
[ "$STORE" = s3 ] || odd=($'\xff\xfe')
for name in "${odd[@]}" 'with space' 'tab	and "quotes"' 'ünïcödé' 'percent%41' 'plus+and&' '-dash' '.hidden' 'a:b' 'back\slash' 'star*?' x.delta reference.bin .deltaglider "$long"; do
	printf '%s' "$name" >"names/$name"
done
refuses 'too long' touch "names/${long}n"
ls -A names >"$WORK/names"
equal "$(wc -l <"$WORK/names")" $((14 + ${#odd[@]})) 'names listed'
for name in names/* names/.[a-z]*; do
	content "$name" "${name#names/}"
done

echo "== many in a directory"
mkdir many
for i in $(seq 1 300); do
	echo "$i" >"many/$i"
done
equal "$(find many -type f | wc -l)" 300
equal "$(cat many/* | sort -n | tail -1)" 300
rm many/1*
equal "$(find many -type f | wc -l)" 189
rm -r many

echo "== dd"
noise 1000000 2 >"$WORK/disk"
cp "$WORK/disk" disk
for f in "$WORK/disk" disk; do
	printf HEAD | dd of="$f" conv=notrunc status=none
	printf MIDDLE | dd of="$f" bs=1 seek=500001 conv=notrunc status=none
	printf 'beyond the end' | dd of="$f" bs=1 seek=1200000 conv=notrunc status=none
	dd if=/dev/zero of="$f" bs=4096 count=3 seek=7 conv=notrunc,fsync status=none
done
same "$WORK/disk" disk
dd if=disk of="$WORK/part" bs=999 skip=3 count=500 status=none
dd if="$WORK/disk" of="$WORK/part2" bs=999 skip=3 count=500 status=none
same "$WORK/part" "$WORK/part2"
for f in "$WORK/disk" disk; do
	printf cut | dd of="$f" bs=1 seek=1000 status=none
done
same "$WORK/disk" disk
equal "$(stat -c %s disk)" 1003
for f in "$WORK/disk" disk; do
	truncate -s 70000 "$f"
	truncate -s 65537 "$f"
	truncate -s +3 "$f"
done
same "$WORK/disk" disk
truncate -s 0 disk
equal "$(stat -c %s disk)" 0

echo "== tar, zip, rsync"
mkdir "$WORK/tree" "$WORK/tree/sub" "$WORK/tree/empty"
for i in 1 2 3 4 5 6 7 8; do
	noise $((i * 7919)) "$i" >"$WORK/tree/sub/f$i"
	touch -d "2001-02-0$i 03:04:05.123456789" "$WORK/tree/sub/f$i"
done
: >"$WORK/tree/nothing"
chmod 640 "$WORK/tree/sub/f1"
chmod 755 "$WORK/tree/sub/f2"
chmod 400 "$WORK/tree/sub/f3"
ln -s sub/f1 "$WORK/tree/link"
# rsync leaves alone what has the right second.
touch -h -d '2002-03-04 05:06:07.8' "$WORK/tree/link" "$WORK/tree/nothing"
touch -d '1999-12-31 23:59:59.5' "$WORK/tree/sub" "$WORK/tree/empty"
listing_files "$WORK/tree" >"$WORK/want"

tar -C "$WORK" --format=posix -cf tree.tar tree
tar -C "$WORK" -df tree.tar
mkdir untar
tar -C untar -xf tree.tar
listing_files untar/tree >"$WORK/got"
alike "$WORK/want" "$WORK/got"
diff -r "$WORK/tree" untar/tree
tar -czf tree.tgz -C untar tree
tar -tzf tree.tgz >"$WORK/list"
equal "$(wc -l <"$WORK/list")" 13 'members'

(cd "$WORK" && zip -qr tree.zip tree)
cp "$WORK/tree.zip" .
unzip -q tree.zip -d unzip
diff -r "$WORK/tree" unzip/tree
(cd unzip && zip -qr ../again.zip tree)
unzip -tq again.zip >/dev/null

rsync -a "$WORK/tree/" rsync/
listing_files rsync >"$WORK/got"
alike "$WORK/want" "$WORK/got"
diff -r "$WORK/tree" rsync
equal "$(rsync -ai "$WORK/tree/" rsync/)" '' 'rsync again'
equal "$(rsync -aic "$WORK/tree/" rsync/)" '' 'rsync again, by content'
equal "$(stat -c '%Y %a' rsync/sub)" "$(stat -c '%Y %a' "$WORK/tree/sub")"
sed -i '1s/^/changed/' "$WORK/tree/sub/f5"
equal "$(rsync -ai --out-format=%n "$WORK/tree/" rsync/ | grep -v /$)" sub/f5
rsync -a --inplace --delete "$WORK/tree/sub/" rsync/sub/
(cd "$WORK/tree" && find . -type f -exec sha256sum {} +) >"$WORK/sums"
(cd rsync && sha256sum --quiet -c "$WORK/sums")

echo "== an editor that saves by renaming"
printf 'first\n' >text
for i in 1 2 3 4 5; do
	cp -p text .text.swp
	printf 'edit %d\n' "$i" >>.text.swp
	mv text text~
	mv .text.swp text
	rm text~
done
equal "$(wc -l <text)" 6
sed -i s/edit/EDIT/ text
equal "$(grep -c EDIT text)" 5
missing .text.swp

echo "== attributes"
echo x >attr
chmod 4751 attr
equal "$(stat -c %a attr)" 4751
chmod 640 attr
touch -d '2011-12-13 14:15:16.171819202' attr
equal "$(stat -c %y attr | cut -d' ' -f2)" 14:15:16.171819202
touch -a -d '2012-01-02 03:04:05' attr
equal "$(date -r attr +%Y)" 2011
if [ "$(id -u)" = 0 ]; then
	chown 1234:5678 attr
	equal "$(stat -c %u:%g attr)" 1234:5678
	mkdir owned
	chown 12:34 owned
	chmod 1777 owned
fi
mkdir -m 700 private
touch -d '2013-01-01' private
equal "$(stat -c '%a %X' private)" "700 $(date -d 2013-01-01 +%s)"
stat -f . >"$WORK/statfs"
holds "$(stat -f -c %b .)" -gt 0
holds "$(stat -f -c %l .)" -ge 255
df . >"$WORK/df"

echo "== after a remount"
# Directories without a time of their own have the time of their making.
rm -r names/.deltaglider
listing . | grep -v '^ d ' >"$WORK/before"
find . -type f ! -path './.dg/*' -exec sha256sum {} + | sort >"$WORK/sums"
cd "$WORK"
remount_fs ''
cd "$MNT"
listing . | grep -v '^ d ' >"$WORK/after"
alike "$WORK/before" "$WORK/after"
sha256sum --quiet -c "$WORK/sums"
equal "$(rsync -ai "$WORK/tree/" rsync/)" '' 'rsync after a remount'
content text "$(printf 'first\n'; for i in 1 2 3 4 5; do echo "EDIT $i"; done)"
equal "$(stat -c %a attr)" 640

echo "== everything goes"
find . -mindepth 1 -delete
equal "$(find . -mindepth 1 | wc -l)" 0 'entries left'
cd "$WORK"
remount_fs ''
equal "$(find "$MNT" -mindepth 1 | wc -l)" 0 'entries left'
umount_fs
equal "$(bucket_list | grep -vc '	\.dg/' || :)" 0 'objects left'
