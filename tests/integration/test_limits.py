# SPDX-License-Identifier: Apache-2.0
"""Every limit is really hit, ends the run as it says, and names the option that raises it."""

import math
import os
import signal
import time

import pytest

import creelkit

HEAP = """
import sys
data = []
while True:
    data.append(bytearray(4 << 20))
"""

FORKS = """
import os, sys, time
n = 0
try:
    while n < 2000:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        n += 1
except OSError as error:
    print(n, error.errno, flush=True)
    sys.exit(9)
print(n, "all", flush=True)
"""


def explained(done, option, value):
    """The last line on stderr tells which limit it was and how it is raised."""
    line = done.errors.splitlines()[-1]
    assert line.startswith("creel: ended by "), done
    assert value in line and f"raise it with {option}" in line, done


def test_memory_by_heap(creel):
    done = creel.run("--memory", "64M", "--lang", "python", "-c", HEAP)
    if creel.rootless and b"MemoryError" in done.err:
        assert done.code == 1  # RLIMIT_DATA refused it before the sum was reached
        return
    assert done.code == 137, done
    explained(done, "--memory", "64M")


def test_memory_in_json(root_creel):
    result = root_creel.json("--memory", "64M", "--lang", "python", "-c", HEAP)
    assert (result["ended_by"], result["exit_code"], result["signal"]) == ("memory", 137, 9)
    assert result["limits_hit"]["memory"] is True
    assert 48 * creelkit.MIB < result["usage"]["memory_peak_bytes"] <= 65 * creelkit.MIB


def test_memory_of_all_processes_together(creel):
    script = ("for i in 1 2 3 4 5 6; do python3 -c 'import time; x = b\"x\" * (24 << 20);"
              " time.sleep(20)' & done; wait")
    result = creel.json("--memory", "96M", "--", "sh", "-c", script)
    assert (result["ended_by"], result["exit_code"]) == ("memory", 137), result
    assert result["duration_ms"] < 15000


def test_inner_out_of_memory_is_told(root_creel):
    """The one that is killed is a child whose parent goes on and exits with 0."""
    script = f"python3 -c '{HEAP}'; echo survived; exit 0"
    result = root_creel.json("--memory", "64M", "--", "sh", "-c", script)
    assert result["ended_by"] == "memory" and result["exit_code"] == 137


def test_memory_by_tmpfs_counts(creel):
    """--memory covers what is written to the layer and /dev/shm as well."""
    script = "head -c 200M /dev/zero > /dev/shm/x; echo $?"
    result = creel.json("--memory", "64M", "--", "sh", "-c", script)
    assert result["ended_by"] in ("memory", "exit")
    assert result["ended_by"] == "memory" or result["stdout"] != "0\n"


def test_enough_memory_is_no_limit(creel):
    done = creel.run("--memory", "256M", "--lang", "python", "-c", "len(bytearray(100 << 20))")
    assert done.code == 0, done


def test_no_swap(root_creel):
    result = root_creel.json("--memory", "32M", "--", "python3", "-c", HEAP)
    assert result["ended_by"] == "memory" and result["duration_ms"] < 20000


def test_pids(creel):
    result = creel.json("--pids", "20", "--lang", "python", "-c", FORKS)
    count, _ = result["stdout"].split()
    assert 10 <= int(count) <= 20, result
    if creel.is_root:
        assert (result["ended_by"], result["exit_code"]) == ("pids", 9)
        assert result["limits_hit"]["pids"] is True
        assert 15 <= result["usage"]["pids_peak"] <= 20
    else:
        assert result["exit_code"] in (9, 137)


def test_pids_explained(root_creel):
    done = root_creel.run("--pids", "20", "--lang", "python", "-c", FORKS)
    explained(done, "--pids", "20")


def test_threads_count_as_pids(creel):
    code = ("import threading, time\nn = 0\ntry:\n  while n < 200:\n"
            "    threading.Thread(target=time.sleep, args=(5,), daemon=True).start(); n += 1\n"
            "except RuntimeError: pass\nprint(n, flush=True)\nimport os; os._exit(0)")
    result = creel.json("--pids", "30", "--lang", "python", "-c", code)
    assert int(result["stdout"] or 0) < 30, result


@pytest.mark.parametrize("place", ["/workspace", "/tmp", "/home/user", "/dev/shm"])
def test_disk_of_tmpfs(creel, place):
    done = creel.sh(f"head -c 400M /dev/zero > {place}/x", "--disk", "16M", "--memory", "64M")
    if place == "/dev/shm":  # memory by name: half of --memory
        assert done.code in (1, 137), done
        return
    assert done.code == 1 and b"No space left on device" in done.err
    explained(done, "--disk", "16M")


def test_disk_in_json(creel):
    result = creel.json("--disk", "16M", "--", "sh", "-c", "head -c 64M /dev/zero > x; exit 5")
    assert (result["ended_by"], result["exit_code"]) == ("disk", 5)
    assert result["limits_hit"]["disk"] is True
    assert 15 * creelkit.MIB < result["usage"]["disk_bytes"] <= 16 * creelkit.MIB
    assert result["isolation"]["limits"]["disk"]["enforced_by"] == "tmpfs size"


def test_disk_that_fills_and_is_freed_ends_well(creel):
    result = creel.json("--disk", "16M", "--", "sh", "-c",
                        "head -c 64M /dev/zero > x; rm x; echo ok > y; cat y")
    assert (result["ended_by"], result["exit_code"], result["stdout"]) == ("exit", 0, "ok\n")


def test_inodes_are_bounded(creel):
    code = "n = 0\ntry:\n  while n < 200000:\n    open(f'f{n}', 'w').close(); n += 1\n" \
           "except OSError as e: print(n, e.errno)"
    result = creel.json("--disk", "16M", "--lang", "python", "-c", code)
    count, errno = map(int, result["stdout"].split())
    assert errno == 28 and count < 20000


def test_disk_of_a_directory(any_creel):
    """A named size above half of --memory is on the disk: root's in the pool, whose limit is the
    filesystem's own, else a directory with a watchdog."""
    options = ["--memory", "64M", "--disk", "256M"]
    result = any_creel.json(*options, "--", "sh", "-c",
                            "head -c 100M /dev/zero > x && stat -c %s x")
    assert result["stdout"] == f"{100 * creelkit.MIB}\n", result
    by = result["isolation"]["limits"]["disk"]["enforced_by"]
    assert by == ("btrfs qgroup" if any_creel.is_root else "watchdog over a directory")
    assert result["usage"]["disk_bytes"] >= 100 * creelkit.MIB
    assert result["changes"] and result["changes"][-1]["size"] == 100 * creelkit.MIB
    fill = "i=0; while head -c 8M /dev/urandom > f$i; do i=$((i+1)); sleep 0.05; done; exit 3"
    done = any_creel.run(*options, "--timeout", "25s", "--", "sh", "-c", fill)
    assert done.code == (3 if any_creel.is_root else 137), done
    explained(done, "--disk", "256M")
    assert not os.listdir(any_creel.state / "layers")


def test_cpu_time(any_creel):
    done = any_creel.run("--cpu-time", "1s", "--timeout", "20s", "--", "sh", "-c",
                         "while :; do :; done")
    assert done.code == 137, done
    explained(done, "--cpu-time", "1s")


def test_cpu_time_of_all_processes_together(creel):
    start = time.monotonic()
    result = creel.json("--cpu-time", "1s", "--timeout", "25s", "--", "sh", "-c",
                        "for i in 1 2 3 4; do sh -c 'while :; do :; done' & done; wait")
    assert (result["ended_by"], result["exit_code"]) == ("cpu", 137)
    used = result["usage"]["cpu_user_ms"] + result["usage"]["cpu_system_ms"]
    assert 800 <= used <= 2500, used
    assert time.monotonic() - start < 15


def test_cpu_time_does_not_count_sleep(creel):
    assert creel.run("--cpu-time", "500ms", "--", "sleep", "1").code == 0


def test_timeout_of_one_that_ignores_sigterm(any_creel):
    """SIGTERM, two seconds, then everything is killed."""
    done = any_creel.sh("trap '' TERM; echo up; while :; do sleep 1; done", "--timeout", "500ms")
    assert done.code == 124 and done.out == b"up\n"
    assert 2.3 < done.seconds < 20, done
    explained(done, "--timeout", "500ms")


def test_timeout_lets_one_clean_up(creel):
    done = creel.sh("trap 'echo cleaned; exit 3' TERM; sleep 60 & wait", "--timeout", "300ms")
    assert done.code == 124 and done.out == b"cleaned\n" and done.seconds < 2


def test_timeout_reaches_a_stopped_process(creel):
    done = creel.sh("kill -STOP $$; echo woke", "--timeout", "300ms")
    assert done.code == 124 and done.seconds < 2.3, done


def test_timeout_in_json(creel):
    result = creel.json("--timeout", "300ms", "--", "sleep", "60")
    assert (result["ended_by"], result["exit_code"]) == ("timeout", 124)
    assert result["signal"] == signal.SIGTERM
    assert 280 <= result["duration_ms"] < 2300
    assert result["isolation"]["limits"]["timeout"] == {
        "asked": 300, "named": True, "enforced_by": "creel"}


def test_output(creel):
    done = creel.run("--output", "64K", "--", "sh", "-c", "yes")
    assert done.code == 137 and len(done.out) == 65536
    explained(done, "--output", "64K")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_in_json(creel, stream):
    script = "yes" if stream == "stdout" else "yes >&2"
    result = creel.json("--output", "64K", "--", "sh", "-c", script)
    assert (result["ended_by"], result["exit_code"]) == ("output", 137)
    assert len(result[stream]) == 65536
    assert result["truncated"] == {**dict.fromkeys(["stdout", "stderr", "changes"], False),
                                   stream: True}


def test_output_is_not_cut_in_a_character(creel):
    for cap in (9, 10, 11):
        result = creel.json("--output", str(cap), "--", "printf", "éé€é€é")
        assert result["truncated"]["stdout"] and "éé€é€é".startswith(result["stdout"]), result


def test_output_of_exactly_the_limit(creel):
    result = creel.json("--output", "64K", "--", "head", "-c", "65536", "/dev/zero")
    assert result["ended_by"] == "exit" and result["truncated"]["stdout"] is False


def test_default_output_cap_of_json(creel):
    result = creel.json("--", "head", "-c", "20M", "/dev/zero")
    assert result["ended_by"] == "output"
    assert len(creelkit.stdout_of(result)) == 10 * creelkit.MIB


def test_write_total_to_a_workspace(root_creel):
    creel = root_creel
    place = creel.directory()
    script = "i=0; while [ $i -lt 64 ]; do dd if=/dev/zero of=f bs=1M count=4 conv=fsync " \
             "status=none; i=$((i+1)); done"
    done = creel.run("--workspace", place, "--write-total", "20M", "--", "sh", "-c", script)
    assert done.code == 137, done
    explained(done, "--write-total", "20M")
    assert (place / "f").stat().st_size <= 8 * creelkit.MIB
    result = creel.json("--workspace", place, "--write-total", "100M", "--", "sh", "-c",
                        "dd if=/dev/zero of=g bs=1M count=4 conv=fsync status=none")
    assert result["ended_by"] == "exit"
    assert result["usage"]["io_write_bytes"] >= 4 * creelkit.MIB


def test_write_total_without_a_controller_is_refused(rootless_creel):
    if creelkit.doctor_says(rootless_creel)["checks"]["cgroup io"]["state"] == "ok":
        assert rootless_creel.run("--write-total", "1G", "--", "true").code == 0
        return
    done = rootless_creel.run("--write-total", "1G", "--", "true")
    assert done.code == 125 and "--write-total cannot be enforced here" in done.errors


def test_io(root_creel):
    """Direct I/O: on v1 nothing else is throttled. Measured loosely, the machine is shared."""
    place = root_creel.directory()
    assert os.major(place.stat().st_dev), f"{place} is not on a disk"
    script = "dd if=/dev/zero of=f bs=256K count=48 oflag=direct status=none"
    free = root_creel.json("--workspace", place, "--", "sh", "-c", script)
    slow = root_creel.json("--workspace", place, "--io", "4M", "--", "sh", "-c", script)
    assert free["exit_code"] == slow["exit_code"] == 0, (free, slow)
    assert slow["duration_ms"] > 1800, slow["duration_ms"]
    assert free["duration_ms"] < slow["duration_ms"]
    assert slow["isolation"]["limits"]["io"]["asked"] == 4 * creelkit.MIB
    assert "io" in slow["isolation"]["limits"]["io"]["enforced_by"]


def test_io_without_a_controller_is_refused(rootless_creel):
    if creelkit.doctor_says(rootless_creel)["checks"]["cgroup io"]["state"] == "ok":
        return
    done = rootless_creel.run("--io", "1M", "--", "true")
    assert done.code == 125 and "--io cannot be enforced here" in done.errors


@pytest.mark.parametrize("cpus", ["0.5", "1", "1.5", "2"])
def test_cpus_are_seen_inside(creel, cpus):
    done = creel.run("--cpus", cpus, "--", "nproc")
    if creel.rootless and "." in cpus:
        state = creelkit.doctor_says(creel)["checks"]["cgroup cpu"]["state"]
        if state != "ok":
            assert done.code == 125 and "--cpus cannot be enforced here" in done.errors
            return
    have = len(os.sched_getaffinity(0))
    assert int(done.out) == min(math.ceil(float(cpus)), have), done


def test_cpus_are_a_quota(root_creel):
    result = root_creel.json("--cpus", "0.25", "--timeout", "2s", "--", "sh", "-c",
                             "while :; do :; done")
    used = result["usage"]["cpu_user_ms"] + result["usage"]["cpu_system_ms"]
    assert used < 1000, used


def test_defaults_are_finite(creel):
    limits = creel.json("--", "true")["isolation"]["limits"]
    asked = {name: limits[name]["asked"] for name in ("memory", "cpus", "pids", "disk", "timeout",
                                                      "output")}
    assert asked == {"memory": 2 << 30, "cpus": 2, "pids": 512, "disk": 1 << 30,
                     "timeout": 600000, "output": 10 << 20}
    assert not any(limit["named"] for limit in limits.values())
