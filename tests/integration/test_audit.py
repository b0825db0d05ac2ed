# SPDX-License-Identifier: Apache-2.0
"""creel audit: what it finds, shows, proves and erases, on logs of records as runs write them."""

import hashlib
import json
import os
import re
import sys
import time

import pytest

import creelkit

sys.path.insert(0, str(creelkit.REPO / "tests" / "audit"))

import auditkit  # noqa: E402
from auditkit import end, start  # noqa: E402

CONTROLS = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")
RUN = "iaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
def log(creel):
    return auditkit.Log(creel)


@pytest.fixture
def run(log):
    """A log with one run that left everything beside its records: (log, payloads)."""
    parts = {"argv": b'["python3","plot.py"]', "code": b"print('hi')\n", "stdout": b"hi\n",
             "stderr": b"\x1b[31mred\xff\n"}
    refs = {name: log.blob(data) for name, data in parts.items()}
    changes = log.list({"kind": "created", "path": "/workspace/plot.png", "size": 4,
                        "sha256": auditkit.sha256(b"plot")},
                       {"kind": "deleted", "path": "/workspace/old/x", "size": 0, "sha256": None})
    inputs = log.list({"path": "/in/a.csv", "sha256": "a" * 64})
    files = log.blob(b'{"executed":["/usr/bin/python3"],"overflow":false,'
                     b'"read":["/workspace/in.csv","/data/b.csv"],"written":[]}')
    log.append(start(RUN, argv=refs["argv"], code=refs["code"], inputs=inputs))
    log.append(end(RUN, 0, changes=changes, files=files,
                   outputs={"stdout": refs["stdout"], "stderr": refs["stderr"]}),
               start("iother", agent="ben", user="bob", time="2026-02-01T00:00:00.000Z"))
    return log, parts


# ---- tail, show, search ----

def test_tail(log):
    log.fill(25)
    done = log.audit("tail")
    assert done.code == 0 and [int(x.split()[0]) for x in done.text.splitlines()] == list(
        range(15, 25))
    assert done.text.splitlines()[-1].split()[1:3] == [auditkit.NOW, "run.start"]
    assert "agent=maria" in done.text and "user=ann" in done.text
    assert [seq for seq, _ in log.records("tail", "-n", "3")] == [22, 23, 24]
    assert len(log.audit("tail", "-n", "1000").text.splitlines()) == 25
    assert log.audit("tail", "-n0").out == b""


def test_tail_follows(log, children):
    log.fill(3)
    tail = log.creel.popen("audit", "tail", "-f", "-n1", "--json", "--state", log.state)
    children.append(tail)
    assert json.loads(tail.stdout.readline())["seq"] == 2
    log.fill(2)
    assert [json.loads(tail.stdout.readline())["seq"] for _ in range(2)] == [3, 4]
    assert tail.poll() is None


def test_tail_shows_only_what_is_signed(log):
    log.fill(2)
    log.append(start("inot-yet"), commit=False)
    assert [seq for seq, _ in log.records("tail")] == [0, 1]


def test_json_is_the_record(run):
    log, _ = run
    (_, first), *_ = log.records("tail")
    assert first["agent"] == "maria" and first["argv"]["size"] == 21
    bundle = (log.export() / "tile/entries/000.p/3").read_bytes()
    assert auditkit.jcs.write(first).encode() in bundle


def test_show_by_number(run):
    log, parts = run
    done = log.audit("show", "0")
    assert done.code == 0 and "record 0\n" in done.text and '"agent": "maria"' in done.text
    for name in ("argv", "code"):
        assert f"-- {name}, {len(parts[name])} bytes:\n{parts[name].decode()}" in done.text
    assert log.records("show", "0") == log.records("tail")[:1]


def test_show_by_run(run):
    log, _ = run
    done = log.audit("show", RUN)
    assert "record 0\n" in done.text and "record 1\n" in done.text and "iother" not in done.text
    assert "/workspace/plot.png" in done.text and "-- stdout, 3 bytes:\nhi\n" in done.text
    assert "\\u001b[31mred\\xff" in done.text
    assert [seq for seq, _ in log.records("show", RUN)] == [0, 1]


def test_show_of_arguments(log):
    argv = log.blob(b"sh\0-c\0echo \"a b\"\n\x1b\0\xff\0\0")
    log.append(start(RUN, argv=argv))
    assert '\n"sh" "-c" "echo \\"a b\\"\\n\\u001B" \\xff ""\n' in log.audit("show", "0").text


def test_show_cuts_long_payloads(log):
    log.append(start(RUN, code=log.blob(b"x" * 10000)))
    assert "(5904 more bytes)" in log.audit("show", "0").text


@pytest.mark.parametrize("arg", ["3", "99999999999999999999", "inobody", "-1", "0x1", ""])
def test_show_what_is_not_there(run, arg):
    done = run[0].audit("show", "--", arg)
    assert done.code == 125 and done.out == b"" and done.err.startswith(b"creel: "), done


@pytest.mark.parametrize("args, expected", [
    (["--agent", "maria"], [0, 1]), (["--agent", "mari"], None), (["--user", "bob"], [2]),
    (["--run", RUN], [0, 1]), (["--run", "iother", "--agent", "maria"], None),
    (["--type", "run.end"], [1]), (["--type", "run.end", "--agent", "maria"], [1]),
    (["--type", "run.end", "--agent", "ben"], None), (["--host", "example.com"], None),
    (["--path", "/workspace/plot.png"], [1]), (["--path", "/workspace/old"], [1]),
    (["--path", "/workspace"], [1]), (["--path", "/work"], None), (["--path", "/in/a.csv"], [0]),
    (["--path", "/workspace/in.csv", "--agent", "maria"], [1]), (["--path", "/data/b.csv"], [1]),
    (["--path", "/usr/bin/python3"], [1]), (["--hash", "a" * 64], [0]),
    (["--hash", hashlib.sha256(b"plot").hexdigest()], [1]),
    (["--hash", hashlib.sha256(b"plot").hexdigest(), "--path", "/workspace/old"], None),
    (["--since", "2026-02-01"], [2]), (["--until", "2026-01-31T12:00Z"], [0, 1]),
    (["--since", "2026-01-31T12:00:00.001Z"], [2]), ([], [0, 1, 2])])
def test_search(run, args, expected):
    log, _ = run
    done = log.audit("search", *args)
    found = [int(line.split()[0]) for line in done.text.splitlines()]
    assert (found or None) == (expected or None), done
    assert done.code == (0 if expected else 1) and done.err == b"", done
    assert log.seqs(*args) == found


def test_search_by_host(log):
    log.append(start(RUN), {"host": "example.com", "run": RUN, "start": 0, "type": "egress"})
    assert log.seqs("--host", "example.com", "--agent", "maria") == [1]


def test_search_says_what_it_could_not_see(log):
    gone, hashed = log.list({"path": "/workspace/a"}), log.blob(b"[]", "hash")
    log.append(start(RUN, inputs=hashed), end(RUN, 0, changes=gone, files={"off": True}))
    assert log.seqs("--path", "/workspace/a") == [1]
    assert log.audit("erase", "1").code == 0
    done = log.audit("search", "--path", "/workspace/a")
    assert done.code == 1 and b"3 lists of files are not kept" in done.err, done


def test_times_may_go_back(log):
    """The clock was set back: the order is that of the numbers, and no search stops early."""
    log.append(start("ione", time="2026-03-01T00:00:00.000Z"),
               start("itwo", time="2020-01-01T00:00:00.000Z"),
               start("ithree", time="2026-03-01T00:00:00.001Z"))
    assert log.seqs("--since", "2026-01-01") == [0, 2]
    assert log.seqs("--until", "2021-01-01") == [1]
    assert [record["run"] for _, record in log.records("tail")] == ["ione", "itwo", "ithree"]
    assert log.is_good()


# ---- who ----

def test_who_made_a_file(run):
    log, parts = run
    place = log.creel.directory()
    done = log.audit("who", log.creel.file(place / "copy.png", "plot"))
    assert done.code == 0 and f"run={RUN}" in done.text and "agent=maria" in done.text, done
    assert "path=/workspace/plot.png" in done.text
    done = log.audit("who", log.creel.file(place / "out", parts["stdout"]))
    assert done.code == 0 and "path=stdout" in done.text
    (seq, found), = log.records("who", log.creel.file(place / "err", parts["stderr"]))
    assert seq == 1 and found["path"] == "stderr" and found["user"] == "ann"
    done = log.audit("who", log.creel.file(place / "other", "something else"))
    assert (done.code, done.out, done.err) == (1, b"", b"")


def test_who_knows_hashed_output(log):
    log.append(start(RUN), end(RUN, 0, outputs={"stdout": log.blob(b"secret", "hash")}))
    assert log.audit("who", log.creel.file(log.creel.directory() / "f", "secret")).code == 0
    assert log.audit("who", log.creel.file(log.creel.directory() / "f", "secrex")).code == 1


def test_who_says_what_it_could_not_see(log):
    log.append(start(RUN), end(RUN, 0, changes={"off": True}))
    done = log.audit("who", log.creel.file(log.creel.directory() / "f", "secret"))
    assert done.code == 1 and b"1 lists or outputs are not kept" in done.err


@pytest.mark.parametrize("name", ["missing", ".", "fifo"])
def test_who_of_no_file(run, name):
    log, _ = run
    place = log.creel.directory()
    os.mkfifo(place / "fifo")
    done = log.audit("who", place / name, timeout=10)
    assert done.code == 125 and done.err.startswith(b"creel: "), done


# ---- prove, export, key ----

@pytest.mark.parametrize("size", [1, 2, 256, 700])
def test_proofs_and_exports_verify_elsewhere(log, size):
    """creel audit verify, prove and the independent verifier agree."""
    log.fill(size)
    assert log.is_good()
    for seq in sorted({0, 1, 255, 256, size - 1} & set(range(size))):
        proof = log.creel.directory() / "p"
        assert log.audit("prove", "-o", proof, seq).code == 0
        index, of, record = auditkit.verifier.verify_proof(proof.read_bytes(), log.key())
        assert (index, of) == (seq, size)
        assert json.loads(record) == log.records("show", seq)[0][1]
        assert log.audit("prove", seq).out == proof.read_bytes()


@pytest.mark.parametrize("pad", [2900, 3000, 3100, 32000])
def test_a_proof_holds_its_record(log, pad):
    record = {"pad": "x" * pad, "type": "test"}
    log.append(record)
    proof = log.audit("prove", "0").out
    assert json.loads(auditkit.verifier.verify_proof(proof, log.key())[2]) == record


def test_a_proof_outlives_the_log(log):
    log.fill(5)
    proof, key, note = log.audit("prove", "3").out, log.key(), log.checkpoint.read_bytes()
    log.fill(1000)
    auditkit.verifier.verify_proof(proof, key)
    log.independently([note])


def test_a_proof_goes_where_it_is_told(log):
    log.fill(2)
    place, proof = log.creel.directory(), log.audit("prove", "1").out
    assert log.audit("prove", "1", "-o", "here", cwd=place).code == 0
    assert (place / "here").read_bytes() == proof
    assert log.audit("prove", "1", "--output=/dev/stdout").out == proof
    done = log.audit("prove", "1", "-o", place / "no" / "such")
    assert done.code == 125 and b"no/such" in done.err
    assert log.audit("prove", "1", "-o", "/dev/full").code == 125


@pytest.mark.parametrize("arg", ["5", "-1", "x", RUN])
def test_no_proof_of_what_is_not_there(log, arg):
    log.fill(5)
    done = log.audit("prove", "--", arg)
    assert done.code == 125 and done.out == b"", done


def test_export_wants_an_empty_place(log):
    log.fill(3)
    place = log.creel.directory()
    assert log.audit("export", place).code == 0
    done = log.audit("export", place)
    assert done.code == 125 and b"not empty" in done.err, done


def test_an_export_has_nothing_private(run):
    log, parts = run
    text = b"".join(p.read_bytes() for p in log.export().rglob("*") if p.is_file())
    for data in (*parts.values(), (log.dir / "key").read_bytes()):
        assert data not in text


# ---- erase ----

def test_erase(run):
    log, parts = run
    note = log.checkpoint.read_bytes()
    done = log.audit("erase", RUN)
    assert done.code == 0 and done.text == "7 payloads erased; record 3 says so\n", done
    (_, record), = log.records("show", "3")
    assert record["type"] == "blob.erased" and record["of"] == [0, 1] and len(record["blobs"]) == 7
    left = b"".join(p.read_bytes() for p in log.files())
    assert not [name for name, data in parts.items() if data in left]
    assert log.is_good()
    log.independently([note])
    assert "-- code: not kept" in log.audit("show", "0").text
    assert log.audit("who", log.creel.file(log.creel.directory() / "f", "plot")).code == 1


def test_erase_one_record(run):
    log, _ = run
    assert log.audit("erase", "0").text == "3 payloads erased; record 3 says so\n"
    assert "-- stdout, 3 bytes" in log.audit("show", "1").text
    assert log.is_good()


@pytest.mark.parametrize("arg", ["2", "7", "inobody"])
def test_nothing_to_erase(run, arg):
    log, _ = run
    done = log.audit("erase", arg)
    assert done.code == 125 and log.size() == 3, done


def test_what_disappears_unsaid_is_found(log):
    """A large payload, that is: of a small one there is a copy in the segment."""
    log.append(start(RUN, code=log.blob(b"x" * 300000)))
    assert log.is_good()
    blob, = log.files("blobs/*/*")
    blob.unlink()
    done = log.verify()
    assert done.code == 1 and b"record 0: " in done.err and blob.name.encode() in done.err, done


# ---- text ----

BAD_TEXT = ("\x1b[2J\x1b]0;x\x07\r\n\tNUL:\x00 DEL:\x7f C1:\x9b31m\x85 "
            "bidi:\u202e\u2066\u200f line:\u2028 tag:\U000e0041 end")


def test_control_characters_in_every_field(log):
    fields = {name: BAD_TEXT for name in start(RUN) if name not in ("type", "v")}
    changes = log.list({"path": f"/workspace/{BAD_TEXT}", "sha256": auditkit.sha256(b"plot")})
    name = BAD_TEXT.replace("\x00", "")  # no name that creel writes can hold NUL
    record = {**start(RUN), **fields, name: BAD_TEXT, "code": log.blob(BAD_TEXT.encode()),
              "inputs": [{"path": BAD_TEXT}]}
    log.append(record)
    log.append({**end(BAD_TEXT, 0), "type": "run.end", "changes": changes,
                "time": BAD_TEXT, "ended_by": BAD_TEXT})
    log.append({"type": BAD_TEXT, name: {name: [BAD_TEXT]}})
    plot = log.creel.file(log.creel.directory() / "f", "plot")
    for args in (["tail"], ["tail", "--json"], ["show", "0"], ["show", "1"], ["show", "2"],
                 ["show", "0", "--json"], ["search"],
                 ["search", "--json"], ["who", plot], ["who", "--json", plot], ["verify"]):
        done = log.audit(*args)
        text = done.out + done.err
        assert text and not CONTROLS.search(text), done
        assert not set("\u202e\u2066\u200f\u2028\U000e0041") & set(text.decode()), done
    assert len(log.audit("tail").text.splitlines()) == 3
    assert log.records("tail")[0][1] == record
    assert log.is_good()


# ---- orgs, users, places ----

def test_two_orgs_have_two_logs(log):
    other = auditkit.Log(log.creel, "acme", log.state)
    log.append(start("imine"))
    other.append(start("itheirs"), start("itheirs"))
    assert [r["run"] for _, r in log.records("tail")] == ["imine"]
    assert [r["run"] for _, r in other.records("tail")] == ["itheirs", "itheirs"]
    assert log.key() != other.key() and log.is_good() and other.is_good()
    done = log.verify("--against", other.checkpoint)
    assert done.code in (1, 125), done


@pytest.mark.parametrize("org", ["nobody", "../local", "local/../local", ".", "", "a" * 65])
def test_a_log_that_is_not_there(log, org):
    log.fill(1)
    for command in (["tail"], ["verify"], ["key"], ["erase", "0"]):
        done = log.creel("audit", *command, "--state", log.state, "--org", org)
        assert done.code == 125 and done.out == b"" and done.err.startswith(b"creel: "), done
    assert sorted(p.name for p in (log.state / "audit").iterdir()) == ["local"]


def test_nobody_else_reads_it(log):
    log.fill(1)
    assert log.dir.stat().st_mode & 0o077 == 0
    assert (log.dir / "key").stat().st_mode & 0o177 == 0


def test_reading_changes_nothing(run):
    log, _ = run
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in log.files()}
    for args in (["tail"], ["show", "0"], ["search"], ["verify"], ["prove", "0"], ["key"],
                 ["export", log.creel.directory()]):
        assert log.audit(*args).code == 0
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in log.files()} == before


@pytest.mark.parametrize("args", [
    [], ["nothing"], ["tail", "extra"], ["tail", "-n", "many"], ["search", "--hash", "xyz"],
    ["search", "--since", "soon"], ["verify", "--against", "/no/such/file"],
    ["tail", "--against", "x"], ["who"], ["export"]])
def test_bad_input(log, args):
    log.fill(1)
    done = log.creel("audit", *args, env={"CREEL_STATE": str(log.state)})
    assert done.code == 125 and done.out == b"", done
    assert done.err.startswith(b"creel: ") and done.err.count(b"\n") == 1, done


def test_help(log):
    overview = log.creel("audit", "--help")
    assert overview.code == 0
    for name in re.findall(r"^  ([a-z]+) ", overview.text, re.MULTILINE):
        done = log.creel("audit", name, "--help")
        assert done.code == 0 and done.text.startswith(f"usage: creel audit {name} "), done
        assert "--org NAME" in done.text and max(map(len, done.text.splitlines())) <= 100


def test_million_records_are_searched_in_reasonable_time(log):
    """A tenth of that, so that the test itself is."""
    n = 100000
    records = [auditkit.jcs.write(start(f"ibulk{i:015d}")) for i in range(n)]
    assert log.feed(*records, "commit", timeout=120)[-1] == "ok"
    for args in (["verify"], ["search", "--run", f"ibulk{n - 1:015d}"], ["tail"],
                 ["search", "--agent", "maria", "--user", "nobody"]):
        before = time.monotonic()
        assert log.audit(*args).code in (0, 1)
        assert time.monotonic() - before < 5, args
    assert log.independently()[0] == n
