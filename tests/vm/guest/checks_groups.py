# SPDX-License-Identifier: Apache-2.0
"""Root on cgroup v2: where in the hierarchy creel makes a sandbox's group, whatever group it is started
in, and what the sandbox sees of its own."""

import glob
import os
import time

from guestkit import (CGROUP, CREEL, WANTED, check, delegate, expect, expect_enforced, groups, killed_is_swept,
                      neighbour, nothing_left, read, run, run_over_memory, start)


@check("v2", "systemd")
def own_group_inside():
    script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max;" \
             "grep -c . /sys/fs/cgroup/cgroup.procs; echo max >/sys/fs/cgroup/memory.max; mkdir /sys/fs/cgroup/x;" \
             "ls -d /sys/fs/cgroup/creel /sys/fs/cgroup/init.scope; grep ' /sys/fs/cgroup ' /proc/self/mountinfo"
    for user in ("--user", "--root"):
        ran = run(user, "--memory", "100M", "--pids", "50", "--cpus", "1", "--", "sh", "-c", script)
        lines = ran.json["stdout"].splitlines()
        expect(len(lines) == 6, str(ran))
        expect(lines[:4] == ["0::/", "104857600", "50", "100000 100000"], str(ran))
        expect(int(lines[4]) >= 2, f"{lines[4]} processes are seen")
        expect(" ro," in lines[5], str(lines))
        expect(lines[5].split()[3] == "/", f"the mount shows where it comes from: {lines[5]}")
        expect(ran.json["stderr"].count("ead-only") >= 2, ran.json["stderr"])


def branch(name, given=WANTED):
    """A group below the root, which hands these controllers on to its own new group "leaf"."""
    base = f"{CGROUP}/{name}"
    os.makedirs(f"{base}/leaf", exist_ok=True)
    if given:
        delegate(CGROUP)
        delegate(base, given)
    return base


@check("v2")
def kill_9_and_sweep_from_elsewhere():
    """The next call may come from another group than the killed one."""
    killed_is_swept(group=branch("elsewhere") + "/leaf")


@check("v2")
def beside_other_processes():
    """The own group has processes and so cannot limit children: the nearest ancestor that can."""
    base = branch("busy")
    with neighbour(f"{base}/leaf"):
        expect_enforced(run_over_memory(group=f"{base}/leaf"))
        expect(os.path.isdir(f"{base}/creel"), f"not below {base}: {glob.glob(CGROUP + '/*/creel')}")
    nothing_left()


@check("v2")
def below_a_group_without_controllers():
    """The own group was given no controllers: an ancestor has them."""
    base = branch("bare", given=())
    with neighbour(f"{base}/leaf"):
        expect_enforced(run("--", "true", group=f"{base}/leaf"))
    nothing_left()


@check("v2")
def below_a_group_with_some_controllers():
    expect_enforced(run("--", "true", group=branch("some", given=("pids",)) + "/leaf"))
    nothing_left()


@check("v2")
def pressure_does_not_spin():
    """memory.events changes at each reclaim: creel must go back to sleep after it."""
    script = "for i in 1 2 3; do cat /usr/lib/x86_64-linux-gnu/*.so* /usr/bin/* >/dev/null 2>&1; done; sleep 6"
    process = start([CREEL, "run", "--memory", "24M", "--", "sh", "-c", script])

    def used():
        fields = read(f"/proc/{process.pid}/stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) * 1000 // os.sysconf("SC_CLK_TCK")

    began, samples = time.monotonic(), []
    events = ""
    while process.poll() is None and time.monotonic() - began < 60:
        try:
            samples.append((time.monotonic(), used()))
            events = " ".join(read(groups()[0] + "/memory.events").split())
        except (OSError, IndexError):
            pass
        time.sleep(0.1)
    process.communicate(timeout=30)
    expect(" max 0 " not in events, f"there was no pressure: {events}")
    end, total = samples[-1]
    quiet = total - min(used_then for when, used_then in samples if when > end - 4)
    expect(quiet < 500, f"creel itself used {quiet} ms of CPU in 4 s of sleep, {total} ms in all; {events}")
    return f"{total} ms of CPU in {end - began:.0f} s, {quiet} in the last four; {events}"
