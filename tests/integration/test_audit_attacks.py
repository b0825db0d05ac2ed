# SPDX-License-Identifier: Apache-2.0
"""The audit lines of the threat cases, on copies of logs: what an attacker who can write to the
disk, or the owner of the key, does to a log, and what finds it. What only a checkpoint that was
kept elsewhere finds is shown to be unfound without one."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

import creelkit

sys.path.insert(0, str(creelkit.REPO / "tests" / "audit"))

import auditkit  # noqa: E402
from auditkit import end, flip, start  # noqa: E402

RUN = "iaaaaaaaaaaaaaaaaaaaa"
SIZE = 700  # two full tiles and a partial one


@pytest.fixture(scope="module")
def originals():
    return {}


@pytest.fixture
def log(creel, originals):
    """A copy of a log with full tiles, a partial one, and payloads."""
    if creel.name not in originals:
        log = auditkit.Log(creel).fill(SIZE - 2)
        changes = log.list({"path": "/workspace/f", "sha256": "a" * 64})
        log.append(start(RUN, code=log.blob(b"print() # large\n" * 20000)),
                   end(RUN, SIZE - 2, changes=changes))
        assert log.is_good()
        originals[creel.name] = log
    return originals[creel.name].copy()


def found(log, *args):
    """verify finds something; what it says is one line a problem."""
    done = log.verify(*args)
    assert done.code in (0, 1), done
    if done.code == 0:
        return None
    lines = done.errors.splitlines()
    assert lines and all(line.startswith("creel: ") for line in lines), done
    return done.errors


def where(path, text):
    """Offsets of a text in a file."""
    data = path.read_bytes()
    return [m.start() for m in re.finditer(re.escape(text.encode()), data)]


# ---- edit, delete, reorder, truncate ----

def test_an_edited_record_is_found_wherever_it_lies(log):
    """In the segment and in the bundle: each is a copy that somebody may read."""
    places = [(path, at) for path in log.files("wal/*") + log.files("tile/entries/**/*")
              for at in where(path, '"agent":"maria"')]
    assert len(places) > SIZE
    for path, at in places[::len(places) // 12]:
        flip(path, at + len('"agent":"'))
        assert found(log), f"{path} at {at}"
        flip(path, at + len('"agent":"'))
    assert log.is_good()


@pytest.mark.parametrize("pattern", ["tile/0/**/*", "tile/1/**/*", "tile/entries/**/*",
                                     "blobs/**/*"])
def test_every_edited_byte_of_a_file_is_found(log, pattern):
    for path in log.files(pattern):
        size = path.stat().st_size
        for at in {0, 1, size // 3, size // 2, size - 1}:
            flip(path, at)
            assert found(log), f"{path} at {at}"
            flip(path, at)
    assert log.is_good()


def test_every_edited_byte_of_the_checkpoint_is_found(log):
    size = log.checkpoint.stat().st_size
    for at in range(0, size, 5):
        flip(log.checkpoint, at)
        assert found(log), f"checkpoint at {at}"
        flip(log.checkpoint, at)
    assert log.is_good()


def test_a_deleted_file_is_found(log):
    """Of a small payload and of the newest bundles there is a copy in a segment: no loss."""
    copied = [p for p in log.files("blobs/**/*") if p.stat().st_size < 65536]
    copied += log.files("tile/entries/**/*")
    files = [p for p in log.files()
             if p.name not in ("key", "key.pub", "head") and "lock" not in p.name
             and p not in copied]
    assert len(files) >= 5
    for path in files + copied:
        aside = log.state / "aside"
        path.rename(aside)
        assert found(log) or path in copied and log.is_good() and log.verify().code == 0, path
        aside.rename(path)
    assert log.is_good()


def test_the_head_is_no_evidence(log):
    """What can be made again from the rest is: its loss is no loss."""
    (log.dir / "head").unlink()
    assert not found(log)
    log.append(start("iafter"))
    assert log.is_good() and log.size() == SIZE + 1


@pytest.mark.parametrize("pattern", ["wal/*", "tile/entries/000", "tile/0/000"])
def test_swapped_records_are_found(log, pattern):
    """Two records of one length change places, with their framing or hash as it is."""
    path = log.files(pattern)[0]
    data = bytearray(path.read_bytes())
    if pattern == "tile/0/000":
        a, b, n = 32 * 7, 32 * 8, 32
    else:
        a, b = (where(path, f'"run":"ifill{i:016d}"')[0] for i in (7, 8))
        n = len('"run":"ifill0000000000000000"')
    data[a:a + n], data[b:b + n] = data[b:b + n], data[a:a + n]
    path.write_bytes(data)
    assert found(log)


def test_swapped_tiles_are_found(log):
    for level in ("0", "entries"):
        a, b = (log.dir / "tile" / level / name for name in ("000", "001"))
        data = a.read_bytes(), b.read_bytes()
        a.write_bytes(data[1])
        b.write_bytes(data[0])
        assert found(log), level
        a.write_bytes(data[0])
        b.write_bytes(data[1])
    assert log.is_good()


def test_a_cut_file_is_found(log):
    for path in [*log.files("tile/**/*"), *log.files("blobs/**/*"), log.checkpoint]:
        data = path.read_bytes()
        for keep in (0, len(data) // 2, len(data) - 1):
            path.write_bytes(data[:keep])
            assert found(log), f"{path} cut to {keep}"
        path.write_bytes(data)
    assert log.is_good()


def test_a_cut_log_takes_no_record(log):
    """Signed records are gone: nothing is appended over the gap; the message says what to do."""
    path = log.files("wal/*")[-1]
    at = where(path, RUN)[-1]
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes(len(data) - at))
    (log.dir / "head").unlink()
    assert found(log)
    answers = log.feed(auditkit.jcs.write(start("inew")), "commit")
    assert answers[0].startswith("error ") and "verify" in answers[0], answers
    assert log.size() == SIZE


# ---- what only somebody outside can find ----

def remember(log):
    """The checkpoint, kept outside of the log."""
    return log.creel.file(log.creel.directory() / "remembered", log.checkpoint.read_bytes())


def test_rolled_back_log_and_state(log):
    before = log.copy()
    log.fill(10)
    remembered = remember(log)
    assert not found(log, "--against", remembered)
    log.put_back(before)
    assert log.is_good(), "without a witness nothing is wrong with the older state"
    assert "--against" not in (found(log, "--against", remembered) or "--against")
    with pytest.raises(auditkit.tlog.Bad, match="rolled back"):
        log.independently([remembered.read_bytes()])
    log.append(*[start("iinstead")] * 20)
    assert log.is_good(), "and it goes on as if nothing had been"
    assert found(log, "--against", remembered), "but never to what was remembered"
    with pytest.raises(auditkit.tlog.Bad, match="rewritten"):
        log.independently([remembered.read_bytes()])


def forge(log, change, key=True):
    """Another history in the place of this one; with key by whoever has the log's own."""
    forged = auditkit.Log(log.creel)
    records = [record for _, record in log.records("search")]
    for record in records:
        change(record)
    forged.append(*records)
    shutil.copytree(log.dir / "blobs", forged.dir / "blobs", dirs_exist_ok=True)
    if key:
        sign_with_key_of(log, forged)
    subprocess.run(["chown", "-R", f"{log.creel.uid}:{log.creel.gid}", forged.dir], check=True)
    return forged


def sign_with_key_of(log, forged):
    """Puts the log's key into the forged one, and a checkpoint that it has signed."""
    for name in ("key", "key.pub"):
        shutil.copy2(log.dir / name, forged.dir / name)
    _, _, name, _, secret = (log.dir / "key").read_text().strip().split("+", 4)
    _, size, root = forged.checkpoint.read_text().split("\n")[:3]
    seed = auditkit.tlog.unbase64(secret, 33)[1:]
    forged.checkpoint.write_bytes(auditkit.tlog.sign_note(f"{name}\n{size}\n{root}\n", name, seed))


def blame_ben(record):
    if record["type"] == "run.start" and record["run"] == RUN:
        record["agent"] = "ben"


def test_the_owner_of_the_key_rewrites_history(log):
    forged = forge(log, blame_ben)
    assert forged.key() == log.key() and forged.size() == log.size()
    assert forged.is_good(), "without a witness nothing is wrong with the new history"
    assert found(forged, "--against", log.checkpoint)
    with pytest.raises(auditkit.tlog.Bad, match="rewritten"):
        forged.independently([log.checkpoint.read_bytes()])


def test_the_same_history_again_is_the_same(log):
    """The tree depends on the records alone, so that a forger gains nothing by not changing any."""
    again = forge(log, lambda record: None)
    assert not found(again, "--against", log.checkpoint)


def test_another_key_is_found_by_a_checkpoint(log):
    forged = forge(log, blame_ben, key=False)
    assert forged.key() != log.key() and forged.is_good()
    assert found(forged, "--against", log.checkpoint)
    key = log.creel.file(log.creel.directory() / "key", log.key())
    assert found(forged, "--key", key) and not found(log, "--key", key)
    shutil.copy(log.dir / "key.pub", forged.dir / "key.pub")
    assert found(forged), "the signature is not the key's that everybody has"


def test_without_the_public_key_nothing_can_be_checked(log):
    key = log.creel.file(log.creel.directory() / "key", log.key())
    (log.dir / "key.pub").unlink()
    done = log.verify()
    assert done.code == 125 and b"key.pub" in done.err and done.out == b"", done
    done = log.verify("--key", key)
    assert done.code == 1 and done.err.startswith(b"creel: key.pub: "), done
    assert b", 1 problem" in done.out
    assert log.verify("--key", log.checkpoint).code == 125


def test_split_view(log):
    """Two continuations of one log, each shown to another auditor."""
    other = log.copy()
    common = remember(log)
    log.append(start("ifor-one"))
    other.append(start("ifor-two"))
    for one, two in ((log, other), (other, log)):
        assert one.is_good() and not found(one, "--against", common)
        assert found(one, "--against", two.checkpoint)


def test_a_checkpoint_of_the_future_is_not_taken_for_one_of_the_past(log):
    ahead = log.copy()
    ahead.fill(5)
    assert found(log, "--against", ahead.checkpoint)


# ---- crashes and full disks ----

def test_a_torn_record_is_cut_and_recorded(log):
    """A writer that died amid a write: what was committed is there, the rest is cut, and said."""
    path = log.files("wal/*")[-1]
    log.append(start("itorn"), commit=False)
    at = where(path, '"run":"itorn"')[-1]
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes(len(data) - at))
    (log.dir / "head").unlink()
    log.append(start("iafter"))
    assert log.is_good()
    last = log.records("tail", "-n", "2")
    assert [record["type"] for _, record in last] == ["log.recovered", "run.start"]
    assert last[0][1]["cut_bytes"] > 0 and last[1][1]["run"] == "iafter"
    assert log.size() == SIZE + 2


def test_kill_at_any_time_loses_nothing_that_was_acknowledged(log, children):
    for _ in range(5):
        size = log.size()
        writer = log.popen()
        children.append(writer)
        line = auditkit.jcs.write(start("ikilled")).encode() + b"\ncommit\n"
        feeder = threading.Thread(target=feed_forever, args=(writer, line))
        feeder.start()
        acknowledged = 0
        while acknowledged < 30:
            acknowledged += writer.stdout.readline() == b"ok\n"
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.read().count(b"ok\n")
        feeder.join(10)
        writer.wait(10)
        with contextlib.suppress(BrokenPipeError):
            writer.stdin.close()
        log.append(start("iafter"))
        assert log.is_good()
        assert log.size() >= size + acknowledged + 1


def feed_forever(writer, line):
    try:
        while True:
            writer.stdin.write(line)
            writer.stdin.flush()
    except OSError:
        pass


FULL_DISK = """
set -eu
state=$1 append=$2 answers=$3 creel=$4
mount -t tmpfs -o size=4m,mode=0700 tmpfs "$state"
mkdir -m 700 "$state/audit"
dd if=/dev/zero of="$state/filler" bs=1M count=2 2>/dev/null
pad=$(head -c 8000 /dev/zero | tr '\\0' x)
for i in $(seq 400); do
	printf '{"i":%s,"pad":"%s","type":"test"}\\ncommit\\n' "$i" "$pad"
done | "$append" "$state/audit" local >"$answers/full"
"$creel" audit verify --state "$state"
rm "$state/filler"
printf '{"pad":"more","type":"test"}\\ncommit\\n' | "$append" "$state/audit" local >"$answers/again"
"$creel" audit verify --json --state "$state"
"$creel" audit tail -n1 --json --state "$state"
"$creel" audit search --json --type test --state "$state" >"$answers/records"
"""


def test_full_disk(creel):
    """What was acknowledged stays, what was refused is not counted, and with space it goes on."""
    if subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        creelkit.skip("user namespaces", "needed to mount a small tmpfs")
    state, out = creel.directory("full-", 0o700), creel.directory("answers-")
    shell = auditkit.Log(creel)._append
    helper, shell.binary = shell.binary, shutil.which("unshare")
    done = shell("-rm", "sh", "-c", FULL_DISK, "sh", state, helper, out, creel.binary, timeout=60)
    assert done.code == 0 and done.text.startswith("ok: "), done
    full = (out / "full").read_text().splitlines()
    assert any(line.startswith("error 28 ") for line in full), full
    kept = [i + 1 for i, line in enumerate(full[::2]) if line.isdigit() and full[2 * i + 1] == "ok"]
    assert 50 < len(kept) < 400
    assert (out / "again").read_text().splitlines()[-1] == "ok"
    assert '"pad":"more"' in done.text and '"ok":true' in done.text, done
    records = [json.loads(x)["record"] for x in (out / "records").read_text().splitlines()]
    assert set(kept) <= {record.get("i") for record in records}


# ---- keys, concurrency ----

def test_missing_key(log):
    """Reading goes on; nothing is appended, least of all under a new key."""
    (log.dir / "key").unlink()
    assert log.is_good() and log.audit("prove", "3").code == 0
    done = log.audit("erase", str(SIZE - 2))
    assert done.code == 125 and b"key" in done.err and done.err.count(b"\n") == 1, done
    answer, *_ = log.feed(auditkit.jcs.write(start("inew")))
    assert answer.startswith("error ") and "key" in answer
    assert not (log.dir / "key").exists() and log.size() == SIZE


def test_another_key_in_its_place(log, creel):
    other = auditkit.Log(creel).fill(1)
    shutil.copy2(other.dir / "key", log.dir / "key")
    os.chown(log.dir / "key", creel.uid, creel.gid)
    answers = log.feed(auditkit.jcs.write(start("inew")), "commit")
    assert answers and answers[-1].startswith("error "), answers
    assert not found(log) or log.size() == SIZE


def test_concurrent_runs(log):
    """Eight processes: no number twice, none missing, every record signed."""
    before, answers = log.size(), []

    def write(who):
        lines = []
        for i in range(50):
            lines += [auditkit.jcs.write(start(f"iconc{who:08d}{i:08d}")), "commit"]
        answers.append(log.feed(*lines, timeout=60))

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    numbers = [int(line) for some in answers for line in some if line != "ok"]
    assert sorted(numbers) == list(range(before, before + 400))
    assert all(some == sorted(some, key=int) for some in
               ([line for line in some if line != "ok"] for some in answers))
    assert log.is_good() and log.size() == before + 400
    assert len({record["run"] for _, record in log.records("tail", "-n", "400")}) == 400


def test_readers_beside_writers(log):
    """verify, prove and export of a log that grows: each sees one whole state of it."""
    stop = threading.Event()

    def write():
        while not stop.is_set():
            log.fill(20)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            assert log.verify().code == 0
            log.independently()
            auditkit.verifier.verify_proof(log.audit("prove", "5").out, log.key())
    finally:
        stop.set()
        writer.join(30)
    assert log.is_good()


def test_damaged_exports_are_refused_as_damaged_logs_are(log):
    """The independent verifier finds in an export what creel finds in its own files."""
    place = log.export()
    for path in sorted(p for p in place.rglob("*") if p.is_file()):
        data = path.read_bytes()
        for at in (0, len(data) // 2, len(data) - 1):
            flip(path, at)
            with pytest.raises(auditkit.tlog.Bad):
                auditkit.verifier.verify_log(place, log.key())
            flip(path, at)
    assert auditkit.verifier.verify_log(place, log.key())[0] == SIZE
