# SPDX-License-Identifier: Apache-2.0
"""What root gets on every layout: each limit by its controller, what is counted, how a run ends."""

import json

from guestkit import (CREEL, LAYOUT, VERSION, WANTED, check, cpu_ms, creel, enforced, expect, expect_enforced,
                      killed_is_swept, nothing_left, run, run_over_memory, start, workspace)


@check("v2", "v1", "systemd")
def doctor():
    ran = creel("doctor", "--json")
    expect(ran.code == 0 and ran.json and ran.json["works"], str(ran))
    checks = ran.json["checks"]
    names = ["kernel", "namespaces", "ids", "seccomp", "landlock", "level nano"]
    # systemd gives its units no io controller unless asked: creel does not leave the unit for it.
    wanted = WANTED if LAYOUT != "systemd" else WANTED[:3]
    names += ["cgroup " + name for name in ("core", *wanted)]
    bad = [f"{name}: {checks[name]['found']}" for name in names if checks[name]["state"] != "ok"]
    expect(not bad, str(bad))
    for name in wanted:
        expect(VERSION in checks["cgroup " + name]["found"], str(checks["cgroup " + name]))
    return f"landlock {checks['landlock']['found']}; {checks['level nano']['found']}"


@check("v2", "v1", "systemd")
def usage_is_counted():
    code = "x = bytearray(30000000)\nfor i in range(1500000): pass\nprint(len(x))"
    ran = run("--cpus", "1", "--lang", "python", "-c", code)
    usage = ran.json["usage"]
    expect(ran.json["stdout"] == "30000000\n", str(ran))
    expect_enforced(ran)
    expect(usage["memory_peak_bytes"] > 30000000, str(usage))
    expect(cpu_ms(ran) > 50, str(usage))
    # pids.peak came with Linux 6.1 (v1 and v2 share the controller).
    expect(usage["pids_peak"] >= 2, str(usage))
    return json.dumps(usage).replace(" ", "")


@check("v2", "v1")
def memory_limit():
    run_over_memory()
    nothing_left()
    # An inner process alone does not die: the group does.
    ran = run("--memory", "64M", "--", "sh", "-c", "python3 -c 'x = b\"x\" * 300000000'; sleep 30; echo on")
    expect(ran.json["ended_by"] == "memory" and "on" not in ran.json["stdout"], str(ran))
    expect(ran.seconds < 20, f"{ran.seconds} s")


@check("v2", "v1")
def pids_limit():
    code = "import os,time\nn=0\ntry:\n  while n<200:\n    if os.fork()==0: time.sleep(20); os._exit(0)\n" \
           "    n+=1\nexcept OSError as e: print(n, e.errno); raise SystemExit(3)"
    ran = run("--pids", "20", "--lang", "python", "-c", code)
    expect(ran.json["ended_by"] == "pids" and ran.json["limits_hit"]["pids"], str(ran))
    expect(int(ran.json["stdout"].split()[0]) < 20, str(ran))
    return ran.json["stdout"].strip()


@check("v2", "v1")
def cpus_limit():
    code = "import time\ne=time.monotonic()+4\nwhile time.monotonic()<e: pass\n" \
           "import os\nprint(len(os.sched_getaffinity(0)))"
    ran = run("--cpus", "0.25", "--lang", "python", "-c", code)
    told = f"{cpu_ms(ran)} ms of CPU in {ran.json['duration_ms']} ms"
    expect(ran.code == 0, str(ran))
    expect(cpu_ms(ran) < 0.40 * ran.json["duration_ms"], told)
    expect(ran.json["stdout"] == "1\n", f"affinity {ran.json['stdout']}")
    return told


@check("v2", "v1")
def cpu_time_limit():
    ran = run("--cpu-time", "1500ms", "--lang", "python", "-c", "while True: pass")
    expect(ran.json["ended_by"] == "cpu" and ran.code == 137, str(ran))
    return f"{cpu_ms(ran)} ms"


@check("v2", "v1")
def io_limit():
    command = "dd if=/dev/zero of=/workspace/f bs=1M count=24 oflag=direct 2>&1 || exit 9; rm /workspace/f"
    free = run("--workspace", workspace("w"), "--", "sh", "-c", command)
    ran = run("--workspace", workspace("w"), "--io", "6M", "--", "sh", "-c", command)
    expect(free.code == 0 and ran.code == 0, f"{free} // {ran}")
    expect(enforced(ran, "io").startswith(VERSION), enforced(ran, "io"))
    expect(ran.json["duration_ms"] > 2500, f"24M at 6M/s took {ran.json['duration_ms']} ms")
    expect(ran.json["usage"]["io_write_bytes"] >= 24 << 20, str(ran.json["usage"]))
    return f"{free.json['duration_ms']} ms without, {ran.json['duration_ms']} ms with"


@check("v2", "v1")
def write_total_limit():
    command = "while :; do dd if=/dev/zero of=/workspace/f bs=1M count=8 conv=fsync 2>/dev/null; done"
    ran = run("--workspace", workspace("w"), "--write-total", "20M", "--timeout", "40s", "--", "sh", "-c", command)
    expect(ran.json["ended_by"] == "io", str(ran))
    return f"{ran.json['usage']['io_write_bytes']} bytes; {enforced(ran, 'write_total')}"


@check("v2", "v1", "systemd")
def end_of_all():
    script = "trap '' TERM; (setsid sh -c \"trap '' TERM; sleep 300\" &) ; sleep 300 & sleep 300"
    ran = run("--timeout", "1s", "--", "sh", "-c", script)
    expect(ran.code == 124 and ran.json["ended_by"] == "timeout", str(ran))
    nothing_left()
    return f"{ran.json['duration_ms']} ms"


@check("v2", "v1")
def command_codes():
    for command, code in ((["sh", "-c", "exit 7"], 7), (["/nowhere"], 127), (["/etc/passwd"], 126),
                          (["sh", "-c", "kill -9 $$"], 137)):
        ran = creel("run", "--", *command)
        expect(ran.code == code, f"{command}: {ran}")


@check("v2", "v1", "systemd")
def kill_9_and_sweep():
    killed_is_swept()


@check("v2", "v1")
def many_at_once():
    processes = [start([CREEL, "run", "--json", "--", "sh", "-c", f"echo {i}"]) for i in range(12)]
    for i, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        expect(process.returncode == 0 and json.loads(out)["stdout"] == f"{i}\n", f"{i}: {out} {err}")
    nothing_left()
