# SPDX-License-Identifier: Apache-2.0
"""Transparency logs from the specifications alone: signed notes and checkpoints
(c2sp.org/signed-note, c2sp.org/tlog-checkpoint), Merkle trees (RFC 6962, section 2.1), tiles and
entry bundles (c2sp.org/tlog-tiles) and proofs (c2sp.org/tlog-proof).

Everything read is an attacker's until a signature or a hash says otherwise: a fault is Bad with one
line that says what and where. Witnesses' cosignatures are ignored, as unknown keys must be.
"""

import base64
import binascii
import hashlib
import re
import struct

import ed25519

WIDTH = 256
HASH = 32
ED25519_TYPE = b"\x01"
PROOF_HEADER = "c2sp.org/tlog-proof@v1"
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})\Z")


class Bad(ValueError):
    """What does not hold, in one line."""


def unbase64(text, length=None):
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Bad(f"not base64: {text[:60]!r}") from None
    if base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise Bad(f"not the base64 of {length or 'any'} bytes: {text[:60]!r}")
    return data


def decimal(text):
    if not _DECIMAL.match(text):
        raise Bad(f"not a decimal number: {text[:60]!r}")
    return int(text)


# ---- signed notes and checkpoints ----

def key_id(name, public):
    return hashlib.sha256(name.encode() + b"\n" + ED25519_TYPE + public).digest()[:4]


def parse_vkey(text):
    """(name, id, public key) of a verifier key NAME+HEX+BASE64."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not parts[0] or not re.match(r"[0-9a-f]{8}\Z", parts[1]):
        raise Bad(f"not a verifier key: {text[:80]!r}")
    data = unbase64(parts[2], 33)
    name, identity = parts[0], bytes.fromhex(parts[1])
    if data[:1] != ED25519_TYPE or identity != key_id(name, data[1:]):
        raise Bad("the verifier key is not Ed25519, or its id is not that of name and key")
    return name, identity, data[1:]


def vkey(name, public):
    return f"{name}+{key_id(name, public).hex()}+" \
        f"{base64.b64encode(ED25519_TYPE + public).decode()}"


def sign_note(text, name, seed):
    signature = key_id(name, ed25519.public_key(seed)) + ed25519.sign(seed, text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n".encode()


def open_note(data, key):
    """The text of a note that the key has signed."""
    name, identity, public = parse_vkey(key)
    try:
        note = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Bad("the note is not UTF-8") from None
    if any(ord(c) < 0x20 and c != "\n" for c in note):
        raise Bad("the note has a control character")
    text, blank, rest = note.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise Bad("the note has no signature")
    text, good = text + "\n", False
    for line in rest[:-1].split("\n"):
        match = re.match(r"— ([^ +]+) ([^ ]+)\Z", line)
        if not match:
            raise Bad(f"not a signature line: {line[:80]!r}")
        signature = unbase64(match[2])
        if len(signature) < 5:
            raise Bad("a signature is too short")
        if (match[1], signature[:4]) != (name, identity):
            continue
        if not ed25519.verify(public, text.encode(), signature[4:]):
            raise Bad(f"the signature of {name} is not good")
        good = True
    if not good:
        raise Bad(f"the note is not signed by {name}")
    return text


def open_checkpoint(data, key):
    """(size, root) of a checkpoint whose origin is the key's name."""
    lines = open_note(data, key).split("\n")[:-1]
    if len(lines) < 3 or not all(lines):
        raise Bad("the checkpoint needs three lines, none of them empty")
    if lines[0] != parse_vkey(key)[0]:
        raise Bad(f"the checkpoint is of {lines[0]!r}, not of {parse_vkey(key)[0]!r}")
    return decimal(lines[1]), unbase64(lines[2], HASH)


# ---- Merkle trees ----

def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def subtree(hashes):
    """The root over a list of hashes of complete subtrees of one height, left to right."""
    level = list(hashes)
    if not level:
        return hashlib.sha256(b"").digest()
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        level = [node_hash(a, b) for a, b in zip(level[::2], level[1::2])] + odd
    return level[0]


class Tree:
    """The tree of all leaves so far as rows of tile hashes: rows[L] is what the tiles of level L
    hold, one after the other."""

    def __init__(self):
        self.size, self.rows = 0, [bytearray()]

    def add(self, hashed):
        self.size += 1
        level = 0
        self.rows[0] += hashed
        while len(self.rows[level]) % (WIDTH * HASH) == 0:
            tile = self.rows[level][-WIDTH * HASH:]
            hashed = subtree(bytes(tile[i:i + HASH]) for i in range(0, len(tile), HASH))
            level += 1
            if level == len(self.rows):
                self.rows.append(bytearray())
            self.rows[level] += hashed

    def root(self):
        """From the lowest row up: what is left of each row lies to the right of the rows above."""
        right = None
        for row in self.rows:
            part = len(row) % (WIDTH * HASH)
            peaks = [bytes(row[i:i + HASH]) for i in range(len(row) - part, len(row), HASH)]
            while peaks:  # by the largest powers of two, the last of them first
                n = len(peaks) & -len(peaks)
                peak = subtree(peaks[-n:])
                right = peak if right is None else node_hash(peak, right)
                del peaks[-n:]
        return hashlib.sha256(b"").digest() if right is None else right

    def tile(self, level, index):
        if level >= len(self.rows):
            return b""
        return bytes(self.rows[level][index * WIDTH * HASH:(index + 1) * WIDTH * HASH])


def inclusion_root(index, size, leaf, proof):
    """The root that an inclusion proof leads to (RFC 9162, section 2.1.3.2, whose trees are those
    of RFC 6962)."""
    if index >= size:
        raise Bad(f"index {index} is not in a tree of {size}")
    node, last, result = index, size - 1, leaf
    for other in proof:
        if last == 0:
            raise Bad("the inclusion proof is too long")
        if node & 1 or node == last:
            result = node_hash(other, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, other)
        node, last = node >> 1, last >> 1
    if last:
        raise Bad("the inclusion proof is too short")
    return result


# ---- files ----

def entry_bundle(data):
    """The entries of one bundle."""
    entries, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise Bad("an entry bundle ends inside a length")
        length, = struct.unpack_from(">H", data, at)
        at += 2 + length
        if at > len(data):
            raise Bad("an entry bundle ends inside an entry")
        entries.append(data[at - length:at])
    return entries


def index_path(index):
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.insert(0, f"x{index % 1000:03d}")
    return "/".join(parts)


def tile_path(level, index, width=WIDTH):
    """level is a number or "entries"."""
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{index_path(index)}{partial}"


_TILE = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})"
                   r"(?:\.p/([1-9][0-9]{0,2}))?\Z")


def parse_tile_path(path):
    """(level, index, width) of a path below the log, or None."""
    match = _TILE.match(path)
    if not match:
        return None
    level = match[1] if match[1] == "entries" else int(match[1])
    index = int(match[2].replace("x", "").replace("/", ""))
    width = int(match[3]) if match[3] else WIDTH
    same = width <= WIDTH and tile_path(level, index, width) == path
    return (level, index, width) if same else None


def parse_proof(data):
    """(index, hashes, checkpoint, extra data or None) of a c2sp.org/tlog-proof."""
    head, blank, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise Bad("the proof is not text") from None
    if not blank or lines[0] != PROOF_HEADER:
        raise Bad(f"not a proof: its first line is not {PROOF_HEADER}")
    lines, extra = lines[1:], None
    if lines and lines[0].startswith("extra "):
        extra = unbase64(lines.pop(0)[len("extra "):])
    if not lines or not lines[0].startswith("index "):
        raise Bad("the proof has no index")
    index = decimal(lines[0][len("index "):])
    return index, [unbase64(x, HASH) for x in lines[1:]], checkpoint, extra
