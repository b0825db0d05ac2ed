#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An independent verifier of creel's exported logs: own code, from the specifications only.

  verifier.py log DIR --key VKEY [--against FILE]... [--no-records]
  verifier.py proof FILE --key VKEY [--record FILE]

`log` reads every entry, tile and the checkpoint of a static tlog, and checks that each record is
canonical JSON; --against names an older checkpoint that the log must continue. `proof` checks that
a record is in the log: the one in --record, else the one that the proof has as its extra data,
which is printed. Exit code 0: everything holds; 1: the reason is on standard error.
"""

import argparse
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import jcs  # noqa: E402
import tlog  # noqa: E402

RECORD_MAX = 32 << 10


def read(directory, path):
    """A regular file of the log, symbolic links refused: what is verified must be what is there."""
    try:
        fd = os.open(directory / path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise tlog.Bad(f"{path}: {error.strerror}") from None
    with open(fd, "rb") as file:
        return file.read()


def check_record(record, index):
    if len(record) > RECORD_MAX:
        raise tlog.Bad(f"record {index} has {len(record)} bytes")
    try:
        value = jcs.check(record)
    except jcs.NotCanonical as error:
        raise tlog.Bad(f"record {index} is not canonical JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise tlog.Bad(f"record {index} is not an object with a type")


def records(directory, size):
    """Every entry below size, bundle by bundle."""
    for index in range(-(-size // tlog.WIDTH)):
        width = min(tlog.WIDTH, size - index * tlog.WIDTH)
        path = tlog.tile_path("entries", index, width)
        bundle = tlog.entry_bundle(read(directory, path))
        if len(bundle) != width:
            raise tlog.Bad(f"{path} has {len(bundle)} entries")
        yield from bundle


def files(directory):
    for base, directories, names in os.walk(directory / "tile"):
        for name in directories:
            if os.path.islink(os.path.join(base, name)):
                raise tlog.Bad(f"{base}/{name} is a symbolic link")
        for name in names:
            yield os.path.relpath(os.path.join(base, name), directory)


def check_tiles(directory, tree):
    """All tiles of this size are there, and every tile that is there is one of this tree: partial
    ones of smaller sizes may be."""
    needed = set()
    for level, row in enumerate(tree.rows):
        n = len(row) // tlog.HASH
        needed |= {tlog.tile_path(level, i) for i in range(n // tlog.WIDTH)}
        if n % tlog.WIDTH:
            needed.add(tlog.tile_path(level, n // tlog.WIDTH, n % tlog.WIDTH))
    for path in files(directory):
        place = tlog.parse_tile_path(path)
        if not place:
            raise tlog.Bad(f"{path} is not a tile's name")
        level, index, width = place
        data = read(directory, path)
        if level == "entries":
            data = b"".join(map(tlog.leaf_hash, tlog.entry_bundle(data)))
            level = 0
        if len(data) != width * tlog.HASH or data != tree.tile(level, index)[:len(data)]:
            raise tlog.Bad(f"{path} is not what the records hash to")
        needed.discard(path)
    if needed:
        raise tlog.Bad(f"{min(needed)} is missing")


def check_older(tree, older):
    """older: {size: root} of the checkpoints that the tree has to pass."""
    expected = older.get(tree.size)
    if expected is not None and expected != tree.root():
        raise tlog.Bad(f"rewritten: the first {tree.size} records are not those of the older "
                       "checkpoint")


def verify_log(directory, key, against=(), canonical=True):
    """(size, root); tlog.Bad at the first thing that does not hold."""
    size, root = tlog.open_checkpoint(read(directory, "checkpoint"), key)
    older = {}
    for note in against:
        old_size, old_root = tlog.open_checkpoint(note, key)
        if old_size > size:
            raise tlog.Bad(f"rolled back: an older checkpoint has {old_size} records, "
                           f"this log {size}")
        if older.setdefault(old_size, old_root) != old_root:
            raise tlog.Bad(f"split view: two checkpoints of size {old_size} differ")
    tree = tlog.Tree()
    check_older(tree, older)
    for record in records(directory, size):
        if canonical:
            check_record(record, tree.size)
        tree.add(tlog.leaf_hash(record))
        check_older(tree, older)
    if tree.root() != root:
        raise tlog.Bad("the root of the records is not that of the checkpoint")
    check_tiles(directory, tree)
    return size, root


def verify_proof(proof, key, record=None):
    """(index, size, record) of a record in the log; None: the proof's own."""
    index, hashes, checkpoint, extra = tlog.parse_proof(proof)
    record = extra if record is None else record
    if record is None:
        raise tlog.Bad("the proof does not hold the record; name it with --record")
    size, root = tlog.open_checkpoint(checkpoint, key)
    if tlog.inclusion_root(index, size, tlog.leaf_hash(record), hashes) != root:
        raise tlog.Bad("the proof does not lead to the checkpoint's root")
    return index, size, record


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    log = commands.add_parser("log")
    log.add_argument("directory", type=pathlib.Path)
    log.add_argument("--against", type=pathlib.Path, action="append", default=[])
    log.add_argument("--no-records", action="store_true", help="do not look into the records")
    proof = commands.add_parser("proof")
    proof.add_argument("file", type=pathlib.Path)
    proof.add_argument("--record", type=pathlib.Path)
    for command in (log, proof):
        command.add_argument("--key", required=True, help="the verifier key, or a file with it")
    args = parser.parse_args()
    try:
        key = args.key if "+" in args.key else pathlib.Path(args.key).read_text("utf-8")
        if args.command == "log":
            size, root = verify_log(args.directory, key, [p.read_bytes() for p in args.against],
                                    not args.no_records)
            print(f"ok: {size} records, root {root.hex()}")
        else:
            given = args.record.read_bytes() if args.record else None
            index, size, record = verify_proof(args.file.read_bytes(), key, given)
            check_record(record, index)
            print(f"ok: record {index} of {size}: {ascii(record.decode())}")
    except (tlog.Bad, OSError) as error:
        print(f"verifier: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
