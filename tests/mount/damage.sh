#!/usr/bin/env bash
# Whatever happens to the files of the cache: never a wrong byte, never an
# error while the bucket is up; counted, and a line in the log.
# With DG_TEST_LONG=1 ten times as many bits are flipped.
# Races: long
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

FLIPS=1000
[ "${DG_TEST_LONG:-0}" = 0 ] || FLIPS=10000
FILES=5
"$BINARY" --generate-key >"$WORK/key"
chmod 600 "$WORK/key"
KEPT=cache_key_file=$WORK/key,cache_keep=yes

mkdir "$WORK/in"
for ((i = 0; i < FILES; i++)); do
	noise $((200000 + i * 777)) "$((i + 1))" >"$WORK/in/a.$i"
	{ head -c 1000 "$WORK/in/a.$i"; echo changed; tail -c +2001 "$WORK/in/a.$i"; } >"$WORK/in/b.$i"
done

read_all() {
	local i

	for ((i = 0; i < FILES; i++)); do
		CHECKS=$((CHECKS + 1))
		direct "$MNT/b.$i" | cmp - "$WORK/in/b.$i" || fail "b.$i is not what was written"
	done
}

entries() {
	find "$CACHE" -type f -regextype posix-extended -regex '.*/[0-9a-f]{32}' | sort
}

mount_fs "$KEPT"
for ((i = 0; i < FILES; i++)); do
	cp "$WORK/in/a.$i" "$WORK/in/b.$i" "$MNT/"
	equal "$(attribute "$MNT/b.$i" storage)" delta
done
read_all

echo "== $FLIPS bits, one after the other"
cat >"$WORK/flip.py" <<'PYTHON'
import mmap, os, random, sys
cache, mnt, right, count, files = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
rnd = random.Random(4)
page = mmap.mmap(-1, 1 << 20)
def direct(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        n = os.preadv(fd, [page], 0)
        return page[:n]
    finally:
        os.close(fd)
want = [open("%s/b.%d" % (right, i), "rb").read() for i in range(files)]
def sealed():
    for where, _, names in os.walk(cache):
        for n in names:
            if len(n) == 32:
                yield os.path.join(where, n)
for k in range(count):
    path = rnd.choice(sorted(sealed()))
    with open(path, "r+b") as f:
        at = rnd.randrange(os.fstat(f.fileno()).st_size)
        f.seek(at)
        c = f.read(1)[0]
        f.seek(at)
        f.write(bytes([c ^ 1 << rnd.randrange(8)]))
    for i in range(files):
        if direct("%s/b.%d" % (mnt, i)) != want[i]:
            sys.exit("b.%d is wrong after a flip at %d of %s" % (i, at, path))
PYTHON
python3 "$WORK/flip.py" "$CACHE" "$MNT" "$WORK/in" "$FLIPS" "$FILES" || fail 'wrong bytes, or an error'
CHECKS=$((CHECKS + FLIPS))
echo "$(stats .cache.corruptions) of $FLIPS found to matter"
holds "$(stats .cache.corruptions)" -ge $((FLIPS * 9 / 10))
holds "$(stats .cache.corruptions)" -le "$FLIPS"
grep -q 'dropped 1 damaged file; what they held is fetched again' "$LOG" || fail 'no line of it in the log'
equal "$(stats .errors.commit)" 0
equal "$(stats .errors.verify_failures)" 0 'reads that had to be done over'

echo "== written against a damaged reference"
for file in $(entries); do
	printf 'xyz' | dd of="$file" bs=1 seek=70000 conv=notrunc status=none
done
echo 1 >"$MNT/.dg/clear_cache" # of plain texts too, which would do instead
read_all
for file in $(entries); do
	printf 'xyz' | dd of="$file" bs=1 seek=70000 conv=notrunc status=none
done
{ cat "$WORK/in/b.0"; echo more; } >"$WORK/in/c.0"
cp "$WORK/in/c.0" "$MNT/c.0"
same "$WORK/in/c.0" "$MNT/c.0"
equal "$(attribute "$MNT/c.0" storage)" delta
rm "$MNT/c.0"
umount_fs

# damaged NAME COMMAND...: after the command, given all files of a cache that
# was kept, all can be read, and so many files are counted.
damaged() {
	local name=$1 least=$2
	shift 2
	echo "== $name"
	mount_fs "$KEPT"
	read_all
	umount_fs
	equal "$(entries | wc -l)" "$FILES"
	mapfile -t ENTRY < <(entries)
	DIR=$(dirname "${ENTRY[0]}")
	"$@"
	mount_fs "$KEPT"
	read_all
	read_all
	equal "$(stats .cache.entries)" "$FILES"
	holds "$(stats .cache.corruptions)" -ge "$least"
	equal "$(stats .errors.verify_failures)" 0
	umount_fs
}

truncated() {
	truncate -s 0 "${ENTRY[0]}"
	truncate -s 1 "${ENTRY[1]}"
	truncate -s 127 "${ENTRY[2]}"
	truncate -s 128 "${ENTRY[3]}"
	truncate -s -1 "${ENTRY[4]}"
}
swapped() {
	mv "${ENTRY[0]}" "$DIR/x"
	mv "${ENTRY[1]}" "${ENTRY[0]}"
	mv "$DIR/x" "${ENTRY[1]}"
}
zeroed() {
	dd if=/dev/zero of="${ENTRY[0]}" bs=4K count=10 conv=notrunc status=none
	head -c "$(stat -c %s "${ENTRY[1]}")" /dev/zero >"${ENTRY[1]}.new"
	mv "${ENTRY[1]}.new" "${ENTRY[1]}"
}
prolonged() {
	echo more >>"${ENTRY[0]}"
	cat "${ENTRY[1]}" >>"${ENTRY[2]}"
}
renamed() {
	mv "${ENTRY[0]}" "$DIR/0123456789abcdef0123456789abcdef"
	cp "${ENTRY[1]}" "$DIR/fedcba9876543210fedcba9876543210"
}
# Of two files the pages, whose place is the same in both.
spliced() {
	dd if="${ENTRY[0]}" of="${ENTRY[1]}" bs=65564 skip=1 seek=1 count=1 conv=notrunc status=none
	dd if="${ENTRY[2]}" of="${ENTRY[3]}" bs=128 count=1 conv=notrunc status=none
}
aliens() {
	echo alien >"$DIR/alien"
	echo alien >"$DIR/00000000000000000000000000000000"
	echo alien >"$DIR/11111111111111111111111111111111.part"
	echo alien >"$DIR/2222222222222222.doomed"
	ln -s /etc/passwd "$DIR/link"
	ln -sf /etc/passwd "${ENTRY[0]}"
	mkfifo "$DIR/fifo"
	mkdir "$DIR/directory"
	rm "${ENTRY[1]}"
	mkdir "${ENTRY[1]}"
	rm "${ENTRY[2]}"
	mkfifo "${ENTRY[2]}"
}
services() {
	echo garbage >"$DIR/space"
	rm "$DIR/lock"
}
damaged truncated 5 truncated
damaged 'swapped with each other' 2 swapped
damaged 'zeroed, in part and as a whole' 2 zeroed
damaged prolonged 2 prolonged
damaged 'under another name' 2 renamed
damaged 'one with the bytes of another' 1 spliced
damaged 'things that are none' 8 aliens
damaged 'the files of the directory itself' 0 services
passwd=$(wc -c </etc/passwd)
holds "$passwd" -gt 0

echo "== all of it gone while it is in use"
mount_fs "$KEPT"
read_all
rm -rf "$CACHE"/deltaglider-*
read_all
read_all
cp "$WORK/in/b.1" "$MNT/after" || fail 'no writing without the directory'
same "$WORK/in/b.1" "$MNT/after"
grep -q 'cache: .*: what is fetched is not kept' "$LOG" || fail 'no line of it in the log'
EXPECT_ERRORS=1 umount_fs
