# SPDX-License-Identifier: Apache-2.0
"""Many sandboxes at once: how many a second, whether all are right, and what an idle one costs."""

import os
import signal
import subprocess
import time
from pathlib import Path

from launch import BenchError
from peers import CASES, PYTHON

JOBS = (1, 2, 4, 8)
RATED = ("floor", "creel", "creel-user", "bwrap", "bwrap-equal")
CROWDED = ("creel", "creel-user", "bwrap", "bwrap-equal")
# bare bubblewrap is left out: without --die-with-parent its sandboxes outlive a kill
IDLE = ("creel", "creel-user", "bwrap-equal")
SLEEP = ("/bin/sleep", "60")
START_TIMEOUT_S = 30
END_TIMEOUT_S = 10
SETTLE_S = 0.3


def rates(ctx, peer, runs):
    """{jobs: sandboxes a second} of /bin/true."""
    result = {}
    for jobs in JOBS:
        measured = ctx.launcher.parallel(peer.command(CASES["true"], runs), jobs)
        if measured["status"]:
            raise BenchError(f"a run failed with {jobs} at once")
        result[str(jobs)] = runs / (measured["wall"] / 1e9)
    return result


def burst(ctx, peer, count):
    """Starts `count` sandboxes before it waits for any; each prints its own product."""
    begin = time.monotonic()
    started = [ctx.launcher.start(peer.command((PYTHON, "-c", f"print({i}*7)")),
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
               for i in range(count)]
    correct = 0
    for i, process in enumerate(started):
        out, _ = process.communicate(timeout=120)
        correct += process.returncode == 0 and out.decode().strip() == str(i * 7)
    return {"count": count, "correct": correct, "seconds": time.monotonic() - begin}


def _children():
    """{parent pid: [pids]} of the whole machine; the parent is field 4 of stat, after the name."""
    tree = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            parent = int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        tree.setdefault(parent, []).append(int(entry))
    return tree


def _descendants(pid, tree):
    found = [pid]
    for child in tree.get(pid, []):
        found += _descendants(child, tree)
    return found


def _name(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _pss_kib(pid):
    """0 for a process that has ended or has no memory of its own."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _wait_for_sleepers(started):
    """All processes of every sandbox, once the sleeper runs in each."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        tree = _children()
        groups = [_descendants(process.pid, tree) for process in started]
        time.sleep(SETTLE_S)  # before the check: helpers of the start have ended when it passes
        if all(any(_name(pid) == "sleep" for pid in group) for group in groups):
            return groups
    raise BenchError(f"not all sandboxes slept after {START_TIMEOUT_S} s")


def _end(started, groups):
    for process in started:
        process.send_signal(signal.SIGTERM)
    for process in started:
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    left = [pid for group in groups for pid in group if _name(pid) == "sleep"]
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def idle_kib(ctx, peer, count):
    """Mean PSS of a sandbox's own processes: launcher, supervisor, init; not the sleeper."""
    command = peer.command(SLEEP)
    started = [ctx.launcher.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for _ in range(count)]
    groups = []
    try:
        groups = _wait_for_sleepers(started)
        total = sum(_pss_kib(pid) for group in groups for pid in group if _name(pid) != "sleep")
    finally:
        _end(started, groups)
    return total / count


def _collect(measure_one, slugs, peers, failures):
    """{slug: figure}; a peer that goes wrong is named, and the others are measured all the same."""
    result = {}
    for slug in slugs:
        if slug not in peers:
            continue
        try:
            result[slug] = measure_one(slug)
        except (BenchError, OSError, subprocess.SubprocessError) as error:
            failures.append(f"{slug}: {error}")
    return result


def measure(ctx, peers, quick):
    """(the whole section as one dictionary, [failures])."""
    runs, crowd, sleepers = (60, 30, 10) if quick else (400, 100, 50)
    idle = IDLE if ctx.is_root else ()  # only root may read the memory of a sandbox's init
    failures = []
    figures = {
        "rates": _collect(lambda slug: rates(ctx, peers[slug], runs), RATED, peers, failures),
        "burst": _collect(lambda slug: burst(ctx, peers[slug], crowd), CROWDED, peers, failures),
        "idle_kib": _collect(lambda slug: idle_kib(ctx, peers[slug], sleepers), idle, peers,
                             failures),
    }
    failures += [f"{slug}: {done['count'] - done['correct']} of {done['count']} results are wrong"
                 for slug, done in figures["burst"].items() if done["correct"] != done["count"]]
    return figures, failures
