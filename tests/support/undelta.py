#!/usr/bin/env python3
"""Decode a native container, written from delta/FORMAT.md alone.

    undelta.py REFERENCE OBJECT [OUTPUT]

Uses the standard library and the zstd command.  It is slow and simple on
purpose: it is here to show that the document says enough.
"""
import collections
import hashlib
import struct
import subprocess
import sys
import tempfile

MASK = (1 << 64) - 1
M32 = (1 << 32) - 1
# How often each part of the format was met, for tests/golden.
SEEN = collections.Counter()


class Bad(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Bad(what)


def rotl(x, n):
    return ((x << n) | (x >> (64 - n))) & MASK


def xxh64(data):
    """XXH64 with seed 0, after its specification; unrolled, since most of the
    time goes here."""
    p1, p2, p3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
    p4, p5 = 9650029242287828579, 2870177450012600261
    mask = MASK

    def turn(acc, lane):
        return rotl((acc + lane * p2) & mask, 31) * p1 & mask

    n = len(data)
    at = 0
    if n >= 32:
        a, b, c, d = (p1 + p2) & mask, p2, 0, -p1 & mask
        at = n - n % 32
        for w, x, y, z in struct.iter_unpack("<4Q", data[:at]):
            a = (a + w * p2) & mask
            a = (a << 31 | a >> 33) * p1 & mask
            b = (b + x * p2) & mask
            b = (b << 31 | b >> 33) * p1 & mask
            c = (c + y * p2) & mask
            c = (c << 31 | c >> 33) * p1 & mask
            d = (d + z * p2) & mask
            d = (d << 31 | d >> 33) * p1 & mask
        h = (rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18)) & mask
        for lane in (a, b, c, d):
            h = ((h ^ turn(0, lane)) * p1 + p4) & mask
    else:
        h = p5
    h = (h + n) & mask
    while at + 8 <= n:
        h ^= turn(0, struct.unpack_from("<Q", data, at)[0])
        h = (rotl(h, 27) * p1 + p4) & mask
        at += 8
    if at + 4 <= n:
        h ^= struct.unpack_from("<I", data, at)[0] * p1 & mask
        h = (rotl(h, 23) * p2 + p3) & mask
        at += 4
    while at < n:
        h ^= data[at] * p5 & mask
        h = rotl(h, 11) * p1 & mask
        at += 1
    h = (h ^ (h >> 33)) * p2 & mask
    h = (h ^ (h >> 29)) * p3 & mask
    return h ^ (h >> 32)


def unzstd(data, size, prefix=b""):
    command = ["zstd", "-dqc", "--memory=128MB"]
    with tempfile.NamedTemporaryFile() as f:
        if prefix:
            f.write(prefix)
            f.flush()
            command.append("--patch-from=" + f.name)
        run = subprocess.run(command, input=bytes(data), stdout=subprocess.PIPE, check=False)
    need(run.returncode == 0, "a damaged zstd frame")
    need(len(run.stdout) == size, "a zstd frame of another length")
    return run.stdout


class Numbers:
    def __init__(self, data):
        self.data, self.at = data, 0

    def done(self):
        return self.at == len(self.data)

    def varint(self):
        value = shift = 0
        while True:
            need(self.at < len(self.data) and shift < 64, "a number that does not end")
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                need(value <= MASK, "a number of more than 64 bits")
                return value

    def signed(self):
        v = self.varint()
        return (v >> 1) ^ -(v & 1)

    def take(self, n):
        need(self.at + n <= len(self.data), "too short")
        self.at += n
        return self.data[self.at - n:self.at]


class Model:
    """What guesses a field's change; one for branches, one for values."""

    def __init__(self):
        self.tables = [{}, {}, {}]
        self.last = 0
        self.recent = [0] * 254

    def change(self, key, rank, escapes):
        slots = []
        for shift in (2, 7, 12):
            k = (key >> shift) + 1
            slots.append((k, (k * 2654435761 & M32) >> 22))
        change = self.last
        for table, (k, slot) in zip(self.tables, slots):
            if table.get(slot, (None, 0))[0] == k:
                change = table[slot][1]
                break
        SEEN["escape" if rank == 255 else "recent" if rank else "predicted"] += 1
        if rank == 255:
            change = (change + escapes.signed()) & M32
        elif rank:
            change = self.recent[rank - 1]
        if rank:
            self.recent.insert(0, change)
            self.recent.pop()
        for table, (k, slot) in zip(self.tables, slots):
            table[slot] = (k, change)
        self.last = change
        return change


def is_branch(a, b):
    return b in (0xE8, 0xE9) or (a == 0x0F and 0x80 <= b <= 0x8F) or b & 0xC7 == 0x05


def decode_block(streams, ref, begin, size):
    """A block of SIZE bytes, BEGIN bytes from the start of its window."""
    copies, literals, seeks, gaps, values, branches, escapes, text = streams
    of_values, of_branches = Model(), Model()
    out = bytearray()
    pos = copied = 0  # in the reference; of all copies so far
    field = None if gaps.done() else gaps.varint()
    while not copies.done():
        copy, lit = copies.varint(), literals.varint()
        pos += seeks.signed()
        need(0 <= pos and pos + copy <= len(ref), "a copy outside the reference")
        start = len(out)
        need(start + copy + lit <= size, "an operation outside its block")
        out += ref[pos:pos + copy]
        while field is not None and field < copied + copy:
            at = field - copied
            width = min(4, copy - at)
            i = start + at
            old = int.from_bytes(out[i:i + width], "little")
            if width == 4 and at >= 2 and is_branch(out[i - 2], out[i - 1]):
                key = (pos + at + 4 + old) & M32
                new = of_branches.change(key, branches.take(1)[0], escapes)
                new += old - (begin + start - pos)
                SEEN["branch"] += 1
            else:
                SEEN["value" if width == 4 else "narrow value"] += 1
                new = old + of_values.change(old, values.take(1)[0], escapes)
            out[i:i + width] = (new & M32).to_bytes(4, "little")[:width]
            field = None if gaps.done() else field + width + gaps.varint()
        copied += copy
        pos += copy
        out += text.take(lit)
    need(field is None, "a field behind the copies")
    need(all(s.done() for s in streams), "streams of unequal length")
    need(len(out) == size, "a block of another length")
    return bytes(out)


def decode_window(payload, ref, size):
    head = Numbers(payload)
    log = head.take(1)[0]
    need(12 <= log <= 22, "blocks of another size")
    lengths = [(head.varint(), head.varint()) for _ in range(8)]
    need(sum(raw for raw, _ in lengths) <= 24 << 20, "streams too long")
    prefix_len = head.varint()
    need(prefix_len <= 4 << 20, "a prefix too long")
    prefix = b""
    if prefix_len:
        prefix_at = head.varint()
        need(prefix_at + prefix_len <= len(ref), "a prefix outside the reference")
        prefix = ref[prefix_at:prefix_at + prefix_len]
        SEEN["prefix"] += 1
    SEEN["window of several blocks" if size >> log and size != 1 << log else "window of one block"] += 1
    blocks = []
    for begin in range(0, size, 1 << log):
        end = min(begin + (1 << log), size)
        check = struct.unpack("<Q", head.take(8))[0]
        parts = [head.varint() for _ in range(8)] if end < size else None
        blocks.append((begin, end, check, parts))
    streams = []
    for i, (raw, packed) in enumerate(lengths):
        need(packed <= raw, "a stream longer than it is")
        part = head.take(packed)
        SEEN["packed" if packed != raw else "as it is" if raw else "none", i] += 1
        if packed != raw:
            part = unzstd(part, raw, prefix if i == 7 else b"")
        streams.append(Numbers(part))
    need(head.done(), "bytes behind the streams")
    out = []
    for begin, end, check, parts in blocks:
        if parts is None:
            parts = [len(s.data) - s.at for s in streams]
        block = decode_block([Numbers(s.take(n)) for s, n in zip(streams, parts)], ref, begin, end - begin)
        need(xxh64(block) == check, "a damaged block")
        out.append(block)
    return b"".join(out)


def read_description(obj, ref):
    need(obj.startswith(b"DeltaGlider delta 1, "), "not a container")
    need(b"\n" in obj[:512], "a line of text that does not end")
    info_at, info_len, version, check, magic = struct.unpack("<QIIQ8s", obj[-32:])
    need(magic == b"DGDELTA\n" and version == 1, "not a container of version 1")
    need(info_at + info_len == len(obj) - 32, "a description of another length")
    info = obj[info_at:info_at + info_len]
    need(xxh64(info) == check, "a damaged description")
    size, ref_len, sha, ref_sha, table_at, packed, raw, count, check, key_len = struct.unpack("<QQ32s32sQIIQQH", info[:114])
    need(len(info) == 114 + key_len and key_len <= 1024, "a key of another length")
    need(0 not in info[114:], "a key with a NUL")
    need(size < 1 << 63 and ref_len < 1 << 63, "a length out of bounds")
    need(table_at + packed == info_at and raw <= 64 << 20, "a table of another length")
    need(ref_len == len(ref) and hashlib.sha256(ref).digest() == ref_sha, "another reference")
    need(count <= size // 4096 + 8, "too many extents")
    table = obj[table_at:info_at]
    SEEN["packed table" if packed != raw else "table as it is"] += 1
    if packed != raw:
        table = unzstd(table, raw)
    need(xxh64(table) == check, "a damaged table")
    return size, sha, table_at, count, Numbers(table)


def read_table(numbers, count, ref_len):
    entries = []
    ref_next = stored = 0
    for _ in range(count):
        kind, length = numbers.take(1)[0], numbers.varint()
        need(length >= 1, "an empty extent")
        if kind == 0:
            at = ref_next + numbers.signed()
            need(0 <= at and at + length <= ref_len, "a copy outside the reference")
            ref_next = at + length
            entries.append((kind, length, at))
        elif kind == 1:
            n = numbers.varint()
            need(1 <= n <= length + length // 32 + 1024, "a window longer than it is")
            need(length <= 64 << 20, "a window too long")
            stored += n
            entries.append((kind, length, n))
        else:
            raise Bad("an unknown kind of extent")
    need(numbers.done(), "bytes behind the table")
    return entries, stored


def decode(obj, ref):
    size, sha, table_at, count, numbers = read_description(obj, ref)
    entries, stored = read_table(numbers, count, len(ref))
    at = table_at - stored
    need(at == obj.index(b"\n") + 1, "windows that do not follow the line of text")
    SEEN["several windows"] += sum(kind for kind, _, _ in entries) > 1
    out = []
    for kind, length, where in entries:
        SEEN["copy" if kind == 0 else "window"] += 1
        if kind == 0:
            out.append(ref[where:where + length])
        else:
            out.append(decode_window(obj[at:at + where], ref, length))
            at += where
    target = b"".join(out)
    need(len(target) == size and hashlib.sha256(target).digest() == sha, "another file")
    return target


def main(argv):
    if len(argv) not in (3, 4):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    with open(argv[1], "rb") as f:
        ref = f.read()
    with open(argv[2], "rb") as f:
        obj = f.read()
    try:
        target = decode(obj, ref)
    except Bad as e:
        print("undelta: %s: %s" % (argv[2], e), file=sys.stderr)
        return 1
    if len(argv) == 4:
        with open(argv[3], "wb") as f:
            f.write(target)
    else:
        sys.stdout.buffer.write(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
