# SPDX-License-Identifier: Apache-2.0
"""What a command, or somebody beside it, does to creel itself: files that change under its hands,
streams that stall or are taken away, trees that are slow to look at."""

import os
import pty
import resource
import shutil
import signal
import subprocess
import threading
import time

import creelkit
import pytest


@pytest.fixture
def wanderer():
    """wanderer(path, a, b): until the end of the test, path is now the one and now the other."""
    stop, threads = threading.Event(), []

    def start(path, make_one, make_other):
        def flip():
            while not stop.is_set():
                for make in (make_one, make_other):
                    new = path.with_name(path.name + ".new")
                    make(new)
                    os.replace(new, path)
        threads.append(threading.Thread(target=flip, daemon=True))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)


# ---- files ----

def test_out_below_the_workspace_is_refused(creel):
    """The command could put a link in its place, which leads anywhere on the host."""
    work = creel.directory()
    (work / "out").mkdir()
    for out in (work / "out", work):
        done = creel.run("--workspace", work, "--out", out, "--", "true")
        assert done.code == 125 and "--out" in done.errors and "--workspace" in done.errors, done


def test_out_is_the_directory_of_the_start(creel, children):
    """Whoever moves it away and puts a link there leads nothing astray."""
    place, other = creel.directory(), creel.directory()
    out = creel.own(place / "out", 0o755)
    process = creel.popen("run", "--out", out, "--", "sh", "-c", "echo up; read x; echo k > f",
                          stdin=subprocess.PIPE)
    children.append(process)
    assert process.stdout.readline() == b"up\n"
    out.rename(place / "moved")
    (place / "out").symlink_to(other)
    process.communicate(b"\n", timeout=20)
    assert process.returncode == 0
    assert (place / "moved" / "f").read_text() == "k\n" and not list(other.iterdir())


def test_out_that_is_not_whole_is_told(creel):
    """More directories below each other than creel walks: no silent loss."""
    out = creel.directory()
    deep = "i=0; while [ $i -lt 140 ]; do mkdir d; cd d; i=$((i+1)); done; echo x > f"
    done = creel.sh(deep, "--out", out, timeout=60)
    assert done.code == 125 and "--out" in done.errors and "not everything" in done.errors, done
    result = creel.json("--out", creel.directory(), "--", "sh", "-c", f"{deep}; echo said")
    assert result["exit_code"] == 125 and result["stdout"] == "said\n"
    assert "not everything" in result["error"]["message"]


def test_out_on_a_full_disk_keeps_the_result(root_creel):
    out = root_creel.directory()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", out], check=True)
    try:
        result = root_creel.json("--out", out, "--", "sh", "-c", "echo said; head -c 1M /dev/zero > f")
    finally:
        subprocess.run(["umount", out], check=True)
    assert result["exit_code"] == 125 and result["stdout"] == "said\n"
    assert "No space left" in result["error"]["message"]


def test_in_follows_no_link_that_comes_meanwhile(root_creel, wanderer):
    """Root copies a directory that another user changes: nothing that user cannot read goes in."""
    secret = root_creel.file(root_creel.directory() / "secret", "SECRET", 0o600)
    given = root_creel.directory()
    wanderer(given / "f", lambda new: new.write_text("fine"), lambda new: new.symlink_to(secret))
    for _ in range(25):
        done = root_creel.sh(f"cat {given.name}/f", "--in", given)
        assert b"SECRET" not in done.out, done


def test_in_takes_files_only(creel):
    for path in ("/dev/null", "/proc/cpuinfo", "/sys/kernel"):
        done = creel.run("--in", path, "--", "true")
        assert done.code == 125 and path in done.errors and done.errors.count("\n") == 1, done
    place = creel.directory()
    os.mkfifo(place / "pipe")
    os.chown(place / "pipe", creel.uid, creel.gid)
    done = creel.run("--in", place / "pipe", "--", "true")
    assert done.code == 125 and "no file or directory" in done.errors, done


@pytest.mark.parametrize("option", ["--ro", "--workspace"])
def test_the_kernels_own_file_systems_are_refused(creel, option):
    for path in ("/proc", "/proc/self", "/sys", "/sys/fs/cgroup", "/dev", "/"):
        done = creel.run(option, f"{path}:/data" if option == "--ro" else path, "--", "true")
        assert done.code == 125 and option in done.errors, done


def test_a_pipe_where_a_mount_point_should_be(creel):
    """Left in the workspace by an earlier run: it must not hold the start up for ever."""
    work, data = creel.directory(), creel.file(creel.directory() / "data", "data")
    os.mkfifo(work / "f")
    done = creel.run("--workspace", work, "--ro", f"{data}:/workspace/f", "--", "cat", "f")
    assert (done.code, done.out) == (0, b"data") or (done.code == 125 and done.err), done


def test_a_file_where_a_mount_point_should_be_keeps_its_owner(root_creel):
    work, data = root_creel.directory(), root_creel.file(root_creel.directory() / "data", "data")
    shutil.chown(work, creelkit.USER_NAME)
    theirs = root_creel.file(work / "f", "theirs", 0o600)
    done = root_creel.run("--workspace", work, "--ro", f"{data}:/workspace/f", "--", "cat", "f")
    assert (done.code, done.out) == (0, b"data"), done
    assert theirs.stat().st_uid == 0 and theirs.read_text() == "theirs"


def test_names_that_are_long_as_json_cost_no_result(creel):
    script = ("import os\nos.makedirs('/tmp/d')\nos.chdir('/tmp/d')\n"
              "for _ in range(14):\n os.mkdir('\\1' * 250)\n os.chdir('\\1' * 250)\n"
              "for i in range(6000): open(f'{i}', 'w').close()\nprint('said')")
    result = creel.json("--lang", "python", "-c", script, timeout=120)
    assert result["exit_code"] == 0 and result["stdout"] == "said\n"
    assert result["truncated"]["changes"] and len(result["changes"]) > 100


def test_many_names_with_one_beginning_are_told_in_time(creel):
    """"a-1" sorts between "a" and "a/x": which directory is empty must not be searched for."""
    script = ("import os\nfor i in range(1500): os.mkdir(f'd{i}')\n"
              "for i in range(1500):\n for k in range(12): open(f'd{i}-{k}', 'w').close()\n")
    started = time.monotonic()
    result = creel.json("--lang", "python", "-c", script, timeout=120)
    assert result["exit_code"] == 0 and len(result["changes"]) == 10000
    assert time.monotonic() - started < 60


def test_a_host_path_behind_a_link_of_the_image_is_not_told(root_creel):
    """/var/run leads to /run: of the sandbox, not of the host."""
    result = root_creel.json("--root", "--", "sh", "-c", "rm /var/run; mkdir -p /var/run/creel; "
                             "touch /var/run/creel/ids /var/run/creel/none")
    kinds = {c["path"]: c["kind"] for c in result["changes"]}
    assert kinds["/var/run/creel/ids"] == kinds["/var/run/creel/none"] == "added", kinds


# ---- streams ----

STEAL = """
import os, time
r = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
end = time.time() + 1.5
while time.time() < end:
    os.write(1, b"x")
    try:
        os.read(r, 1)
    except BlockingIOError:
        pass
time.sleep(300)
"""


def test_a_command_that_takes_its_own_output_back(creel):
    """creel saw a byte that is gone when it reads: the time-out holds all the same."""
    for _ in range(4):
        result = creel.json("--timeout", "1s", "--lang", "python", "-c", STEAL)
        assert result["ended_by"] == "timeout"


def test_output_of_others_in_the_same_pipe_is_not_seen(creel):
    """creel a & creel b, both into one pipe: b must not read what a wrote."""
    read, write = os.pipe()
    os.fchown(write, creel.uid, creel.gid)
    os.write(write, b"of somebody else\n")
    script = "timeout 1 head -c 5 /proc/self/fd/1 >&2; echo mine"
    done = creel.sh(script, stdout=write)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        assert file.read() == b"of somebody else\nmine\n"
    assert b"of so" not in done.err, done


def test_flags_of_the_callers_pipe_stay(creel):
    read, write = os.pipe()
    os.fchown(write, creel.uid, creel.gid)
    script = "import fcntl, os; fcntl.fcntl(1, fcntl.F_SETFL, os.O_NONBLOCK)"
    assert creel.run("--lang", "python", "-c", script, stdout=write).code == 0
    assert os.get_blocking(write)
    os.close(read)
    os.close(write)


def test_output_that_cannot_be_written_is_told(creel):
    with open("/dev/full", "wb") as full:
        done = creel.run("--", "echo", "short", stdout=full)
        assert done.code == 125 and "No space left" in done.errors, done
        assert creel.run("--", "sh", "-c", "echo short; exit 3", stdout=full).code == 3


def test_a_terminal_that_nobody_reads_holds_nothing_up(creel):
    master, slave = pty.openpty()
    os.fchown(slave, creel.uid, creel.gid)
    try:
        for options in (["--tty", "off"], ["--tty", "on"]):
            done = creel.run(*options, "--timeout", "1s", "--", "yes", stdin=slave, stdout=slave)
            assert done.code == 124, done
    finally:
        os.close(slave)
        os.close(master)


def test_a_terminal_inside_that_nobody_reads_holds_nothing_up(creel):
    done = creel.run("--tty", "on", "--timeout", "2s", "--", "sh", "-c", "stty raw; sleep 60",
                     input=b"x" * 400000)
    assert done.code == 124, done


def test_the_end_of_input_waits_for_room_in_the_terminal(creel):
    """Ctrl-D cannot be typed into a full terminal: it comes once there is room."""
    lines = b"".join(b"line %d\n" % i for i in range(20000))
    done = creel.run("--tty", "on", "--", "sh", "-c", "stty -echo; sleep 1; wc -l", input=lines)
    assert done.code == 0 and b"20000" in done.out, done


def test_a_named_pipe_whose_writer_has_gone(creel):
    fifo = creel.directory() / "fifo"
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    read = os.open(fifo, os.O_RDONLY)
    os.write(keep, b"data")
    os.close(keep)
    assert creel.run("--", "cat", stdin=read).out == b"data"
    os.close(read)


# ---- the caller's own limits and signals ----

def test_a_file_size_limit_of_the_caller(creel):
    """ulimit -f: creel must not be killed by what the command prints."""
    out = creel.file(creel.directory() / "out")
    with open(out, "wb") as file:
        limit = 64 << 20
        done = creel.run("--", "head", "-c", "70M", "/dev/zero", stdout=file,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                               (limit, limit)))
    assert done.code in (125, 128 + signal.SIGPIPE) and "too large" in done.errors, done
    assert out.stat().st_size == limit


def test_a_file_size_limit_that_the_log_cannot_live_with(creel):
    """Nothing runs without a record."""
    work = creel.directory()
    done = creel.sh("touch ran", "--workspace", work, "--org", "small",
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    assert done.code == 125 and done.err.count(b"\n") == 1, done
    assert not (work / "ran").exists()


def test_a_caller_that_ignores_sigchld(any_creel):
    done = any_creel.run("--", "echo", "fine",
                         preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert (done.code, done.out) == (0, b"fine\n"), done


def test_waiting_for_the_list_of_changes_can_be_given_up(creel, children):
    """The command has ended; creel hashes what it left, however much that is."""
    work = creel.directory()
    for i in range(6):
        with open(creel.file(work / f"big{i}"), "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, 600 * creelkit.MIB)
    process = creel.popen("run", "--json", "--workspace", work, "--", "sh", "-c",
                          "touch big*; echo done >&3", pass_fds=(), stderr=subprocess.DEVNULL)
    children.append(process)
    time.sleep(1.5)
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert b'"exit_code"' in out and time.monotonic() - started < 5


def test_a_full_disk_keeps_the_exit_code_of_a_detached_run(root_creel):
    state = root_creel.directory("full-", 0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=700", "small", state], check=True)
    try:
        done = root_creel.run("--state", state, "--detach", "--output", "100M", "--", "sh", "-c",
                              "head -c 20M /dev/zero; exit 7")
        if done.code:  # this kernel's tmpfs has no mapped ids
            pytest.skip(done.errors)
        waited = root_creel("wait", "--state", state, done.text.strip())
        assert waited.code in (7, 128 + signal.SIGPIPE), waited
        told = root_creel("wait", "--json", "--state", state, done.text.strip())
        assert b'"truncated":{"stdout":true' in told.out or b"cannot keep" in told.out, told
    finally:
        subprocess.run(["umount", state], check=True)


def test_disks_of_read_only_data_are_limited_too(root_creel):
    """--io holds for every device that the command can read from, or is refused."""
    place = root_creel.directory()
    image = place / "disk.img"
    mount = root_creel.own(place / "mnt", 0o755)
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    try:
        (mount / "data").write_bytes(bytes(20 << 20))
        os.sync()
        done = root_creel.run("--io", "5M", "--ro", f"{mount}:/data", "--", "dd", "if=/data/data",
                              "of=/dev/null", "bs=1M", "iflag=direct", timeout=60)
    finally:
        subprocess.run(["umount", mount], check=True)
    assert done.code == 125 and "--io" in done.errors or done.seconds > 2, done
