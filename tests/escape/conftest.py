# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the escape suite: the binary under attack, who starts it, the compiled attacks."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import harness  # noqa: E402
import preparation  # noqa: E402


@pytest.fixture(scope="session")
def creel_binary():
    path = pathlib.Path(os.environ.get("CREEL", harness.REPO / "build" / "creel")).resolve()
    if not path.exists():
        pytest.fail(f"{path} does not exist: run `make build` or set CREEL", pytrace=False)
    return path


@pytest.fixture(scope="session")
def session_directory():
    """Open to others, so that the rootless user reaches its own directories in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="creel-escape-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def attacks(session_directory):
    path = session_directory / "attacks"
    path.mkdir(mode=0o755)
    harness.compile_attacks(path)
    preparation.make_suid_copies(path)
    yield path
    if os.geteuid() == 0:
        preparation.remove_canaries()


@pytest.fixture(scope="session")
def whos(creel_binary, session_directory):
    return harness.make_whos(creel_binary, session_directory)


@pytest.fixture(params=["root-run", "rootless"])
def who(request, whos):
    if request.param not in whos:
        pytest.skip("root-run needs the tests to be run as root")
    return whos[request.param]


@pytest.fixture(params=["root-run", "rootless", "single-id"])
def any_who(request, whos):
    """Also a caller without subordinate ids, who is the only user inside."""
    if request.param not in whos:
        pytest.skip("needs the tests to be run as root")
    return whos[request.param]


@pytest.fixture(params=["user", "root"])
def user(request):
    return request.param


@pytest.fixture
def victim(who):
    """A directory of the machine with a secret, which links inside will point to."""
    path = who.directory("victim-")
    for name in ("secret", "file"):
        (path / name).write_text(preparation.SECRET + "\n")
        os.chown(path / name, who.uid, who.gid)
    return path


@pytest.fixture(scope="session")
def doctor(whos):
    """{who: object of `creel doctor --json`}; what it reports missing may be skipped."""
    found = {}
    for name, who in whos.items():
        done = who.run("doctor", "--json")
        try:
            found[name] = json.loads(done.stdout)
        except ValueError:
            pytest.fail(f"creel doctor --json as {name}: {done.stdout!r} {done.stderr!r}",
                        pytrace=False)
    return found


class HostWatch(threading.Thread):
    """Starts /bin/true again and again: the machine must stay able to, and soon."""

    def __init__(self):
        super().__init__(daemon=True)
        self.slowest = 0.0
        self.failures = []
        self.finished = threading.Event()

    @staticmethod
    def start_one():
        start = time.monotonic()
        subprocess.run(["/bin/true"], check=True, timeout=20)
        return time.monotonic() - start

    def settle(self):
        """What an earlier bomb left to the kernel, which frees refused forks late, is not ours."""
        quick, deadline = 0, time.monotonic() + 60
        while quick < 5 and time.monotonic() < deadline:
            quick = quick + 1 if self.start_one() < 0.1 else 0
            time.sleep(0.1)

    def run(self):
        while not self.finished.wait(0.2):
            try:
                self.slowest = max(self.slowest, self.start_one())
            except (OSError, subprocess.SubprocessError) as error:
                self.failures.append(repr(error))


@pytest.fixture
def host_watch():
    watch = HostWatch()
    watch.settle()
    watch.start()
    yield watch
    watch.finished.set()
    watch.join(30)
    assert not watch.failures, watch.failures
    assert watch.slowest < 5, f"the machine needed {watch.slowest:.1f} s to start /bin/true"
