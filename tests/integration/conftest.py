# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration suite: creel as root, rootless, and rootless with a single id."""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import creelkit  # noqa: E402
import terminal  # noqa: E402


@pytest.fixture(scope="session")
def session_directory():
    """Open to others, so that the rootless users reach their own directories in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="creel-itest-"))
    path.chmod(0o755)
    yield path
    # Tens of thousands of directories: rm is many times faster than shutil.rmtree.
    remove = ["rm", "-rf", "--one-file-system", path]
    if os.geteuid() != 0:  # images have files of subordinate ids
        subprocess.run(["unshare", "--map-root-user", "--map-auto", *remove], timeout=300,
                       check=False, capture_output=True)
    subprocess.run(remove, timeout=300, check=False)


@pytest.fixture(scope="session")
def creels(session_directory):
    found = creelkit.make_creels(session_directory)
    watch = creelkit.Watch(found, session_directory)
    watch.start()
    yield found
    deadline = time.monotonic() + 15  # what was killed while it registered is freed after 10 s
    while True:
        for creel in found.values():
            creel("run", "--", "true")  # what a test killed is freed by the next call
        left = watch.left()
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    watch.finished.set()
    watch.join(10)
    if left:
        pytest.fail("left behind:\n" + "\n".join(left), pytrace=False)


@pytest.fixture(params=["root", "rootless"] if os.geteuid() == 0 else ["rootless"])
def creel(request, creels):
    return creels[request.param]


@pytest.fixture(params=["root", "rootless", "single"] if os.geteuid() == 0 else ["rootless"])
def any_creel(request, creels):
    """Also a caller without subordinate ids, who is the only user inside."""
    return creels[request.param]


@pytest.fixture
def root_creel(creels):
    if "root" not in creels:
        pytest.skip("the tests are not run as root")
    return creels["root"]


@pytest.fixture
def rootless_creel(creels):
    return creels["rootless"]


@pytest.fixture
def open_terminal(creel):
    """open_terminal(args…): creel on a new terminal; closed at the end of the test."""
    opened = []

    def open_one(*args, **kw):
        opened.append(terminal.Terminal(creel, *args, **kw))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def children():
    """A list of processes that the test started and that must not outlive it."""
    processes = []
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture(autouse=True)
def _private_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)
