# SPDX-License-Identifier: Apache-2.0
"""What creel must do on this machine, one line a check: run in the virtual machine by `start` or by
systemd. A check is a function; it returns a detail, or raises Failed or Skipped."""

import glob
import json
import os
import pty
import pwd
import re
import signal
import subprocess
import sys
import time

CREEL = "/vm/creel"
CGROUP = "/sys/fs/cgroup"
LAYOUT = open("/vm/layout").read().strip()
ONLY = [word for word in open("/vm/only").read().strip().split(",") if word]
V1 = LAYOUT == "v1"
KERNEL = tuple(int(n) for n in re.findall(r"\d+", os.uname().release)[:2])
VERSION = "cgroup v1" if V1 else "cgroup v2"
WANTED = ("memory", "cpu", "pids", "io")
CHECKS = []


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(*layouts):
    def add(function):
        if LAYOUT in layouts:
            CHECKS.append(function)
        return function

    return add


def expect(condition, text):
    if not condition:
        raise Failed(text)


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


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


def start(argv, user=None, group=None, env=None, **options):
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
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def creel(*args, seconds=90, **options):
    began = time.monotonic()
    process = start([CREEL, *args], **options)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as late:
        process.kill()
        said = ((late.stdout or b"") + (late.stderr or b""))[-300:]  # bytes, whatever was asked for
        raise Failed(f"creel {' '.join(args)} took over {seconds} s, or left its output open: {said}") from late
    return Ran(process.returncode, out, err, time.monotonic() - began)


def run(*args, **options):
    """creel run --json; the object is there."""
    ran = creel("run", "--json", *args, **options)
    expect(ran.json is not None and "exit_code" in ran.json, f"no result: {ran}")
    return ran


def enforced(ran, name):
    return ran.json["isolation"]["limits"][name]["enforced_by"]


def expect_enforced(ran, version=VERSION, names=("memory", "cpus", "pids")):
    controllers = {"memory": "memory", "cpus": "cpu", "pids": "pids", "io": "io"}
    for name in names:
        by = enforced(ran, name)
        expect(by == f"{version} {controllers[name]}", f"{name} is enforced by {by!r}")


def groups():
    """Groups of sandboxes that are there now."""
    found = []
    for base, names, _ in os.walk(CGROUP):
        found += [os.path.join(base, name) for name in names if re.fullmatch(r"i[a-z0-9]{20}", name)]
    return found


def live(user=None):
    home = pwd.getpwnam(user).pw_dir if user else None
    paths = [f"{home}/.local/share/creel/run/live", f"/run/user/{pwd.getpwnam(user).pw_uid}/creel/live"] \
        if user else ["/run/creel/live"]
    return [os.path.join(path, name) for path in paths if os.path.isdir(path) for name in os.listdir(path)]


def nothing_left(user=None):
    until = time.monotonic() + 3
    while time.monotonic() < until and (groups() or live(user)):
        time.sleep(0.05)
    expect(not groups(), f"groups are left: {groups()}")
    expect(not live(user), f"registrations are left: {live(user)}")
    mounts = [line for line in read("/proc/self/mountinfo").splitlines() if "creel" in line]
    expect(not mounts, f"mounts are left: {mounts}")


# ---- as root ----


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
    ran = run("--lang", "python", "-c", code)
    usage = ran.json["usage"]
    expect(ran.json["stdout"] == "30000000\n", str(ran))
    expect_enforced(ran)
    expect(usage["memory_peak_bytes"] > 30000000, str(usage))
    expect(usage["cpu_user_ms"] + usage["cpu_system_ms"] > 50, str(usage))
    # pids.peak came with Linux 6.1 (v1 and v2 share the controller).
    expect(usage["pids_peak"] >= 2, str(usage))
    return json.dumps(usage).replace(" ", "")


@check("v2", "v1")
def memory_limit():
    ran = run("--memory", "64M", "--lang", "python", "-c", "x = b'x' * 300000000")
    expect(ran.json["ended_by"] == "memory" and ran.code == 137, str(ran))
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
    usage = ran.json["usage"]
    used = usage["cpu_user_ms"] + usage["cpu_system_ms"]
    expect(ran.code == 0, str(ran))
    expect(used < 0.40 * ran.json["duration_ms"], f"{used} ms of CPU in {ran.json['duration_ms']} ms")
    expect(ran.json["stdout"] == "1\n", f"affinity {ran.json['stdout']}")
    return f"{used} ms of CPU in {ran.json['duration_ms']} ms"


@check("v2", "v1")
def cpu_time_limit():
    ran = run("--cpu-time", "1500ms", "--lang", "python", "-c", "while True: pass")
    expect(ran.json["ended_by"] == "cpu" and ran.code == 137, str(ran))
    usage = ran.json["usage"]
    return f"{usage['cpu_user_ms'] + usage['cpu_system_ms']} ms"


def workspace(name, user=None):
    path = f"{pwd.getpwnam(user).pw_dir if user else '/root'}/{name}"
    os.makedirs(path, exist_ok=True)
    if user:
        os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    return path


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


@check("v2", "systemd")
def own_group_inside():
    script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max;" \
             "grep -c . /sys/fs/cgroup/cgroup.procs; echo max >/sys/fs/cgroup/memory.max; mkdir /sys/fs/cgroup/x;" \
             "ls -d /sys/fs/cgroup/creel /sys/fs/cgroup/init.scope; grep ' /sys/fs/cgroup ' /proc/self/mountinfo"
    for user in ("--user", "--root"):
        ran = run(user, "--memory", "100M", "--pids", "50", "--cpus", "1", "--", "sh", "-c", script)
        lines = ran.json["stdout"].splitlines()
        expect(lines[:5] == ["0::/", "104857600", "50", "100000 100000", lines[4]], str(ran))
        expect(int(lines[4]) >= 2, f"{lines[4]} processes are seen")
        expect(len(lines) == 6 and " ro," in lines[5], str(lines))
        expect(lines[5].split()[3] == "/", f"the mount shows where it comes from: {lines[5]}")
        expect(ran.json["stderr"].count("ead-only") >= 2, ran.json["stderr"])


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


def killed(group=None, user=None):
    process = start([CREEL, "run", "--", "sleep", "300"], user=user, group=group)
    until = time.monotonic() + 20
    while not groups() and not live(user) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(2)
    expect(process.poll() is None, "creel ended by itself")
    process.kill()
    process.communicate()
    time.sleep(1)
    return groups()


@check("v2", "v1", "systemd")
def kill_9_and_sweep():
    left = killed()
    sleeping = subprocess.run(["pgrep", "-x", "sleep"], stdout=subprocess.PIPE, check=False).stdout
    expect(not sleeping, "the sandbox outlives creel")
    expect(left, "nothing was left: the check proves nothing")
    ran = creel("run", "--", "true")
    expect(ran.code == 0 and "cleaned up after 1" in ran.err, str(ran))
    nothing_left()


@check("v2")
def kill_9_and_sweep_from_elsewhere():
    """The next call may come from another group than the killed one."""
    base = f"{CGROUP}/elsewhere"
    os.makedirs(f"{base}/leaf", exist_ok=True)
    delegate(CGROUP)
    delegate(base)
    expect(killed(group=f"{base}/leaf"), "nothing was left")
    ran = creel("run", "--", "true")
    expect(ran.code == 0 and "cleaned up after 1" in ran.err, str(ran))
    nothing_left()


def delegate(path, wanted=WANTED):
    have = read(f"{path}/cgroup.controllers").split()
    write(f"{path}/cgroup.subtree_control", " ".join("+" + name for name in wanted if name in have))


def neighbour(group):
    process = subprocess.Popen(["sleep", "600"])
    write(f"{group}/cgroup.procs", str(process.pid))
    return process


@check("v2")
def beside_other_processes():
    """The own group has processes and so cannot limit children: the nearest ancestor that can."""
    base = f"{CGROUP}/busy"
    os.makedirs(f"{base}/leaf", exist_ok=True)
    delegate(CGROUP)
    delegate(base)
    other = neighbour(f"{base}/leaf")
    try:
        ran = run("--memory", "64M", "--lang", "python", "-c", "x = b'x' * 300000000", group=f"{base}/leaf")
        expect_enforced(ran)
        expect(ran.json["ended_by"] == "memory", str(ran))
        expect(os.path.isdir(f"{base}/creel"), f"not below {base}: {glob.glob(CGROUP + '/*/creel')}")
    finally:
        other.kill()
        other.wait()
    nothing_left()


@check("v2")
def below_a_group_without_controllers():
    """The own group was given no controllers: an ancestor has them."""
    base = f"{CGROUP}/bare"
    os.makedirs(f"{base}/leaf", exist_ok=True)
    other = neighbour(f"{base}/leaf")
    try:
        ran = run("--", "true", group=f"{base}/leaf")
        expect_enforced(ran)
    finally:
        other.kill()
        other.wait()
    nothing_left()


@check("v2")
def below_a_group_with_some_controllers():
    base = f"{CGROUP}/some"
    os.makedirs(f"{base}/leaf", exist_ok=True)
    delegate(CGROUP)
    delegate(base, ("pids",))
    ran = run("--", "true", group=f"{base}/leaf")
    expect_enforced(ran)
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


@check("v2", "v1")
def many_at_once():
    processes = [start([CREEL, "run", "--json", "--", "sh", "-c", f"echo {i}"]) for i in range(12)]
    for i, process in enumerate(processes):
        out, err = process.communicate(timeout=120)
        expect(process.returncode == 0 and json.loads(out)["stdout"] == f"{i}\n", f"{i}: {out} {err}")
    nothing_left()


# ---- files: what depends on the kernel's overlay, tmpfs and mount interface ----

TREE = "set -u; cd /usr/share; f() { what=$1; shift; if \"$@\" 2>/tmp/e; then echo \"$what yes\"; " \
       "else echo \"$what no: $(cat /tmp/e)\"; fi; }\n" \
       "f new_dir mkdir /usr/share/fresh\n" \
       "f new_file sh -c 'echo 1 >/usr/share/fresh/f'\n" \
       "f into_lower_dir sh -c 'echo 1 >/usr/share/perl5/new-file'\n" \
       "f delete_file rm /usr/share/perl5/new-file\n" \
       "f delete_lower_file rm /usr/share/common-licenses/BSD\n" \
       "f replace_lower_file sh -c 'echo 1 >/usr/share/common-licenses/BSD'\n" \
       "f delete_lower_dir rm -r /usr/share/bug\n" \
       "f make_it_again mkdir /usr/share/bug\n" \
       "f it_is_empty test -z \"$(ls /usr/share/bug 2>/dev/null)\"\n" \
       "f move_lower_dir mv /usr/share/base-passwd /usr/share/base-moved\n" \
       "f moved_is_whole test -e /usr/share/base-moved/passwd.master -a ! -e /usr/share/base-passwd\n" \
       "f delete_etc_dir rm -r /etc/alternatives\n" \
       "f make_etc_dir_again mkdir /etc/alternatives\n" \
       "f rename_over sh -c 'echo 2 >/etc/passwd.new; mv /etc/passwd.new /etc/passwd'\n"


def tree_check(ran, allowed_no=()):
    """Everything works, but for the names that this machine's limits excuse."""
    expect(ran.code == 0, str(ran))
    lines = ran.json["stdout"].splitlines()
    expect(len(lines) == 14, str(ran))
    bad = [line for line in lines if " no: " in line and line.split()[0] not in allowed_no]
    expect(not bad, "; ".join(bad))


@check("v2", "v1")
def files_of_root_inside():
    tree_check(run("--root", "--", "sh", "-c", TREE))


@check("v2")
def files_in_a_directory_layer():
    ran = run("--root", "--disk", "1500M", "--memory", "1G", "--", "sh", "-c", TREE)
    expect("directory" in enforced(ran, "disk"), enforced(ran, "disk"))
    tree_check(ran)
    nothing_left()
    expect(not os.listdir("/var/lib/creel/layers"), "a layer is left")


@check("v2")
def files_rootless():
    tree_check(run("--root", "--", "sh", "-c", TREE, user="ranged"))


@check("v2")
def files_rootless_in_a_directory_layer():
    ran = run("--root", "--disk", "1500M", "--memory", "1G", "--", "sh", "-c", TREE, user="ranged")
    tree_check(ran)
    nothing_left("ranged")


@check("v2")
def changes_are_told():
    script = "echo 1 >/workspace/new; echo 1 >/home/user/h; mkdir -p /workspace/d/e"
    for options in ({}, {"user": "ranged"}, {"user": "single"}):
        ran = run("--", "sh", "-c", script, **options)
        paths = sorted(change["path"] for change in ran.json["changes"])
        expect(ran.code == 0 and paths == ["/home/user/h", "/workspace/d/e", "/workspace/new"], f"{options} {ran}")


@check("v2")
def host_directories():
    os.makedirs("/root/data", exist_ok=True)
    write("/root/data/f", "data\n")
    os.chmod("/root", 0o755)
    ran = run("--ro", "/root/data:/data", "--workspace", workspace("w2"), "--", "sh", "-c",
              "cat /data/f; echo 1 >/data/f; echo mine >/workspace/mine; id -u; stat -c %u /workspace/mine")
    expect(ran.json["stdout"] == "data\n1000\n1000\n", str(ran))
    expect(os.stat("/root/w2/mine").st_uid == 0, "the file belongs to another user")
    ran = run("--workspace", workspace("w3", "ranged"), "--", "sh", "-c", "echo 1 >/workspace/mine", user="ranged")
    expect(ran.code == 0 and os.stat("/home/ranged/w3/mine").st_uid == 1001, str(ran))


@check("v2")
def host_directory_on_tmpfs():
    """tmpfs can be idmapped since Linux 6.3: before it, a clear refusal."""
    os.makedirs("/tmp/w", exist_ok=True)
    ran = creel("run", "--workspace", "/tmp/w", "--", "sh", "-c", "echo 1 >/workspace/f")
    if KERNEL >= (6, 3):
        expect(ran.code == 0 and os.path.exists("/tmp/w/f"), str(ran))
    else:
        expect(ran.code == 125 and ran.err.count("\n") == 1 and "tmpfs" in ran.err, str(ran))
    return str(ran)


@check("v2")
def state_on_tmpfs():
    ran = creel("run", "--state", "/tmp/state", "--", "echo", "here")
    if KERNEL >= (6, 3):
        expect(ran.out == "here\n", str(ran))
    else:
        expect(ran.out == "here\n" or (ran.code == 125 and "tmpfs" in ran.err), str(ran))
    return str(ran)


@check("v2")
def init_is_unreadable():
    script = "cat /proc/1/environ; cat /proc/1/mem; ls -l /proc/1/exe; ls /proc/1/fd"
    for user in ("--user", "--root"):
        ran = run(user, "--", "sh", "-c", script)
        expect("->" not in ran.json["stdout"] and ran.json["stderr"].count("ermission denied") == 4, str(ran))


@check("v2")
def walls():
    script = "unshare -r true; unshare -m true; mount -t tmpfs x /tmp; cat /proc/sys/user/max_user_namespaces;" \
             "grep -E '^(Seccomp|NoNewPrivs|CapEff)' /proc/self/status"
    for options in ({}, {"user": "ranged"}, {"user": "single"}):
        ran = run("--", "sh", "-c", script, **options)
        words = ran.json["stdout"].split()
        expect(words[0] == "0" and "0000000000000000" in words and "2" in words, f"{options} {ran}")
        expect(ran.json["stderr"].count("\n") >= 3, str(ran))


@check("v2")
def terminal():
    pid, master = pty.fork()
    if pid == 0:
        os.execv(CREEL, [CREEL, "run", "--", "sh", "-c", "tty; stty size; test -t 0 && echo terminal"])
    text = b""
    try:
        while True:
            part = os.read(master, 4096)
            if not part:
                break
            text += part
    except OSError:
        pass
    expect(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text.decode())
    expect(b"/dev/pts/0" in text and b"terminal" in text, text.decode())


# ---- rootless and control groups ----


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


def rootless_limits(user, base):
    ran = run("--memory", "64M", "--lang", "python", "-c", "x = b'x' * 300000000", user=user, group=leaf(base, user))
    expect_enforced(ran)
    expect(ran.json["ended_by"] == "memory", str(ran))
    ran = run("--pids", "12", "--", "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 9 & done; exit 3",
              user=user, group=leaf(base, user))
    expect(ran.json["limits_hit"]["pids"], str(ran))
    ran = run("--cpus", "0.25", "--cpu-time", "900ms", "--lang", "python", "-c", "while True: pass", user=user,
              group=leaf(base, user))
    expect(ran.json["ended_by"] == "cpu" and ran.json["duration_ms"] > 2000, str(ran))
    ran = run("--memory", "100M", "--", "sh", "-c", "cat /sys/fs/cgroup/memory.max; echo 1 >/sys/fs/cgroup/memory.max",
              user=user, group=leaf(base, user))
    expect(ran.json["stdout"] == "104857600\n" and "ead-only" in ran.json["stderr"], str(ran))
    expect(ran.json["usage"]["memory_peak_bytes"] > 0 and ran.json["usage"]["pids_peak"] > 0, str(ran))
    nothing_left(user)


@check("v2")
def rootless_delegated():
    base = delegated("given")
    rootless_limits("ranged", base)


@check("v2")
def rootless_delegated_single_id():
    base = delegated("given-single", "single")
    rootless_limits("single", base)


@check("v2")
def rootless_delegated_beside_others():
    shell = leaf(delegated("given-busy"))
    other = neighbour(shell)
    try:
        ran = run("--", "true", user="ranged", group=shell)
        expect_enforced(ran)
    finally:
        other.kill()
        other.wait()


@check("v2")
def rootless_alone_in_its_group():
    """`systemd-run --user --scope -p Delegate=yes creel`: creel is the only process of the group that
    it was given, and the one above is not its own."""
    ran = run("--", "true", user="ranged", group=delegated("scope"))
    expect_enforced(ran)
    nothing_left("ranged")


@check("v2", "v1")
def detached():
    """The supervisor of a detached run, which outlives its caller."""
    for options in ({}, {"user": "ranged"}):
        if options and not V1:
            options["group"] = leaf(delegated("given-detached"))
        ran = creel("run", "--detach", "--memory", "64M", "--", "sh", "-c", "sleep 1; python3 -c 'x=b\"x\"*200000000'", **options)
        expect(ran.code == 0, str(ran))
        user = {"user": "ranged"} if options else {}
        waited = creel("wait", ran.out.strip(), **user)
        expect(waited.code in (1, 137), f"{ran} / {waited}")
        if "group" in options:
            options["group"] = leaf(delegated("given-detached"))
        ran = creel("run", "--detach", "--", "sleep", "300", seconds=20, **options)
        time.sleep(0.5)
        killed_by = creel("kill", ran.out.strip(), **user)
        expect(killed_by.code == 0, f"{ran} / {killed_by}")
        nothing_left(options.get("user"))


@check("v2")
def rootless_kill_9_and_sweep():
    base = delegated("given-killed")
    expect(killed(group=leaf(base), user="ranged"), "nothing was left")
    ran = creel("run", "--", "true", user="ranged", group=leaf(base))
    expect(ran.code == 0 and "cleaned up after 1" in ran.err, str(ran))
    nothing_left("ranged")


@check("v2", "v1")
def rootless_without_delegation():
    base = None
    if not V1:
        base = f"{CGROUP}/foreign"
        os.makedirs(base, exist_ok=True)
    for user in ("ranged", "single"):
        ran = run("--", "true", user=user, group=base)
        expect(ran.code == 0, str(ran))
        expect(enforced(ran, "memory").startswith("RLIMIT_DATA"), enforced(ran, "memory"))
        expect(enforced(ran, "pids").startswith("RLIMIT_NPROC"), enforced(ran, "pids"))
        expect(enforced(ran, "cpus") == "CPU affinity", enforced(ran, "cpus"))
        ran = creel("run", "--cpus", "0.5", "--", "true", user=user, group=base)
        expect(ran.code == 125 and "--cpus" in ran.err and ran.err.count("\n") == 1, str(ran))
        ran = creel("run", "--io", "5M", "--", "true", user=user, group=base)
        expect(ran.code == 125 and "--io" in ran.err and ran.err.count("\n") == 1, str(ran))
    ran = run("--memory", "64M", "--lang", "python", "-c", "import os\nfor i in range(4):\n  if os.fork()==0: break\n"
              "x = b'x' * 40000000\nimport time\ntime.sleep(5)", user="ranged", group=base)
    expect(ran.json["ended_by"] == "memory", str(ran))
    ran = creel("doctor", "--json", user="ranged", group=base)
    found = ran.json["checks"]["cgroup memory"]
    expect(found["state"] == "limited" and "RLIMIT_DATA" in found["found"] and found["fix"], str(found))
    nothing_left("ranged")
    return found["found"]


# ---- systemd ----

BUS = {"XDG_RUNTIME_DIR": "/run/user/1001", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1001/bus"}


def user_manager():
    until = time.monotonic() + 60
    while not os.path.exists("/run/user/1001/bus") and time.monotonic() < until:
        time.sleep(0.5)
    expect(os.path.exists("/run/user/1001/bus"), "the user manager did not start")


def by_systemd(*command, **options):
    process = start([*command, CREEL, "run", "--json", "--", "cat", "/proc/self/cgroup"], **options)
    out, err = process.communicate(timeout=60)
    ran = Ran(process.returncode, out, err, 0)
    expect(ran.code == 0 and ran.json, str(ran))
    return ran


@check("systemd")
def systemd_user_scope():
    """What the doctor advises to a user without delegation."""
    user_manager()
    ran = by_systemd("systemd-run", "--user", "--scope", "-q", "-p", "Delegate=yes", user="ranged", env=BUS)
    expect_enforced(ran)
    nothing_left("ranged")


@check("systemd")
def systemd_user_service():
    user_manager()
    ran = by_systemd("systemd-run", "--user", "--pipe", "--wait", "-q", "-p", "Delegate=yes", user="ranged", env=BUS)
    expect_enforced(ran)
    nothing_left("ranged")


@check("systemd")
def systemd_user_asks_by_itself():
    """From a group that is not the user's: creel asks the user manager for a scope."""
    user_manager()
    ran = by_systemd(user="ranged", env=BUS)
    expect_enforced(ran)
    nothing_left("ranged")


@check("systemd")
def systemd_login_session():
    """A session scope of a login (session-N.scope), as of ssh: root owns it."""
    user_manager()
    ran = by_systemd("systemd-run", "--scope", "-q", "--slice=user-1001.slice", "--uid=ranged", env=BUS)
    expect_enforced(ran)
    nothing_left("ranged")


@check("systemd")
def systemd_root_delegated_scope():
    ran = by_systemd("systemd-run", "--scope", "-q", "-p", "Delegate=yes")
    expect_enforced(ran)
    nothing_left()


@check("systemd")
def systemd_outer_limit_holds():
    """The unit's own limit bounds the sandbox as well."""
    process = start(["systemd-run", "--scope", "-q", "-p", "MemoryMax=80M", "-p", "Delegate=yes", CREEL, "run", "--json",
                     "--lang", "python", "-c", "x = b'x' * 200000000\nprint(len(x))"])
    out, err = process.communicate(timeout=60)
    expect("200000000" not in out, f"the sandbox has more memory than the unit: {out} {err}")
    return str(Ran(process.returncode, out, err, 0))[:300]


@check("systemd")
def systemd_outer_limit_holds_undelegated():
    """Nobody asked for I/O limits: their controller is no reason to leave the unit or its slice."""
    for argv in (("--scope",), ("--scope", "--slice=small.slice")):
        if "--slice=small.slice" in argv:
            subprocess.run(["systemctl", "set-property", "--runtime", "small.slice", "MemoryMax=80M"], check=True)
        process = start(["systemd-run", *argv, "-q", "-p", "MemoryMax=80M", CREEL, "run", "--json", "--lang", "python",
                         "-c", "x = b'x' * 200000000\nprint(len(x))"])
        out, err = process.communicate(timeout=60)
        expect("200000000" not in out, f"{argv}: the sandbox has more memory than the unit: {out[:300]} {err}")


@check("systemd")
def systemd_detached():
    user_manager()
    ran = creel("run", "--detach", "--memory", "64M", "--", "sh", "-c", "sleep 2; cat /sys/fs/cgroup/memory.max",
                user="ranged", env=BUS)
    expect(ran.code == 0, str(ran))
    waited = creel("wait", ran.out.strip(), user="ranged", env=BUS)
    logs = creel("logs", ran.out.strip(), user="ranged", env=BUS)
    expect(waited.code == 0 and "67108864" in logs.out, f"{ran} / {waited} / {logs}")
    nothing_left("ranged")


def main():
    failed = 0
    boot = read("/proc/uptime").split()[0]
    if LAYOUT == "systemd":
        time.sleep(1)
    for function in CHECKS:
        name = function.__name__
        if ONLY and not any(word in name for word in ONLY):
            continue
        began = time.monotonic()
        try:
            verdict, detail = "ok", function() or ""
        except Skipped as why:
            verdict, detail = "skip", str(why)
        except Failed as why:
            verdict, detail = "FAIL", str(why)
        except Exception as why:  # one broken check must not hide the others
            verdict, detail = "FAIL", f"{type(why).__name__}: {why} at line {why.__traceback__.tb_next.tb_lineno}"
        failed += verdict == "FAIL"
        detail = detail.replace("\n", " | ")
        print(f"VM-CHECK {name} {verdict} [{time.monotonic() - began:.1f}s] {detail[:1500]}", flush=True)
        for group in groups():  # what one check left does not spoil the next
            try:
                write(f"{group}/cgroup.kill", "1")
                time.sleep(0.3)
                os.rmdir(group)
            except OSError:
                pass
    ran = len([f for f in CHECKS if not ONLY or any(word in f.__name__ for word in ONLY)])
    print(f"VM-DONE checks={ran} failed={failed} boot={boot}", flush=True)
    return failed != 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
