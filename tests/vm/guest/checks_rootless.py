# SPDX-License-Identifier: Apache-2.0
"""Ordinary users and control groups without systemd: the limits that a delegated group makes possible,
and what is enforced, or refused, where nothing was delegated."""

import os
import pwd
import time

from guestkit import (CGROUP, V1, check, creel, delegate, enforced, expect, expect_enforced, expect_refused,
                      killed_is_swept, neighbour, nothing_left, run, run_over_memory)


def give(path, user):
    """A group as systemd delegates it: the directory and the three files are the user's."""
    os.makedirs(path, exist_ok=True)
    for file in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
        os.chown(path + file, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)


def delegated(name, user="ranged"):
    base = f"{CGROUP}/{name}"
    delegate(CGROUP)
    give(base, user)
    return base


def leaf(base, user="ranged"):
    """A new group below a delegated one: each session or unit gets its own."""
    path = f"{base}/leaf{len(os.listdir(base))}-{time.monotonic_ns()}"
    give(path, user)
    return path


def limits_hold(user, base):
    def in_leaf(*args):
        return run(*args, user=user, group=leaf(base, user))

    expect_enforced(run_over_memory(user=user, group=leaf(base, user)))
    ran = in_leaf("--pids", "12", "--", "sh", "-c",
                  "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 9 & done; exit 3")
    expect(ran.json["limits_hit"]["pids"], str(ran))
    ran = in_leaf("--cpus", "0.25", "--cpu-time", "900ms", "--lang", "python", "-c", "while True: pass")
    expect(ran.json["ended_by"] == "cpu" and ran.json["duration_ms"] > 2000, str(ran))
    ran = in_leaf("--memory", "100M", "--", "sh", "-c",
                  "cat /sys/fs/cgroup/memory.max; echo 1 >/sys/fs/cgroup/memory.max")
    expect(ran.json["stdout"] == "104857600\n" and "ead-only" in ran.json["stderr"], str(ran))
    expect(ran.json["usage"]["memory_peak_bytes"] > 0 and ran.json["usage"]["pids_peak"] > 0, str(ran))
    nothing_left(user)


@check("v2")
def rootless_delegated():
    limits_hold("ranged", delegated("given"))


@check("v2")
def rootless_delegated_single_id():
    limits_hold("single", delegated("given-single", "single"))


@check("v2")
def rootless_delegated_beside_others():
    shell = leaf(delegated("given-busy"))
    with neighbour(shell):
        expect_enforced(run("--", "true", user="ranged", group=shell))


@check("v2")
def rootless_alone_in_its_group():
    """`systemd-run --user --scope -p Delegate=yes creel`: creel is the only process of the group that
    it was given, and the one above is not its own."""
    expect_enforced(run("--", "true", user="ranged", group=delegated("scope")))
    nothing_left("ranged")


def detach(user, *args, **options):
    """The new sandbox's id; a user gets a group of his own for it."""
    group = leaf(delegated("given-detached")) if user and not V1 else None
    ran = creel("run", "--detach", *args, user=user, group=group, **options)
    expect(ran.code == 0, str(ran))
    return ran.out.strip()


@check("v2", "v1")
def detached():
    """The supervisor of a detached run, which outlives its caller."""
    for user in (None, "ranged"):
        name = detach(user, "--memory", "64M", "--", "sh", "-c", "sleep 1; python3 -c 'x=b\"x\"*200000000'")
        waited = creel("wait", name, user=user)
        expect(waited.code in (1, 137), f"{name} / {waited}")
        name = detach(user, "--", "sleep", "300", seconds=20)
        time.sleep(0.5)
        killed_by = creel("kill", name, user=user)
        expect(killed_by.code == 0, f"{name} / {killed_by}")
        nothing_left(user)


@check("v2")
def rootless_kill_9_and_sweep():
    base = delegated("given-killed")
    killed_is_swept(group=leaf(base), later=leaf(base), user="ranged")


@check("v2", "v1")
def rootless_without_delegation():
    base = None
    if not V1:
        base = f"{CGROUP}/foreign"
        os.makedirs(base, exist_ok=True)
    for user in ("ranged", "single"):
        # Two CPUs are all that there are here: the default needs nothing to enforce it.
        whole = enforced(run("--", "true", user=user, group=base), "cpus")
        expect(whole == "the CPUs that there are", whole)
        ran = run("--cpus", "1", "--", "true", user=user, group=base)
        expect(ran.code == 0, str(ran))
        expect(enforced(ran, "memory").startswith("RLIMIT_DATA"), enforced(ran, "memory"))
        expect(enforced(ran, "pids").startswith("RLIMIT_NPROC"), enforced(ran, "pids"))
        expect(enforced(ran, "cpus") == "CPU affinity", enforced(ran, "cpus"))
        for option, value in (("--cpus", "0.5"), ("--io", "5M")):
            expect_refused(creel("run", option, value, "--", "true", user=user, group=base), option)
    ran = run("--memory", "64M", "--lang", "python", "-c", "import os\nfor i in range(4):\n  if os.fork()==0: break\n"
              "x = b'x' * 40000000\nimport time\ntime.sleep(5)", user="ranged", group=base)
    expect(ran.json["ended_by"] == "memory", str(ran))
    ran = creel("doctor", "--json", user="ranged", group=base)
    found = ran.json["checks"]["cgroup memory"]
    expect(found["state"] == "limited" and "RLIMIT_DATA" in found["found"] and found["fix"], str(found))
    nothing_left("ranged")
    return found["found"]
