#!/usr/bin/env python3
"""Decode a native container, written from delta/FORMAT.md alone.

    undelta.py REFERENCE OBJECT [OUTPUT]

Uses the standard library and the zstd command.  It is slow and simple on
purpose: it is here to show that the document says enough.
"""
import hashlib
import struct
import subprocess
import sys

MASK = (1 << 64) - 1


class Bad(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Bad(what)


def rotl(x, n):
    return ((x << n) | (x >> (64 - n))) & MASK


def xxh64(data):
    """XXH64 with seed 0, after its specification."""
    p1, p2, p3 = 11400714785074694791, 14029467366897019727, 1609587929392839161
    p4, p5 = 9650029242287828579, 2870177450012600261

    def turn(acc, lane):
        return rotl((acc + lane * p2) & MASK, 31) * p1 & MASK

    n = len(data)
    at = 0
    if n >= 32:
        acc = [(p1 + p2) & MASK, p2, 0, -p1 & MASK]
        whole = n - n % 32
        lanes = struct.unpack("<%dQ" % (whole // 8), data[:whole])
        for k in range(0, len(lanes), 4):
            for j in range(4):
                acc[j] = turn(acc[j], lanes[k + j])
        h = (rotl(acc[0], 1) + rotl(acc[1], 7) + rotl(acc[2], 12) + rotl(acc[3], 18)) & MASK
        for a in acc:
            h = ((h ^ turn(0, a)) * p1 + p4) & MASK
        at = whole
    else:
        h = p5
    h = (h + n) & MASK
    while at + 8 <= n:
        h ^= turn(0, struct.unpack_from("<Q", data, at)[0])
        h = (rotl(h, 27) * p1 + p4) & MASK
        at += 8
    if at + 4 <= n:
        h ^= struct.unpack_from("<I", data, at)[0] * p1 & MASK
        h = (rotl(h, 23) * p2 + p3) & MASK
        at += 4
    while at < n:
        h ^= data[at] * p5 & MASK
        h = rotl(h, 11) * p1 & MASK
        at += 1
    h = (h ^ (h >> 33)) * p2 & MASK
    h = (h ^ (h >> 29)) * p3 & MASK
    return h ^ (h >> 32)


def unzstd(data, size):
    out = subprocess.run(["zstd", "-dqc"], input=bytes(data), stdout=subprocess.PIPE, check=True).stdout
    need(len(out) == size, "a zstd frame of another length")
    return out


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


def bsdiff(enc, ref, size):
    head = Numbers(enc)
    lengths = [(head.varint(), head.varint()) for _ in range(6)]
    streams = []
    for raw, packed in lengths:
        part = head.take(packed)
        streams.append(Numbers(part if packed == raw else unzstd(part, raw)))
    need(head.done(), "bytes behind the streams")
    copies, literals, seeks, gaps, values, text = streams
    out = bytearray()
    marks = []  # where differences go, in copied bytes
    pos = 0
    while not gaps.done():
        pos += gaps.varint()
        marks.append(pos)
        pos += 1
    need(len(marks) == len(values.data), "as many gaps as values")
    copied = used = ref_pos = 0
    while not copies.done():
        copy, lit, seek = copies.varint(), literals.varint(), seeks.signed()
        ref_pos += seek
        need(0 <= ref_pos and ref_pos + copy <= len(ref), "a copy outside the reference")
        start = len(out)
        out += ref[ref_pos:ref_pos + copy]
        while used < len(marks) and marks[used] < copied + copy:
            at = start + marks[used] - copied
            out[at] = (out[at] + values.data[used]) & 0xFF
            used += 1
        copied += copy
        ref_pos += copy
        out += text.take(lit)
    need(used == len(marks) and literals.done() and seeks.done() and text.done(), "streams of unequal length")
    need(len(out) == size, "a window of another length")
    return bytes(out)


def decode(obj, ref):
    need(obj.startswith(b"DeltaGlider delta 1, "), "not a container")
    info_at, info_len, version, check, magic = struct.unpack("<QIIQ8s", obj[-32:])
    need(magic == b"DGDELTA\n" and version == 1, "not a container of version 1")
    need(info_at + info_len == len(obj) - 32, "a description of another length")
    info = obj[info_at:info_at + info_len]
    need(xxh64(info) == check, "a damaged description")
    size, ref_len, sha, ref_sha, table_at, packed, raw, count, check, key_len = struct.unpack("<QQ32s32sQIIQQH", info[:114])
    need(len(info) == 114 + key_len and table_at + packed == info_at, "a table of another length")
    need(ref_len == len(ref) and hashlib.sha256(ref).digest() == ref_sha, "another reference")
    table = obj[table_at:info_at]
    if packed != raw:
        table = unzstd(table, raw)
    need(xxh64(table) == check, "a damaged table")
    entries = []
    numbers = Numbers(table)
    ref_next = windows = 0
    for _ in range(count):
        kind, length = numbers.take(1)[0], numbers.varint()
        if kind == 0:
            at = ref_next + numbers.signed()
            need(0 <= at and at + length <= ref_len, "a copy outside the reference")
            ref_next = at + length
            entries.append((kind, length, at, None))
        else:
            stored = numbers.varint()
            windows += stored
            entries.append((kind, length, stored, struct.unpack("<Q", numbers.take(8))[0]))
    need(numbers.done(), "bytes behind the table")
    at = table_at - windows
    need(obj[at - 1:at] == b"\n", "windows that do not follow the line of text")
    out = []
    for kind, length, where, check in entries:
        if kind == 0:
            out.append(ref[where:where + length])
            continue
        enc = obj[at:at + where]
        at += where
        if kind == 1:
            window = enc
        elif kind == 2:
            window = unzstd(enc, length)
        elif kind == 3:
            window = bsdiff(enc, ref, length)
        else:
            raise Bad("an unknown kind of extent")
        need(len(window) == length and xxh64(window) == check, "a damaged window")
        out.append(window)
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
