# SPDX-License-Identifier: Apache-2.0
"""What the checks share: how they are registered, how creel is run (as whom, in which control group)
and what is expected of each run. Names that a module of Python's own has would hide it: all modules
lie in one directory of the virtual machine, beside checks.py."""

import contextlib
import json
import os
import pwd
import re
import subprocess
import time


class Failed(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failed(text)


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


CREEL = "/vm/creel"
CGROUP = "/sys/fs/cgroup"
LAYOUT = read("/vm/layout").strip()
V1 = LAYOUT == "v1"
VERSION = "cgroup v1" if V1 else "cgroup v2"
WANTED = ("memory", "cpu", "pids", "io")
KERNEL = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
# As options of start(): root, and the users with and without subordinate ids.
EVERYBODY = ({}, {"user": "ranged"}, {"user": "single"})
CHECKS = []


def check(*layouts):
    """Registers a function for these layouts, in the order of the files."""
    def add(function):
        if LAYOUT in layouts:
            CHECKS.append(function)
        return function

    return add


def wait_until(condition, seconds, pause):
    """Waits at most so long; whether it came true is for the caller to see."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(pause)


# ---- running creel ----


class Ran:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds
        try:
            self.json = json.loads(out)
        except ValueError:
            self.json = None
        if not isinstance(self.json, dict):
            self.json = None

    def __str__(self):
        text = self.out[-600:]
        if self.json and "stdout" in self.json:
            names = ("ended_by", "signal", "stdout", "stderr", "duration_ms", "usage", "limits_hit")
            text = str({name: self.json[name] for name in names})
        return f"exit {self.code}: {text} {self.err[-400:]}".replace("\n", " | ")


def start(argv, user=None, group=None, env=None):
    """argv as a user in a control group (a directory of v2)."""
    entry = pwd.getpwnam(user) if user else None
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
                   "HOME": entry.pw_dir if entry else "/root"}
    environment.update(env or {})

    def enter():
        if group:
            write(f"{group}/cgroup.procs", "0")
        if entry:
            os.initgroups(entry.pw_name, entry.pw_gid)
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            os.chdir(entry.pw_dir)

    return subprocess.Popen(argv, preexec_fn=enter, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(argv, seconds, **options):
    began = time.monotonic()
    process = start(argv, **options)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        process.kill()
        said = ((late.stdout or b"") + (late.stderr or b""))[-300:]  # bytes, whatever was asked for
        raise Failed(f"{' '.join(argv)} took over {seconds} s, or left its output open: {said}") from late
    return Ran(process.returncode, out, err, time.monotonic() - began)


def creel(*args, seconds=90, **options):
    return finish([CREEL, *args], seconds, **options)


def run(*args, **options):
    """creel run --json; the object is there."""
    ran = creel("run", "--json", *args, **options)
    expect(ran.json is not None and "exit_code" in ran.json, f"no result: {ran}")
    return ran


def run_over_memory(**options):
    """A process that takes more than its limit."""
    ran = run("--memory", "64M", "--lang", "python", "-c", "x = b'x' * 300000000", **options)
    expect(ran.json["ended_by"] == "memory" and ran.code == 137, str(ran))
    return ran


def workspace(name, user=None):
    path = f"{pwd.getpwnam(user).pw_dir if user else '/root'}/{name}"
    os.makedirs(path, exist_ok=True)
    if user:
        os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    return path


# ---- what is expected of a run ----


def enforced(ran, name):
    return ran.json["isolation"]["limits"][name]["enforced_by"]


def expect_enforced(ran):
    for name, controller in (("memory", "memory"), ("cpus", "cpu"), ("pids", "pids")):
        by = enforced(ran, name)
        expect(by == f"{VERSION} {controller}", f"{name} is enforced by {by!r}")


def expect_refused(ran, word):
    """creel's own refusal: one line, which names the cause."""
    expect(ran.code == 125 and word in ran.err and ran.err.count("\n") == 1, str(ran))


def cpu_ms(ran):
    return ran.json["usage"]["cpu_user_ms"] + ran.json["usage"]["cpu_system_ms"]


def groups():
    """Groups of sandboxes that are there now."""
    found = []
    for base, names, _ in os.walk(CGROUP):
        found += [os.path.join(base, name) for name in names if re.fullmatch(r"i[a-z0-9]{20}", name)]
    return found


def live(user=None):
    """Registrations of sandboxes that are there now."""
    paths = ["/run/creel/live"]
    if user:
        entry = pwd.getpwnam(user)
        paths = [f"{entry.pw_dir}/.local/share/creel/run/live", f"/run/user/{entry.pw_uid}/creel/live"]
    return [os.path.join(path, name) for path in paths if os.path.isdir(path) for name in os.listdir(path)]


def nothing_left(user=None):
    wait_until(lambda: not groups() and not live(user), 3, 0.05)
    expect(not groups(), f"groups are left: {groups()}")
    expect(not live(user), f"registrations are left: {live(user)}")
    mounts = [line for line in read("/proc/self/mountinfo").splitlines() if "creel" in line]
    expect(not mounts, f"mounts are left: {mounts}")


def killed_is_swept(group=None, later=None, user=None):
    """creel killed in one group leaves something, but no process; the next one, in `later`, cleans up."""
    process = start([CREEL, "run", "--", "sleep", "300"], user=user, group=group)
    wait_until(lambda: groups() or live(user), 20, 0.02)
    time.sleep(2)
    expect(process.poll() is None, "creel ended by itself")
    process.kill()
    process.communicate()
    time.sleep(1)
    expect(groups(), "nothing was left: the check proves nothing")
    sleeping = subprocess.run(["pgrep", "-x", "sleep"], stdout=subprocess.PIPE, check=False).stdout
    expect(not sleeping, "the sandbox outlives creel")
    ran = creel("run", "--", "true", user=user, group=later)
    expect(ran.code == 0 and "cleaned up after 1" in ran.err, str(ran))
    nothing_left(user)


# ---- groups that are not creel's ----


def delegate(path, wanted=WANTED):
    have = read(f"{path}/cgroup.controllers").split()
    write(f"{path}/cgroup.subtree_control", " ".join("+" + name for name in wanted if name in have))


@contextlib.contextmanager
def neighbour(group):
    """Another process in the group."""
    process = subprocess.Popen(["sleep", "600"])
    try:
        write(f"{group}/cgroup.procs", str(process.pid))
        yield
    finally:
        process.kill()
        process.wait()
