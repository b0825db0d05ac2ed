# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: who runs creel, how it is run and bounded, what it must not
leave behind.

root is creel started by root, rootless is creel started by the ordinary user `creel-test`, single
is creel started by `creel-single`, who has no subordinate ids. Everything lies below one temporary
directory a session; nothing here ends a process that it did not start itself.
"""

import base64
import contextlib
import dataclasses
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import tempfile
import threading
import time

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
USER_NAME = os.environ.get("CREEL_TEST_USER", "creel-test")
SINGLE_NAME = "creel-single"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RUN_SECONDS = 30
ID = re.compile(r"i[a-z0-9]{20}\Z")
MIB = 1 << 20


def required(word):
    """Is this in CREEL_TEST_REQUIRE, so that it may not be skipped here?"""
    return word in os.environ.get("CREEL_TEST_REQUIRE", "").replace(" ", "").split(",")


def skip(word, reason):
    """Skips the test, or fails it where CREEL_TEST_REQUIRE names the word."""
    if required(word):
        pytest.fail(f"{word} is required by CREEL_TEST_REQUIRE: {reason}", pytrace=False)
    pytest.skip(f"{word}: {reason}")


def account(name, *options):
    """The account of that name; made if it is missing."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", *options, "-m", name], check=True, timeout=60)
        return pwd.getpwnam(name)


def wait_until(condition, seconds=10, step=0.02):
    """The condition's first true value; what it gave last if the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(step)


@dataclasses.dataclass
class Result:
    """What one call of creel gave."""
    args: tuple
    code: int
    out: bytes
    err: bytes
    seconds: float

    @property
    def text(self):
        return self.out.decode()

    @property
    def errors(self):
        return self.err.decode(errors="replace")

    def __repr__(self):
        return (f"creel {' '.join(map(str, self.args))[:300]} -> {self.code} in "
                f"{self.seconds:.2f}s\n out: {self.out[-1500:]!r}\n err: {self.err[-1500:]!r}")


class Creel:
    """One way of starting creel: as whom, with which binary, state and home."""

    def __init__(self, name, entry, binary, home):
        self.name, self.binary, self.home = name, pathlib.Path(binary), home
        self.uid, self.gid, self.login = entry.pw_uid, entry.pw_gid, entry.pw_name
        self.ids = set()  # of every sandbox of this session that was seen
        for path in (home, home / "run", home / "config", home / "data", home / "state"):
            self.own(path)
        home.chmod(0o755)

    @property
    def is_root(self):
        return self.uid == 0

    @property
    def rootless(self):
        return not self.is_root

    @property
    def state(self):
        return self.home / "state"

    @property
    def live(self):
        return self.state / "run" / "live"

    def own(self, path, mode=0o700):
        """Makes path a directory of this user."""
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, self.uid, self.gid)
        path.chmod(mode)
        return path

    def directory(self, name="d-", mode=0o755):
        return self.own(pathlib.Path(tempfile.mkdtemp(prefix=name, dir=self.home)), mode)

    def file(self, path, content="", mode=0o644):
        """A file of this user."""
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chown(path, self.uid, self.gid)
        path.chmod(mode)
        return path

    def environment(self, **more):
        env = {"PATH": PATH, "HOME": str(self.home), "LANG": "C.UTF-8", "USER": self.login,
               "XDG_RUNTIME_DIR": str(self.home / "run"),
               "XDG_CONFIG_HOME": str(self.home / "config"),
               "XDG_DATA_HOME": str(self.home / "data"), "CREEL_STATE": str(self.state)}
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def command(self, *args):
        prefix = []
        if os.geteuid() != self.uid:
            prefix = ["setpriv", "--reuid", str(self.uid), "--regid", str(self.gid),
                      "--init-groups", "--"]
        return [*prefix, str(self.binary), *map(str, args)]

    def popen(self, *args, env=None, **kw):
        """creel as a child of ours, whose pid is creel's: setpriv executes it in its place."""
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        kw.setdefault("cwd", "/")
        kw.setdefault("start_new_session", True)
        before = kw.pop("preexec_fn", None)

        def prepare():
            """Pipes belong to who runs creel, as if that user had made them."""
            for fd, name in enumerate(("stdin", "stdout", "stderr")):
                if kw[name] == subprocess.PIPE and self.uid != os.geteuid():
                    os.fchown(fd, self.uid, self.gid)
            if before:
                before()

        return subprocess.Popen(self.command(*args), env=self.environment(**(env or {})),
                                preexec_fn=prepare, **kw)

    def __call__(self, *args, timeout=RUN_SECONDS, input=None, env=None, **kw):
        if input is not None:
            kw["stdin"] = subprocess.PIPE
        start = time.monotonic()
        process = self.popen(*args, env=env, **kw)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate(timeout=10)
            raise AssertionError(
                f"creel {args} hung for {timeout} s: {out!r} {err!r}") from None
        return Result(args, process.returncode, out or b"", err or b"",
                      time.monotonic() - start)

    def run(self, *args, **kw):
        return self("run", *args, **kw)

    def sh(self, script, *options, **kw):
        """A shell script inside."""
        return self("run", *options, "--", "sh", "-c", script, **kw)

    def json(self, *args, **kw):
        """The object of `creel run --json`; the exit code must be the one that it tells."""
        done = self("run", "--json", *args, **kw)
        try:
            result = json.loads(done.out)
        except ValueError:
            raise AssertionError(f"no JSON: {done!r}") from None
        assert done.out.count(b"\n") == 1 and done.out.endswith(b"\n"), done
        assert result["exit_code"] == done.code, done
        if "id" in result:
            self.ids.add(result["id"])
        return result

    def detach(self, *args, **kw):
        """The id of a detached run."""
        done = self("run", "--detach", *args, **kw)
        assert done.code == 0, done
        name = done.text.strip()
        assert ID.match(name), done
        self.ids.add(name)
        return name

    def live_ids(self):
        with contextlib.suppress(FileNotFoundError):
            return {n for n in os.listdir(self.live) if not n.startswith(".")}
        return set()


def doctor_says(creel):
    """The object of `creel doctor --json`."""
    done = creel("doctor", "--json")
    try:
        return json.loads(done.out)
    except ValueError:
        raise AssertionError(f"creel doctor --json: {done!r}") from None


def stdout_of(result):
    """The captured standard output as bytes."""
    if "stdout_base64" in result:
        return base64.b64decode(result["stdout_base64"])
    return result["stdout"].encode()


def make_creels(root):
    """{name: Creel} for those that this process can be; root must let others pass."""
    given = pathlib.Path(os.environ.get("CREEL", REPO / "build" / "creel")).resolve()
    if not given.exists():
        pytest.exit(f"{given} does not exist: run `make build` or set CREEL", 2)
    copies = root / "bin"
    copies.mkdir(mode=0o755)
    for path in sorted({given, *given.parent.glob("creel*")}):
        if path.is_file() and os.access(path, os.X_OK):
            shutil.copy(path, copies / path.name)
            (copies / path.name).chmod(0o755)
    binary = copies / given.name
    if os.geteuid() != 0:
        entry = pwd.getpwuid(os.geteuid())
        return {"rootless": Creel("rootless", entry, binary, root / "rootless")}
    users = {"root": pwd.getpwuid(0), "rootless": account(USER_NAME),
             "single": account(SINGLE_NAME, "--system")}  # system accounts get no subordinate ids
    return {n: Creel(n, entry, binary, root / n) for n, entry in users.items()}


# ---- what is left behind ----

def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _start_ticks(pid):
    fields = _read(pathlib.Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[0] not in (b"Z", b"X") else None


def _is_others(pid, root):
    """Does pid belong to a creel that is not of this session (another suite at the same time)?"""
    for _ in range(8):
        status = _read(pathlib.Path(f"/proc/{pid}/status")).decode(errors="replace")
        found = re.search(r"^PPid:\s+(\d+)", status, re.MULTILINE)
        if not found or int(found[1]) <= 1:
            return False
        pid = int(found[1])
        with contextlib.suppress(OSError):
            program = os.readlink(f"/proc/{pid}/exe")
            if os.path.basename(program).startswith("creel"):
                return not program.startswith(str(root))
    return False


class Watch(threading.Thread):
    """Notes the ids of every sandbox that this session starts, for the check at its end."""

    def __init__(self, creels, root):
        super().__init__(daemon=True)
        self.creels, self.root = creels, root
        self.finished = threading.Event()
        with open("/proc/self/stat", "rb") as file:
            self.start_ticks = int(file.read().rpartition(b")")[2].split()[19])

    def run(self):
        while not self.finished.wait(0.03):
            for creel in self.creels.values():
                creel.ids |= creel.live_ids()

    def ids(self):
        return set().union(*(c.ids for c in self.creels.values()))

    def mounts(self):
        return [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
                if str(self.root) in line]

    def cgroups(self):
        ids = self.ids()
        return [os.path.join(base, name) for base, names, _ in os.walk("/sys/fs/cgroup")
                for name in names if name in ids]

    def inits(self):
        """Processes of creel that this session started: first processes of sandboxes, and creel."""
        found = []
        for path in pathlib.Path("/proc").iterdir():
            if not path.name.isdigit() or int(path.name) == os.getpid():
                continue
            comm = _read(path / "comm").strip()
            ticks = _start_ticks(path.name)
            if ticks is None or ticks < self.start_ticks:
                continue
            if comm == b"creel-init" and not _is_others(int(path.name), self.root):
                found.append((int(path.name), comm))
            with contextlib.suppress(OSError):
                if os.readlink(path / "exe").startswith(str(self.root / "bin")):
                    found.append((int(path.name), _read(path / "cmdline")[:200]))
        return found

    def files(self):
        left = []
        for creel in self.creels.values():
            for directory in (creel.live, creel.state / "layers", creel.state / "run" / "stage"):
                with contextlib.suppress(FileNotFoundError):
                    left += [str(directory / name) for name in os.listdir(directory)]
        return left

    def left(self):
        return [*map(str, self.mounts()), *self.cgroups(), *map(str, self.inits()), *self.files()]
