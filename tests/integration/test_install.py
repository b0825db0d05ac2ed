# SPDX-License-Identifier: Apache-2.0
"""make install and uninstall, with DESTDIR and PREFIX: what the README says is put there, and
nothing else; and it is all taken away again."""

import os
import shutil
import subprocess

import pytest

import creelkit

FILES = {"bin/creel": 0o755, "share/man/man1/creel.1": 0o644,
         "share/creel/apparmor/creel": 0o644}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """make(target, variable=value…) with a build directory of its own."""
    if not shutil.which("make"):
        creelkit.skip("make", "not installed")
    build = tmp_path_factory.mktemp("install") / "build"

    def run(*words, **variables):
        command = ["make", "-C", creelkit.REPO, f"BUILD={build}", "MESON_FLAGS=-Dtests=disabled",
                   *(f"{name}={value}" for name, value in variables.items()), *words]
        env = {"PATH": creelkit.PATH, "HOME": str(build.parent), "LANG": "C.UTF-8"}
        done = subprocess.run(command, capture_output=True, timeout=280, env=env, check=False)
        assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])

    return run


def files_below(place):
    return {os.path.relpath(os.path.join(base, name), place)
            for base, _, names in os.walk(place) for name in names}


@pytest.mark.parametrize("prefix", ["/usr", "/opt/creel", "/usr/local"])
def test_install_and_uninstall(make, tmp_path, prefix):
    root = tmp_path / "root"
    place = root / prefix.lstrip("/")
    make("install", PREFIX=prefix, DESTDIR=root)
    assert files_below(root) == {os.path.relpath(place / name, root) for name in FILES}
    for name, mode in FILES.items():
        assert (place / name).stat().st_mode & 0o7777 == mode, name
        assert (place / name).stat().st_size, name
    done = subprocess.run([place / "bin" / "creel", "--version"], capture_output=True, timeout=10,
                          check=True)
    assert done.stdout.startswith(b"creel "), done
    make("install", PREFIX=prefix, DESTDIR=root)  # a second time
    make("uninstall", PREFIX=prefix, DESTDIR=root)
    assert files_below(root) == set()
