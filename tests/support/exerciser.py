#!/usr/bin/env python3
"""Does the same to two directories, at random, and compares every result.

    exerciser.py run MOUNT MODEL STATE SEED OPERATIONS THREADS
    exerciser.py verify MOUNT MODEL STATE

MODEL is a directory of a local file system, which is the model: whatever a
system call gives there, MOUNT has to give too.  "run" leaves nothing open, and
in the file STATE what stat(2) said in the end; "verify", after a remount or on
another mount, finds all of it there again.  Each thread has directories of its
own.  Prints the seed and the last operations where the two differ.
"""
import ctypes
import errno
import json
import mmap
import os
import random
import stat
import sys
import threading

libc = ctypes.CDLL(None, use_errno=True)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
LARGEST = 400000
LOG = os.environ.get("EXERCISER_LOG")  # where all is written to, a file a thread
MAPS = os.environ.get("EXERCISER_MMAP", "1") == "1"


def failed():
    e = ctypes.get_errno()
    raise OSError(e, os.strerror(e))


def fallocate(fd, mode, off, length):
    if libc.fallocate(fd, mode, ctypes.c_long(off), ctypes.c_long(length)):
        failed()


def renameat2(src, dst, flags):
    if libc.renameat2(-100, os.fsencode(src), -100, os.fsencode(dst), flags):
        failed()


class Differs(Exception):
    pass


def facts(st):
    """What stat(2) must say alike.  A directory's size and links are its own affair."""
    mode = st.st_mode
    if stat.S_ISDIR(mode):
        return (oct(mode), st.st_uid, st.st_gid)
    return (oct(mode), st.st_uid, st.st_gid, st.st_size, st.st_nlink, st.st_rdev)


class Worker:
    def __init__(self, mount, model, seed, k):
        self.roots = (os.path.join(mount, "t%d" % k), os.path.join(model, "t%d" % k))
        self.r = random.Random("%s/%d" % (seed, k))
        self.pool = random.Random("%s/%d/bytes" % (seed, k)).randbytes(1 << 20)
        self.fds = []  # [mount's, model's, flags]
        self.log = []
        self.all = open("%s.%d" % (LOG, k), "w") if LOG else None
        self.error = None
        for root in self.roots:
            os.makedirs(root, exist_ok=True)

    # Names: few, so that operations meet.
    def path(self):
        depth = self.r.choice((0, 0, 0, 1, 1, 2))
        parts = ["d%d" % self.r.randrange(3) for _ in range(depth)]
        return "/".join(parts + [self.r.choice(("f%d" % self.r.randrange(6), "d%d" % self.r.randrange(3)))])

    def bytes(self, n):
        at = self.r.randrange(len(self.pool) - n)
        return self.pool[at:at + n]

    def length(self):
        return self.r.choice((self.r.randrange(1, 50), self.r.randrange(1, 5000), self.r.randrange(1, 100000)))

    def offset(self):
        return self.r.choice((0, self.r.randrange(1000), self.r.randrange(LARGEST - 100000),
                              4096 * self.r.randrange(60), 65536 * self.r.randrange(4)))

    def both(self, what, call):
        """`call` with 0 for the mount and 1 for the model; the result or the error must be the same."""
        got = []
        for side in (0, 1):
            try:
                got.append(("is", call(side)))
            except OSError as e:
                got.append(("fails", errno.errorcode.get(e.errno, e.errno)))
        shown = what + " -> " + repr(got[1])[:100]
        self.log.append(shown)
        if self.all is not None:
            self.all.write(shown + "\n")
        del self.log[:-40]
        if got[0] != got[1]:
            detail = ""
            if got[0][0] == got[1][0] == "is" and isinstance(got[0][1], bytes):
                a, b = got[0][1], got[1][1]
                at = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
                detail = " (%d and %d bytes; the first that differs is %d)" % (len(a), len(b), at)
            raise Differs("%s: the mount %s, the model %s%s" % (
                what, repr(got[0])[:300], repr(got[1])[:300], detail))
        return got[1][1] if got[1][0] == "is" else None

    def at(self, side, path):
        return os.path.join(self.roots[side], path)

    def fd(self):
        return self.r.choice(self.fds) if self.fds else None

    # The operations.
    def op_open(self):
        path, flags = self.path(), self.r.choice((os.O_RDWR, os.O_RDWR, os.O_WRONLY, os.O_RDONLY))
        for flag, chance in ((os.O_CREAT, 0.7), (os.O_EXCL, 0.15), (os.O_TRUNC, 0.2), (os.O_APPEND, 0.15),
                             (os.O_NOFOLLOW, 0.1)):
            if self.r.random() < chance:
                flags |= flag
        if flags & os.O_EXCL and not flags & os.O_CREAT:
            flags &= ~os.O_EXCL
        mode = self.r.choice((0o644, 0o600, 0o755, 0o400))
        pair = [None, None, flags]

        def call(side):
            pair[side] = os.open(self.at(side, path), flags | os.O_NONBLOCK, mode)
            return facts(os.fstat(pair[side]))
        try:
            self.both("open %s %o %o" % (path, flags, mode), call)
        except Differs:
            for fd in pair[:2]:
                if fd is not None:
                    os.close(fd)
            raise
        if pair[0] is not None:
            if stat.S_ISREG(os.fstat(pair[1]).st_mode):
                self.fds.append(pair)
                if len(self.fds) > 6:
                    self.close(self.fds[0])
            else:
                os.close(pair[0])
                os.close(pair[1])

    def close(self, pair):
        self.fds.remove(pair)
        self.both("close", lambda s: os.close(pair[s]))

    def op_close(self):
        if self.fds:
            self.close(self.fd())

    def op_write(self):
        f, data = self.fd(), self.bytes(self.length())
        if f:
            self.both("write %d" % len(data), lambda s: (os.write(f[s], data), os.fstat(f[s]).st_size))

    def op_pwrite(self):
        f, data, off = self.fd(), self.bytes(self.length()), self.offset()
        if f:
            self.both("pwrite %d at %d" % (len(data), off),
                      lambda s: (os.pwrite(f[s], data, off), os.fstat(f[s]).st_size))

    def op_read(self):
        f, n = self.fd(), self.length()
        if f:
            self.both("read %d" % n, lambda s: os.read(f[s], n))

    def op_pread(self):
        f, n, off = self.fd(), self.length(), self.offset()
        if f:
            self.both("pread %d at %d" % (n, off), lambda s: os.pread(f[s], n, off))

    def op_lseek(self):
        f, off, whence = self.fd(), self.offset(), self.r.choice((0, 0, 1, 2))
        if f:
            if whence == 2:
                off = -self.r.randrange(1000)
            self.both("lseek %d %d" % (off, whence), lambda s: os.lseek(f[s], off, whence))

    def op_holes(self):
        """Where data are may differ, as file systems do; that nothing else is passed over may not."""
        f = self.fd()
        if not f or f[2] & os.O_ACCMODE == os.O_WRONLY:
            return
        size, at, here = os.fstat(f[0]).st_size, 0, os.lseek(f[0], 0, os.SEEK_CUR)
        content = os.pread(f[1], size + 1, 0)
        while at < size:
            try:
                data = os.lseek(f[0], at, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                data = size
            if content[at:data].count(0) != data - at:
                raise Differs("SEEK_DATA from %d passes over data on its way to %d" % (at, data))
            if data >= size:
                break
            at = os.lseek(f[0], data, os.SEEK_HOLE)
            if not data < at <= size:
                raise Differs("SEEK_HOLE from %d is %d of %d" % (data, at, size))
        os.lseek(f[0], here, os.SEEK_SET)

    def op_ftruncate(self):
        f, size = self.fd(), self.offset()
        if f:
            self.both("ftruncate %d" % size, lambda s: (os.ftruncate(f[s], size), os.fstat(f[s]).st_size))

    def op_truncate(self):
        path, size = self.path(), self.offset()
        if stat.S_ISFIFO(self.mode(path)):
            return
        self.both("truncate %s %d" % (path, size), lambda s: os.truncate(self.at(s, path), size))

    def op_fallocate(self):
        f, off, n = self.fd(), self.offset(), self.length()
        mode = self.r.choice((0, KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE, ZERO_RANGE | KEEP_SIZE))
        if f:
            self.both("fallocate %d %d %d" % (mode, off, n),
                      lambda s: (fallocate(f[s], mode, off, n), os.fstat(f[s]).st_size))

    def op_copy_range(self):
        a, b, n, x, y = self.fd(), self.fd(), self.length(), self.offset(), self.offset()
        if a and a is not b:
            self.both("copy_file_range %d from %d to %d" % (n, x, y),
                      lambda s: os.copy_file_range(a[s], b[s], n, x, y))

    def op_fsync(self):
        f = self.fd()
        if f:
            self.both("fsync", lambda s: self.r.choice((os.fsync,)) (f[s]))

    def op_fstat(self):
        f = self.fd()
        if f:
            self.both("fstat", lambda s: facts(os.fstat(f[s])))

    def op_mmap(self):
        f, data, off = self.fd(), self.bytes(self.r.randrange(1, 9000)), self.offset()
        if not MAPS or not f or f[2] & os.O_ACCMODE != os.O_RDWR:
            return
        write = self.r.random() < 0.6

        def call(side):
            size = os.fstat(f[side]).st_size
            if off + len(data) > size:
                return None
            with mmap.mmap(f[side], size) as m:
                if write:
                    m[off:off + len(data)] = data
                    m.flush()
                return bytes(m[off:off + len(data)])
        self.both("mmap %s %d at %d" % ("write" if write else "read", len(data), off), call)

    def mode(self, path):
        try:
            return os.lstat(self.at(1, path)).st_mode
        except OSError:
            return 0

    def op_readfile(self):
        path = self.path()
        if not stat.S_ISREG(self.mode(path)):
            return

        def call(side):
            with open(self.at(side, path), "rb") as f:
                return f.read()
        self.both("read all of " + path, call)

    def op_stat(self):
        path = self.path()
        self.both("stat " + path, lambda s: facts(os.stat(self.at(s, path))))

    def op_lstat(self):
        path = self.path()
        self.both("lstat " + path, lambda s: facts(os.lstat(self.at(s, path))))

    def op_list(self):
        path = self.r.choice((".", self.path()))
        self.both("list " + path, lambda s: sorted((e.name, e.is_dir(follow_symlinks=False))
                                                   for e in os.scandir(self.at(s, path))))

    def op_mkdir(self):
        path, mode = self.path(), self.r.choice((0o755, 0o700, 0o2775))
        self.both("mkdir " + path, lambda s: os.mkdir(self.at(s, path), mode))

    def op_rmdir(self):
        path = self.path()
        self.both("rmdir " + path, lambda s: os.rmdir(self.at(s, path)))

    def op_unlink(self):
        path = self.path()
        self.both("unlink " + path, lambda s: os.unlink(self.at(s, path)))

    def op_rename(self):
        a, b, flags = self.path(), self.path(), self.r.choice((0, 0, 0, 1))
        self.both("rename %s %s %d" % (a, b, flags), lambda s: renameat2(self.at(s, a), self.at(s, b), flags))

    def op_symlink(self):
        path, target = self.path(), self.r.choice(("f1", "d0/f2", "../f3", "nowhere", "x" * 200))
        self.both("symlink " + path, lambda s: os.symlink(target, self.at(s, path)))

    def op_readlink(self):
        path = self.path()
        self.both("readlink " + path, lambda s: os.readlink(self.at(s, path)))

    def op_mkfifo(self):
        path = self.path()
        self.both("mkfifo " + path, lambda s: os.mkfifo(self.at(s, path), 0o640))

    def op_chmod(self):
        path, mode = self.path(), self.r.choice((0o644, 0o600, 0o755, 0o4755, 0o1777, 0o2770, 0))
        self.both("chmod %s %o" % (path, mode), lambda s: os.chmod(self.at(s, path), mode))

    def op_chown(self):
        path, uid, gid = self.path(), self.r.choice((-1, 0, 1000)), self.r.choice((-1, 0, 50))
        if os.geteuid() == 0:
            self.both("chown %s %d %d" % (path, uid, gid),
                      lambda s: os.chown(self.at(s, path), uid, gid, follow_symlinks=False))

    def op_utime(self):
        path = self.path()
        times = (self.r.randrange(2**31) * 10**9 + self.r.randrange(10**9),
                 self.r.randrange(2**31) * 10**9 + self.r.randrange(10**9))

        def call(side):
            os.utime(self.at(side, path), ns=times, follow_symlinks=False)
            st = os.lstat(self.at(side, path))
            return st.st_atime_ns, st.st_mtime_ns
        self.both("utime " + path, call)

    def op_xattr(self):
        path, name = self.path(), "user.%s" % self.r.choice("abc")
        value = self.bytes(self.r.randrange(0, 60))
        flags = self.r.choice((0, 0, os.XATTR_CREATE, os.XATTR_REPLACE))
        self.both("setxattr %s %s %d" % (path, name, flags), lambda s: os.setxattr(
            self.at(s, path), name, value, flags, follow_symlinks=False))

    def op_getxattr(self):
        path, name = self.path(), "user.%s" % self.r.choice("abc")
        self.both("getxattr %s %s" % (path, name), lambda s: os.getxattr(self.at(s, path), name, follow_symlinks=False))

    def op_removexattr(self):
        path, name = self.path(), "user.%s" % self.r.choice("abc")
        self.both("removexattr %s %s" % (path, name),
                  lambda s: os.removexattr(self.at(s, path), name, follow_symlinks=False))

    WEIGHTS = {
        "open": 10, "close": 5, "write": 8, "pwrite": 8, "read": 5, "pread": 8, "lseek": 2, "holes": 1,
        "ftruncate": 3, "truncate": 3, "fallocate": 2, "copy_range": 2, "fsync": 1, "fstat": 3, "mmap": 4,
        "readfile": 5, "stat": 4, "lstat": 3, "list": 3, "mkdir": 4, "rmdir": 2, "unlink": 3, "rename": 6,
        "symlink": 1, "readlink": 1, "mkfifo": 1, "chmod": 2, "chown": 2, "utime": 2, "xattr": 2,
        "getxattr": 1, "removexattr": 1,
    }

    def work(self, count):
        names = list(self.WEIGHTS)
        try:
            for _ in range(count):
                op = self.r.choices(names, self.WEIGHTS.values())[0]
                getattr(self, "op_" + op)()
            while self.fds:
                self.close(self.fds[0])
        except (Differs, OSError) as e:
            self.error = e


def walk(root):
    for top, dirs, files in os.walk(root):
        for name in sorted(dirs + files):
            yield os.path.relpath(os.path.join(top, name), root)


def look(root, path):
    """All that can be known of it without its times."""
    whole = os.path.join(root, path)
    st = os.lstat(whole)
    seen = list(facts(st))
    if stat.S_ISREG(st.st_mode):
        with open(whole, "rb") as f:
            seen.append(hash(f.read()))
    elif stat.S_ISLNK(st.st_mode):
        seen.append(os.readlink(whole))
    if not stat.S_ISLNK(st.st_mode):
        seen.append({n: os.getxattr(whole, n) for n in sorted(os.listxattr(whole))
                     if n.startswith("user.") and not n.startswith("user.deltaglider.")})
    return seen


def compare(mount, model):
    a, b = sorted(walk(mount)), sorted(walk(model))
    if a != b:
        raise Differs("names: only on the mount %r, only in the model %r" % (
            sorted(set(a) - set(b))[:10], sorted(set(b) - set(a))[:10]))
    for path in a:
        x, y = look(mount, path), look(model, path)
        if x != y:
            raise Differs("%s: the mount has %r, the model %r" % (path, x, y))
    return len(a)


def times(mount):
    """Those of the mount alone: the clock did not stand still between the two."""
    out = {}
    for path in walk(mount):
        st = os.lstat(os.path.join(mount, path))
        out[path] = [st.st_mtime_ns, st.st_ctime_ns, st.st_atime_ns]
    return out


def run(mount, model, state, seed, count, threads):
    workers = [Worker(mount, model, seed, k) for k in range(threads)]
    running = [threading.Thread(target=w.work, args=(count // threads,)) for w in workers]
    for t in running:
        t.start()
    for t in running:
        t.join()
    for k, w in enumerate(workers):
        if w.error:
            print("\n".join("    " + line for line in w.log))
            sys.exit("seed %s, thread %d: %s" % (seed, k, w.error))
    print("seed %s: %d operations of %d threads, %d names in the end" % (
        seed, count, threads, compare(mount, model)))
    with open(state, "w") as f:
        json.dump(times(mount), f)


def verify(mount, model, state):
    n = compare(mount, model)
    with open(state) as f:
        before = json.load(f)
    after = times(mount)
    for path, was in before.items():
        if after[path] != was:
            raise Differs("%s: its times (mtime, ctime, atime) were %r, are %r" % (path, was, after[path]))
    print("%d names as they were" % n)


def main():
    os.umask(0o022)
    mode, mount, model, state = sys.argv[1:5]
    try:
        if mode == "run":
            run(mount, model, state, sys.argv[5], int(sys.argv[6]), int(sys.argv[7]))
        else:
            verify(mount, model, state)
    except Differs as e:
        sys.exit(str(e))


main()
