# SPDX-License-Identifier: Apache-2.0
"""`bench.py --install`: the peers that packages have, and the user of the rootless rows.

Each step stands alone: what cannot be had is named and the next step goes on, since the benchmark
names a missing peer anyway. Node and Go themselves are left to the machine.
"""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

USER = "creel-bench"
APT_PACKAGES = ("bubblewrap", "crun", "runc", "nsjail", "firejail", "systemd-container", "podman",
                "runsc", "mmdebstrap", "btrfs-progs", "libseccomp-dev", "uidmap", "ripgrep",
                "socat", "strace", "linux-perf")
NPM_PACKAGES = ("@openai/codex", "@anthropic-ai/sandbox-runtime")
GVISOR = "gvisor.dev/gvisor/runsc@latest"
SUBORDINATE_IDS = 65536
STEP_TIMEOUT_S = 900


def _run(argv, **env):
    """True if the step succeeded; its last line of complaint is printed otherwise."""
    try:
        done = subprocess.run(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=STEP_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"install: {error}", file=sys.stderr)
        return False
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip().splitlines()[-1:]
        print(f"install: {' '.join(argv)}: {' '.join(complaint)}", file=sys.stderr)
    return done.returncode == 0


def apt_packages():
    """One by one: apt installs nothing at all if a single name is unknown, as nsjail in Debian."""
    _run(["apt-get", "update"])
    for package in APT_PACKAGES:
        _run(["apt-get", "install", "-y", "--no-install-recommends", package],
             DEBIAN_FRONTEND="noninteractive")


def npm_packages(cache):
    if not shutil.which("npm"):
        print("install: no npm: codex and srt are skipped", file=sys.stderr)
        return
    _run(["npm", "install", "--prefix", str(cache / "npm"), "--no-fund", "--no-audit",
          *NPM_PACKAGES])


def gvisor(cache):
    """Static, because runsc executes itself again in an empty root, where no ld.so is."""
    if not shutil.which("go"):
        print("install: no go: gVisor's current version is skipped", file=sys.stderr)
        return
    _run(["go", "install", GVISOR], CGO_ENABLED="0", GOBIN=str(cache / "bin"))


def _has_range(path):
    return any(line.startswith(f"{USER}:") for line in Path(path).read_text().splitlines())


def _next_range(path):
    """Above all ranges that the file gives away."""
    ends = [100000]
    for line in Path(path).read_text().splitlines():
        _, start, count = line.split(":")
        ends.append(int(start) + int(count))
    return max(ends)


def user():
    """An ordinary user with a range of subordinate ids, which cannot log in."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        _run(["useradd", "--create-home", "--shell", "/usr/sbin/nologin", USER])
    for path, option in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
        Path(path).touch()
        if not _has_range(path):
            first = _next_range(path)
            _run(["usermod", option, f"{first}-{first + SUBORDINATE_IDS - 1}", USER])


def everything(cache):
    cache.mkdir(parents=True, exist_ok=True)
    apt_packages()
    user()
    npm_packages(cache)
    gvisor(cache)
