# SPDX-License-Identifier: Apache-2.0
"""What the escape tests share: who runs creel, how an attack is run and read, and what must be
gone afterwards.

Root-run is creel started by root, rootless is creel started by the ordinary user `creel-test`,
single-id by a user that has no subordinate ids.
Everything happens below one temporary directory a session; nothing here ends a process that it
did not start itself.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
ATTACKS = HERE / "attacks"
USER_NAME = os.environ.get("CREEL_TEST_USER", "creel-test")
SINGLE_UID = 54321  # no such account, so no subordinate ids
RUN_SECONDS = 60
GONE_SECONDS = 1.0
TOKEN_KEY = "CREEL_TEST_TOKEN"

CFLAGS = ["-static", "-O1", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow",
          "-Werror", "-pthread"]


def ensure_user():
    """The account for rootless runs, with subordinate ids; made if it is missing."""
    try:
        return pwd.getpwnam(USER_NAME)
    except KeyError:
        subprocess.run(["useradd", "-m", USER_NAME], check=True, timeout=60)
        return pwd.getpwnam(USER_NAME)


def subordinate_range(user):
    """(first, count) of the user's subordinate ids, (0, 0) without."""
    with contextlib.suppress(FileNotFoundError):
        for line in pathlib.Path("/etc/subuid").read_text().splitlines():
            name, first, count = line.split(":")
            if name == user:
                return int(first), int(count)
    return 0, 0


@dataclasses.dataclass
class Who:
    """One way of starting creel: as whom, with which binary and directories."""
    name: str
    uid: int
    gid: int
    binary: pathlib.Path
    home: pathlib.Path
    extra_env: dict = dataclasses.field(default_factory=dict)

    @property
    def state(self):
        return self.home / "state"

    def own(self, path, mode=0o700):
        """Makes path a directory of this user."""
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, self.uid, self.gid)
        path.chmod(mode)
        return path

    def directory(self, prefix, mode=0o755):
        path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=self.home))
        return self.own(path, mode)

    def environment(self, token):
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self.home), "LANG": "C.UTF-8", "USER": self.name,
                "XDG_RUNTIME_DIR": str(self.home / "run"),
                "XDG_DATA_HOME": str(self.home / "data"),
                "XDG_CONFIG_HOME": str(self.home / "config"),
                "CREEL_STATE": str(self.state), "CREEL_CANARY_SECRET": "CREEL-CANARY",
                TOKEN_KEY: token, **self.extra_env}

    def popen(self, *args, token=None, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        if os.geteuid() == 0 and self.uid != 0:
            kw.update(user=self.uid, group=self.gid, extra_groups=[])
        kw.setdefault("cwd", "/")
        if token and args[0] == "run":  # so that what runs inside can be told from outside
            args = ("run", "--env", f"{TOKEN_KEY}={token}", *args[1:])
        return subprocess.Popen([str(self.binary), *map(str, args)],
                                env=self.environment(token or "none"), start_new_session=True, **kw)

    def run(self, *args, token=None, timeout=RUN_SECONDS, **kw):
        """Runs `creel args`, bounded; returns a CompletedProcess with bytes."""
        process = self.popen(*args, token=token, **kw)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate(timeout=10)
            raise AssertionError(f"creel {args} hung for {timeout} s: {out!r} {err!r}") from None
        return subprocess.CompletedProcess(args, process.returncode, out or b"", err or b"")

    def run_json(self, *args, **kw):
        """`creel run --json args` as (result object, CompletedProcess)."""
        done = self.run("run", "--json", *args, **kw)
        try:
            return json.loads(done.stdout), done
        except ValueError:
            raise AssertionError(f"no JSON, exit {done.returncode}: {done.stdout[-2000:]!r} "
                                 f"{done.stderr[-2000:]!r}") from None


def result_text(result, stream="stdout"):
    """The captured output of a result, which may be base64."""
    if stream in result:
        return result[stream]
    import base64
    return base64.b64decode(result.get(stream + "_base64", "")).decode("utf-8", "replace")


def make_whos(binary, root):
    """Root-run, rootless and single-id below the directory root, which must let others pass."""
    whos = {}
    if os.geteuid() == 0:
        user = ensure_user()
        home = root / "root"
        whos["root-run"] = Who("root-run", 0, 0, binary, home)
    else:
        user = pwd.getpwuid(os.geteuid())
    copies = root / "bin"
    copies.mkdir(mode=0o755)
    for path in sorted(binary.parent.glob("creel*")):
        if path.is_file() and os.access(path, os.X_OK):
            shutil.copy2(path, copies / path.name)
            (copies / path.name).chmod(0o755)
    whos["rootless"] = Who("rootless", user.pw_uid, user.pw_gid, copies / binary.name,
                           root / "rootless")
    if os.geteuid() == 0:
        whos["single-id"] = Who("single-id", SINGLE_UID, SINGLE_UID, copies / binary.name,
                                root / "single")
    for who in whos.values():
        for path in (who.home, who.home / "run", who.home / "data", who.home / "config",
                     who.state):
            who.own(path)
    return whos


def compile_attacks(target):
    """Builds every program into target; shell ones are copied. Returns the names."""
    names = []
    for source in sorted(ATTACKS.glob("*.c")):
        subprocess.run(["cc", *CFLAGS, "-o", target / source.stem, source], check=True,
                       timeout=120)
        names.append(source.stem)
    for source in sorted(ATTACKS.glob("*.sh")):
        shutil.copy(source, target / source.name)
        (target / source.name).chmod(0o755)
        names.append(source.name)
    return names


def attack_names():
    """All programs but the bombs, by the name they have inside."""
    return sorted([p.stem for p in ATTACKS.glob("*.c") if not p.stem.startswith("bomb-")]
                  + [p.name for p in ATTACKS.glob("*.sh")])


def attack_needs(name):
    """The words after `run:` in the comment at the top of a program."""
    source = ATTACKS / (name if name.endswith(".sh") else name + ".c")
    head = "\n".join(source.read_text().splitlines()[:30])
    found = re.search(r"^[ #*]*run: (.*)$", head, re.MULTILINE)
    return set(found.group(1).split()) if found else set()


def parse_cases(text):
    """{case: (verdict, detail)}; the worst verdict wins when a case prints more than once."""
    rank = {"SKIP": 0, "HELD": 1, "BROKEN": 2}
    cases = {}
    for line in text.splitlines():
        words = line.split(" ", 2)
        if len(words) < 2 or words[0] not in rank:
            continue
        verdict, name, detail = words[0], words[1], words[2] if len(words) > 2 else ""
        if name not in cases or rank[verdict] > rank[cases[name][0]]:
            cases[name] = (verdict, detail)
    return cases


def new_token():
    return "creel-escape-" + uuid.uuid4().hex[:12]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def processes():
    """{pid: directory in /proc} of what runs now, without zombies."""
    found = {}
    for path in pathlib.Path("/proc").iterdir():
        if not path.name.isdigit():
            continue
        status = _read(path / "stat").rpartition(b")")[2].split()
        if status and status[0] not in (b"Z", b"X"):
            found[int(path.name)] = path
    return found


def _owner(path):
    try:
        return path.stat().st_uid
    except OSError:
        return -1


def leftover_processes(who, token=None, sandbox=None):
    """Processes of a run that are still there: by argument, environment, cgroup or owner."""
    left = []
    first, count = subordinate_range(USER_NAME)
    mark = token.encode() if token else None
    for pid, path in processes().items():
        if pid == os.getpid():
            continue
        reasons = []
        if mark and mark in _read(path / "cmdline"):
            reasons.append("argument")
        if mark and (TOKEN_KEY.encode() + b"=" + mark) in _read(path / "environ"):
            reasons.append("environment")
        if sandbox and sandbox.encode() in _read(path / "cgroup"):
            reasons.append("cgroup")
        if who.uid != os.geteuid():
            uid = _owner(path)
            if uid == who.uid or who.name == "rootless" and first <= uid < first + count:
                reasons.append("owner")
        if reasons:
            left.append((pid, _read(path / "cmdline")[:120], reasons))
    return left


def creel_cgroups():
    """Directories of the cgroup file systems whose path has a part that begins with creel."""
    found = set()
    for base, directories, _ in os.walk("/sys/fs/cgroup"):
        for name in directories:
            path = os.path.join(base, name)
            if "/creel" in path:
                found.add(path)
    return found


def creel_mounts(who):
    """Lines of mountinfo that belong to creel or lie below this session's directories."""
    marks = (str(who.state), str(who.home), "/run/creel", "/var/lib/creel")
    return {line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
            if any(mark in line for mark in marks)}


@dataclasses.dataclass
class Traces:
    """What is there before a run, so that only new things count as left behind."""
    who: Who
    mounts: set
    cgroups: set

    @classmethod
    def take(cls, who):
        return cls(who, creel_mounts(who), creel_cgroups())

    def left(self, token=None, sandbox=None):
        left = [f"process {p}" for p in leftover_processes(self.who, token, sandbox)]
        left += [f"mount {m}" for m in creel_mounts(self.who) - self.mounts]
        for path in creel_cgroups() - self.cgroups:
            name = os.path.basename(path)
            if sandbox and sandbox in name:
                left.append(f"cgroup {path}")
        return left

    def assert_gone(self, token=None, sandbox=None, within=GONE_SECONDS):
        """Nothing of the sandbox is left `within` seconds from now."""
        deadline = time.monotonic() + within
        while True:
            left = self.left(token, sandbox)
            if not left:
                return
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        for pid, _, reasons in leftover_processes(self.who, token, sandbox):
            if reasons != ["owner"]:  # the account may be in use by another run of tests
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"still there after {within} s: {left}")


def host_tree(directory):
    """{relative path: lstat} of everything below a directory of the machine."""
    found = {}
    for base, directories, files in os.walk(directory):
        for name in directories + files:
            path = os.path.join(base, name)
            found[os.path.relpath(path, directory)] = os.lstat(path)
    return found
