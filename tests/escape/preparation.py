# SPDX-License-Identifier: Apache-2.0
"""What a program's `run:` words ask for: host directories, canaries, spare descriptors.

`prepared()` gives the options for creel and the arguments for Popen, and afterwards looks at the
machine for what the attack may have done to it, which the program inside cannot see.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shutil
import socket
import stat
import subprocess

from harness import (RUN_SECONDS, Traces, attack_needs, ensure_user, host_tree, new_token,
                     parse_cases)

SECRET = "THE-MACHINES-OWN-SECRET"  # what the directory `victim` of a test holds
CANARY_TEXT = "CREEL-CANARY\n"
CANARY_BASE = pathlib.Path("/usr/local/share")
CANARIES = (CANARY_BASE / "creel-canary", CANARY_BASE / "creel-secret" / "inner",
            pathlib.Path("/root/creel-canary"))
PLANTED = ("/etc/ld.so.preload", "/etc/profile.d/creel-planted.sh", "/etc/cron.d/creel-planted",
           "/usr/local/bin/creel-planted", "/usr/local/sbin/creel-planted",
           "/usr/bin/creel-planted", "/usr/lib/creel-planted.so",
           "/usr/lib/python3/dist-packages/creel_planted.pth", "/run/creel/creel-planted",
           "/var/lib/creel/creel-planted", "/etc/systemd/system/creel-planted.service",
           "/creel-planted", "/tmp/creel-planted", "/usr/share/creel-mark")
WATCHED = ("/usr/bin/cat", "/usr/bin/su", "/usr/bin/passwd", "/etc/passwd", "/etc/shadow",
           "/etc/hosts")


@dataclasses.dataclass
class Prepared:
    options: list = dataclasses.field(default_factory=list)
    popen: dict = dataclasses.field(default_factory=dict)
    checks: list = dataclasses.field(default_factory=list)
    stdout_file: pathlib.Path = None


def digest(path):
    """Content, mode and owner of a file of the machine."""
    try:
        info = os.stat(path)
        content = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        return content, info.st_mode, info.st_uid
    except OSError:
        return None


def make_canaries():
    (CANARY_BASE / "creel-secret").mkdir(mode=0o700, exist_ok=True)
    (CANARY_BASE / "creel-secret").chmod(0o700)
    for path in CANARIES:
        path.write_text(CANARY_TEXT)
        path.chmod(0o600)


def remove_canaries():
    for path in CANARIES:
        path.unlink(missing_ok=True)
    shutil.rmtree(CANARY_BASE / "creel-secret", ignore_errors=True)


def make_suid_copies(directory):
    """Copies of setuid-exec beside it: setuid root, setgid root, with file capabilities."""
    copies = directory / "copies"
    copies.mkdir(exist_ok=True)
    for name, mode in (("suid", 0o4755), ("sgid", 0o2755), ("capable", 0o755)):
        shutil.copy(directory / "setuid-exec", copies / name)
        (copies / name).chmod(mode)
    if os.geteuid() == 0:
        subprocess.run(["setcap", "cap_sys_admin,cap_setuid+ep", copies / "capable"], check=True,
                       timeout=10)


def harmful(directory, uid):
    """What in a directory of the machine must not have come out of a sandbox."""
    found = []
    for name, info in host_tree(directory).items():
        kind = stat.S_IFMT(info.st_mode)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            found.append(f"device {name}")
        if info.st_mode & (stat.S_ISUID | stat.S_ISGID) and kind == stat.S_IFREG:
            found.append(f"mode {oct(info.st_mode)} {name}")
        if info.st_uid != uid:
            found.append(f"owner {info.st_uid} {name}")
        if kind in (stat.S_IFREG, stat.S_IFDIR):
            path = os.path.join(directory, name)
            found += [f"xattr {x} {name}" for x in os.listxattr(path, follow_symlinks=False)
                      if x.startswith(("trusted.", "user.overlay.")) or
                      (x == "security.capability" and capability_counts(path))]
    return found


def capability_counts(path):
    """Whether a file's capabilities count on the machine, and not only below a user namespace:
    revision 3 of struct vfs_ns_cap_data ends in the id of that namespace's root."""
    data = os.getxattr(path, "security.capability", follow_symlinks=False)
    revision = int.from_bytes(data[:4], "little") >> 24
    return revision < 3 or int.from_bytes(data[-4:], "little") == 0


def assert_victim_untouched(victim):
    assert sorted(p.name for p in victim.iterdir()) == ["file", "secret"]
    assert all(p.read_text() == SECRET + "\n" for p in victim.iterdir())


def workspace_for(who, user):
    """A directory of the machine that creel takes as --workspace: together with --root not one
    that belongs to the machine's root."""
    directory = who.directory("workspace-")
    if who.uid == 0 and user == "root":
        account = ensure_user()
        os.chown(directory, account.pw_uid, account.pw_gid)
    return directory


def refuses_workspace(who, user):
    """Rootless, root of a sandbox would leave files of subordinate ids: refused at the start."""
    return who.name == "rootless" and user == "root"


def assert_refused(done):
    """Exit 125 and one line that says why."""
    assert done.returncode == 125 and b"--root with --workspace" in done.stderr + done.stdout, done


def _workspace(prep, who, user, _attacks):
    directory = workspace_for(who, user)
    prep.options += ["--workspace", directory]
    prep.checks.append(lambda: harmful(directory, directory.stat().st_uid))


def _maybe_workspace(prep, who, user, attacks):
    if not refuses_workspace(who, user):
        _workspace(prep, who, user, attacks)


def _canaries(prep, _who, _user, _attacks):
    if os.geteuid() == 0:
        make_canaries()
    prep.checks.append(lambda: [f"canary {p} changed" for p in CANARIES if os.geteuid() == 0
                                and (p.read_text() != CANARY_TEXT
                                     or p.stat().st_mode & 0o777 != 0o600)])


def _planted(prep, _who, _user, _attacks):
    there = {p for p in PLANTED if os.path.lexists(p)}
    prep.checks.append(lambda: [f"planted {p}" for p in PLANTED
                                if os.path.lexists(p) and p not in there])


def _extra_fds(prep, who, _user, _attacks):
    directory = os.open(who.home, os.O_RDONLY | os.O_DIRECTORY)
    file = os.open("/etc/hostname", os.O_RDONLY)
    for fd in (directory, file):
        os.set_inheritable(fd, True)
    prep.popen["pass_fds"] = (directory, file)


def _stdout_file(prep, who, _user, _attacks):
    directory = who.directory("stdout-", 0o755)
    prep.stdout_file = directory / "log"
    prep.stdout_file.write_text("first line\n")
    os.chown(prep.stdout_file, who.uid, who.gid)

    def check():
        info = prep.stdout_file.stat()
        text = prep.stdout_file.read_text()
        return ([] if text.startswith("first line\n") else [f"log is now {text[:80]!r}"]) + (
            [] if (info.st_mode & 0o7777, info.st_uid) == (0o644, who.uid)
            else [f"log has mode {oct(info.st_mode)}, owner {info.st_uid}"])
    prep.checks.append(check)


def _suid_copies(prep, _who, _user, attacks):
    make_suid_copies(attacks)


NEEDS = {"workspace": _workspace, "maybe-workspace": _maybe_workspace, "canaries": _canaries,
         "planted": _planted, "extra-fds": _extra_fds, "stdout-file": _stdout_file,
         "suid-copies": _suid_copies}


@contextlib.contextmanager
def prepared(needs, who, user, attacks):
    prep = Prepared()
    for need in sorted(needs):
        NEEDS[need](prep, who, user, attacks)
    try:
        yield prep
    finally:
        for fd in prep.popen.get("pass_fds", ()):
            os.close(fd)


@dataclasses.dataclass
class Attempt:
    """One program run once: its cases, and what the machine shows afterwards."""
    cases: dict
    damage: list
    exit_code: int
    text: str

    def broken(self):
        lines = [f"{name}: {detail}" for name, (verdict, detail) in sorted(self.cases.items())
                 if verdict == "BROKEN"]
        return lines + [f"on the machine: {line}" for line in self.damage]

    def skipped(self):
        return [f"{name}: {detail}" for name, (verdict, detail) in sorted(self.cases.items())
                if verdict == "SKIP"]


def try_attack(who, user, name, attacks, extra=()):
    """Runs one program inside; user is "user" or "root"."""
    token = new_token()
    before = {path: digest(path) for path in (*WATCHED, who.binary)}
    traces = Traces.take(who)
    needs = attack_needs(name) - {"alone"}
    with prepared(needs, who, user, attacks) as prep:
        options = ["run", "--timeout", "15s", "--ro", f"{attacks}:/attacks", *prep.options,
                   "--env", f"ATTACK_MACHINE={socket.gethostname()}",
                   "--env", "ATTACK_MACHINE_USER=creel-test", *extra]
        if user == "root":
            options.append("--root")
        if prep.stdout_file:
            with open(prep.stdout_file, "ab") as log:
                done = who.run(*options, "--", f"/attacks/{name}", token=token, stdout=log,
                               timeout=RUN_SECONDS, **prep.popen)
            text, code = done.stderr.decode("utf-8", "replace"), done.returncode
        else:
            done = who.run(*options, "--", f"/attacks/{name}", token=token, timeout=RUN_SECONDS,
                           **prep.popen)
            text, code = done.stdout.decode("utf-8", "replace"), done.returncode
        damage = [line for check in prep.checks for line in check()]
    damage += [f"{path} changed" for path, old in before.items() if digest(path) != old]
    traces.assert_gone(token)
    if "workspace" in needs and refuses_workspace(who, user):
        assert_refused(done)
        return Attempt({f"{name}.refused_at_start": ("HELD", "exit 125")}, damage, 0, text)
    return Attempt(parse_cases(text), damage, code,
                   text[-4000:] + done.stderr.decode("utf-8", "replace")[-2000:])
