# SPDX-License-Identifier: Apache-2.0
"""Attacks at the door: the start directory, descriptors that creel was started with, the runtime
run as its own command, what the machine's root left in a host directory, neighbours, btrfs, the
programs themselves."""

import contextlib
import os
import pathlib
import pty
import select
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from harness import Traces, ensure_user, new_token, parse_cases, result_text
from preparation import assert_refused, refuses_workspace, workspace_for


def test_nothing_is_loaded(creel_binary):
    """No interpreter and no library: what a sandbox wrote is never code of creel's or init's."""
    init = creel_binary.parents[2] / "guest" / "creel-init"  # as the build has it
    for program in (creel_binary, init):
        shown = subprocess.run(["readelf", "-W", "-l", "-d", program], check=True, timeout=30,
                               capture_output=True, text=True).stdout
        assert " LOAD " in shown, shown
        for word in ("INTERP", "NEEDED", "RPATH", "RUNPATH"):
            assert word not in shown, f"{program.name}: {word} in\n{shown}"


STARTS = ["/proc/self/fd/7", "/proc/self/fd/3", "/proc/1/root", "/proc/1/cwd", "../../../..",
          "/workspace/link", "/workspace/fd", "/proc/self/cwd/.."]


@pytest.mark.parametrize("cwd", STARTS)
def test_start_directory(who, attacks, cwd, victim):
    """CVE-2024-21626: --cwd through a descriptor of the runtime. Refused, or inside."""
    workspace = who.directory("workspace-")
    os.symlink(victim, workspace / "link")
    os.symlink("/proc/self/fd/7", workspace / "fd")
    directory = os.open("/", os.O_RDONLY)
    os.set_inheritable(directory, True)
    try:
        done = who.run("run", "--workspace", workspace, "--cwd", cwd, "--ro",
                       f"{attacks}:/attacks", "--", "/attacks/fds", pass_fds=(directory,))
    finally:
        os.close(directory)
    if done.returncode in (125, 126, 127):
        assert done.stderr.strip()
        return
    cases = parse_cases(done.stdout.decode())
    broken = [f"{k}: {v[1]}" for k, v in cases.items() if v[0] == "BROKEN"]
    assert cases and not broken, broken


def test_directory_as_stdin(who, user, attacks):
    """fd 0 is a directory of the machine: refused, or not to be walked out of."""
    directory = os.open("/etc", os.O_RDONLY)
    try:
        done = who.run("run", *(["--root"] if user == "root" else []), "--ro",
                       f"{attacks}:/attacks", "--", "/attacks/fds", stdin=directory)
    finally:
        os.close(directory)
    if done.returncode == 125:
        assert done.stderr.strip()
        return
    cases = parse_cases(done.stdout.decode())
    broken = [f"{k}: {v[1]}" for k, v in cases.items() if v[0] == "BROKEN"]
    assert cases and not broken, broken


def test_stdin_file_is_read_only(who, user):
    """creel run < FILE: the file can be read, not written, opened again or changed."""
    directory = who.directory("stdin-")
    file = directory / "input"
    file.write_text("input\n")
    os.chown(file, who.uid, who.gid)
    with open(file, "rb") as stream:
        done = who.run("run", *(["--root"] if user == "root" else []), "--", "/bin/sh", "-c",
                       "cat; echo bad > /proc/self/fd/0; chmod 777 /proc/self/fd/0; "
                       "truncate -s 0 /proc/self/fd/0; cat /proc/self/fd/0", stdin=stream)
    assert file.read_text() == "input\n" and file.stat().st_mode & 0o777 == 0o644
    assert done.stdout.startswith(b"input\n"), done


def test_runtime_run_as_the_command(who, attacks):
    """#!/proc/self/exe makes whoever starts it run itself inside (CVE-2019-5736)."""
    workspace = who.directory("workspace-")
    (workspace / "evil").write_text("#!/proc/self/exe\n")
    (workspace / "evil").chmod(0o755)
    os.symlink("/proc/self/exe", workspace / "link")
    os.chown(workspace / "evil", who.uid, who.gid)
    before = (who.binary.stat().st_mtime_ns, who.binary.read_bytes())
    for command in ("/workspace/evil", "/workspace/link", "/proc/self/exe", "/proc/1/exe"):
        token = new_token()
        traces = Traces.take(who)
        done = who.run("run", "--timeout", "2s", "--workspace", workspace, "--", command, token,
                       token=token, timeout=20)
        assert done.returncode != 0, done
        traces.assert_gone(token)
    assert before == (who.binary.stat().st_mtime_ns, who.binary.read_bytes())


@pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes and setuid files on the machine")
def test_what_root_left_in_a_host_directory(who, user, attacks):
    """A device node and a setuid-root program in a workspace do not work inside: nodev, nosuid."""
    workspace = workspace_for(who, user)
    if refuses_workspace(who, user):
        assert_refused(who.run("run", "--root", "--workspace", workspace, "--", "/bin/true"))
        return
    os.mknod(workspace / "node", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.chmod(workspace / "node", 0o666)
    copy = workspace / "suid"
    copy.write_bytes((attacks / "setuid-exec").read_bytes())
    os.chown(copy, 0, 0)
    copy.chmod(0o4755)
    extra = ["--root"] if user == "root" else []
    result, _ = who.run_json(*extra, "--workspace", workspace, "--", "/bin/sh", "-c",
                             "head -c 1 /workspace/node >/dev/null 2>&1 && echo OPENED; "
                             "/workspace/suid --report $(id -u) ffffffffffffffff; echo $?")
    assert result_text(result).split() == ["10"], result


def test_descriptors_of_the_machine_stay_out(who, user, attacks):
    """Spare descriptors of every kind: a directory, a file, a socket, a pipe, a terminal."""
    master, slave = pty.openpty()
    one, two = socket.socketpair()
    kept = [os.open("/", os.O_RDONLY), os.open("/etc/passwd", os.O_RDONLY), master, slave,
            one.fileno(), two.fileno(), *os.pipe(), os.memfd_create("x", 0)]
    for fd in kept:
        os.set_inheritable(fd, True)
    done = who.run("run", *(["--root"] if user == "root" else []), "--ro",
                   f"{attacks}:/attacks", "--", "/attacks/fds", pass_fds=kept)
    one.detach(), two.detach()
    for fd in kept:
        os.close(fd)
    cases = parse_cases(done.stdout.decode())
    broken = [f"{k}: {v[1]}" for k, v in cases.items() if v[0] == "BROKEN"]
    assert cases and not broken, (broken, done)


def read_all(fd, process, seconds=30):
    """What comes out of a terminal until the process ends."""
    text, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        ready, _, _ = select.select([fd], [], [], 0.2)
        if ready:
            try:
                text += os.read(fd, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
    return text


def test_terminal_of_the_caller(who, user, attacks):
    """On a terminal: the one inside is another, and nothing is typed into the caller's."""
    master, slave = pty.openpty()
    extra = ["--root"] if user == "root" else []
    process = who.popen("run", "--tty", "on", *extra, "--ro", f"{attacks}:/attacks", "--",
                        "/attacks/tty", stdin=slave, stdout=slave, stderr=slave)
    try:
        text = read_all(master, process).decode("utf-8", "replace").replace("\r", "")
        process.wait(10)
        typed, _, _ = select.select([slave], [], [], 0)
    finally:
        process.kill()
        process.wait(10)
        os.close(master)
        os.close(slave)
    cases = parse_cases(text)
    broken = [f"{k}: {v[1]}" for k, v in cases.items() if v[0] == "BROKEN"]
    assert cases and not broken, (broken, text)
    assert not typed


def wait_line(process, seconds=10):
    ready, _, _ = select.select([process.stdout], [], [], seconds)
    return process.stdout.readline() if ready else b""


class UsesPrograms(threading.Thread):
    """Runs a program of the machine again and again, as another tenant would."""

    def __init__(self):
        super().__init__(daemon=True)
        self.finished = threading.Event()

    def run(self):
        while not self.finished.wait(0.05):
            subprocess.run(["/usr/bin/env", "true"], check=True, timeout=10)


@contextlib.contextmanager
def marks_of_the_machine(attacks):
    """The same marks left by the machine itself, outside of every sandbox."""
    names = ("/dev/shm/creel-neighbour", "/tmp/creel-neighbour")
    process = subprocess.Popen(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                                attacks / "neighbours", "leave"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    try:
        assert wait_line(process).startswith(b"LEFT")
        yield
    finally:
        process.stdin.close()
        process.wait(10)
        for kind in ("-M", "-S", "-Q"):
            subprocess.run(["ipcrm", kind, "0x0c4ee1"], check=False, timeout=10,
                           stderr=subprocess.DEVNULL)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="leaves marks as another user")
def test_neighbours(who, user, attacks):
    """Another sandbox and the machine hold marks; a second sandbox finds none of them."""
    extra = ["--root"] if user == "root" else []
    ro = ["--ro", f"{attacks}:/attacks"]
    first = who.popen("run", *extra, *ro, "--", "/attacks/neighbours", "leave",
                      stdin=subprocess.PIPE)
    try:
        assert wait_line(first) == b"LEFT 6\n"
        with marks_of_the_machine(attacks):
            others = UsesPrograms()
            others.start()
            done = who.run("run", *extra, *ro, "--", "/attacks/neighbours", "find")
            others.finished.set()
            others.join(10)
    finally:
        first.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            first.wait(10)
        if first.poll() is None:
            os.kill(first.pid, signal.SIGKILL)
            first.wait(10)
    cases = parse_cases(done.stdout.decode())
    broken = [f"{k}: {v[1]}" for k, v in cases.items() if v[0] == "BROKEN"]
    assert cases and not broken, (broken, done)


@pytest.fixture
def btrfs(who, session_directory):
    """A small btrfs of its own, owned by the caller, mounted below the session's directory."""
    if os.geteuid() != 0:
        pytest.skip("mounting a btrfs needs root")
    if "btrfs" not in pathlib.Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no btrfs")
    image = session_directory / f"btrfs-{time.monotonic_ns()}"
    place = who.directory("btrfs-")
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True, timeout=60)
    subprocess.run(["mount", "-o", "loop", image, place], check=True, timeout=30)
    try:
        work = who.own(place / "work", 0o755)
        yield work
    finally:
        subprocess.run(["umount", place], check=True, timeout=30)
        image.unlink()


def test_btrfs_workspace(who, user, attacks, btrfs):
    """A host directory on btrfs: the one place where the filter alone stands before its ioctls."""
    if who.uid == 0 and user == "root":
        os.chown(btrfs, ensure_user().pw_uid, -1)
    done = who.run("run", *(["--root"] if user == "root" else []), "--workspace", btrfs, "--ro",
                   f"{attacks}:/attacks", "--", "/attacks/btrfs")
    if refuses_workspace(who, user):
        assert_refused(done)
        return
    cases = parse_cases(done.stdout.decode())
    broken = [f"{k}: {v[1]}" for k, v in cases.items() if v[0] == "BROKEN"]
    assert cases and not broken, (broken, done)
    assert not (btrfs / "creel-nested").exists()


def test_reader_that_goes_away_ends_the_run(who):
    """creel run ... | head: a relayed stream whose reader is gone must not run for ever."""
    for options in ([], ["--output", "1G"]):
        process = who.popen("run", *options, "--timeout", "20s", "--", "/usr/bin/yes")
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        start = time.monotonic()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            pytest.fail(f"creel run {options} goes on without a reader")
        finally:
            process.stderr.close()
        assert time.monotonic() - start < 5


def test_detach_gives_the_terminal_back(who):
    """id=$(creel run --detach ...): nothing of the run may hold the caller's pipe open."""
    start = time.monotonic()
    done = who.run("run", "--detach", "--", "/bin/sleep", "60", timeout=30)
    assert done.returncode == 0, done
    assert time.monotonic() - start < 20, "the caller's stdout was held open"
    who.run("kill", done.stdout.decode().strip(), timeout=20)
