# SPDX-License-Identifier: Apache-2.0
"""The btrfs pool under faults: full disks, kills at every step, crowds, damage. Root only.

The pool is driven by test-pool-root, which lies beside the unit tests in the build directory.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

import creelkit

GIVEN = pathlib.Path(os.environ.get("CREEL", creelkit.REPO / "build" / "creel")).resolve()
BUILD = next((p for p in GIVEN.parents if (p / "src" / "store").is_dir()), GIVEN.parent)
DRIVE = BUILD / "src" / "store" / "test-pool-root"
MIB = creelkit.MIB
FEWER = 99  # the exit status of a `kill N` that came too late

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a pool")


@pytest.fixture(scope="module", autouse=True)
def kernel():
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "-aq", "btrfs", "loop"], check=False, timeout=30)
    if "\tbtrfs\n" not in pathlib.Path("/proc/filesystems").read_text():
        creelkit.skip("btrfs", "not in this kernel")


class Pool:
    """A state directory, and processes that use the pool in it."""

    def __init__(self, home):
        self.home, self.data, self.run = home, home / "data", home / "run"
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.run.mkdir(mode=0o700, exist_ok=True)
        self.held = []

    @property
    def image(self):
        return self.data / "pool.img"

    def command(self, *words, before=()):
        return [*before, str(DRIVE), str(self.data), str(self.run), *map(str, words)]

    def __call__(self, *words, code=0, before=(), timeout=60):
        """What the words print; code is the errno with which they must end."""
        done = subprocess.run(self.command(*words, before=before), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        assert done.returncode == code, (words, done)
        return done.stderr if code else done.stdout

    def code(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False).returncode

    def hold(self, *words, before=()):
        """A process that has done the words and stays."""
        process = subprocess.Popen(self.command(*words, "hold", before=before), text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.held.append(process)
        for line in process.stdout:
            if line == "holding\n":
                return process
        raise AssertionError(f"{words} ended with {process.wait(10)}")

    def release(self, process, kill=False):
        if kill:
            process.kill()
        process.stdin.close()
        process.stdout.close()
        process.wait(30)
        self.held.remove(process)

    def loops(self):
        """The loop devices over files below this directory."""
        found = []
        for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                if path.read_text().startswith(str(self.home)):
                    found.append(path.parts[3])
        return found

    def mounts(self):
        return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                if f"{self.home}/" in line and " btrfs " in line]

    def is_idle(self):
        return not self.loops() and not self.mounts()

    def end(self):
        for process in list(self.held):
            self.release(process, kill=True)
        assert creelkit.wait_until(self.is_idle), (self.loops(), self.mounts())


@pytest.fixture
def home(session_directory, request):
    name = re.sub(r"[^a-z0-9]", "-", request.node.name.lower())
    path = session_directory / f"pool-{name}"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def pool(home):
    found = Pool(home)
    yield found
    found.end()


@contextlib.contextmanager
def tmpfs(path, size):
    """A small disk at path."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", path],
                   check=True, timeout=10)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True, timeout=10)


@pytest.fixture
def small(home):
    """A pool on a disk of 600 MiB."""
    with tmpfs(home / "disk", "600M"):
        found = Pool(home / "disk")
        yield found
        found.end()


def usage(pool, name):
    text = pool("open", "usage", name)
    return {k: int(v) for k, v in re.findall(r"(referenced|exclusive|limit) (\d+)", text)}


# ---- use ----

def test_a_subvolume_keeps_its_files_between_processes(pool):
    pool("open", "sub", "agents/local/maria", "64M", "sh", "echo kept > agents/local/maria/f")
    assert pool.is_idle()
    assert pool("open", "sub", "agents/local/maria", "64M",
                "sh", "cat agents/local/maria/f").count("kept\n") == 1
    found = usage(pool, "agents/local/maria")
    assert found["limit"] == 64 * MIB and found["exclusive"] == found["referenced"] < MIB


def test_everything_is_closed_to_others(pool):
    out = pool("open", "sub", "agents/local/maria", "64M",
               "sh", "umask 022; stat -c %a:%u:%g . .trash agents agents/local agents/local/maria")
    assert out.count("700:0:0\n") == 5, out
    assert pool.image.stat().st_mode & 0o777 == 0o600


def test_the_mount_is_harmless_and_private(pool):
    holder = pool.hold("open", "sub", "a", "64M")
    assert not pool.mounts()
    lines = [line for line in pathlib.Path(f"/proc/{holder.pid}/mountinfo").read_text().splitlines()
             if " btrfs " in line and str(pool.run) in line]
    assert len(lines) == 1 and " rw,nosuid,nodev,noatime " in lines[0]


def test_mounts_of_the_host_still_arrive(pool, home):
    """Where the host's mounts are shared, which a private one of ours would cut off."""
    with tmpfs(home / "shared", "1M") as shared:
        subprocess.run(["mount", "--make-shared", shared], check=True, timeout=10)
        (shared / "in").mkdir()
        holder = pool.hold("open")
        with tmpfs(shared / "in", "1M"):
            mounted = pathlib.Path(f"/proc/{holder.pid}/mountinfo").read_text()
            assert f"{shared}/in " in mounted


def test_a_limit_is_exact(pool):
    pool("open", "sub", "a", "64M")
    out = pool("open", "sh", "cd a; ! head -c 100M /dev/zero > f 2> /dev/null && stat -c %s f")
    size = int(re.search(r"^(\d+)$", out, re.MULTILINE)[1])
    assert 60 * MIB < size <= 64 * MIB
    found = usage(pool, "a")
    assert found["referenced"] <= 64 * MIB
    # What is full can be emptied.
    pool("open", "sh", "rm a/f && echo x > a/g")
    assert usage(pool, "a")["referenced"] < MIB


def test_empty_files_are_bounded_too(pool):
    pool("open", "sub", "a", "4M")
    out = pool("open", "sh",
               "cd a; i=0; while true > $i; do i=$((i + 1)); done 2> /dev/null; echo $i")
    count = int(re.search(r"^(\d+)$", out, re.MULTILINE)[1])
    assert 2_000 < count < 50_000
    assert usage(pool, "a")["referenced"] <= 4 * MIB


def test_a_limit_can_be_raised_and_not_lowered_below_what_exists(pool):
    pool("open", "sub", "a", "64M", "sh", "head -c 20M /dev/urandom > a/f")
    error = pool("open", "sub", "a", "10M", code=errno.EDQUOT)
    assert re.search(r"a holds 2\d{7} bytes, more than the limit of 10485760", error), error
    assert usage(pool, "a")["limit"] == 64 * MIB
    pool("open", "sub", "a", "30M")
    assert usage(pool, "a")["limit"] == 30 * MIB
    pool("open", "sub", "a", "0")
    assert usage(pool, "a")["limit"] == 0


def test_a_snapshot_shares_and_has_a_limit_of_its_own(pool):
    pool("open", "sub", "a", "64M", "sh", "head -c 20M /dev/urandom > a/f", "snap", "a", "s/b",
         "32M", "sh", "cmp a/f s/b/f && echo x >> s/b/f")
    found = usage(pool, "s/b")
    assert found["referenced"] > 20 * MIB > found["exclusive"] and found["limit"] == 32 * MIB
    pool("open", "snap", "a", "s/b", "32M", code=errno.EEXIST)
    error = pool("open", "snap", "a", "c", "10M", code=errno.EDQUOT)
    assert "more than the limit of 10485760" in error
    pool("open", "usage", "c", code=errno.ENOENT)
    pool("open", "rosnap", "a", "d", "64M", "sh", "! echo x > d/g")
    pool("open", "del", "d", "del", "a")
    assert creelkit.wait_until(lambda: usage(pool, "s/b")["exclusive"] > 20 * MIB)


def test_unsaved_writes_are_in_a_snapshot_and_refused_by_its_limit(pool):
    """What is only in memory yet counts."""
    holder = pool.hold("open", "sub", "a", "64M", "sh", "head -c 20M /dev/urandom > a/f")
    pool("open", "snap", "a", "b", "10M", code=errno.EDQUOT)
    pool.release(holder)
    pool("open", "usage", "b", code=errno.ENOENT)


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", ".trash", "a b", "a/", "a//b", "ä"])
def test_odd_names_are_refused(pool, name):
    pool("open", "sub", name, "1M", code=errno.EINVAL)


def test_a_link_in_the_way_is_refused(pool):
    pool("open", "sub", "a", "1M", "sh", "ln -s /etc a/out; ln -s a/out b")
    assert pool.code("open", "sub", "a/out/x", "1M") in (errno.ELOOP, errno.EXDEV)
    assert pool.code("open", "sub", "b/x", "1M") in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR)
    assert not pathlib.Path("/etc/x").exists()


# ---- deletion ----

NESTED = """
cd a && btrfs subvolume create n/../n1 && btrfs subvolume create n1/n2 && mkdir -p n1/n2/d/e &&
btrfs subvolume create n1/n2/d/e/n3 && echo x > n1/n2/d/e/n3/f && btrfs subvolume create n4 &&
btrfs subvolume snapshot n1 n4/n5
"""


def subvolumes(pool):
    """What lives in the pool and what waits to be freed, by btrfs-progs."""
    out = pool("open", "sh", "btrfs subvolume list . ; btrfs subvolume list -d .")
    return re.findall(r"^ID \d+ .* path (.*)$", out, re.MULTILINE)


def test_subvolumes_made_inside_by_hand_go_along(pool):
    pool("open", "sub", "a", "64M", "sh", NESTED.replace("n/../n1", "n1"), "sub", "b", "64M")
    assert len(subvolumes(pool)) == 7
    pool("open", "del", "a")
    assert creelkit.wait_until(lambda: subvolumes(pool) == ["b"]), subvolumes(pool)


def test_read_only_subvolumes_inside_go_along(pool):
    pool("open", "sub", "a", "64M", "sh",
         "btrfs subvolume create a/n && btrfs subvolume create a/n/m &&"
         " btrfs property set a/n ro true && btrfs property set a ro true")
    pool("open", "del", "a")
    assert creelkit.wait_until(lambda: not subvolumes(pool)), subvolumes(pool)


def test_a_directory_of_subvolumes_goes_at_once(pool):
    pool("open", "sub", "agents/local/maria/home", "1M", "sub", "agents/local/maria/root", "1M",
         "sub", "agents/local/otto/home", "1M", "del", "agents/local/maria",
         "sub", "agents/local/maria/home", "2M")
    assert sorted(creelkit.wait_until(lambda: len(subvolumes(pool)) == 2 and subvolumes(pool))) == [
        "agents/local/maria/home", "agents/local/otto/home"]


def test_a_deep_chain_of_subvolumes_goes(pool):
    pool("open", "sub", "a", "64M", "sh", "cd a; for i in $(seq 200); do "
         "btrfs subvolume create n > /dev/null && cd n || exit 1; done", "del", "a")
    assert creelkit.wait_until(lambda: not subvolumes(pool), 20), subvolumes(pool)


def test_deleted_space_and_accounts_are_freed_by_short_processes(pool):
    for _ in range(60):
        pool("open", "sub", "a", "64M", "sh", "head -c 100K /dev/urandom > a/f", "del", "a")
    assert creelkit.wait_until(lambda: not subvolumes(pool)), subvolumes(pool)
    pool("open", "sub", "a", "64M", "del", "a")
    out = pool("open", "sh", "btrfs qgroup show .")
    assert len(re.findall(r"^0/\d{3}", out, re.MULTILINE)) < 10, out


def test_a_number_that_is_used_again_brings_no_old_limit(pool):
    """The kernel gives the number of what was deleted to the next one after a mount."""
    for _ in range(4):
        pool("open", "sub", "a", "1M", "del", "a")
        pool("open", "sub", "b", "0")
        assert usage(pool, "b")["limit"] == 0
        pool("open", "del", "b")


def test_one_in_use_can_be_deleted(pool):
    """Who has it open goes on with files that have no name."""
    holder = pool.hold("open", "sub", "a", "64M", "sh", "echo x > a/f")
    with open(f"/proc/{holder.pid}/root{pool.run}/pool/a/f", "a+", encoding="ascii") as file:
        pool("open", "del", "a")
        pool("open", "usage", "a", code=errno.ENOENT)
        file.write("y\n")
        file.seek(0)
        assert file.read() == "x\ny\n"
    pool.release(holder)
    assert creelkit.wait_until(lambda: not subvolumes(pool))


# ---- crowds ----

def crowd(pool, count, *words):
    started = [subprocess.Popen(pool.command(*[str(w).format(i=i) for w in words]), text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for i in range(count)]
    done = [(p.communicate(timeout=120), p.returncode) for p in started]
    assert all(code == 0 for _, code in done), done


def test_sixteen_processes_open_at_once_for_the_first_time(pool):
    crowd(pool, 16, "open", "sub", "a{i}", "1M", "sh", "echo {i} > a{i}/f")
    out = pool("open", "sh", "cat a*/f | sort -n | tr '\\n' ' '")
    assert " ".join(map(str, range(16))) in out
    assert os.listdir(pool.data) == ["pool.img"]


def test_sixteen_processes_come_and_go(pool):
    """The last mount ends while others begin: no one may see another loop device or a lost file."""
    pool("open", "sub", "log", "64M")
    for _ in range(8):
        crowd(pool, 16, "open", "sh", "echo {i} >> log/{i}", "sub", "t{i}", "1M", "del", "t{i}")
    out = pool("open", "sh", "cat log/* | wc -l")
    assert f"{8 * 16}\n" in out


def test_one_loop_device_serves_all(pool):
    for _ in range(4):
        pool.hold("open")
    assert len(pool.loops()) == 1


def test_the_same_name_made_and_deleted_by_many(pool):
    pool("open")
    started = [subprocess.Popen(pool.command("open", *["sub", "a", "1M", "del", "a"] * 20),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE, text=True) for _ in range(8)]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, errno.ENOENT), err
    pool("open")
    left = pool("open", "sh", "ls -A .trash")
    assert left.startswith("open") and left.count("\n") == 2, left


# ---- kills ----

def kill_everywhere(pool, prepare, words, check, step=2):
    """Kills a process that does the words at every second stop, which is each call's start."""
    for n in range(2, 5000, step):
        prepare()
        code = pool.code(*[str(w).replace("{n}", str(n)) for w in words])
        check(n)
        if code == FEWER:
            return n
        assert code == 0, (n, code)
    raise AssertionError("no end")


def test_a_kill_at_every_step_of_the_first_opening(pool):
    def fresh():
        for path in pool.data.iterdir():
            path.unlink()

    def check(n):
        pool("open", "sub", "a", "1M", "sh", "ls a")
        assert creelkit.wait_until(pool.is_idle), n
        assert os.listdir(pool.data) == ["pool.img"], n

    assert kill_everywhere(pool, fresh, ["kill", "{n}", "open"], check, step=3) > 100


def test_a_kill_at_every_step_of_use(pool):
    pool("open", "sub", "kept", "1M", "sh", "echo kept > kept/f")

    def check(n):
        assert creelkit.wait_until(pool.is_idle), n
        out = pool("open", "sh", "cat kept/f; ls -A .trash; for i in a/x b; do [ ! -d $i ] ||"
                   " btrfs qgroup show -rF --raw $i | awk 'NR > 2 { print $4 }'; done")
        limits = out.splitlines()[2:-1]
        assert "kept\n" in out and set(limits) <= {"1048576", "2097152"}, (n, out)
        assert pool.code("open", "del", "a") in (0, errno.ENOENT)
        assert pool.code("open", "del", "b") in (0, errno.ENOENT)

    words = ["kill", "{n}", "open", "sub", "a/x", "1M", "snap", "a/x", "b", "2M", "del", "b",
             "del", "a"]
    assert kill_everywhere(pool, lambda: None, words, check, step=3) > 100


def test_kills_at_random_times_under_load(pool):
    pool("open", "sub", "a", "256M")
    for i in range(25):
        process = subprocess.Popen(
            pool.command("open", *["sub", "t", "8M", "sh", "head -c 1M /dev/urandom > t/f; sync",
                                   "snap", "t", "u", "8M", "del", "t", "del", "u"] * 20),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        time.sleep(0.005 + 0.004 * i)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        assert pool.code("open", "del", "t") in (0, errno.ENOENT)
        assert pool.code("open", "del", "u") in (0, errno.ENOENT)
    assert creelkit.wait_until(pool.is_idle)
    assert creelkit.wait_until(lambda: subvolumes(pool) == ["a"]), subvolumes(pool)
    pool("open", "sh", "test -z \"$(ls -A .trash)\"")
    checked = subprocess.run(["btrfs", "check", pool.image], capture_output=True, text=True,
                             timeout=60, check=False)
    assert checked.returncode == 0, checked


# ---- full ----

def test_a_full_pool_refuses_and_recovers(small):
    """No limit of the subvolume: the pool itself is full, and the disk below is not."""
    small("open", "sub", "a", "0", "sub", "b", "64M")
    small("open", "sh", "! head -c 2G /dev/zero > a/f 2> /dev/null")
    assert small.code("open", "sub", "b", "64M") in (0, errno.ENOSPC)
    small("open", "del", "a")
    assert creelkit.wait_until(lambda: subvolumes(small) == ["b"])
    # The emptied block groups go a commit after the files.
    assert creelkit.wait_until(
        lambda: small.code("open", "sh", "head -c 20M /dev/zero > b/f && sync -f b/f") == 0)


def test_nothing_new_is_begun_on_a_full_disk(small):
    small("open", "sub", "a", "64M", "sh", "echo x > a/f")
    with open(small.home / "filler", "wb") as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(MIB))
    error = small("open", "sub", "b", "64M", code=errno.ENOSPC)
    assert "make room on it" in error and "MiB are free" in error
    (small.home / "filler").unlink()
    small("open", "sub", "b", "64M", "sh", "cat a/f")


def test_a_disk_that_fills_up_meanwhile_costs_no_old_data(small):
    small("open", "sub", "a", "0", "sh", "echo kept > a/kept; sync -f a")
    holder = small.hold("open")
    with open(small.home / "filler", "wb") as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(MIB))
    small("open", "sh", "! (head -c 100M /dev/urandom > a/f && sync -f a/f) 2> /dev/null")
    (small.home / "filler").unlink()
    code = small.code("open", "sub", "a", "0")
    assert code in (0, errno.EROFS)
    if code:
        error = small("open", code=errno.EROFS)
        assert "turned read-only" in error
    small.release(holder)
    assert creelkit.wait_until(small.is_idle)
    small("open", "sub", "b", "1M", "sh", "grep kept a/kept")


def test_no_pool_on_a_disk_without_room(home):
    with tmpfs(home / "disk", "100M"):
        pool = Pool(home / "disk")
        error = pool("open", code=errno.ENOSPC)
        assert "make room on it" in error
        assert not pool.image.exists()


def test_a_pool_grows_with_its_disk(small):
    small("open", "sub", "a", "0")
    before = small.image.stat().st_size
    subprocess.run(["mount", "-o", "remount,size=4G", small.home], check=True, timeout=10)
    small("open", "sh", f"head -c {before * 8 // 10} /dev/zero > a/f; sync -f a/f")
    holder = small.hold("open")  # a mounted one
    assert small.image.stat().st_size >= 2 * before - MIB
    out = small("open", "sh", "df -B1 --output=size . | tail -1")
    assert int(re.search(r"^\s*(\d+)$", out, re.MULTILINE)[1]) >= 2 * before - MIB
    small.release(holder)
    small("open", "sh", f"head -c {before * 8 // 10} /dev/zero > a/g && sync -f a/g")


def test_space_goes_back_to_the_disk(small):
    subprocess.run(["mount", "-o", "remount,size=3G", small.home], check=True, timeout=10)
    small("open", "sub", "a", "0", "sub", "b", "0", "sh", "head -c 50M /dev/urandom > b/f")
    for i in range(14):  # each opening enlarges what is nearly full
        small("open", "sh", f"head -c 50M /dev/urandom > a/{i} && sync -f a")
    large = small.image.stat().st_blocks * 512
    small("open", "del", "a")
    assert creelkit.wait_until(lambda: subvolumes(small) == ["b"])
    subprocess.run(["mount", "-o", "remount,size=1200M", small.home], check=True, timeout=10)
    small("open")
    after = small.image.stat().st_blocks * 512
    assert after < 200 * MIB < 700 * MIB < large, (large, after)
    small("open", "sh", "test $(stat -c %s b/f) = 52428800")


def test_limits_outlive_the_deletion_of_large_snapshots(pool):
    holder = pool.hold("open")
    for path in pathlib.Path("/sys/fs/btrfs").glob("*/qgroups/drop_subtree_threshold"):
        loops = [p.name for p in (path.parent.parent / "devices").iterdir()]
        if set(loops) & set(pool.loops()):
            assert path.read_text() == "8\n"
    pool.release(holder)


def test_inconsistent_quotas_are_counted_anew(pool):
    pool("open", "sub", "a", "64M", "sh", "head -c 20M /dev/urandom > a/f && sync -f a &&"
         " btrfs qgroup create 1/0 . && btrfs qgroup assign --no-rescan 0/5 1/0 .; "
         "for i in /sys/fs/btrfs/*/qgroups/inconsistent; do cat $i; done")
    found = usage(pool, "a")
    assert found["referenced"] > 20 * MIB
    out = pool("open", "sh", "btrfs qgroup show . 2>&1")
    assert "inconsistent" not in out, out


# ---- damage ----

def damage_superblocks(image):
    with open(image, "r+b") as file:
        for at in (64 << 10, 64 << 20):
            file.seek(at)
            file.write(bytes(4096))


def damage_magic_only(image):
    with open(image, "r+b") as file:
        file.seek((64 << 10) + 64)
        file.write(b"XXXXXXXX")


def damage_metadata(image):
    """Everything but the superblock, up to where data begins."""
    with open(image, "r+b") as file:
        file.seek(1 << 20)
        file.write(os.urandom(63 << 20))
        file.seek(65 << 20)
        file.write(os.urandom(32 << 20))


@pytest.mark.parametrize("damage", [
    damage_superblocks, damage_magic_only, damage_metadata,
    lambda image: os.truncate(image, 0), lambda image: os.truncate(image, 10 << 20),
    lambda image: image.write_text("text"),
], ids=["superblocks", "magic", "metadata", "empty", "cut", "text"])
def test_a_damaged_image_is_named(pool, damage):
    pool("open", "sub", "a", "64M")
    damage(pool.image)
    error = pool("open", code=errno.EUCLEAN)
    assert "pool.img" in error and "damaged" in error and error.count("\n") == 1, error
    assert creelkit.wait_until(pool.is_idle)
    pool.image.rename(pool.data / "broken")
    pool("open", "sub", "a", "64M")


@pytest.mark.parametrize("make", [
    lambda image: image.mkdir(), lambda image: image.symlink_to("/etc/passwd"),
    lambda image: os.mkfifo(image), lambda image: os.mknod(image, 0o60600, os.makedev(7, 0)),
], ids=["directory", "link", "fifo", "device"])
def test_something_else_in_its_place_is_refused(pool, make):
    make(pool.image)
    assert pool.code("open") in (errno.EUCLEAN, errno.EISDIR, errno.ELOOP, errno.ENXIO)
    assert pool.is_idle()


def test_an_interrupted_mkfs_is_begun_anew(pool):
    (pool.data / "pool.img.new").write_bytes(os.urandom(3 * MIB))
    pool("open", "sub", "a", "64M")
    assert os.listdir(pool.data) == ["pool.img"]


def test_a_deleted_state_directory_begins_anew(pool):
    pool("open", "sub", "a", "64M")
    shutil.rmtree(pool.data)
    pool.data.mkdir(mode=0o700)
    pool("open", "sub", "a", "64M")
    # Also while somebody still has the old one.
    holder = pool.hold("open", "sh", "echo old > a/f")
    pool.image.unlink()
    out = pool("open", "sub", "a", "64M", "sh", "ls a", "sh", "echo new > a/f")
    assert "f\n" not in out
    pool.release(holder)
    assert "new\n" in pool("open", "sh", "cat a/f")


def test_a_copied_state_directory_is_no_danger(pool, home):
    """The same filesystem id twice: either a pool of its own or a refusal."""
    pool("open", "sub", "a", "64M", "sh", "echo one > a/f; sync -f a/f")
    (home / "copy").mkdir()
    copy = Pool(home / "copy")
    subprocess.run(["cp", "--sparse=always", pool.image, copy.image], check=True, timeout=30)
    holder = pool.hold("open")
    code = copy.code("open", "sh", "echo two > a/f; sync -f a/f")
    assert code in (0, errno.EBUSY)
    pool.release(holder)
    assert "one\n" in pool("open", "sh", "cat a/f")
    copy.end()


# ---- places where it cannot be had, or not be shared ----

def inside(script):
    """Runs a command in a mount namespace in which script was run before."""
    return ["unshare", "-m", "sh", "-c", f"{script} && exec \"$@\"", "sh"]


def test_without_mkfs_the_package_is_named(pool):
    error = pool("open", code=errno.EOPNOTSUPP,
                 before=inside("mount -t tmpfs none /usr/sbin"))
    assert "btrfs-progs" in error
    assert not pool.image.exists()


def test_without_loop_devices_it_says_so(pool):
    error = pool("open", code=errno.EOPNOTSUPP, before=inside("mount -t tmpfs none /dev"))
    assert "loop" in error


def test_an_ordinary_user_has_none(pool, session_directory):
    os.chmod(pool.home, 0o755)
    drive = session_directory / "bin" / "test-pool-root"
    drive.parent.mkdir(exist_ok=True)
    shutil.copy(DRIVE, drive)
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                           drive, "/tmp", "/tmp", "open"], capture_output=True, text=True,
                          timeout=10, check=False)
    assert done.returncode == errno.EOPNOTSUPP and "only root" in done.stderr, done


def test_root_of_a_user_namespace_has_none(pool):
    error = pool("open", code=errno.EOPNOTSUPP, before=["unshare", "--user", "--map-root-user"])
    assert "\n" in error
    assert creelkit.wait_until(pool.is_idle)


def test_who_cannot_see_the_loop_device_is_refused(pool):
    """A container with a /sys of its own, or another machine: never a second device."""
    pool.hold("open", "sub", "a", "64M")
    error = pool("open", code=errno.EBUSY, before=inside("mount -t tmpfs none /sys"))
    assert "cannot be seen here" in error
    assert len(pool.loops()) == 1


def test_a_container_without_the_node_of_the_loop_device(pool):
    pool.hold("open", "sub", "a", "64M")
    bare = ("mkdir -p $0.d 2>/dev/null; mknod /tmp/loop-control.$$ c 10 237; "
            "mount -t tmpfs none /dev && mv /tmp/loop-control.$$ /dev/loop-control && "
            "mknod /dev/null c 1 3 && mknod /dev/zero c 1 5")
    pool("open", "sub", "a", "64M", before=inside(bare.partition("; ")[2]))
    assert len(pool.loops()) == 1


# ---- a native pool ----

@pytest.fixture
def btrfs(home):
    """A btrfs for DATA itself."""
    with open(home / "native.img", "wb") as file:
        file.truncate(2 << 30)
    subprocess.run(["mkfs.btrfs", "-q", home / "native.img"], check=True, timeout=30,
                   stdout=subprocess.DEVNULL)
    (home / "native").mkdir()
    subprocess.run(["mount", "-o", "loop", home / "native.img", home / "native"], check=True,
                   timeout=30)
    found = Pool(home / "native")
    yield found
    for process in list(found.held):
        found.release(process, kill=True)
    subprocess.run(["umount", home / "native"], check=True, timeout=30)


def test_a_native_pool_needs_quotas_that_are_on(btrfs):
    subprocess.run(["btrfs", "quota", "enable", btrfs.home], check=True, timeout=30)
    btrfs("open", "sub", "agents/local/maria", "16M",
          "sh", "cd agents/local/maria && ! head -c 32M /dev/zero > f 2> /dev/null")
    assert (btrfs.data / "agents/local/maria/f").exists()
    assert not btrfs.image.exists()
    assert usage(btrfs, "agents/local/maria")["referenced"] <= 16 * MIB
    subprocess.run(["btrfs", "quota", "disable", btrfs.home], check=True, timeout=30)
    error = btrfs("open", code=errno.EUCLEAN)
    assert "btrfs quota enable" in error


def test_quotas_are_never_switched_on_for_a_filesystem_of_others(btrfs):
    btrfs("open", "sub", "a", "16M")
    assert btrfs.image.exists()
    shown = subprocess.run(["btrfs", "qgroup", "show", btrfs.home], capture_output=True,
                           timeout=30, check=False)
    assert shown.returncode != 0
    assert "C" in subprocess.run(["lsattr", btrfs.image], capture_output=True, text=True,
                                 timeout=10, check=True).stdout.split()[0]
    # What is in the file stays the pool, whatever happens to the filesystem.
    subprocess.run(["btrfs", "quota", "enable", btrfs.home], check=True, timeout=30)
    btrfs("open", "usage", "a")


# ---- shown ----

def test_a_shown_pool_stays_and_is_used_by_all(pool):
    try:
        for _ in range(3):
            assert f"path {pool.run}/pool\n" in pool("show")
        assert len(pool.mounts()) == 1 and "nosuid,nodev" in pool.mounts()[0]
        pool("open", "sub", "a", "64M", "sh", "echo x > a/f")
        assert (pool.run / "pool" / "a" / "f").read_text() == "x\n"
        holder = pool.hold("open")
        own = os.readlink(f"/proc/{holder.pid}/ns/mnt")
        assert own == os.readlink("/proc/self/ns/mnt")
        pool.release(holder)
    finally:
        subprocess.run(["umount", pool.run / "pool"], check=True, timeout=30)
    pool("open", "usage", "a")


def test_a_pool_can_be_shown_while_it_is_in_use(pool):
    holder = pool.hold("open", "sub", "a", "64M", "sh", "echo x > a/f")
    try:
        crowd(pool, 4, "show")
        assert len(pool.mounts()) == 1 and len(pool.loops()) == 1
        assert (pool.run / "pool" / "a" / "f").read_text() == "x\n"
        pool.release(holder)
        assert (pool.run / "pool" / "a" / "f").read_text() == "x\n"
    finally:
        subprocess.run(["umount", pool.run / "pool"], check=True, timeout=30)


def test_a_shown_pool_of_a_file_that_is_gone_is_not_used(pool):
    pool("show")
    try:
        pool("open", "sub", "a", "64M")
        pool.image.unlink()
        pool("open", "usage", "a", code=errno.ENOENT)
        pool("open", "sub", "b", "64M")
        assert not (pool.run / "pool" / "b").exists()
    finally:
        subprocess.run(["umount", pool.run / "pool"], check=True, timeout=30)
