# SPDX-License-Identifier: Apache-2.0
"""What the peers have in common: the scratch places of one benchmark run, a row of the table."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import oci
from launch import Command, Launcher

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Skip(Exception):
    """This peer cannot be measured here; the text says why."""


class Broken(Skip):
    """This peer is here and does not work."""


@dataclass
class Context:
    """What the peers share: scratch places, the users, and helper processes to end afterwards."""

    repo: Path
    out: Path
    work: Path
    cache: Path
    build: Path
    creel: Path
    launcher: Launcher
    user: tuple = ()  # (uid, gid) of the rootless rows; empty: there is none
    is_root: bool = False
    helpers: list = field(default_factory=list)
    _made: dict = field(default_factory=dict)

    def once(self, name, make):
        """The result of make(), made at the first call of that name."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def home(self, name, ids=()):
        """A private home directory; not in /tmp, where codex refuses to work."""
        def make():
            path = self.work / f"home-{name}"
            path.mkdir(mode=0o700)
            if ids and self.is_root:
                os.chown(path, *ids)
            return path
        return self.once(f"home-{name}", make)

    def environment(self, name, ids=()):
        home = str(self.home(name, ids))
        return (("PATH", PATH), ("HOME", home), ("LANG", "C"), ("XDG_RUNTIME_DIR", home),
                ("CREEL_STATE", f"{home}/state"))

    def root_dir(self):
        return self.once("rootfs", lambda: oci.make_root(self.work / "rootfs"))

    def syscalls(self):
        return (self.repo / "bench/syscalls.txt").read_text().split()

    def bundle(self, argv, limits, layer=None):
        """One bundle for each command, as the runtimes take the command from a file."""
        name = f"bundle-{len(argv)}-{abs(hash((argv, limits, layer)))}"
        return str(self.once(name, lambda: oci.make_bundle(
            self.work / name, layer or self.root_dir(), list(argv), self.syscalls(), limits,
            host_usr=not layer)))


@dataclass(frozen=True)
class Peer:
    """One row: wrap(argv) gives the command line that runs argv in this peer's sandbox."""

    slug: str
    label: str
    wrap: Callable
    env: tuple
    ids: tuple = ()
    mntns: str = ""
    fds: tuple = ()
    cwd: str = ""
    note: str = ""
    version: tuple = ()  # the command line that prints it

    def command(self, argv, rounds=1):
        return Command(name=self.slug, argv=tuple(self.wrap(tuple(argv))), env=self.env,
                       ids=self.ids, mntns=self.mntns, fds=self.fds, cwd=self.cwd, rounds=rounds)


def need_root(ctx):
    if not ctx.is_root:
        raise Skip("needs root")


def need(name):
    path = shutil.which(name, path=PATH)
    if not path:
        raise Skip(f"{name} is not installed")
    return path


def need_file(path, what):
    if not path.exists():
        raise Skip(f"{what} is not there")
    return str(path)


def need_user(ctx):
    if not ctx.user:
        raise Skip("the user creel-bench does not exist (--install makes it)")
    return () if not ctx.is_root else ctx.user
