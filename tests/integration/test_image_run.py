# SPDX-License-Identifier: Apache-2.0
"""creel run --image: what is inside an image is what was built, and is checked on every use."""

import contextlib
import os
import subprocess
import zipfile

import creelkit
import imagekit
import pytest


@pytest.fixture
def base(creel):
    imagekit.base(creel)
    return creel


def test_the_command_runs_in_the_image(base):
    done = base.sh("id -un; id -u; pwd; echo $HOME; which rg git sqlite3 jq", "--image",
                   "base")
    assert done.code == 0, done
    assert done.text.split() == ["user", "1000", "/workspace", "/home/user", "/usr/bin/rg",
                                 "/usr/bin/git", "/usr/bin/sqlite3", "/usr/bin/jq"]


def test_an_image_can_be_named_by_its_digest(base):
    digest = imagekit.base(base)
    assert base.run("--image", digest[:19], "--", "true").code == 0
    done = base.run("--image", "sha256:000000000000", "--", "true")
    assert done.code == 125 and "there is no image" in done.errors, done


def test_a_missing_image_names_the_command(creel):
    done = creel.run("--image", "r", "--", "true")
    assert done.code == 125 and "creel image build r" in done.errors, done


def test_root_inside_can_change_what_is_in_the_image(base):
    done = base.sh("rm /usr/bin/jq && echo x >>/etc/passwd && dpkg -l jq | tail -1", "--image",
                   "base", "--root")
    assert done.code == 0 and "jq" in done.text, done
    assert base.sh("jq --version", "--image", "base").code == 0  # the next run has it again


def wheel(path):
    """A wheel with one module, made by hand."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("lobster.py", "SOUND = 'click'\n")
        info = "lobster-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: lobster\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\n"
                         "Root-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"lobster.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n"
                         f"{info}/RECORD,,\n")


def test_pip_installs_for_the_user(base):
    """Without an argument that says that Debian's packages may be broken."""
    path = base.directory() / "lobster-1.0-py3-none-any.whl"
    wheel(path)
    path.chmod(0o644)
    done = base.sh("pip install -q --user --no-index lobster-1.0-py3-none-any.whl && "
                   "python3 -c 'import lobster; print(lobster.SOUND)' && "
                   "python3 -m venv /tmp/v && /tmp/v/bin/python -c 'print(1)'",
                   "--image", "base", "--in", path, timeout=60)
    assert done.code == 0, done
    assert done.text.split() == ["click", "1"]


@contextlib.contextmanager
def damaged(path, content):
    """Only the host's root or the image's own can write into it."""
    if os.geteuid() != 0:
        pytest.skip("the tests are not run as root")
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def test_a_corrupted_image_is_refused_until_it_is_whole_again(base):
    root = base.state / "images" / imagekit.base(base).replace(":", "-") / "root"
    path = root / "usr" / "bin" / "jq"
    with damaged(path, path.read_bytes()[:-1] + b"\0" + b"x"):
        done = base.run("--image", "base", "--", "true")
        assert done.code == 125, done
        assert "image base is corrupted: usr/bin/jq differs" in done.errors, done
        assert "creel image build base" in done.errors
    assert base.run("--image", "base", "--", "true").code == 0  # as a restored backup would be
    assert base.run("--image", "base", "--", "true").code == 0


def test_a_planted_file_is_refused(base):
    if os.geteuid() != 0:
        pytest.skip("the tests are not run as root")
    root = base.state / "images" / imagekit.base(base).replace(":", "-") / "root"
    planted = root / "usr" / "bin" / "planted"
    planted.write_bytes(b"x")
    try:
        done = base.run("--image", "base", "--", "true")
        assert done.code == 125 and "is corrupted" in done.errors, done
    finally:
        planted.unlink()
    assert base.run("--image", "base", "--", "true").code == 0


def test_an_image_in_use_stays(base):
    run = base.detach("--image", "base", "--", "sleep", "60")
    try:
        assert creelkit.wait_until(lambda: run in base.live_ids())
        done = base("image", "rm", "base")
        assert done.code == 125 and "in use by a run" in done.errors, done
        assert "base" in imagekit.images(base)
    finally:
        base("kill", run)


def test_many_runs_share_one_image(base, children):
    children += [base.popen("run", "--image", "base", "--", "sh", "-c", "sleep 1; echo $HOME")
                 for _ in range(8)]
    for child in children:
        out, err = child.communicate(timeout=60)
        assert (child.returncode, out) == (0, b"/home/user\n"), err


def test_nothing_of_the_image_is_the_users_outside(base):
    """Rootless its files belong to subordinate ids: the way there is closed to others."""
    directory = base.state / "images" / imagekit.base(base).replace(":", "-")
    assert directory.stat().st_mode & 0o777 == 0o700
    others = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", "ls", directory],
                            capture_output=True, timeout=10, check=False)
    assert others.returncode != 0
