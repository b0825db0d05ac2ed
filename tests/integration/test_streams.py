# SPDX-License-Identifier: Apache-2.0
"""Standard streams: pipes, files, closed ones, ends of input and readers that go."""

import hashlib
import os
import random
import signal
import subprocess
import threading

import creelkit

DATA = random.Random(2).randbytes(creelkit.MIB)


def test_a_mebibyte_through_cat(any_creel):
    done = any_creel.run("--", "cat", input=DATA)
    assert done.code == 0 and done.out == DATA and not done.err


def test_both_outputs_are_clean(creel):
    done = creel.sh("tee /dev/stderr", input=DATA)
    assert done.err[:200] == DATA[:200] and len(done.err) == len(DATA)
    assert done.out == DATA and done.err == DATA


def test_relayed_output_is_clean(creel):
    """--output named: creel stands between the command and the pipe."""
    done = creel.run("--output", "4M", "--", "cat", input=DATA)
    assert done.code == 0 and done.out == DATA


def test_json_takes_input_too(creel):
    result = creel.json("--", "sha256sum", input=DATA)
    assert result["stdout"].split()[0] == hashlib.sha256(DATA).hexdigest()


def test_input_from_a_file(creel):
    path = creel.file(creel.home / "input", DATA)
    with open(path, "rb") as file:
        done = creel.run("--", "cat", stdin=file)
    assert done.code == 0 and done.out == DATA


def test_input_from_an_empty_file(creel):
    path = creel.file(creel.home / "empty", b"")
    with open(path, "rb") as file:
        assert creel.run("--", "wc", "-c", stdin=file).out.strip() == b"0"


def test_input_from_null(creel):
    assert creel.run("--", "wc", "-c").out.strip() == b"0"


def test_file_given_as_input_cannot_be_reopened_for_writing(creel):
    path = creel.file(creel.home / "precious", "precious\n", 0o666)
    with open(path, "rb") as file:
        creel.sh("echo overwritten > /dev/stdin; echo x > /proc/self/fd/0", stdin=file)
    assert path.read_text() == "precious\n"


def test_output_to_a_file(creel):
    path = creel.file(creel.home / "output", b"")
    with open(path, "wb") as file:
        assert creel.run("--", "cat", input=DATA, stdout=file).code == 0
    assert path.read_bytes() == DATA


def test_output_appended_to_a_file(creel):
    path = creel.file(creel.home / "log", b"before\n")
    with open(path, "ab") as file:
        assert creel.run("--", "echo", "after", stdout=file).code == 0
    assert path.read_bytes() == b"before\nafter\n"


def closed(*fds):
    def close():
        for fd in fds:
            os.close(fd)
    return close


def test_closed_input(creel):
    process = creel.popen("run", "--", "wc", "-c", stdin=subprocess.DEVNULL,
                          preexec_fn=closed(0))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0 and out.strip() == b"0", err


def test_closed_output(creel):
    process = creel.popen("run", "--", "sh", "-c", "exit 3", preexec_fn=closed(1, 2))
    process.communicate(timeout=30)
    assert process.returncode == 3


def test_all_closed(creel):
    process = creel.popen("run", "--", "sh", "-c", "exit 4", preexec_fn=closed(0, 1, 2))
    process.communicate(timeout=30)
    assert process.returncode == 4


def test_end_of_input_arrives_while_output_flows(creel, children):
    process = creel.popen("run", "--", "sh", "-c", "cat; echo end", stdin=subprocess.PIPE)
    children.append(process)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"one\n"
    process.stdin.close()
    process.stdin = None
    assert process.stdout.read() == b"end\n"
    assert process.wait(30) == 0


def test_command_that_does_not_read_its_input(creel):
    """An input that nobody reads must neither hold nor fail the run."""
    path = creel.file(creel.home / "big", DATA * 4)
    with open(path, "rb") as file:
        done = creel.run("--", "true", stdin=file, timeout=30)
    assert done.code == 0


def test_open_input_does_not_hold_the_run(creel, children):
    process = creel.popen("run", "--", "true", stdin=subprocess.PIPE)
    children.append(process)
    assert process.wait(20) == 0


def pipe_into_head(creel, children, *words, relay=False):
    options = ["--output", "1G"] if relay else []
    first = creel.popen("run", *options, "--", *words)
    children.append(first)
    head = subprocess.Popen(["head", "-1"], stdin=first.stdout, stdout=subprocess.PIPE)
    first.stdout.close()
    first.stdout = None
    out, _ = head.communicate(timeout=10)
    _, err = first.communicate(timeout=10)
    return out, first.returncode, err


def test_reader_that_goes_ends_the_run(creel, children):
    out, code, err = pipe_into_head(creel, children, "yes")
    assert out == b"y\n" and code == 128 + signal.SIGPIPE, err


def test_reader_of_relayed_output_that_goes_ends_the_run(creel, children):
    out, code, err = pipe_into_head(creel, children, "yes", relay=True)
    assert out == b"y\n" and code == 128 + signal.SIGPIPE, err


def test_slow_reader_gets_everything(creel, children):
    process = creel.popen("run", "--", "head", "-c", "3000000", "/dev/zero")
    children.append(process)
    total = 0
    while True:
        data = process.stdout.read1(100000)
        if not data:
            break
        total += len(data)
        threading.Event().wait(0.01)
    assert total == 3000000 and process.wait(10) == 0


def test_output_of_an_orphan_is_not_waited_for(creel):
    done = creel.sh("sleep 100 & echo done")
    assert done.out == b"done\n" and done.seconds < 5


def test_last_words_before_the_end_arrive(creel):
    """What was written just before the exit is never lost, captured or relayed."""
    for _ in range(5):
        done = creel.sh("head -c 300000 /dev/zero; echo last", "--output", "1M")
        assert len(done.out) == 300005 and done.out.endswith(b"last\n")


def test_pipe_chain_of_two_sandboxes(creel):
    first = creel.popen("run", "--", "seq", "1", "20000")
    second = creel.popen("run", "--", "wc", "-l", stdin=first.stdout)
    first.stdout.close()
    first.stdout = None
    out, _ = second.communicate(timeout=30)
    first.communicate(timeout=30)
    assert out.strip() == b"20000" and first.returncode == 0


def test_output_to_full_device(creel):
    with open("/dev/full", "wb") as full:
        done = creel.run("--", "sh", "-c", "echo x; exit 0", stdout=full)
    assert done.code != 125 or done.err, done
