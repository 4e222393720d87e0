#!/usr/bin/env bash
# System calls whose every result matters, one by one, on the real mount.
# shellcheck source=tests/support/mountlib.sh
. "$(dirname "$(realpath "$0")")/../support/mountlib.sh"
lib_init "$@"

# Others are let in, where that is allowed.
[ "$(id -u)" != 0 ] || OPTS=$OPTS,allow_other
mount_fs
python3 - "$MNT" <<'END'
import errno, os, sys, stat, time, mmap, threading, fcntl

root = sys.argv[1]
os.chdir(root)
N = 0


def check(got, want, what):
    global N
    N += 1
    if got != want:
        got, want = repr(got), repr(want)
        sys.exit("line %d, %s: got %s, expected %s" % (
            sys._getframe(1).f_lineno, what, got[:300], want[:300]))


def refused(code, call, *args, **named):
    global N
    N += 1
    try:
        call(*args, **named)
    except OSError as e:
        if e.errno != code:
            sys.exit("line %d, %s%r: %s, expected %s" % (
                sys._getframe(1).f_lineno, call.__name__, args, errno.errorcode[e.errno], errno.errorcode[code]))
        return
    sys.exit("line %d, %s%r: worked, expected %s" % (
        sys._getframe(1).f_lineno, call.__name__, args, errno.errorcode[code]))


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


pattern = bytes((i * 7 + (i >> 8) * 13) & 255 for i in range(1 << 20))

# Read and write anywhere, against a model in memory.
fd = os.open("any", os.O_RDWR | os.O_CREAT, 0o600)
model = bytearray()
seed = 1
for step in range(400):
    seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
    off, n = (seed >> 20) % 900000, 1 + (seed >> 44) % 30000
    if step % 37 == 36:
        os.ftruncate(fd, off)
        model = model[:off] + bytes(max(0, off - len(model)))
    elif step % 3:
        data = pattern[step:step + n]
        check(os.pwrite(fd, data, off), n, "pwrite")
        if off > len(model):
            model += bytes(off - len(model))
        model[off:off + n] = data
    else:
        check(os.pread(fd, n, off), bytes(model[off:off + n]), "pread at %d" % off)
    if step % 100 == 99:
        os.fsync(fd)
        check(read("any"), bytes(model), "read through another descriptor")
check(os.fstat(fd).st_size, len(model), "fstat")
check(os.pread(fd, 10, len(model)), b"", "read at the end")
os.close(fd)
check(read("any"), bytes(model), "after close")

# Holes are zeros.
fd = os.open("hole", os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"end", 5 << 20)
check(os.pread(fd, 4096, 1 << 20), bytes(4096), "a hole")
os.close(fd)
check(os.stat("hole").st_size, (5 << 20) + 3, "size of a file with a hole")
check(read("hole"), bytes(5 << 20) + b"end", "a file with a hole")

# Append, also from two descriptors at once.
a = os.open("append", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
b = os.open("append", os.O_WRONLY | os.O_APPEND)
for i in range(20):
    os.write(a, b"a%02d" % i)
    os.write(b, b"b%02d" % i)
os.close(a)
os.close(b)
check(read("append"), b"".join(b"a%02db%02d" % (i, i) for i in range(20)), "append")

# Truncate, by path and by descriptor, down and up, cached and not.
write("trunc", pattern)
for how in ("path", "fd"):
    for size in (1 << 20, 700001, 65536, 65537, 200000, 10, 0, 12345):
        if how == "path":
            os.truncate("trunc", size)
        else:
            fd = os.open("trunc", os.O_RDWR)
            os.ftruncate(fd, size)
            check(os.fstat(fd).st_size, size, "size by descriptor")
            os.close(fd)
        check(os.stat("trunc").st_size, size, "size after truncate")
    check(read("trunc"), bytes(12345), "truncated to nothing, then up")
    write("trunc", pattern)
os.truncate("trunc", 1000)
os.truncate("trunc", 3000)
check(read("trunc"), pattern[:1000] + bytes(2000), "down and up")
fd = os.open("trunc", os.O_RDWR | os.O_TRUNC)
check(os.fstat(fd).st_size, 0, "O_TRUNC")
os.write(fd, b"new")
os.close(fd)
check(read("trunc"), b"new", "after O_TRUNC")
refused(errno.EISDIR, os.open, ".", os.O_WRONLY)
refused(errno.ENOENT, os.truncate, "absent", 0)

# O_EXCL, O_CREAT, modes.
fd = os.open("excl", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
os.close(fd)
refused(errno.EEXIST, os.open, "excl", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
old = os.umask(0o027)
os.close(os.open("masked", os.O_WRONLY | os.O_CREAT, 0o666))
os.umask(old)
check(stat.S_IMODE(os.stat("masked").st_mode), 0o640, "umask")
fd = os.open("readonly", os.O_RDWR | os.O_CREAT, 0o400)
os.write(fd, b"writable by its maker")
os.close(fd)
check(read("readonly"), b"writable by its maker", "a file made read-only")

# Unlinked and replaced while open.
write("gone", pattern)
fd = os.open("gone", os.O_RDWR)
os.unlink("gone")
refused(errno.ENOENT, os.stat, "gone")
check(os.pread(fd, 1000, 500000), pattern[500000:501000], "read of an unlinked file")
os.pwrite(fd, b"changed", 500000)
check(os.pread(fd, 7, 500000), b"changed", "write to an unlinked file")
check(os.fstat(fd).st_nlink, 0, "links of an unlinked file")
write("gone", b"another")
os.fsync(fd)
os.close(fd)
check(read("gone"), b"another", "the name's new file")

fd = os.open("never", os.O_RDWR | os.O_CREAT)
os.write(fd, b"x" * 100000)
os.unlink("never")
check(os.pread(fd, 5, 99995), b"xxxxx", "unlinked before it was stored")
os.close(fd)
refused(errno.ENOENT, os.stat, "never")

write("old", b"old" * 50000)
write("new", b"new" * 60000)
fd = os.open("old", os.O_RDONLY)
os.rename("new", "old")
check(read("old"), b"new" * 60000, "renamed over an open file")
check(os.read(fd, 200000), b"old" * 50000, "the open handle's own version")
os.close(fd)
refused(errno.ENOENT, os.stat, "new")

# Renamed while open and unsaved.
fd = os.open("before", os.O_RDWR | os.O_CREAT)
os.write(fd, b"one")
os.rename("before", "after")
os.write(fd, b"two")
os.close(fd)
check(read("after"), b"onetwo", "renamed between two writes")
refused(errno.ENOENT, os.stat, "before")
check(sorted(n for n in os.listdir() if n in ("before", "after")), ["after"], "listed")

# Renames of directories and between them.
os.makedirs("d1/sub/deep")
write("d1/top", b"top")
write("d1/sub/deep/file", pattern)
fd = os.open("d1/sub/deep/file", os.O_RDONLY)
unsaved = os.open("d1/sub/unsaved", os.O_RDWR | os.O_CREAT)
os.write(unsaved, b"not stored yet")
os.rename("d1", "d2")
refused(errno.ENOENT, os.stat, "d1")
check(read("d2/sub/deep/file"), pattern, "moved with its directory")
check(os.pread(fd, 100, 1000), pattern[1000:1100], "open while its directory moved")
os.close(fd)
os.write(unsaved, b", now it is")
os.close(unsaved)
check(read("d2/sub/unsaved"), b"not stored yet, now it is", "unsaved while its directory moved")
os.mkdir("empty")
os.rename("d2", "empty")
check(read("empty/top"), b"top", "renamed over an empty directory")
os.mkdir("full")
write("full/x", b"")
refused(errno.ENOTEMPTY, os.rename, "empty", "full")
refused(errno.ENOTDIR, os.rename, "empty", "any")
refused(errno.EISDIR, os.rename, "any", "full")
refused(errno.EINVAL, os.rename, "empty", "empty/sub/inside")
refused(errno.ENOENT, os.rename, "absent", "any")
os.rename("any", "any")
check(read("any"), bytes(model), "renamed to itself")
os.rename("empty/top", "full/top")
check(read("full/top"), b"top", "renamed into another directory")

# Directories.
refused(errno.EEXIST, os.mkdir, "full")
refused(errno.ENOTEMPTY, os.rmdir, "full")
refused(errno.ENOTDIR, os.rmdir, "any")
refused(errno.ENOENT, os.rmdir, "absent")
refused(errno.EISDIR, os.unlink, "full")
refused(errno.ENOTDIR, os.stat, "any/below")
refused(errno.ENOTDIR, os.listdir, "any")
for i in range(500):
    os.close(os.open("full/%03d" % i, os.O_CREAT))
with os.scandir("full") as listing:
    seen = []
    for entry in listing:  # deleting while reading misses nothing
        seen.append(entry.name)
        check(entry.is_file(), True, "type of an entry")
        os.unlink("full/" + entry.name)
check(len(seen), 502, "entries")
check(len(set(seen)), 502, "entries, each once")
check(os.listdir("full"), [], "all deleted")
os.rmdir("full")
refused(errno.ENOENT, os.stat, "full")

# What stat says.
write("stat", b"12345")
st = os.stat("stat")
check((stat.S_ISREG(st.st_mode), st.st_size, st.st_nlink, st.st_uid, st.st_gid),
      (True, 5, 1, os.getuid(), os.getgid()), "stat")
check(abs(st.st_mtime - time.time()) < 60, True, "mtime is now")
check(os.stat("stat").st_ino == st.st_ino, True, "a stable inode number")
before = os.stat("stat").st_mtime_ns
time.sleep(0.02)
with open("stat", "ab") as f:
    f.write(b"6")
check(os.stat("stat").st_mtime_ns > before, True, "mtime after a write")
os.utime("stat", ns=(1000000000123456789, 1100000000987654321))
st = os.stat("stat")
check((st.st_atime_ns, st.st_mtime_ns), (1000000000123456789, 1100000000987654321), "utimens")
os.utime("stat", ns=(5, -1500000000))
check(os.stat("stat").st_mtime_ns, -1500000000, "a time before 1970")
fd = os.open("timed", os.O_RDWR | os.O_CREAT)
os.write(fd, b"data")
os.utime(fd, ns=(7, 1234567890123456789))
os.fchmod(fd, 0o604)
os.close(fd)
st = os.stat("timed")
check((st.st_mtime_ns, stat.S_IMODE(st.st_mode)), (1234567890123456789, 0o604), "set before it was stored")
vfs = os.statvfs(".")
check((vfs.f_blocks > 0, vfs.f_bavail > 0, vfs.f_namemax >= 255), (True, True, True), "statvfs")

# fsync stores; another look at the bucket would see it.
fd = os.open("synced", os.O_RDWR | os.O_CREAT)
os.write(fd, pattern)
os.fsync(fd)
check(os.getxattr("synced", "user.deltaglider.size"), b"1048576", "stored by fsync")
os.write(fd, b"more")
os.fdatasync(fd)
check(os.getxattr("synced", "user.deltaglider.size"), b"1048580", "stored by fdatasync")
os.close(fd)

# Attributes of ours are as they are; what is set of them goes nowhere, so that
# cp -a and rsync -X do not fail.
names = os.listxattr("synced")
check(all(n.startswith("user.deltaglider.") for n in names) and len(names) >= 5, True, "listxattr")
refused(errno.ENODATA, os.getxattr, "synced", "user.other")
refused(errno.ENODATA, os.getxattr, "synced", "user.deltaglider.other")
os.setxattr("synced", "user.deltaglider.size", b"1")
os.removexattr("synced", "user.deltaglider.size")
check(os.getxattr("synced", "user.deltaglider.size"), b"1048580", "ours, after it was set")

for name in "foo", ".", "a.b", "userx.y":
    refused(errno.ENOTSUP, os.setxattr, "synced", name, b"v")
refused(errno.EINVAL, os.setxattr, "synced", "user.", b"v")

# O_APPEND is what fcntl says now.
fd = os.open("ap", os.O_RDWR | os.O_CREAT | os.O_APPEND)
os.write(fd, b"12345")
fcntl.fcntl(fd, fcntl.F_SETFL, 0)
os.lseek(fd, 0, 0)
os.write(fd, b"G")
check(os.pread(fd, 20, 0), b"G2345", "a write without O_APPEND any more")
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
os.lseek(fd, 0, 0)
os.write(fd, b"H")
check(os.pread(fd, 20, 0), b"G2345H", "and with it again")
os.close(fd)

# A link that is replaced all the time is one of the two.
os.mkdir("v1")
os.mkdir("v2")
os.symlink("v1", "cur")
stop = False


def swap():
    n = 0
    while not stop:
        n += 1
        os.symlink("v%d" % (1 + n % 2), "cur.new")
        os.rename("cur.new", "cur")


swapper = threading.Thread(target=swap)
swapper.start()
try:
    for k in range(300):
        check(os.readlink("cur") in ("v1", "v2"), True, "readlink")
        check(stat.S_ISDIR(os.stat("cur/.").st_mode), True, "stat through a link")
finally:
    stop = True
    swapper.join()

# Who is not root takes the privileges from a file that he empties.
if os.geteuid() == 0:
    write("su", b"x" * 100)
    os.chmod("su", 0o6777)
    pid = os.fork()
    if not pid:
        try:
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.close(os.open(root + "/su", os.O_WRONLY | os.O_TRUNC))
        except PermissionError:
            os._exit(3)  # without allow_other
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 3:
        check(status, 0, "emptied by another")
        check(stat.S_IMODE(os.stat("su").st_mode), 0o777, "setuid after open(O_TRUNC)")

# Other extended attributes are kept, with whatever bytes.
def others(path, **how):
    return {n: os.getxattr(path, n, **how) for n in os.listxattr(path, **how)
            if not n.startswith("user.deltaglider.")}


blob = bytes(range(256))
os.mkdir("xdir")
write("xfile", b"content")
for path in ("xfile", "xdir"):
    os.setxattr(path, "user.blob", blob)
    os.setxattr(path, "user.empty", b"")
    os.setxattr(path, "user.\"odd\", \x01%41 {ä}", b"odd")
    os.setxattr(path, "user.short", b"once")
    os.setxattr(path, "user.short", b"twice", os.XATTR_REPLACE)
    refused(errno.EEXIST, os.setxattr, path, "user.short", b"", os.XATTR_CREATE)
    refused(errno.ENODATA, os.setxattr, path, "user.none", b"", os.XATTR_REPLACE)
    refused(errno.ENODATA, os.removexattr, path, "user.none")
    os.setxattr(path, "user.removed", b"x")
    os.removexattr(path, "user.removed")
    refused(errno.ENOSPC, os.setxattr, path, "user.large", bytes(1000))
    refused(errno.ENOTSUP, os.setxattr, path, "system.posix_acl_access", bytes(28))
    refused(errno.ENOTSUP, os.getxattr, path, "system.posix_acl_access")
    check(others(path), {"user.blob": blob, "user.empty": b"", "user.short": b"twice",
                         "user.\"odd\", \x01%41 {ä}": b"odd"}, "xattrs of " + path)
if os.geteuid() == 0:
    os.symlink("xfile", "xlink")
    os.setxattr("xlink", "trusted.link", b"of the link", follow_symlinks=False)
    check(others("xlink", follow_symlinks=False), {"trusted.link": b"of the link"}, "xattr of a link")
    os.setxattr("xfile", "security.label", b"secret")
    os.removexattr("xfile", "security.label")
refused(errno.EPERM, os.setxattr, "xlink" if os.geteuid() == 0 else "xfile",
        "user.x" if os.geteuid() == 0 else "trusted.x", b"", follow_symlinks=False)
kept = others("xfile")
fd = os.open("xunsaved", os.O_RDWR | os.O_CREAT)
os.write(fd, b"not stored yet")
os.setxattr(fd, "user.early", b"bird")
check(os.getxattr("xunsaved", "user.early"), b"bird", "of what is not stored yet")
os.close(fd)
check(others("xunsaved"), {"user.early": b"bird"}, "after it was stored")
# Through all that can become of a file.
os.chmod("xfile", 0o600)
os.rename("xfile", "xmoved")
check(others("xmoved"), kept, "after chmod and rename")
with open("xmoved", "ab") as f:
    f.write(b" and more")
check(others("xmoved"), kept, "after it was written again")
os.truncate("xmoved", 3)
check(others("xmoved"), kept, "after truncate")
os.rename("xdir", "xdir2")
check(len(others("xdir2")), 4, "xattrs of a directory that was renamed")
write("xdir2/file", b"x")
os.mkdir("xhome")
os.rename("xdir2", "xhome/xdir3")
check(len(others("xhome/xdir3")), 4, "and moved")
st = os.stat("xmoved")
time.sleep(0.02)
os.setxattr("xmoved", "user.short", b"3")
check((os.stat("xmoved").st_mtime_ns == st.st_mtime_ns, os.stat("xmoved").st_ctime_ns > st.st_ctime_ns), (True, True),
      "a new attribute changes the time of change alone")

# Mappings.
fd = os.open("mapped", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 100000)
with mmap.mmap(fd, 100000) as m:
    m[50000:50005] = b"hello"
    m.flush()
    os.fsync(fd)
    m[99990:99999] = b"later one"
os.close(fd)
data = read("mapped")
check((len(data), data[50000:50005], data[99990:99999]), (100000, b"hello", b"later one"), "written through a mapping")
fd = os.open("any", os.O_RDONLY)
with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as m:
    check(m[:], bytes(model), "read through a mapping")
os.close(fd)

# Eight at once, each its own file; eight at once, one file, own regions.
fails = []


def work(k):
    try:
        for i in range(6):
            write("t%d" % k, pattern[k:200000 + i])
            if read("t%d" % k) != pattern[k:200000 + i]:
                fails.append(k)
        fd = os.open("shared", os.O_RDWR)
        for i in range(20):
            os.pwrite(fd, bytes([k]) * 1000, (i * 8 + k) * 1000)
        os.close(fd)
    except OSError as e:
        fails.append(e)


write("shared", bytes(160000))
threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
check(fails, [], "threads")
check(read("shared"), b"".join(bytes([k]) * 1000 for _ in range(20) for k in range(8)), "shared by threads")

# An advisory lock is worth something on one machine.
fd = os.open("any", os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
other = os.open("any", os.O_RDWR)
refused(errno.EAGAIN, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.close(other)
os.close(fd)
# What is no file: its attributes are all there is of it.
os.mkfifo("fifo", 0o640)
check(stat.S_ISFIFO(os.stat("fifo").st_mode), True, "a fifo")
import socket
sock = socket.socket(socket.AF_UNIX)
sock.bind("socket")
check(stat.S_ISSOCK(os.stat("socket").st_mode), True, "a socket")
refused(errno.EEXIST, os.mkfifo, "fifo")
if os.geteuid() == 0:
    os.mknod("null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod("disk", 0o600 | stat.S_IFBLK, os.makedev(259, 70000))
    check(os.stat("disk").st_rdev, os.makedev(259, 70000), "a device")
    os.rename("null", "zero")
# Through the fifo between two processes.
if os.fork() == 0:
    with open("fifo", "wb") as f:
        f.write(b"through")
    os._exit(0)
check(read("fifo"), b"through", "read of a fifo")
os.wait()
check(os.stat("fifo").st_size, 0, "size of a fifo")

# A directory's group goes to what is made in it.
if os.geteuid() == 0:
    os.mkdir("group")
    os.chown("group", 0, 4711)
    os.chmod("group", 0o2775)
    os.mkdir("group/dir", 0o755)
    check(os.stat("group/dir").st_mode & 0o7777, 0o2755, "mode of a directory in it")
    check(os.stat("group/dir").st_gid, 4711, "its group")
    write("group/file", b"x")
    check(os.stat("group/file").st_gid, 4711, "a file's group")
    os.mkfifo("group/dir/fifo")
    check(os.stat("group/dir/fifo").st_gid, 4711, "a fifo's group")

# Names of any bytes, UTF-8 or not, and of what those that are not are kept as.
odd = [b"a b", b"a%41", b"a+b", b"q?", b"h#", b"new\nline", b"\x01ctl", b".lead", b"trail.", b"trail ",
       b"x.delta", b"reference.bin", b"x_$folder$", b"*", b"\\", b'"', b"&amp;", b"<a>", b"~", b"\x7f",
       b"\xff\xfe", b"caf\xe9", b"\xee\xbe\x80", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf0\x9f\x98\x80",
       b"\xe4" * 255, b"n" * 255]
os.mkdir("odd")
for n in odd:
    path = b"odd/" + n
    write(path, n + b"1")
    check(read(path), n + b"1", repr(path))
    os.rename(path, b"moving")
    os.rename(b"moving", path)
check(sorted(os.listdir(b"odd")), sorted(odd), "names")
for n in odd[20:26]:
    os.mkdir(b"odd/d" + n[1:])
    write(b"odd/d" + n[1:] + b"/" + n, n)
    os.rename(b"odd/d" + n[1:], b"odd/D" + n[1:])
    check(os.listdir(b"odd/D" + n[1:]), [n], "in a directory with such a name")
    check(read(b"odd/D" + n[1:] + b"/" + n), n, "a file there")
refused(errno.ENAMETOOLONG, write, b"odd/" + b"\xe4" * 256, b"")

print("%d results as they should be" % N)
END

# All that can be seen of what is below $1; directories have no size.
seen() {
	(cd "$1" && find . -mindepth 1 \( -type d -printf '%P\0%y %m %U %G %T@ %C@\n' -o \
		-printf '%P\0%y %m %U %G %s %T@ %C@ %l\n' \) | sort -z &&
		find . -type f -print0 | sort -z | xargs -0 sha256sum &&
		find . \( -type f -o -type d \) -print0 | sort -z |
		xargs -0 getfattr -h -m '^(user\.[^d]|trusted)' -d -e base64 2>/dev/null)
}
echo "== on a second mount"
mkdir "$WORK/second"
# What waits is sent within a second.
sent() {
	env "$BINARY" "$SPEC" "$WORK/second" -o "$OPTS" >>"$WORK/second.log" 2>&1
	seen "$MNT" >"$WORK/here"
	seen "$WORK/second" >"$WORK/there"
	lib_umount "$WORK/second"
	cmp -s "$WORK/here" "$WORK/there"
}
until_true 15 sent || alike <(tr '\0' ' ' <"$WORK/there") <(tr '\0' ' ' <"$WORK/here")
holds "$(wc -l <"$WORK/here")" -gt 100

echo "== after a remount"
(cd "$MNT" && find . -type f -exec sha256sum {} + | sort) >"$WORK/sums"
remount_fs ''
(cd "$MNT" && sha256sum --quiet -c "$WORK/sums")
seen "$MNT" >"$WORK/again"
alike <(tr '\0' ' ' <"$WORK/again") <(tr '\0' ' ' <"$WORK/here")
equal "$(stat -c %a "$MNT/timed")" 604
equal "$(stat -c %Y "$MNT/timed")" 1234567890
equal "$(stat -c %y "$MNT/stat" | cut -c1-29)" "$(date -d @-1.5 '+%Y-%m-%d %H:%M:%S.500000000')"
equal "$(stat -c %a "$MNT/masked")" 640
missing "$MNT/never"
equal "$(getfattr --absolute-names --only-values -n user.blob "$MNT/xmoved" | sha256sum)" \
	"$(python3 -c 'import sys; sys.stdout.buffer.write(bytes(range(256)))' | sha256sum)"
equal "$(getfattr --absolute-names --only-values -n user.short "$MNT/xmoved")" 3
equal "$(getfattr --absolute-names "$MNT/xhome/xdir3" | grep -c ^user)" 4
equal "$(getfattr --absolute-names --only-values -n user.early "$MNT/xunsaved")" bird
# A file of a series keeps its own when it becomes the reference of another.
noise 300000 5 >"$WORK/x1"
{ cat "$WORK/x1"; echo more; } >"$WORK/x2"
mkdir "$MNT/series"
cp "$WORK/x1" "$MNT/series/1"
setfattr -n user.first -v one "$MNT/series/1"
cp "$WORK/x2" "$MNT/series/2"
setfattr -n user.second -v two "$MNT/series/2"
equal "$(attribute "$MNT/series/2" storage)" delta
remount_fs ''
equal "$(getfattr --absolute-names --only-values -n user.first "$MNT/series/1")" one
equal "$(getfattr --absolute-names --only-values -n user.second "$MNT/series/2")" two
same "$WORK/x1" "$MNT/series/1"
same "$WORK/x2" "$MNT/series/2"
# Both ways with the tools.
mkdir "$WORK/away"
rsync -aX "$MNT/series/" "$WORK/away/" || fail 'rsync -X from the mount'
rsync -aX "$WORK/away/" "$MNT/series2/" || fail 'rsync -X to the mount'
equal "$(getfattr --absolute-names --only-values -n user.second "$MNT/series2/2")" two
cp -a "$MNT/series/1" "$MNT/series2/copy"
equal "$(getfattr --absolute-names --only-values -n user.first "$MNT/series2/copy")" one
tar -C "$MNT" --xattrs -cf "$WORK/x.tar" xmoved
tar -C "$MNT/series2" --xattrs -xf "$WORK/x.tar"
equal "$(getfattr --absolute-names --only-values -n user.short "$MNT/series2/xmoved")" 3
grep -q 'no room for the extended attribute user.large' "$WORK"/log.* || fail 'no line of it in the log'

echo "== a copy within the mount is one of the server's"
total() {
	stats '.requests | .head + .get + .put + .copy + .delete'
}
until_true 10 test "$(stats .hints.waiting)" = 0
before=$(total)
sent=$(stats .requests.bytes_out)
cp "$MNT/series/2" "$MNT/series/cloned"
holds $(($(total) - before)) -le 4
holds $(($(stats .requests.bytes_out) - sent)) -lt 2000
equal "$(attribute "$MNT/series/cloned" storage)" delta
same "$WORK/x2" "$MNT/series/cloned"
# Onto one that is there, and of one that has unsaved bytes: by their bytes.
cp "$MNT/series/1" "$MNT/series/cloned"
same "$WORK/x1" "$MNT/series/cloned"
python3 - "$MNT/series" "$WORK/x2" <<'END'
import os, sys
os.chdir(sys.argv[1])
want = open(sys.argv[2], "rb").read() + b"and more"
a = os.open("2", os.O_RDWR | os.O_APPEND)
os.write(a, b"and more")
b = os.open("unsaved", os.O_RDWR | os.O_CREAT)
done = 0
while n := os.copy_file_range(a, b, len(want), done, done):
    done += n
assert os.pread(b, len(want) + 1, 0) == want
# What was cloned can be written to.
os.close(b)
os.close(a)
a = os.open("2", os.O_RDONLY)
b = os.open("unsaved2", os.O_RDWR | os.O_CREAT)
assert os.copy_file_range(a, b, len(want), 0, 0) == len(want)
os.pwrite(b, b"X", 5)
os.close(b)
assert open("unsaved2", "rb").read() == want[:5] + b"X" + want[6:]
END
{ cat "$WORK/x2"; printf 'and more'; } >"$WORK/x3"
remount_fs ''
same "$WORK/x1" "$MNT/series/cloned"
same "$WORK/x3" "$MNT/series/unsaved"
same "$WORK/x3" "$MNT/series/2"
rm "$MNT/series/2"
same "$WORK/x3" "$MNT/series/unsaved"

holds -p "$MNT/fifo"
equal "$(stat -c %a "$MNT/fifo")" 640
holds -S "$MNT/socket"
if [ "$(id -u)" = 0 ]; then
	equal "$(stat -c '%F %Hr,%Lr' "$MNT/zero")" 'character special file 1,3'
	equal "$(stat -c '%F %Hr,%Lr' "$MNT/disk")" 'block special file 259,70000'
	equal "$(stat -c '%a %g' "$MNT/group/dir")" '2755 4711'
	equal "$(stat -c %g "$MNT/group/dir/fifo")" 4711
fi
rm "$MNT/fifo" "$MNT/socket"
missing "$MNT/fifo"

echo "== what has no mode"
echo alien | bucket_put alien
mkdir "$MNT/made"
echo alien | bucket_put made-elsewhere/alien
remount_fs file_mode=640,dir_mode=2750,entry_timeout=0
equal "$(stat -c %a "$MNT/alien")" 640
equal "$(stat -c %a "$MNT/made-elsewhere")" 2750
equal "$(stat -c %a "$MNT/made")" 755
equal "$(stat -c %a "$MNT")" 2750

if [[ $SPEC = s3://* ]]; then
	echo "== keys that no path can have"
	for key in strange//x strange/a/./b strange/../c strange/both strange/both/in strange/trail/ "strange/$(printf 'n%.0s' {1..300})"; do
		echo "$key" | bucket_put "$key"
	done
	remount_fs ''
	equal "$(ls -A "$MNT/strange" | tr '\n' ' ')" 'a both trail '
	content "$MNT/strange/both" strange/both
	equal "$(ls -A "$MNT/strange/a" "$MNT/strange/trail" | tr '\n' ' ')" "$MNT/strange/a:  $MNT/strange/trail: "
	find "$MNT/strange" >/dev/null
	rm "$MNT/strange/both"
	content "$MNT/strange/both/in" strange/both/in
fi

echo "== read-only"
remount_fs ro
refuses 'read-only' touch "$MNT/x"
refuses 'read-only' bash -c "echo x >'$MNT/any'"
refuses 'read-only' rm "$MNT/any"
refuses 'read-only' mkdir "$MNT/newdir"
refuses 'read-only' mv "$MNT/any" "$MNT/else"
refuses 'read-only' chmod 600 "$MNT/any"
refuses 'read-only' setfattr -n user.x -v x "$MNT/any"
(cd "$MNT" && sha256sum --quiet -c "$WORK/sums")

echo "== kernel options"
remount_fs noatime,nosuid,nodev,noexec
equal "$(awk -v d="$MNT" '$5 == d { print $6 }' /proc/self/mountinfo)" rw,nosuid,nodev,noexec,noatime
cp /bin/true "$MNT/true"
chmod 755 "$MNT/true"
refuses 'permission denied' "$MNT/true"
umount_fs
