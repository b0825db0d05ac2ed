# SPDX-License-Identifier: Apache-2.0
"""Every run leaves two records: one that is durable before it starts, one when it has ended."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import uuid

import pytest


def records(creel, *options, org="local"):
    done = creel("audit", "tail", "-n", "1000000", "--json", "--org", org, *options)
    assert done.code == 0, done
    return [json.loads(line)["record"] for line in done.text.splitlines()]


def of(creel, run, org="local"):
    found = {r["type"]: r for r in records(creel, org=org) if r.get("run") == run}
    return found.get("run.start"), found.get("run.end")


def payload(creel, ref, org="local"):
    path = creel.state / "audit" / org / "blobs" / ref["sha256"][:2] / ref["sha256"]
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest() == ref["sha256"]
    return data[32:]


def test_who_what_and_how_it_ended(any_creel):
    result = any_creel.json("--user-id", "ann", "--agent", "bob", "--ephemeral", "--skill", "plot",
                            "--session", "s1", "--label", "k=v", "--env", "TOKEN=hidden", "--memory",
                            "64M", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    start, end = of(any_creel, result["id"])
    assert (start["user"], start["agent"], start["skill"], start["session"], start["org"]) == \
        ("ann", "bob", "plot", "s1", "local")
    assert start["labels"] == ["k=v"] and start["command"] == "sh"
    assert start["limits"]["memory"] == 64 << 20 and start["level"] == "nano"
    assert start["image"] == {"name": "host"}
    words = payload(any_creel, start["argv"])
    assert words.endswith(b"--\0sh\0-c\0echo out; echo err >&2; exit 3\0"), words
    assert b"--memory\0" in words and b"hidden" not in words
    names = payload(any_creel, start["env_names"]).split(b"\0")
    assert b"TOKEN" in names and b"PATH" in names
    assert end["exit_code"] == 3 and end["ended_by"] == "exit"
    assert end["start"] == result["audit"]["start"]
    assert result["audit"]["end"] > result["audit"]["start"]
    assert set(end["usage"]) >= {"cpu_user_us", "memory_peak_bytes"}


def test_values_of_the_environment_are_nowhere(creel):
    secret = uuid.uuid4().hex
    assert creel.run("--env", f"TOKEN={secret}", "--", "true").code == 0
    found = subprocess.run(["grep", "-rl", secret, creel.state], capture_output=True, text=True,
                           check=False).stdout
    assert found == ""


def test_outputs_are_hashed_with_their_salt(creel):
    result = creel.json("--", "printf", "abc")
    _, end = of(creel, result["id"])
    ref = end["outputs"]["stdout"]
    assert ref["size"] == 3
    assert hashlib.sha256(bytes.fromhex(ref["salt"]) + b"abc").hexdigest() == ref["sha256"]
    assert not (creel.state / "audit/local/blobs" / ref["sha256"][:2] / ref["sha256"]).exists()


def test_outputs_that_pass_are_hashed_as_well(creel):
    """Not captured: from a pipe inside to the caller's."""
    done = creel.run("--audit", "stdout=full", "--output", "10M", "--", "sh", "-c", "seq 100000")
    end = records(creel)[-1]
    assert payload(creel, end["outputs"]["stdout"]) == done.out and len(done.out) > 500000


@pytest.mark.parametrize("mode", ["full", "hash", "off"])
@pytest.mark.parametrize("what, start, field", [
    ("code", True, "code"), ("argv", True, "argv"), ("env", True, "env_names"),
    ("inputs", True, "inputs"), ("changes", False, "changes")])
def test_each_payload_has_a_switch(creel, what, start, field, mode):
    extra = creel.file(creel.directory() / "in")
    result = creel.json("--audit", f"{what}={mode}", "--in", extra, "--lang", "sh", "-c",
                        "echo x > f")
    record = of(creel, result["id"])[0 if start else 1]
    ref = record[field]
    if mode == "off":
        assert ref == {"off": True}
        return
    assert ("salt" in ref) == (mode == "hash")
    if mode == "full":
        assert len(payload(creel, ref)) == ref["size"]


@pytest.mark.parametrize("bad", ["", "nothing=full", "argv=some", "argv", "all", "argv=", "=full"])
def test_bad_switches(rootless_creel, bad):
    done = rootless_creel.run("--audit", bad, "--", "true")
    assert done.code == 125 and "--audit" in done.errors and done.err.count(b"\n") == 1, done


def test_changes_are_in_the_record_of_a_plain_run(any_creel):
    """Nobody asked for them: the log has them all the same."""
    before = len(records(any_creel))
    assert any_creel.sh("echo data > /workspace/made; echo y > /tmp/other").code == 0
    end = [r for r in records(any_creel)[before:] if r["type"] == "run.end"][-1]
    changes = {c["path"]: c for c in json.loads(payload(any_creel, end["changes"]))}
    assert changes["/workspace/made"]["sha256"] == hashlib.sha256(b"data\n").hexdigest()
    assert "/tmp/other" in changes


def test_changes_of_a_host_directory_are_in_the_record(creel):
    work = creel.directory()
    creel.file(work / "old", "1\n")
    creel.file(work / "gone", "1\n")
    assert creel.sh("echo 2 > old; rm gone; echo 3 > new", "--workspace", work).code == 0
    end = records(creel)[-1]
    changes = {c["path"]: c["kind"] for c in json.loads(payload(creel, end["changes"]))}
    assert changes == {"/workspace/old": "modified", "/workspace/gone": "deleted",
                       "/workspace/new": "added"}


def test_inputs_have_the_hash_that_coreutils_give(creel):
    work = creel.directory()
    creel.file(work / "f", "content\n")
    tree = creel.own(work / "t", 0o755)
    creel.file(tree / "b", "2")
    creel.file(tree / "a\nb", "1")
    creel.file(creel.own(tree / "d", 0o755) / "c", "3")
    expected = subprocess.run(
        ["sh", "-c", "find . -xdev -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum |"
         " sha256sum | cut -c1-64"], cwd=tree, capture_output=True, text=True, check=True).stdout
    result = creel.json("--in", work / "f", "--ro", f"{tree}:/data", "--ro",
                        f"{work}:/more:sha256={'ab' * 32}", "--", "true")
    start, _ = of(creel, result["id"])
    inputs = {(i["kind"], i["path"]): i for i in json.loads(payload(creel, start["inputs"]))}
    assert inputs["in", str(work / "f")]["sha256"] == hashlib.sha256(b"content\n").hexdigest()
    assert inputs["ro", str(tree)]["sha256"] == expected.strip()
    stated = inputs["ro", str(work)]
    assert stated["stated"] == "ab" * 32 and stated["sha256"] is None


def test_the_hash_is_of_what_was_copied_in(creel, children):
    """A file that is written all the time: each run has what its record says, or does not start."""
    data = creel.file(creel.directory() / "data", "A" * 4096)
    writer = subprocess.Popen(["/usr/bin/python3", "-c", f"""
while True:
    for c in "AB":
        with open({str(data)!r}, "r+") as f:
            f.write(c * 4096)
"""])
    children.append(writer)
    ran = 0
    for _ in range(25):
        done = creel.run("--json", "--in", data, "--", "cat", "data")
        result = json.loads(done.out)
        if done.code == 125:
            assert "was changed while it was copied" in result["error"]["message"], result
            continue
        ran += 1
        start, _ = of(creel, result["id"])
        listed = json.loads(payload(creel, start["inputs"]))
        assert listed[0]["sha256"] == hashlib.sha256(result["stdout"].encode()).hexdigest()
    writer.kill()
    writer.wait(10)
    assert creel.run("--in", data, "--", "cat", "data").code == 0


def test_files_that_were_touched(root_creel):
    """fanotify: root only."""
    work, data = root_creel.directory(), root_creel.directory()
    root_creel.file(work / "in", "x\n")
    root_creel.file(work / "prog", "#!/bin/sh\ntrue\n", 0o755)
    root_creel.file(data / "table", "1\n")
    result = root_creel.json("--workspace", work, "--ro", f"{data}:/data", "--", "sh", "-c",
                             "cat in /data/table; echo y > out; ./prog")
    files = result["files"]
    assert "/workspace/in" in files["read"] and "/data/table" in files["read"]
    assert "/workspace/out" in files["written"] and "/workspace/prog" in files["executed"]
    assert files["overflow"] is False
    _, end = of(root_creel, result["id"])
    assert json.loads(payload(root_creel, end["files"])) == files


def test_too_many_files_end_the_watch_and_not_the_run(root_creel):
    work = root_creel.directory()
    result = root_creel.json("--workspace", work, "--timeout", "60s", "--", "sh", "-c",
                             "i=0; while [ $i -lt 12000 ]; do echo > f$i; i=$((i+1)); done",
                             timeout=90)
    assert result["exit_code"] == 0 and result["files"]["overflow"] is True
    assert len(result["files"]["written"]) <= 10000


def test_rootless_says_that_nobody_watched(rootless_creel):
    result = rootless_creel.json("--", "true")
    assert result["files"] is None


def test_what_would_be_kept_without_a_bound_is_refused(rootless_creel):
    done = rootless_creel.run("--audit", "stdout=full", "--", "true")
    assert done.code == 125 and "--output" in done.errors, done


def test_a_disk_that_is_filled_does_not_keep_the_end_out_of_the_log(root_creel):
    """The log's disk is full when the run ends: what cannot be kept is missing, and said so."""
    small = root_creel.directory("small-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60M,mode=0700", "none", small], check=True)
    try:
        state = root_creel.own(small / "state")
        assert root_creel("run", "--state", state, "--", "true").code == 0
        process = root_creel.popen("run", "--state", state, "--audit", "all=full", "--output", "1G",
                                   "--", "sh", "-c", "echo on; head -c 300M /dev/zero; echo x > f")
        process.stdout.read(3)
        process.communicate(timeout=60)
        done = root_creel("audit", "tail", "--json", "-n", "1", "--state", state)
        end = json.loads(done.text)["record"]
        assert end["type"] == "run.end" and end["ended_by"] == "exit", end
        assert any(text.startswith("stdout: ") for text in end["lost"]), end
    finally:
        subprocess.run(["umount", small], check=True)


def test_two_orgs_have_two_logs(creel):
    org = "o" + uuid.uuid4().hex[:8]
    result = creel.json("--org", org, "--", "true")
    assert [r["run"] for r in records(creel, org=org)] == [result["id"]] * 2
    assert of(creel, result["id"]) == (None, None)


def test_nothing_runs_without_a_log(creel):
    """A log that cannot be written: the command must not have run."""
    org = "o" + uuid.uuid4().hex[:8]
    work = creel.directory()
    assert creel.run("--org", org, "--", "true").code == 0
    log = creel.state / "audit" / org
    os.rename(log / "key", log / "key.gone")
    done = creel.sh("touch ran", "--org", org, "--workspace", work)
    assert done.code == 125 and "record" in done.errors and done.err.count(b"\n") == 1, done
    assert not (work / "ran").exists()
    os.rename(log / "key.gone", log / "key")
    assert creel.sh("touch ran", "--org", org, "--workspace", work).code == 0


def test_a_full_disk_for_the_log_runs_nothing(root_creel):
    """The log on a filesystem of its own that is full."""
    org = "o" + uuid.uuid4().hex[:8]
    assert root_creel.run("--org", org, "--", "true").code == 0
    log = root_creel.state / "audit" / org
    small = root_creel.directory("small-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M,mode=0700", "none", small], check=True)
    try:
        work = root_creel.directory()
        state = root_creel.own(small / "state")
        subprocess.run(["dd", "if=/dev/zero", f"of={small}/fill", "bs=1k"], check=False,
                       capture_output=True)
        done = root_creel("run", "--state", state, "--workspace", work, "--", "touch", "ran")
        assert done.code == 125 and done.err.count(b"\n") == 1, done
        assert not (work / "ran").exists()
    finally:
        subprocess.run(["umount", small], check=True)
        assert log.exists()


def test_a_killed_creel_leaves_the_start_and_a_whole_log(creel, children):
    process = creel.popen("run", "--label", "kill=me", "--", "sh", "-c", "echo on; sleep 60")
    children.append(process)
    assert process.stdout.readline() == b"on\n"
    start = [r for r in records(creel) if r.get("labels") == ["kill=me"]][-1]
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert creel.run("--", "true").code == 0
    assert of(creel, start["run"])[1] is None or of(creel, start["run"])[1]["ended_by"] == "killed"
    assert creel("audit", "verify").code == 0


def test_witness_file(creel):
    """Whoever holds the file can show later that the log was not rewritten."""
    org = "o" + uuid.uuid4().hex[:8]
    witness = creel.directory() / "witness"
    for _ in range(3):
        assert creel.run("--org", org, "--witness", witness, "--", "true").code == 0
    assert witness.read_text().count("\n\n") >= 3
    result = creel.json("--org", org, "--", "true")
    note = creel.file(creel.directory() / "note", result["audit"]["checkpoint"])
    assert creel("audit", "verify", "--org", org, "--against", note).code == 0
    copy = creel.directory() / "copy"
    shutil.copytree(creel.state / "audit" / org, copy)


def test_a_witness_that_cannot_be_reached_is_told(creel):
    done = creel.run("--witness", "/nonexistent/file", "--", "true")
    assert done.code == 125 and "/nonexistent/file" in done.errors, done


def test_the_longest_words_fit_into_a_record(creel):
    """Everything that the caller chooses, as long as it may be, and of the characters that JSON
    needs most room for."""
    long = "\x01" * 200
    deep = creel.directory()
    for _ in range(9):
        deep = creel.own(deep / long, 0o755)
    options = []
    for i in range(64):
        options += ["--label", f"{i}=" + "\x01" * 4000]
    result = creel.json("--overlay", deep, "--cwd", "/workspace", "--user-id", "u" * 128, "--skill",
                        "é" * 64, "--session", "s" * 128, *options, "--", "sh", "-c",
                        "exit 0", long)
    start, end = of(creel, result["id"])
    assert result["exit_code"] == 0 and end["exit_code"] == 0
    assert len(start["labels"]) == 16 and start["labels_left_out"] == 48
    assert creel("audit", "verify").code == 0


def test_a_sandbox_that_cannot_be_set_up_has_an_end_in_the_log(creel):
    """The record was made while the walls were raised, and then they did not stand."""
    before = len(records(creel))
    work = creel.directory()
    done = creel.run("--ro", f"{work}:/usr/creel-no-such", "--", "true")
    told = records(creel)[before:]
    assert done.code == 125, done
    assert [r["type"] for r in told] == ["run.start", "run.end"]
    assert told[1]["ended_by"] == "error" and told[1]["error"]


def test_long_names_do_not_fill_the_log(root_creel):
    """9,600 files of names of 255 bytes, 14 directories of 250 deep: read and written."""
    script = ("import os\nfor i in range(12):\n os.mkdir('d' * 250); os.chdir('d' * 250)\n"
              "for i in range(9600):\n n = f'{i:05}' + 'f' * 250\n"
              " f = open(n, 'w+'); f.write('x'); f.flush(); f.seek(0); f.read(); f.close()")
    agent = "a" + uuid.uuid4().hex[:8]
    result = root_creel.json("--agent", agent, "--disk", "2G", "--lang", "python", "-c", script,
                             timeout=90)
    assert result["exit_code"] == 0 and result["files"]["overflow"] is True
    assert result["truncated"]["changes"] is True
    start, end = of(root_creel, result["id"])
    assert end["exit_code"] == 0 and end["changes"]["size"] < 9 << 20
    assert end["files"]["size"] < 5 << 20
    assert json.loads(payload(root_creel, end["files"])) == result["files"]
    assert root_creel("audit", "search", "--path", "/workspace/nothing-of-this-name").code == 1
