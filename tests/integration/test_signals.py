# SPDX-License-Identifier: Apache-2.0
"""Signals to creel, and kill -9 of it."""

import os
import re
import signal
import time

import pytest

import creelkit

TRAP = "trap 'echo got {0}; exit 5' {0}; echo ready; while :; do sleep 0.05; done"


def start(creel, children, *args):
    process = creel.popen("run", *args)
    children.append(process)
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("name", ["TERM", "INT", "USR1", "USR2", "QUIT"])
def test_signals_are_forwarded(creel, children, name):
    process = start(creel, children, "--", "bash", "-c", TRAP.format(name))
    process.send_signal(getattr(signal, "SIG" + name))
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out) == (5, f"got {name}\n".encode()), err


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_signals_of_one_that_does_not_trap(creel, children, name):
    number = getattr(signal, "SIG" + name)
    process = start(creel, children, "--", "bash", "-c", "echo ready; exec sleep 60")
    process.send_signal(number)
    assert process.wait(15) == 128 + number


def test_hangup_ends_the_run(creel, children):
    process = start(creel, children, "--", "sh", "-c", "echo ready; sleep 60")
    process.send_signal(signal.SIGHUP)
    assert process.wait(15) == 137


def test_three_interrupts_end_one_that_ignores_them(creel, children):
    process = start(creel, children, "--", "sh", "-c", "trap '' INT TERM; echo ready; sleep 60")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 137


def state_of(pid):
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]


def test_stop_and_continue(creel, children):
    script = "echo ready; i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"
    process = start(creel, children, "--", "sh", "-c", script)
    process.send_signal(signal.SIGTSTP)
    assert creelkit.wait_until(lambda: state_of(process.pid) == b"T", 5)
    time.sleep(0.2)
    os.set_blocking(process.stdout.fileno(), False)
    process.stdout.read()
    time.sleep(0.4)
    assert not process.stdout.read(), "it went on inside"
    process.send_signal(signal.SIGCONT)
    assert creelkit.wait_until(lambda: process.stdout.read(), 5), "it did not go on"
    process.send_signal(signal.SIGTERM)
    process.wait(10)


def test_ignored_signal_stays_ignored(creel, children):
    """nohup: what the caller ignores does not end the run."""
    process = creel.popen("run", "--", "sh", "-c", "echo ready; sleep 1; echo end",
                          preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    children.append(process)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out) == (0, b"end\n"), err


def test_signal_dispositions_inside_are_the_default(creel):
    done = creel.sh("grep -E '^Sig(Ign|Blk)' /proc/self/status")
    assert re.findall(r"\s([0-9a-f]{16})", done.text) == ["0" * 16] * 2, done


def inside_of(creel, marker):
    """Processes on this machine that have the marker as an argument, without creel itself."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if marker.encode() in words and b"run" not in words:
            found.append(int(name))
    return found


def test_kill_9_of_creel(any_creel, children):
    """The sandbox dies by itself within a second; the next call frees what is left and says so."""
    marker = f"{100000 + time.monotonic_ns() % 1000000}.5"
    creel = any_creel
    process = creel.popen("run", "--memory", "64M", "--disk", "256M", "--", "sh", "-c",
                          f"echo ready; setsid sleep {marker} & sleep {marker}")
    children.append(process)
    assert process.stdout.readline() == b"ready\n"
    live = creel.live_ids()
    assert creelkit.wait_until(lambda: len(inside_of(creel, marker)) == 2, 5)
    process.kill()
    process.wait(5)
    assert creelkit.wait_until(lambda: not inside_of(creel, marker), 1), "still there"
    done = creel.run("--", "echo", "next")
    assert (done.code, done.out) == (0, b"next\n"), done
    assert "cleaned up after 1 killed run: " in done.errors, done
    assert any(name in done.errors for name in live), (done, live)
    assert creel.live_ids() == set() and not os.listdir(creel.state / "layers")
    assert creel.run("--", "true").err == b""


def test_kill_9_in_the_middle_of_starting(creel, children):
    for delay in (0, 2, 4, 6, 8, 12, 16, 24):
        process = creel.popen("run", "--", "sleep", "30")
        children.append(process)
        time.sleep(delay / 1000)
        process.kill()
        process.wait(5)
    done = creel.run("--", "echo", "fine")
    assert done.out == b"fine\n", done
    assert creelkit.wait_until(lambda: not creel.live_ids() or not creel.run("--", "true").code
                               and not creel.live_ids(), 12)


def test_cleanup_is_told_once_under_json(creel, children):
    """The note goes to stderr: standard output stays one object."""
    process = creel.popen("run", "--", "sh", "-c", "echo ready; sleep 60")
    children.append(process)
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait(5)
    result = creel.json("--", "echo", "x")
    assert result["stdout"] == "x\n"


def test_death_of_the_parent_of_creel(creel, children):
    """A shell that dies leaves creel; creel ends with its command as before."""
    process = creel.popen("run", "--", "sh", "-c", "echo ready; sleep 0.5; exit 3")
    children.append(process)
    assert process.stdout.readline() == b"ready\n"
    assert process.wait(10) == 3
