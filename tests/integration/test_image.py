# SPDX-License-Identifier: Apache-2.0
"""creel image build, ls, inspect and rm, with a real mmdebstrap."""

import os
import pathlib
import signal
import time

import creelkit
import imagekit
import pytest


def fails(done, *words):
    assert done.code == 125, done
    assert done.errors.count("\n") == 1 or "\ncreel: " in done.errors, done
    for word in words:
        assert word in done.errors, done


def test_base_is_what_its_recipe_says(creel):
    digest = imagekit.base(creel)
    image = imagekit.inspect(creel, "base")
    assert image["digest"] == digest
    assert image["source"]["kind"] == "recipe"
    assert image["source"]["suite"]
    assert (image["user"], image["home"], image["gid"]) == ("user", "/home/user", 1000)
    assert any(word.startswith("PATH=") for word in image["env"])
    assert 100 << 20 < image["size"] < 500 << 20
    entries = imagekit.manifest(creel, "base")
    for path in ("usr/bin/python3", "usr/bin/git", "usr/bin/curl", "usr/bin/sqlite3", "usr/bin/jq",
                 "usr/bin/rg", "etc/ssl/certs/ca-certificates.crt"):
        assert path in entries, path
    assert entries["home/user"] == "D 755 1000 1000 home/user"
    assert entries["tmp"] == "D 1777 0 0 tmp"
    assert not [path for path in entries if path.startswith(("dev/", "var/lib/apt/lists/deb"))]
    assert image["digest"] == imagekit.images(creel)["base"]["digest"]


def test_the_digest_does_not_depend_on_who_builds(creels):
    if len(creels) < 2:
        pytest.skip("the tests are not run as root")
    assert imagekit.base(creels["root"]) == imagekit.base(creels["rootless"])


def test_nothing_of_the_machine_is_in_an_image(creel):
    imagekit.base(creel)
    entries = imagekit.manifest(creel, "base")
    assert "etc/hostname" not in entries
    assert not [path for path in entries if "creel-build" in path or "auth.conf.d/" in path]
    root = pathlib.Path(imagekit.inspect(creel, "base")["root"])
    if os.geteuid() == 0:
        assert "nameserver" not in (root / "etc/resolv.conf").read_text()
        assert "@" not in "".join(
            path.read_text() for path in (root / "etc/apt").rglob("*.list"))


def test_files_have_canonical_ids(creels):
    """Root's images are mounted with the ids of each sandbox: 0 on disk is its root."""
    if "root" not in creels:
        pytest.skip("the tests are not run as root")
    imagekit.base(creels["root"])
    root = pathlib.Path(imagekit.inspect(creels["root"], "base")["root"])
    assert (root / "usr/bin/git").stat().st_uid == 0
    assert (root / "home/user").stat().st_uid == 1000


def test_missing_images_name_the_command(creel):
    fails(creel("image", "inspect", "data"), "there is no image data",
          "creel image build data")
    fails(creel("image", "inspect", "mine"), "there is no image mine", "creel image pull")
    fails(creel("image", "rm", "mine"), "there is no image mine")


@pytest.mark.parametrize("words, told", [
    ((), "creel image ls"),
    (("frob",), "there is no creel image frob"),
    (("build",), "needs a NAME"),
    (("build", "../x"), "no name of an image"),
    (("build", "host"), "needs no build"),
    (("build", "nosuch"), "there is no recipe nosuch"),
    (("build", "a", "b"), "needs a NAME"),
    (("build", "base", "--json"), "--json is for"),
    (("ls", "--recipe", "x"), "is for creel image build"),
    (("ls", "--frob"), "unknown option --frob"),
    (("pull", "oci:x"), "takes docker://REFERENCE"),
    (("import", "docker://x", "y"), "takes oci:DIR"),
    (("import", "oci:/x"), "and a NAME"),
])
def test_bad_words_are_told(rootless_creel, words, told):
    done = rootless_creel("image", *words)
    assert told in done.errors + done.text, done
    assert done.code == (125 if words else 0)


def test_a_bad_recipe_is_told_with_its_line(rootless_creel):
    path = rootless_creel.file(rootless_creel.home / "bad.recipe", "packages: jq\nfrom base\n")
    fails(rootless_creel("image", "build", "mine", "--recipe", path), "bad.recipe:2: no line")
    path = rootless_creel.file(rootless_creel.home / "bad.recipe",
                               "packages: no-such-package-at-all\n")
    done = rootless_creel("image", "build", "mine", "--recipe", path, "--dry-run", timeout=120)
    fails(done, "no-such-package-at-all")
    assert not imagekit.left(rootless_creel)


@pytest.mark.parametrize("name", ["docs", "full"])
def test_recipes_could_be_built(rootless_creel, name):
    """full is from data and has node, r and sql in it."""
    done = rootless_creel("image", "build", name, "--dry-run", timeout=120)
    assert done.code == 0, done
    assert "downloads about" in done.errors
    assert name not in imagekit.images(rootless_creel)


def test_without_subordinate_ids_the_fix_is_told(creels):
    if "single" not in creels:
        pytest.skip("the tests are not run as root")
    fails(creels["single"]("image", "build", "base"), "usermod --add-subuids")


def processes_of(path):
    """Processes of any namespace whose mounts or arguments have this path."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            text = creelkit._read(entry / "mountinfo") + creelkit._read(entry / "cmdline")
            if str(path).encode() in text:
                found.append((entry.name, creelkit._read(entry / "comm")))
    return found


def test_two_builds_of_one_image_and_a_killed_one(creel, children):
    work = creel.state / "images" / ".new-twice"
    recipe = creel.file(creel.home / "twice.recipe", "packages: jq\n")
    first = creel.popen("image", "build", "twice", "--recipe", recipe)
    children.append(first)
    assert creelkit.wait_until(lambda: (work / "root").exists())
    fails(creel("image", "build", "twice", "--recipe", recipe),
          "another creel is making the image twice")
    assert creelkit.wait_until(lambda: len(processes_of(work)) > 1)
    time.sleep(1)
    first.send_signal(signal.SIGKILL)
    first.wait(10)
    assert creelkit.wait_until(lambda: not processes_of(work)), processes_of(work)
    done = creel("image", "rm", "nosuch")
    assert "removed what 1 interrupted command left" in done.errors, done
    assert not imagekit.left(creel)


def test_a_recipe_of_ones_own_is_built_and_removed(rootless_creel):
    """From base: the packages of both; its commands run as root of the image."""
    creel = rootless_creel
    recipe = creel.file(creel.home / "own.recipe",
                        "description: mine\npackages: jq\nenv: GREETING=hello there\n"
                        "run: id -u >/root/id; echo \"it's\" >/srv/said\n"
                        "run: chown 1000:1000 /srv/said\n")
    done = creel("image", "build", "own", "--recipe", recipe, timeout=imagekit.BUILD_SECONDS)
    assert done.code == 0, done
    image = imagekit.inspect(creel, "own")
    assert "GREETING=hello there" in image["env"]
    entries = imagekit.manifest(creel, "own")
    assert entries["srv/said"].startswith("F 644 1000 1000 5 ")
    assert creel("image", "rm", "own").code == 0
    assert "own" not in imagekit.images(creel)
    assert not imagekit.left(creel)
    assert not pathlib.Path(image["root"]).exists()
