# SPDX-License-Identifier: Apache-2.0
"""What `creel run` leaves in the log, as `creel audit` and the independent verifier see it."""

import hashlib
import sys
import threading

import pytest

import creelkit

sys.path.insert(0, str(creelkit.REPO / "tests" / "audit"))

import auditkit  # noqa: E402


@pytest.fixture
def log(creel):
    return auditkit.Log(creel)


def run(log, *args, **kw):
    return log.creel.run("--state", log.state, "--org", log.org, *args, **kw)


def test_a_run_leaves_two_records(log):
    code = "import sys; open('plot.txt', 'w').write('drawn'); print('hello'); sys.exit(3)"
    done = run(log, "--agent", "maria", "--user-id", "ann", "--lang", "python", "-c", code)
    assert done.code == 3, done
    (_, first), (_, last) = log.records("tail")
    assert (first["type"], last["type"]) == ("run.start", "run.end")
    assert first["agent"] == "maria" and first["user"] == "ann" and first["run"] == last["run"]
    assert last["start"] == 0 and last["exit_code"] == 3 and last["ended_by"] == "exit"
    assert log.is_good()
    assert code in log.audit("show", "0").text
    assert log.seqs("--agent", "maria", "--path", "/workspace/plot.txt") == [1]
    assert log.seqs("--hash", hashlib.sha256(b"drawn").hexdigest()) == [1]


def test_who_made_what_came_out(log):
    out = log.creel.directory("out-")
    assert run(log, "--agent", "maria", "--out", out, "--", "sh", "-c", "echo made >f").code == 0
    assert run(log, "--agent", "ben", "--", "true").code == 0
    (seq, found), = log.records("who", out / "f")
    assert seq == 1 and found["agent"] == "maria" and found["path"] == "/workspace/f"


def test_each_org_has_its_log(log):
    other = auditkit.Log(log.creel, "acme", log.state)
    assert run(log, "--", "true").code == run(other, "--", "true").code == 0
    assert log.size() == other.size() == 2 and log.is_good() and other.is_good()
    assert {r["org"] for _, r in log.records("tail")[:1] + other.records("tail")[:1]} == {
        "local", "acme"}


def test_concurrent_runs(log):
    done = []
    threads = [threading.Thread(target=lambda: done.append(run(log, "--", "true", timeout=60)))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert [d.code for d in done] == [0] * 8, done
    assert log.is_good() and log.size() == 16
    records = dict(log.records("tail", "-n", "100"))
    starts = {seq: r["run"] for seq, r in records.items() if r["type"] == "run.start"}
    ends = {r["start"]: r["run"] for r in records.values() if r["type"] == "run.end"}
    assert starts == ends and len(set(starts.values())) == 8


def test_hostile_names_and_output_reach_no_terminal(log):
    script = "printf 'x' > \"$(printf '\\033[2J\\n\\302\\233\\177')\"; printf '\\033]0;t\\007'"
    assert run(log, "--", "sh", "-c", script).code == 0
    for args in (["tail"], ["show", "0"], ["show", "1"], ["tail", "--json"]):
        out = log.audit(*args).out
        assert out and not set(b"\x1b\x07\x7f") & set(out) and b"\xc2\x9b" not in out
    assert log.is_good()


def test_nothing_runs_that_cannot_be_recorded(log):
    assert run(log, "--", "true").code == 0
    place = log.creel.directory("ws-")
    (log.dir / "key").unlink()
    done = run(log, "--workspace", place, "--", "touch", "ran")
    assert done.code == 125 and b"key" in done.err and not (place / "ran").exists(), done
    assert log.size() == 2


def test_nothing_runs_on_a_damaged_log(log):
    assert run(log, "--", "true").code == 0
    for path in log.files("wal/*"):
        path.unlink()
    place = log.creel.directory("ws-")
    done = run(log, "--workspace", place, "--", "touch", "ran")
    assert done.code == 125 and b"verify" in done.err and not (place / "ran").exists(), done
    assert log.verify().code == 1


def test_erase_of_a_run(log):
    secret = "a-secret-of-the-person-who-ran-it"
    assert run(log, "--lang", "python", "-c", f"print('{secret}')").code == 0
    name = log.records("tail")[0][1]["run"]
    assert any(secret.encode() in p.read_bytes() for p in log.files())
    assert log.audit("erase", name).code == 0
    assert not any(secret.encode() in p.read_bytes() for p in log.files())
    assert log.is_good() and log.records("tail")[-1][1]["type"] == "blob.erased"


def test_a_result_finds_a_roll_back(log):
    """Every JSON result carries a checkpoint: who keeps one can tell that runs were removed."""
    assert run(log, "--", "true").code == 0
    before = log.copy()
    result = log.creel.json("--state", log.state, "--", "true")
    note = log.creel.file(log.creel.directory() / "note", result["audit"]["checkpoint"])
    assert log.verify("--against", note).code == 0 and result["audit"]["end"] == 3
    log.put_back(before)
    assert log.verify().code == 0
    done = log.verify("--against", note)
    assert done.code == 1 and b"rolled back" in done.err, done
