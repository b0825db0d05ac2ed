# SPDX-License-Identifier: Apache-2.0
"""Images for tests: `base` is built once for each user in a session, which takes half a minute."""

import json
import shutil

import creelkit

BUILD_SECONDS = 300
_built = {}


def base(creel):
    """The digest of `base` in this creel's state, sha256:HEX."""
    if creel.name not in _built:
        if not shutil.which("mmdebstrap"):
            creelkit.skip("image", "mmdebstrap is not installed")
        done = creel("image", "build", "base", timeout=BUILD_SECONDS)
        assert done.code == 0, done
        _built[creel.name] = done.text.split()[1]
    return _built[creel.name]


def images(creel):
    """{name: object} of `creel image ls --json`."""
    done = creel("image", "ls", "--json")
    assert done.code == 0, done
    return {image["name"]: image for image in json.loads(done.out)["images"]}


def inspect(creel, name):
    done = creel("image", "inspect", name, "--json")
    assert done.code == 0, done
    return json.loads(done.out)


def manifest(creel, name):
    """{path: line} of an image's manifest."""
    text = (creel.state / "images" / inspect(creel, name)["digest"].replace(":", "-")
            / "manifest").read_text()
    entries = text.split("\n\n", 1)[1].splitlines()
    return {line.split(" ")[6 if line[0] == "F" else 4]: line for line in entries}


def left(creel):
    """What is half made or half removed."""
    return [p.name for p in (creel.state / "images").iterdir() if p.name.startswith(".")]
