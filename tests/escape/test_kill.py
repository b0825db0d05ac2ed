# SPDX-License-Identifier: Apache-2.0
"""kill -9 of any process of creel at any point of a sandbox's life, and power loss: no process,
mount or group stays, the next run works, and the state directory holds no more than after an
ordinary run."""

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import time

import pytest

from harness import (TOKEN_KEY, Traces, creel_cgroups, creel_mounts, host_tree, leftover_processes,
                     new_token, processes)

STARTS = int(os.environ.get("CREEL_KILL_STARTS", "60"))
AFTER_KILL_SECONDS = 2.0


def entries(who):
    """The names in the state and run directories. A sandbox that is being registered has a name
    with a dot; one that was killed then is swept when it is 10 s old. Results of detached runs
    (runs/), the log (audit/) and the pool's one file are kept."""
    names = set(host_tree(who.state)) | {"run/" + n for n in host_tree(who.home / "run")}
    return {n for n in names if "/live/." not in n
            and not re.match(r"(runs|audit)(/|$)|\.?pool|run/pool", n)}


def settle(who):
    """Ordinary runs; they also free what an earlier one left."""
    for options in ([], ["--root"]):
        done = who.run("run", *options, "--", "/bin/true")
        assert done.returncode == 0, done.stderr.decode()


def random_delay(rng):
    """Half of the kills fall into the first 8 ms, where most is made."""
    return rng.uniform(0, rng.choice((0.008, 0.03)))


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


def _parent(path):
    return int((path / "stat").read_text().rpartition(")")[2].split()[1])


def of_creel(who):
    """Processes of this session's creel, and every init whose creel is gone (others may use
    creel on this machine meanwhile)."""
    found, all_of_them = set(), processes()
    mark = str(who.home).encode()
    for pid, path in all_of_them.items():
        with contextlib.suppress(OSError, ValueError):
            name = (path / "comm").read_text().strip()
            if name == "creel-init":
                parent = all_of_them.get(_parent(path))
                if parent is None or not (parent / "comm").read_text().startswith("creel"):
                    found.add(pid)
            elif name.startswith("creel") and mark in (path / "environ").read_bytes():
                found.add(pid)
    return found


def empty_groups():
    """Control groups of creel without a process: nobody's but a dead run's."""
    found = set()
    for group in creel_cgroups():
        with contextlib.suppress(OSError):
            if (os.path.basename(group).startswith("i")
                    and not pathlib.Path(group, "cgroup.procs").read_text().strip()):
                found.add(group)
    return found


def assert_clean(who, mounts, groups, names, before):
    """After an ordinary run nothing is there that was not before the killing. What is seen in
    each of the looks counts: other tests on this machine may have sandboxes that come and go."""
    deadline = time.monotonic() + 5
    persisting = None
    while True:
        settle(who)
        left = {f"mount {m}" for m in creel_mounts(who) - mounts}
        left |= {f"cgroup {g}" for g in empty_groups() - groups}
        left |= {f"process {p}" for p in of_creel(who) - before}
        left |= {f"file {n}" for n in entries(who) - names}
        persisting = left if persisting is None else persisting & left
        if not persisting:
            return
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(sorted(persisting)[:20]))
        time.sleep(0.2)


@pytest.fixture
def clean(who):
    """Checks before and after each test of this file."""
    settle(who)
    settle(who)
    before = (creel_mounts(who), empty_groups(), entries(who), of_creel(who))
    yield
    assert_clean(who, *before)


def wait_gone(who, token):
    Traces.take(who).assert_gone(token, within=AFTER_KILL_SECONDS)


def test_kill_during_start(who, user, clean):
    """Random points of the first 30 ms, where set-up happens."""
    rng = random.Random(20)
    options = ["--root"] if user == "root" else []
    for _ in range(STARTS):
        wait_gone(who, kill_at(who, random_delay(rng), "/bin/sleep", "30", options=options))


def test_kill_during_the_first_start(who, user):
    """A state directory that is made just now: the next run makes it whole."""
    rng = random.Random(23)
    options = ["--root"] if user == "root" else []
    for _ in range(STARTS // 12):
        fresh = dataclasses.replace(who, home=who.directory("home-", 0o700))
        for path in (fresh.home / "run", fresh.state):
            fresh.own(path)
        for _ in range(3):
            wait_gone(fresh, kill_at(fresh, rng.uniform(0, 0.1), "/bin/true", options=options))
        settle(fresh)
        left = [n for n in entries(fresh) if n.startswith(("images/host/new", "layers/"))]
        assert not left, left[:20]


def test_kill_during_end(who, clean):
    """A command that ends at once: the kill falls on collecting and clearing up."""
    rng = random.Random(21)
    for _ in range(STARTS):
        wait_gone(who, kill_at(who, random_delay(rng), "/bin/echo"))


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
    """The id of a detached sleep; through a file, so that nobody waits for an end of stream."""
    with tempfile.TemporaryFile() as out:
        process = who.popen("run", "--detach", *options, "--", "/bin/sleep", "60", token=token,
                            stdout=out, stderr=subprocess.DEVNULL)
        assert process.wait(20) == 0
        out.seek(0)
        return out.read().decode().strip()


def test_kill_the_detached_supervisor(who, clean):
    """Its sandbox ends, `wait` does not hang and says so, and the next run clears up."""
    for delay in (0, 0.01, 0.2):
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


def children(process):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return []


def is_keeper(pid):
    """Creel's own and outside of the sandbox's PID namespace; it looks after files."""
    with contextlib.suppress(OSError):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return re.match(r"Name:\s+creel", status) and re.search(r"^NSpid:\s+\d+$", status, re.M)
    return False


def kill_helper(process, kind, delay):
    """Kills a helper `delay` seconds after it is seen: whether it was there. As root a holder keeps
    a user namespace open for a moment, while ids are mapped: the second child."""
    while process.poll() is None:
        pids = children(process)
        if kind == "keeper":
            pids = [pid for pid in pids if is_keeper(pid)]
        else:
            pids = pids[1:2]
        with contextlib.suppress(OSError):
            for pid in pids:
                fd = os.pidfd_open(int(pid))
                try:
                    time.sleep(delay)
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                    return True
                finally:
                    os.close(fd)
    return False


def test_kill_a_helper(who, clean):
    """The keeper, and the holder of a user namespace: an error, or the right result; never half."""
    rng = random.Random(24)
    source = who.directory("in-")
    (source / "file").write_text("content\n")
    for kind, most in (("keeper", 0.06), *((("holder", 0.0001),) if who.uid == 0 else ())):
        failed = hit = 0
        for _ in range(STARTS // 2):
            token, out = new_token(), who.directory("out-")
            process = who.popen("run", "--json", "--in", source, "--out", out, "--", "/bin/sh",
                                "-c", f"cp {source.name}/file copy; sleep 0.03", token=token)
            hit += kill_helper(process, kind, rng.choice((0, rng.uniform(0, most))))
            text, errors = process.communicate(timeout=20)
            result = json.loads(text)
            assert process.returncode == result["exit_code"], (result, errors)
            if process.returncode == 0:
                assert (out / "copy").read_text() == "content\n", result
                assert "/workspace/copy" in [c["path"] for c in result["changes"]], result
            else:
                failed += 1
                assert process.returncode == 125 and result["error"]["message"], result
            wait_gone(who, token)
        assert hit and failed, f"no {kind} was hit in time: {hit} {failed}"


def on_files(*command):
    """A program on state directories, which have files of subordinate ids; some may just go."""
    prefix = ["unshare", "--map-root-user", "--map-auto"] if os.geteuid() != 0 else []
    subprocess.run([*prefix, *command], timeout=120, check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def fresh_home(who, prefix):
    """The same caller with a state of its own, which is removed afterwards."""
    fresh = dataclasses.replace(who, home=who.directory(prefix, 0o700))
    fresh.own(fresh.home / "run")
    try:
        yield fresh
    finally:
        on_files("rm", "-rf", "--one-file-system", fresh.home)


@contextlib.contextmanager
def copy_of_state(who, end):
    """As if the power had gone at this moment: the state as it is, and end() ends what runs."""
    with fresh_home(who, "copy-") as copy:
        on_files("cp", "-a", who.state, copy.home)
        end()
        yield copy


def names_in(directory):
    return {n for n in os.listdir(directory) if not n.startswith(".")}


def test_power_loss(who, clean):
    """The state as it was while sandboxes ran, and none of them any more: the next run says what
    it cleared, clears it, and works; a detached one's wait tells that it is lost."""
    token, before = new_token(), names_in(who.state / "run" / "live")
    big = ["--disk", "3G"]  # above half of the memory: a layer that is a directory
    running = [who.popen("run", *options, "--", "/bin/sleep", "60", token=token,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for options in ([], big, [*big, "--root", "--json"])]
    detached = detach(who, token, *big)
    lost, deadline = set(), time.monotonic() + 10
    while time.monotonic() < deadline and (
            len(lost) < 4 or len([p for p in leftover_processes(who, token)
                                  if p[1].startswith(b"/bin/sleep")]) < 4):
        time.sleep(0.02)
        lost = names_in(who.state / "run" / "live") - before

    def end():
        for pid in {p.pid for p in running} | supervisors(who, token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in running:
            process.wait(10)
        wait_gone(who, token)

    with copy_of_state(who, end) as copy:
        assert len(lost) == 4 and detached in lost
        # Root's are in the pool, whose file is copied while it is written to.
        assert len(names_in(copy.state / "layers")) == (0 if who.uid == 0 else 3)
        done = copy.run("run", "--", "/bin/echo", "back")
        assert (done.returncode, done.stdout) == (0, b"back\n"), done
        said = done.stderr.decode()
        assert said.startswith("creel: cleaned up after 4 killed runs: "), said
        assert said.count("\n") == 1 and all(name in said for name in lost), said
        assert not names_in(copy.state / "layers") and not names_in(copy.state / "run" / "live")
        told = copy.run("wait", detached, timeout=20)
        assert told.returncode == 125 and told.stderr.count(b"\n") == 1, told
        for options in ([], ["--root"], big):
            done = copy.run("run", *options, "--", "/bin/echo", "again")
            assert (done.returncode, done.stdout, done.stderr) == (0, b"again\n", b""), done


def test_power_loss_during_the_first_start(who, user):
    """A copy of what was made so far: the next run makes it whole."""
    rng = random.Random(25)
    options = ["--root"] if user == "root" else []
    for _ in range(STARTS // 30):
        with fresh_home(who, "home-") as fresh:
            fresh.own(fresh.state)
            token = new_token()
            process = fresh.popen("run", *options, "--", "/bin/sleep", "30", token=token,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

            def end(process=process, fresh=fresh, token=token):
                process.kill()
                process.wait(10)
                wait_gone(fresh, token)

            time.sleep(rng.uniform(0, 0.1))
            with copy_of_state(fresh, end) as copy:
                done = copy.run("run", *options, "--", "/bin/echo", "back")
                assert (done.returncode, done.stdout) == (0, b"back\n"), done
                left = names_in(copy.state / "images" / "host") | names_in(copy.state / "layers")
                assert left <= {"lock", "root", "root.stamp", "skel", "skel.stamp"}, left


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
