#!/usr/bin/env python3
"""Decode every golden container with the document's decoder.

    undelta_golden.py FOLDER

They must give the targets whose digests are in FOLDER/list, and together meet
every part of the format.
"""
import hashlib
import pathlib
import subprocess
import sys

import undelta

PARTS = ["copy", "window", "several windows", "window of one block", "window of several blocks", "table as it is", "packed table",
         "prefix", "predicted", "recent", "escape", "value", "narrow value", "branch"]
PARTS += [("packed", i) for i in range(8)] + [("as it is", i) for i in range(8)] + [("none", i) for i in range(3, 8)]


def main(argv):
    folder = pathlib.Path(argv[1])
    bad = 0
    for line in (folder / "list").read_text().splitlines():
        name, ref, digest = line.split()
        ref = subprocess.run(["zstd", "-dqc", str(folder / (ref + ".ref.zst"))], stdout=subprocess.PIPE, check=True).stdout
        try:
            target = undelta.decode((folder / (name + ".delta")).read_bytes(), ref)
        except undelta.Bad as e:
            print("%s: %s" % (name, e))
            bad = 1
            continue
        if hashlib.sha256(target).hexdigest() != digest:
            print("%s: another target" % name)
            bad = 1
    for part in PARTS:
        if not undelta.SEEN[part]:
            print("no golden container has this: %s" % (part,))
            bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv))
