# SPDX-License-Identifier: Apache-2.0
"""The independent verifier against the vectors of its specifications, and against logs that are
made and broken by hand here, without creel."""

import base64
import hashlib
import os
import struct
import subprocess
import sys

import pytest

import creelkit

sys.path.insert(0, str(creelkit.REPO / "tests" / "audit"))

import ed25519  # noqa: E402
import jcs  # noqa: E402
import tlog  # noqa: E402
import verifier  # noqa: E402

SEED = bytes(range(32))
NAME = "creel.local/test"
KEY = tlog.vkey(NAME, ed25519.public_key(SEED))

# RFC 8032, section 7.1: seed, public key, message, signature
ED25519 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
     "cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
     "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760"
     "984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]

# The leaves and roots that Certificate Transparency's implementations share.
LEAVES = [bytes.fromhex(x) for x in ("", "00", "10", "2021", "3031", "40414243",
                                     "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
ROOTS = ["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
         "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
         "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
         "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
         "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
         "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
         "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
         "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"]

# RFC 8785, appendix B: bits of a double, text
NUMBERS = [("0000000000000000", "0"), ("8000000000000000", "0"), ("0000000000000001", "5e-324"),
           ("8000000000000001", "-5e-324"), ("7fefffffffffffff", "1.7976931348623157e+308"),
           ("4340000000000000", "9007199254740992"), ("c340000000000000", "-9007199254740992"),
           ("4430000000000000", "295147905179352830000"),
           ("44b52d02c7e14af5", "9.999999999999997e+22"), ("44b52d02c7e14af6", "1e+23"),
           ("44b52d02c7e14af7", "1.0000000000000001e+23"),
           ("444b1ae4d6e2ef4e", "999999999999999700000"),
           ("444b1ae4d6e2ef4f", "999999999999999900000"), ("444b1ae4d6e2ef50", "1e+21"),
           ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"), ("3eb0c6f7a0b5ed8d", "0.000001"),
           ("41b3de4355555553", "333333333.3333332"), ("41b3de4355555554", "333333333.33333325"),
           ("becbf647612f3696", "-0.0000033333333333333333"),
           ("43143ff3c1cb0959", "1424953923781206.2")]


@pytest.mark.parametrize("seed, public, message, signature",
                         [tuple(map(bytes.fromhex, v)) for v in ED25519])
def test_ed25519(seed, public, message, signature):
    assert ed25519.public_key(seed) == public
    assert ed25519.sign(seed, message) == signature
    assert ed25519.verify(public, message, signature)
    assert not ed25519.verify(public, message + b"x", signature)
    for at in range(64):
        broken = bytearray(signature)
        broken[at] ^= 1
        assert not ed25519.verify(public, message, bytes(broken))
    more = int.from_bytes(signature[32:], "little") + ed25519.ORDER
    assert not ed25519.verify(public, message, signature[:32] + more.to_bytes(32, "little"))


def test_the_note_of_the_go_documentation():
    key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    text = ("If you think cryptography is the answer to your problem,\n"
            "then you don't know what your problem is.\n")
    line = ("— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqd"
            "ngotpRZb6KE6RyyBwJnAM=\n")
    other = ("— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTG"
             "wnWLox33WWd1RvMc+QQ=\n")
    assert tlog.open_note((text + "\n" + line + other).encode(), key) == text
    for note in (text + "\n" + other, text.replace("you", "I") + "\n" + line, text + line,
                 text + "\n" + line[:-1], text + "\n" + line + "x\n", text + "\n\x07" + line):
        with pytest.raises(tlog.Bad):
            tlog.open_note(note.encode(), key)


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_merkle_roots(size):
    tree = tlog.Tree()
    for leaf in LEAVES[:size]:
        tree.add(tlog.leaf_hash(leaf))
    assert tree.root().hex() == ROOTS[size]


def mth(hashes):
    """RFC 6962, section 2.1, as it is written."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return tlog.node_hash(mth(hashes[:k]), mth(hashes[k:]))


def path(m, hashes):
    """Section 2.1.1."""
    if len(hashes) < 2:
        return []
    k = 1 << (len(hashes) - 1).bit_length() - 1
    if m < k:
        return path(m, hashes[:k]) + [mth(hashes[k:])]
    return path(m - k, hashes[k:]) + [mth(hashes[:k])]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 600, 65536 + 257])
def test_tree_is_the_recursive_definition(size):
    hashes = [tlog.leaf_hash(b"%d" % i) for i in range(size)]
    tree = tlog.Tree()
    for one in hashes:
        tree.add(one)
    root = mth(hashes)
    assert tree.root() == root
    for index in sorted({0, 1, size // 2, size - 2, size - 1} & set(range(size))):
        proof = path(index, hashes)
        assert tlog.inclusion_root(index, size, hashes[index], proof) == root
        if size > 1:
            other = (index + 1) % size
            assert bad_or_other(other, size, hashes[index], proof) != root
            assert bad_or_other(index, size, hashes[index], proof[:-1]) != root
            assert bad_or_other(index, size, hashes[index], proof + [root]) != root


def bad_or_other(*args):
    try:
        return tlog.inclusion_root(*args)
    except tlog.Bad:
        return None


@pytest.mark.parametrize("bits, text", NUMBERS)
def test_jcs_numbers(bits, text):
    assert jcs.number(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


@pytest.mark.parametrize("text, written", [
    # RFC 8785, section 3.2.2 and 3.2.3
    (r'{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
     r'"string":"\u20ac$\u000F\u000aA' "'" r'\u0042\u0022\u005c\\\"\/",'
     r'"literals":[null,true,false]}',
     '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
     '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'),
    (r'{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",'
     r'"1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",'
     r'"\u00f6":"Latin Small Letter O With Diaeresis"}',
     '{"\\r":"Carriage Return","1":"One","\x80":"Control","ö":"Latin Small Letter O With Diaeresis"'
     ',"€":"Euro Sign","\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With '
     'Dagesh"}'),
])
def test_jcs_of_the_rfc(text, written):
    assert jcs.canonical(text.encode())[0] == written.encode()
    assert jcs.check(written.encode())


@pytest.mark.parametrize("text", [
    b"", b"{", b'{"a":1,"a":1}', b'{"b":1,"a":1}', b'{ "a":1}', b'{"a":1}\n', b"[1.0]", b"[-0]",
    b"[1e2]", b"[1e+16]", b"[01]", b'["\\u0041"]', b'["\\/"]', b'["\x7f\\u007f"]', b'["\\u000A"]',
    b'["\\ud800"]', b'["\xed\xa0\x80"]', b'["\xff"]', b"[NaN]", b"[Infinity]",
    b"[9007199254740993]", b'\xef\xbb\xbf{}', b'["a\nb"]', b"{}{}", b"[" * 5000,
    "{\"\ufb33\":1,\"\U0001f600\":1}".encode()])
def test_not_canonical(text):
    with pytest.raises(jcs.NotCanonical):
        jcs.check(text)


@pytest.mark.parametrize("text", [b"{}", b"[0,-1,9007199254740991,9007199254740992]", b'["\x7f"]',
                                  b'["\\u0000\\u001f\\b\\t\\n\\f\\r\\"\\\\/"]',
                                  b"[1e+21,1e-7,0.1]"])
def test_canonical(text):
    jcs.check(text)


def test_tile_paths():
    assert tlog.tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tlog.tile_path("entries", 0, 1) == "tile/entries/000.p/1"
    for good in ("tile/0/x001/x234/067", "tile/entries/000.p/1", "tile/63/999"):
        assert tlog.tile_path(*tlog.parse_tile_path(good)) == good
    for bad in ("tile/0/1", "tile/00/001", "tile/0/001.p/256", "tile/0/001.p/0", "tile/0/001.p/01",
                "tile/0/x000/001", "tile/data/001", "tile/0/001/000", "tile/0/001.tmp"):
        assert tlog.parse_tile_path(bad) is None, bad


def record(number):
    return b'{"n":%d,"type":"test"}' % number


def make_log(directory, entries, seed=SEED):
    """A static log as a directory."""
    tree = tlog.Tree()
    for entry in entries:
        tree.add(tlog.leaf_hash(entry))

    def put(name, data):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)

    for level, row in enumerate(tree.rows):
        for index in range(-(-len(row) // (256 * 32))):
            data = tree.tile(level, index)
            put(tlog.tile_path(level, index, len(data) // 32), data)
    for index in range(-(-len(entries) // 256)):
        bundle = entries[index * 256:(index + 1) * 256]
        put(tlog.tile_path("entries", index, len(bundle)),
            b"".join(struct.pack(">H", len(e)) + e for e in bundle))
    root = base64.b64encode(tree.root()).decode()
    put("checkpoint", tlog.sign_note(f"{NAME}\n{len(entries)}\n{root}\n", NAME, seed))
    return directory / "checkpoint"


@pytest.fixture
def log(tmp_path):
    make_log(tmp_path, [record(i) for i in range(600)])
    return tmp_path


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65536, 65537])
def test_log_verifies(tmp_path, size):
    make_log(tmp_path, [record(i) for i in range(size)])
    assert verifier.verify_log(tmp_path, KEY)[0] == size


def refused(log, match, **kw):
    with pytest.raises(tlog.Bad, match=match):
        verifier.verify_log(log, KEY, **kw)


def test_every_flipped_byte_is_found(log):
    for name in [log / "checkpoint", *(p for p in log.rglob("*") if p.is_file())]:
        data = name.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 40)):
            name.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1:])
            refused(log, "")
        for other in (data[:-1], data + b"x", b""):
            name.write_bytes(other)
            refused(log, "")
        name.unlink()
        refused(log, "")
        name.write_bytes(data)
    assert verifier.verify_log(log, KEY)[0] == 600


def test_old_checkpoints(log, tmp_path_factory):
    entries = [record(i) for i in range(600)]

    def note(entries):
        return make_log(tmp_path_factory.mktemp("old"), entries).read_bytes()

    verifier.verify_log(log, KEY, [note(entries[:n]) for n in (0, 1, 255, 256, 600)])
    refused(log, "rolled back", against=[note(entries + [record(1)])])
    refused(log, "rewritten", against=[note([record(9)] + entries[1:300])])
    refused(log, "rewritten", against=[note(entries[:-1] + [record(9)])])
    refused(log, "split view", against=[note(entries[:5]), note(entries[1:6])])


def test_foreign_files(log):
    (log / "tile/0/extra").write_bytes(b"")
    refused(log, "not a tile's name")
    (log / "tile/0/extra").unlink()
    (log / "tile/0/000.p").mkdir()
    first = (log / "tile/0/000").read_bytes()
    (log / "tile/0/000.p/7").write_bytes(first[:7 * 32])
    verifier.verify_log(log, KEY)
    (log / "tile/0/000.p/7").write_bytes(first[32:8 * 32])
    refused(log, "not what the records hash to")
    (log / "tile/0/000.p/7").unlink()
    os.rename(log / "tile/0/000", log / "elsewhere")
    os.symlink(log / "elsewhere", log / "tile/0/000")
    refused(log, "symbolic|hash to|Too many")


@pytest.mark.parametrize("entry", [b"x", b"{}", b'{"type":1}', b'{"type":"a" }', b'["type"]',
                                   b'{"a":"' + b"x" * 33000 + b'","type":"b"}'])
def test_records_must_be_records(tmp_path, entry):
    make_log(tmp_path, [entry])
    refused(tmp_path, "record 0")
    verifier.verify_log(tmp_path, KEY, canonical=False)


def make_proof(log, index, entries):
    hashes = path(index, [tlog.leaf_hash(e) for e in entries])
    return "\n".join([tlog.PROOF_HEADER, f"index {index}",
                      *(base64.b64encode(h).decode() for h in hashes), "", ""]).encode() + \
        (log / "checkpoint").read_bytes()


def test_proof(log):
    entries = [record(i) for i in range(600)]
    proof = make_proof(log, 311, entries)
    assert verifier.verify_proof(proof, KEY, entries[311]) == (311, 600, entries[311])
    extra = proof.replace(b"\n", b"\nextra " + base64.b64encode(entries[311]) + b"\n", 1)
    assert verifier.verify_proof(extra, KEY) == (311, 600, entries[311])
    other = proof.replace(b"\n", b"\nextra " + base64.b64encode(entries[312]) + b"\n", 1)
    assert verifier.verify_proof(other, KEY, entries[311]) == (311, 600, entries[311])
    for bad, entry in [(proof, entries[310]),
                       (proof.replace(b"index 311", b"index 310"), entries[311]),
                       (proof.replace(b"index 311", b"index 0311"), entries[311]),
                       (proof.replace(b"index 311", b"index 600"), entries[311]),
                       (proof.replace(b"v1", b"v2"), entries[311]), (b"", entries[311]),
                       (other, None), (proof, None),
                       (proof.replace(b"\n600\n", b"\n601\n"), entries[311])]:
        with pytest.raises(tlog.Bad):
            verifier.verify_proof(bad, KEY, entry)


def test_the_program(log, tmp_path_factory):
    place = tmp_path_factory.mktemp("files")
    (place / "key").write_text(KEY + "\n")
    (place / "record").write_bytes(record(4))
    (place / "proof").write_bytes(make_proof(log, 4, [record(i) for i in range(600)]))
    script = [sys.executable, verifier.__file__]

    def run(*args):
        return subprocess.run([*script, *map(str, args)], capture_output=True, timeout=60,
                              check=False)

    done = run("log", log, "--key", place / "key", "--against", log / "checkpoint")
    assert done.returncode == 0 and done.stdout.startswith(b"ok: 600 records"), done
    done = run("proof", place / "proof", "--key", KEY, "--record", place / "record")
    assert done.returncode == 0 and done.stdout.startswith(b"ok: record 4 of 600: "), done
    (log / "tile/0/001").unlink()
    done = run("log", log, "--key", KEY)
    assert done.returncode == 1 and done.stderr == b"verifier: tile/0/001 is missing\n", done
