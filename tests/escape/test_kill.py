# SPDX-License-Identifier: Apache-2.0
"""kill -9 of creel at any point of a sandbox's life: no process, mount or group stays, the next
run works, and the state directory holds no more than after an ordinary run."""

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from harness import (TOKEN_KEY, Traces, creel_cgroups, creel_mounts, host_tree, leftover_processes,
                     new_token, processes)

STARTS = int(os.environ.get("CREEL_KILL_STARTS", "60"))
AFTER_KILL_SECONDS = 2.0


def entries(who):
    """The names in the state and run directories."""
    return set(host_tree(who.state)) | {"run/" + n for n in host_tree(who.home / "run")}


def settle(who):
    """An ordinary run; it also frees what an earlier one left."""
    done = who.run("run", "--", "/bin/true")
    assert done.returncode == 0, done.stderr.decode()
    return done


def kill_at(who, delay, *command, options=()):
    """Starts creel and kills it after `delay` seconds; returns the token."""
    token = new_token()
    process = who.popen("run", *options, "--", *command, token=token, stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL)
    time.sleep(delay)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    return token


def of_creel(who):
    """Processes that carry creel's name, whoever started them (the suite runs one at a time)."""
    found = set()
    for pid, path in processes().items():
        with contextlib.suppress(OSError):
            if (path / "comm").read_text().startswith("creel"):
                found.add(pid)
    return found


def assert_clean(who, mounts, groups, names, before):
    """After an ordinary run nothing is there that was not before the killing."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        settle(who)
        left = [f"mount {m}" for m in creel_mounts(who) - mounts]
        left += [f"cgroup {g}" for g in creel_cgroups() - groups]
        left += [f"process {p}" for p in of_creel(who) - before]
        left += [f"file {n}" for n in entries(who) - names]
        if not left:
            return
        time.sleep(0.2)
    raise AssertionError("\n".join(left))


@pytest.fixture
def clean(who):
    """Checks before and after each test of this file."""
    settle(who)
    settle(who)
    before = (creel_mounts(who), creel_cgroups(), entries(who), of_creel(who))
    yield
    assert_clean(who, *before)


def wait_gone(who, token):
    Traces.take(who).assert_gone(token, within=AFTER_KILL_SECONDS)


def test_kill_during_start(who, user, clean):
    """Random points of the first 30 ms, where set-up happens."""
    rng = random.Random(20)
    options = ["--root"] if user == "root" else []
    for _ in range(STARTS):
        wait_gone(who, kill_at(who, rng.uniform(0, 0.03), "/bin/sleep", "30", options=options))


def test_kill_during_end(who, clean):
    """A command that ends at once: the kill falls on collecting and clearing up."""
    rng = random.Random(21)
    for _ in range(STARTS):
        wait_gone(who, kill_at(who, rng.uniform(0, 0.03), "/bin/echo"))


def test_kill_with_everything_on(who, attacks, clean):
    """With every kind of mount and collection."""
    rng = random.Random(22)
    workspace, out = who.directory("workspace-"), who.directory("out-")
    options = ["--workspace", workspace, "--out", out, "--ro", f"{attacks}:/attacks",
               "--json", "--memory", "128M", "--disk", "32M"]
    for _ in range(STARTS // 2):
        wait_gone(who, kill_at(who, rng.uniform(0, 0.06), "/bin/sh", "-c",
                               "echo x > /workspace/x; sleep 0.01", options=options))


def test_kill_while_the_command_runs(who, attacks, clean):
    """Commands that run, fork, ignore every signal or have daemonised die with creel."""
    for kind in ("deaf", "fork", "daemon", "stop", "holder", "endless_fork"):
        options = ["--ro", f"{attacks}:/attacks", "--env", "CREEL_BOMB=1", "--pids", "64"]
        wait_gone(who, kill_at(who, 0.3, "/attacks/bomb-process", kind, "/workspace",
                               options=options))


def supervisors(who, token):
    """Processes of a detached run that are creel's own and outside: they have its environment."""
    found = set()
    for pid, path in processes().items():
        with contextlib.suppress(OSError):
            environment = (path / "environ").read_bytes()
            if f"{TOKEN_KEY}={token}".encode() in environment and b"CREEL_STATE=" in environment:
                found.add(pid)
    return found


def detach(who, token, *options):
    done = who.run("run", "--detach", *options, "--", "/bin/sleep", "60", token=token)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip().splitlines()[-1]


def test_kill_the_detached_supervisor(who, clean):
    """Its sandbox ends, `wait` does not hang and says so, and the next run clears up."""
    for delay in (0, 0.005, 0.02, 0.1, 0.5):
        token = new_token()
        sandbox = detach(who, token)
        time.sleep(delay)
        for pid in supervisors(who, token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        Traces.take(who).assert_gone(token, within=AFTER_KILL_SECONDS)
        done = who.run("wait", sandbox, timeout=20)
        assert done.returncode != 0, done
        settle(who)


def test_creel_kill_ends_a_detached_sandbox(who, clean):
    token = new_token()
    traces = Traces.take(who)
    sandbox = detach(who, token)
    done = who.run("kill", sandbox, timeout=20)
    assert done.returncode == 0, done.stderr.decode()
    traces.assert_gone(token, sandbox, within=3.5)
    who.run("wait", sandbox, timeout=20)


def test_kill_init_from_outside(who, clean):
    """The end of PID 1 ends the sandbox; creel returns with an error instead of hanging."""
    token = new_token()
    process = who.popen("run", "--", "/bin/sleep", "30", token=token)
    deadline = time.monotonic() + 5
    command = []
    while not command and time.monotonic() < deadline:
        command = [pid for pid, line, _ in leftover_processes(who, token)
                   if line.startswith(b"/bin/sleep")]
        time.sleep(0.01)
    assert command, process.communicate(timeout=5)
    with open(f"/proc/{command[0]}/stat") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    assert parent != process.pid
    os.kill(parent, signal.SIGKILL)
    process.communicate(timeout=10)
    assert process.returncode != 0
    wait_gone(who, token)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_ordinary_signals_clear_up(who, clean, number):
    """The signals that a terminal or a service manager sends: nothing stays."""
    token = new_token()
    process = who.popen("run", "--", "/bin/sleep", "30", token=token)
    time.sleep(0.3)
    os.kill(process.pid, number)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=10)
        pytest.fail(f"creel does not end at {number!r}")
    wait_gone(who, token)
