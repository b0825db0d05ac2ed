# SPDX-License-Identifier: Apache-2.0
"""Resource attacks: the right limit ends the run or the kernel refuses the resource, the sandbox
is gone within a second of its end, and the machine goes on.

Each bomb stops itself far beyond the limit and then says BROKEN (see attacks/bomb.h)."""

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from harness import Traces, host_tree, leftover_processes, new_token, result_text

MEMORY = ["--memory", "256M", "--disk", "64M"]
PIDS = ["--pids", "64", "--memory", "512M"]
DISK = ["--disk", "64M", "--memory", "1G"]
LARGE = ["--disk", "300M", "--memory", "256M"]  # more than a tmpfs may be: a directory
KILLED = 137
TIMED_OUT = 124


@dataclasses.dataclass
class Bomb:
    """ended: ended_by values that name the limit; refused: errnos that count instead."""
    program: str
    kind: str
    options: list
    ended: tuple
    refused: tuple = ()
    done: bool = False  # may also run to its own end, unharmful
    seconds: int = 60
    env: tuple = ()
    label: str = ""
    counted_by: str = ""  # only this controller sees it; docs/SECURITY.md says what passes without

    def __str__(self):
        return f"{self.program}-{self.kind}{self.label}"


BOMBS = [
    Bomb("memory", "heap", MEMORY, ("memory",), ("ENOMEM",)),
    Bomb("memory", "children", MEMORY, ("memory",)),
    Bomb("memory", "dev_shm", MEMORY, ("memory",), ("ENOSPC",)),
    Bomb("memory", "tmp", MEMORY, ("memory", "disk"), ("ENOSPC", "EDQUOT")),
    Bomb("memory", "memfd", MEMORY, ("memory", "disk"), ("ENOSPC", "EPERM", "EFBIG")),
    Bomb("memory", "memfds", MEMORY, ("memory",), ("ENOSPC", "EPERM", "EMFILE"),
         counted_by="cgroup memory"),
    Bomb("memory", "sysv", MEMORY, ("memory",), ("ENOSPC", "ENOSYS", "EPERM"),
         counted_by="cgroup memory"),
    Bomb("memory", "pipes", MEMORY, ("memory",), ("EMFILE", "ENFILE")),
    Bomb("memory", "sockets", MEMORY, ("memory",), ("EMFILE", "ENFILE"),
         counted_by="cgroup memory"),
    Bomb("memory", "page_tables", MEMORY, ("memory",), ("ENOMEM",)),
    Bomb("memory", "page_cache", MEMORY, (), ("ENOSPC",), done=True),
    Bomb("memory", "quiet", MEMORY, ("memory",), ("ENOMEM",)),
    Bomb("process", "fork", PIDS, ("pids",), ("EAGAIN",)),
    Bomb("process", "endless_fork", [*PIDS, "--timeout", "3s"],
         ("pids", "timeout", "memory")),  # refused forks take memory until RCU gives it back
    Bomb("process", "zombies", PIDS, ("pids",), ("EAGAIN",)),
    Bomb("process", "threads", PIDS, ("pids",), ("EAGAIN",)),
    Bomb("process", "orphans", [*PIDS, "--timeout", "120s"], (), done=True, seconds=150),
    Bomb("process", "files", PIDS, (), ("EMFILE", "ENFILE")),
    Bomb("process", "in_flight", PIDS, ("memory",), ("ETOOMANYREFS", "EMFILE", "ENFILE")),
    Bomb("process", "stop", [*PIDS, "--timeout", "2s"], ("timeout",)),
    Bomb("process", "deaf", [*PIDS, "--timeout", "2s"], ("timeout",)),
    Bomb("process", "daemon", PIDS, (), done=True),
    Bomb("process", "holder", PIDS, (), done=True),
    Bomb("process", "burn", ["--cpu-time", "1s", "--timeout", "20s"], ("cpu",)),
    Bomb("process", "burn_unwaited", ["--cpu-time", "2s", "--timeout", "30s"], ("cpu",),
         counted_by="cgroup core"),
    Bomb("disk", "fill", LARGE, ("disk",), ("ENOSPC", "EDQUOT", "EFBIG"), label="-large",
         env=("CREEL_BOMB_MIB=3000",)),
    Bomb("disk", "fill_unlinked", DISK, ("disk",), ("ENOSPC", "EDQUOT")),
    # fill_unlinked over a directory layer is not here: a walk does not see a file without a name
    # (docs/SECURITY.md, Limits).
    Bomb("disk", "inodes", ["--disk", "40M", "--memory", "64M"], ("disk",), ("ENOSPC", "EDQUOT"),
         label="-large", env=("CREEL_BOMB_INODES=1000000",), seconds=120),
    Bomb("disk", "fill", DISK, ("disk",), ("ENOSPC", "EDQUOT")),
    Bomb("disk", "fallocate", DISK, ("disk",), ("ENOSPC", "EDQUOT", "EOPNOTSUPP")),
    Bomb("disk", "inodes", DISK, ("disk", "memory"), ("ENOSPC", "EDQUOT"), seconds=120),
    Bomb("disk", "sparse", DISK, ("disk",), ("EFBIG", "ENOSPC", "EINVAL"), done=True),
    Bomb("disk", "deep", DISK, ("disk",), ("ENOSPC", "EDQUOT", "ENAMETOOLONG"), done=True),
    Bomb("disk", "xattrs", DISK, ("disk", "memory"),
         ("ENOSPC", "EDQUOT", "EOPNOTSUPP", "E2BIG", "EPERM")),
    Bomb("disk", "direct", [*LARGE, "--write-total", "64M"], ("io", "disk"),
         ("EINVAL", "ENOSPC", "EDQUOT")),
    Bomb("disk", "rewrite", [*LARGE, "--write-total", "64M"], ("io", "disk")),
    Bomb("disk", "rewrite_children", [*LARGE, "--write-total", "64M"], ("io", "disk")),
    Bomb("disk", "output", ["--output", "1M", "--timeout", "30s"], ("output",), done=True),
    Bomb("disk", "endless_output", ["--output", "1M", "--timeout", "5s"], ("output", "timeout")),
]


def judge(bomb, result):
    """What is wrong with a bomb's end; None if nothing is."""
    if is_refused_openly(bomb, result):
        return None
    if "error" in result:
        return result["error"]["message"]
    text, ended, code = result_text(result), result["ended_by"], result["exit_code"]
    summary = f"ended_by {ended}, exit {code}, stdout {text[-300:]!r}, " \
              f"stderr {result_text(result, 'stderr')[-300:]!r}"
    if "BROKEN" in text:
        return f"no limit: {summary}"
    refused = re.search(r"REFUSED \S+ (\S+)", text)
    if ended in bomb.ended:  # a command that gave up at a wall keeps its own exit code
        wanted = TIMED_OUT if ended == "timeout" else KILLED
        return None if code == wanted or refused else f"exit code is not {wanted}: {summary}"
    if ended == "exit" and refused:
        return None if refused.group(1) in bomb.refused else f"refused otherwise: {summary}"
    if ended == "exit" and bomb.done and code == 0:
        return None
    return f"neither limit {bomb.ended} nor refused {bomb.refused}: {summary}"


def set_off(who, attacks, bomb, token, *options):
    """The result of the bomb."""
    result, _ = who.run_json(*bomb.options, *options, "--ro", f"{attacks}:/attacks",
                             *(word for e in ("CREEL_BOMB=1", *bomb.env) for word in ("--env", e)),
                             "--", f"/attacks/bomb-{bomb.program}", bomb.kind, "/workspace",
                             token, token=token, timeout=bomb.seconds + 30)
    return result


def run_bomb(who, attacks, bomb, *options):
    """Its result and time, when nothing of it is left. Nothing else of this user may run."""
    token = new_token()
    traces = Traces.take(who)
    start = time.monotonic()
    result = set_off(who, attacks, bomb, token, *options)
    seconds = time.monotonic() - start
    traces.assert_gone(token, result.get("id"))
    return result, seconds


def is_refused_openly(bomb, result):
    """A limit that the caller names and this machine cannot enforce is refused: that holds too."""
    message = result.get("error", {}).get("message", "")
    return "cannot be enforced here" in message and any(
        message.startswith(o) for o in bomb.options if o.startswith("--"))


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_bomb(who, attacks, bomb, host_watch, doctor):
    """As uid 1000."""
    if bomb.counted_by and doctor[who.name]["checks"][bomb.counted_by]["state"] != "ok":
        pytest.skip(f"rootless limits need not be cgroups: no {bomb.counted_by} for {who.name}")
    result, seconds = run_bomb(who, attacks, bomb)
    wrong = judge(bomb, result)
    assert wrong is None, wrong
    assert seconds < bomb.seconds


AS_ROOT = [b for b in BOMBS if b.kind in ("heap", "tmp", "fork", "endless_fork", "fill", "inodes",
                                          "files", "deaf", "daemon")]


@pytest.mark.parametrize("bomb", AS_ROOT, ids=str)
def test_bomb_by_sandbox_root(who, attacks, bomb, host_watch):
    """Root of the sandbox has reserved blocks, may raise nothing and is held by the same limits."""
    result, _ = run_bomb(who, attacks, bomb, "--root")
    wrong = judge(bomb, result)
    assert wrong is None, wrong


@pytest.mark.parametrize("place", ["/home/user", "/tmp", "/dev/shm", "/var/tmp", "/run"])
def test_fill_everywhere(who, attacks, place, host_watch):
    """No writable place inside is outside the limits."""
    token = new_token()
    traces = Traces.take(who)
    result, _ = who.run_json("--disk", "64M", "--memory", "256M", "--ro", f"{attacks}:/attacks",
                             "--env", "CREEL_BOMB=1", "--", "/attacks/bomb-disk", "fill", place,
                             token, token=token, timeout=90)
    traces.assert_gone(token, result["id"])
    bomb = Bomb("disk", "fill", [], ("disk", "memory"),
                ("ENOSPC", "EDQUOT", "EACCES", "EROFS", "ENOENT"))
    assert judge(bomb, result) is None, judge(bomb, result)


def test_output_is_cut(who, attacks):
    """1 GB of output: what comes back is at most the cap, and the result says that it was cut."""
    bomb = Bomb("disk", "output", ["--output", "1M", "--timeout", "30s"], ("output",), done=True)
    result, _ = run_bomb(who, attacks, bomb)
    assert len(result_text(result)) <= 1 << 20
    assert result["ended_by"] == "output" or result["truncated"].get("stdout"), result["truncated"]


def test_pass_through_output_to_a_slow_reader(who, attacks):
    """A reader that does not read must not make creel hold the output in memory."""
    token = new_token()
    traces = Traces.take(who)
    process = who.popen("run", "--timeout", "5s", "--ro", f"{attacks}:/attacks", "--env",
                        "CREEL_BOMB=1", "--", "/attacks/bomb-disk", "output", "/workspace", token,
                        token=token)
    time.sleep(2)
    grown = [int(line.split()[1]) for line in
             pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines()
             if line.startswith("VmRSS")]
    process.kill()
    process.communicate(timeout=20)
    traces.assert_gone(token, within=3)
    assert grown and grown[0] < 64 * 1024, f"creel holds {grown} KiB"


def test_sparse_file_does_not_leave_in_full(who, attacks):
    """3 GiB with nothing in it, in /workspace of a run with --out: not copied as 3 GiB."""
    out = who.directory("out-")
    bomb = Bomb("disk", "sparse", DISK, (), ("EFBIG", "ENOSPC", "EINVAL"), done=True,
                env=("CREEL_BOMB_MIB=3000",))
    start = time.monotonic()
    _, seconds = run_bomb(who, attacks, bomb, "--out", str(out))
    used = sum(info.st_blocks * 512 for info in host_tree(out).values())
    assert used <= 65 << 20, f"{used} bytes left the sandbox"
    assert seconds < 30 and time.monotonic() - start < 30


def test_sparse_file_in_a_host_workspace(who, attacks):
    """The same in a host directory: looking for changes must end too."""
    workspace = who.directory("workspace-")
    bomb = Bomb("disk", "sparse", ["--memory", "256M"], (), ("EFBIG",), done=True)
    _, seconds = run_bomb(who, attacks, bomb, "--workspace", str(workspace))
    assert seconds < 30


def test_holder_does_not_delay_the_result(who, attacks):
    """A child that keeps stdout open must not keep the caller waiting."""
    for kind in ("holder", "daemon"):
        bomb = Bomb("process", kind, PIDS, (), done=True)
        result, seconds = run_bomb(who, attacks, bomb)
        assert result["exit_code"] == 0 and seconds < 20, (kind, seconds)
        assert "DONE" in result_text(result)


def test_deaf_is_killed_after_the_grace(who, attacks):
    """SIGTERM, 2 s, then the whole group: not before 1 + 2 s, not much later."""
    bomb = Bomb("process", "deaf", ["--timeout", "1s"], ("timeout",))
    result, seconds = run_bomb(who, attacks, bomb)
    assert result["ended_by"] == "timeout" and 1 <= seconds < 20, seconds


def _cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_recorded_calls_do_not_cost_the_machine(who, attacks):
    """A flood of calls that creel answers itself is rate-capped: its own time stays small."""
    token = new_token()
    process = who.popen("run", "--timeout", "20s", "--ro", f"{attacks}:/attacks", "--env",
                        "CREEL_BOMB=1", "--", "/attacks/bomb-process", "notify", token=token)
    time.sleep(2.5)
    spent = _cpu_seconds(process.pid)
    process.communicate(timeout=40)
    assert spent < 0.7, f"creel used {spent} s of CPU in 2.5 s"


def test_neighbour_is_unaffected(who, attacks):
    """A sandbox beside a fork and memory bomb finishes its work."""
    bombs = [b for b in BOMBS if b.kind in ("endless_fork", "heap")]
    token, traces = new_token(), Traces.take(who)
    with concurrent.futures.ThreadPoolExecutor(len(bombs)) as pool:
        ends = [pool.submit(set_off, who, attacks, bomb, new_token()) for bomb in bombs]
        result, _ = who.run_json("--", "/bin/sh", "-c", "i=0; while [ $i -lt 20 ]; do i=$((i+1)); "
                                 f"/bin/true || exit 9; done; echo fine {token}", token=token)
    assert result["exit_code"] == 0 and "fine" in result_text(result), result
    for bomb, end in zip(bombs, ends):
        wrong = judge(bomb, end.result())
        assert wrong is None, wrong
        traces.assert_gone(sandbox=end.result().get("id"))


def _group_value(pid, controller, names):
    """A limit as the kernel has it, from the cgroup that the process is in."""
    lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    for line in lines:
        number, kinds, path = line.split(":", 2)
        if controller in kinds.split(",") or (number == "0" and kinds == ""):
            for base in (f"/sys/fs/cgroup/{kinds}", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                for name in names:
                    file = pathlib.Path(base + path) / name
                    if file.exists():
                        return file.read_text().strip()
    return None


def test_limits_are_in_the_kernel(who, attacks):
    """A limit that was silently not applied: as root every one is read back from its group."""
    if who.name != "root-run":
        pytest.skip("rootless limits need not be cgroups; the bombs try them")
    token = new_token()
    process = who.popen("run", "--memory", "256M", "--pids", "64", "--cpus", "0.5", "--ro",
                        f"{attacks}:/attacks", "--env", "CREEL_BOMB=1", "--",
                        "/attacks/bomb-process", "deaf", "/workspace", token, token=token)
    try:
        assert process.stdout.readline() == b"READY\n", process.communicate(timeout=10)
        inside = [pid for pid, line, _ in leftover_processes(who, token)
                  if line.startswith(b"/attacks/bomb-process")]
        assert inside
        pid = inside[0]
        memory = _group_value(pid, "memory", ("memory.max", "memory.limit_in_bytes"))
        assert memory == str(256 << 20)
        assert _group_value(pid, "pids", ("pids.max",)) == "64"
        quota = _group_value(pid, "cpu", ("cpu.max", "cpu.cfs_quota_us"))
        assert quota and int(quota.split()[0]) > 0, quota
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)


def test_overlay_is_writable_for_root(who):
    """An overlay silently mounted read-only would let root's writes fail: they must not."""
    probe = "/usr/share/creel-probe-" + new_token()
    result, _ = who.run_json("--root", "--", "/bin/sh", "-c", f"echo x > {probe} && cat {probe}")
    assert result_text(result) == "x\n", result
    assert not pathlib.Path(probe).exists()


def test_open_files_of_the_machine_are_given_back(who, attacks):
    """A descriptor bomb uses the machine's table only while it lives."""
    def allocated():
        return int(pathlib.Path("/proc/sys/fs/file-nr").read_text().split()[0])
    before = allocated()
    run_bomb(who, attacks, Bomb("process", "in_flight", PIDS, (), ()))
    time.sleep(1)
    subprocess.run(["/bin/true"], check=True, timeout=10)
    assert allocated() < before + 20000
