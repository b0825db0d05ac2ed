# SPDX-License-Identifier: Apache-2.0
"""creel image import and pull: honest images arrive, hostile ones are refused and leave nothing."""

import base64
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tarfile

import creelkit
import imagekit
import ocikit
import pytest

HELLO = b"#!/bin/sh\necho hello\n"


@pytest.fixture(autouse=True)
def _programs():
    for program in ("skopeo", "umoci"):
        if not shutil.which(program):
            creelkit.skip("image", f"{program} is not installed")


@pytest.fixture
def place(creel):
    """A directory of this test, and the user's."""
    return creel.directory("oci-")


def opened(path):
    """Whoever runs creel can read it."""
    subprocess.run(["chmod", "-R", "a+rX", path], check=True, timeout=30)


def honest():
    return (ocikit.layer(ocikit.directory("usr/bin"),
                         ocikit.file("usr/bin/hello", HELLO, mode=0o4755, uid=0),
                         ocikit.file("usr/bin/gone", b"x"),
                         ocikit.hard_link("usr/bin/hard", "usr/bin/hello"),
                         ocikit.link("bin", "usr/bin"), ocikit.link("tmp", "/var/tmp"),
                         ocikit.directory("etc"),
                         ocikit.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\n"
                                     b"ann:x:1000:100::/home/ann:/bin/sh\n"),
                         ocikit.file("srv/mine", b"1", uid=1000, gid=100)),
            ocikit.layer(ocikit.file("usr/bin/.wh.gone"), ocikit.file("srv/Ünï\ncode", b"2")))


ENV = ["PATH=/usr/bin", "GREETING=hello there", "ODD=a\nb"]


def check_honest(creel, name):
    image = imagekit.inspect(creel, name)
    entries = imagekit.manifest(creel, name)
    assert (image["user"], image["gid"], image["home"]) == ("ann", 100, "/home/ann")
    assert image["env"] == ENV[:2]
    assert entries["usr/bin/hello"].startswith("F 4755 0 0 21 ")
    assert entries["usr/bin/hard"].split()[5] == entries["usr/bin/hello"].split()[5]
    assert entries["srv/mine"].startswith("F 644 1000 100 1 ")
    assert entries["home/ann"] == "D 755 1000 100 home/ann"
    assert entries["tmp"] == "D 1777 0 0 tmp"  # no link leads a mount elsewhere
    assert entries["bin"] == "L 777 0 0 bin usr/bin"
    assert "usr/bin/gone" not in entries
    assert "srv/Ünï\\012code" in entries
    return image


def test_an_oci_layout_arrives(creel, place):
    source = ocikit.layout(place / "oci", *honest(), env=ENV, workdir="/srv/x/../y")
    opened(place)
    done = creel("image", "import", source, "honest", timeout=120)
    assert done.code == 0, done
    image = check_honest(creel, "honest")
    assert done.text == f"honest {image['digest']}\n"
    assert image["workdir"] == "/workspace"
    assert image["source"]["reference"] == source
    assert image["source"]["digest"].startswith("sha256:")
    assert not imagekit.left(creel)


def test_a_docker_archive_arrives(creel, place):
    source = ocikit.docker_archive(place / "saved.tar", *honest(), env=ENV)
    opened(place)
    done = creel("image", "import", source, "saved", timeout=120)
    assert done.code == 0, done
    check_honest(creel, "saved")


def test_the_digest_is_of_the_content(creels, session_directory):
    path = session_directory / "same"
    source = ocikit.layout(path, *honest())
    opened(path)
    digests = set()
    for creel in [c for n, c in creels.items() if n != "single"]:
        done = creel("image", "import", source, "same", timeout=120)
        assert done.code == 0, done
        digests.add(done.text)
    assert len(digests) == 1


def with_pax(headers):
    info = tarfile.TarInfo("x")
    info.pax_headers = headers
    return info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


DEVICE = ("sda", {"type": tarfile.BLKTYPE, "devmajor": 8, "devminor": 0}, None)
HOSTILE = {
    "absolute": (ocikit.layer(ocikit.file("/tmp/creel-was-here", b"x")), "absolute path"),
    "up": (ocikit.layer(ocikit.file("a/../../creel-was-here", b"x")), "'..'"),
    "hard link up": (ocikit.layer(ocikit.hard_link("x", "../../../etc/passwd")), "'..'"),
    "hard link absolute": (ocikit.layer(ocikit.hard_link("x", "/etc/passwd")), "absolute path"),
    "behind a link": (ocikit.layer(ocikit.link("d", "/tmp"),
                                   ocikit.file("d/creel-was-here", b"x")), "behind a link"),
    "behind two links": (ocikit.layer(ocikit.link("a", "/"), ocikit.hard_link("b", "a"),
                                      ocikit.file("b/tmp/creel-was-here", b"x")),
                         "behind a link"),
    "link as source": (ocikit.layer(ocikit.link("d", "/etc"),
                                    ocikit.hard_link("x", "d/shadow")), "behind a link"),
    "device": (ocikit.layer(DEVICE), "device"),
    "sparse": (with_pax({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}), "sparse"),
    "trusted": (with_pax({"SCHILY.xattr.trusted.overlay.redirect": "/"}), "attribute"),
    "whiteout": (ocikit.layer(ocikit.file("d/.wh...", b"")), "deletes"),
    "bomb": (with_pax({"size": str(1 << 45)}), "more than an image may hold"),
    "cut": (ocikit.layer(ocikit.file("x", b"y" * 2000))[:1500], "cut short"),
    "nonsense": (b"no archive at all" * 100, "no tar archive"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_layer_is_refused(creel, place, name):
    layer, why = HOSTILE[name]
    source = ocikit.layout(place / "oci", honest()[0], layer)
    opened(place)
    done = creel("image", "import", source, "hostile", timeout=120)
    assert done.code == 125, done
    assert "layer 2 of 2 is refused: " in done.errors and why in done.errors, done
    assert "hostile" not in imagekit.images(creel)
    assert not imagekit.left(creel)
    assert not pathlib.Path("/tmp/creel-was-here").exists()


def test_a_compression_bomb_is_refused(creel, place):
    source = ocikit.layout(place / "oci", ocikit.layer(ocikit.file("zeros", bytes(300 << 20))))
    opened(place)
    done = creel("image", "import", source, "bomb", timeout=120)
    assert done.code == 125 and "times its size" in done.errors, done
    assert not imagekit.left(creel)


def test_links_of_one_layer_lead_the_next_nowhere(creel, place):
    """The second wall: what unpacks resolves paths inside the image, and is nobody outside."""
    source = ocikit.layout(place / "oci", ocikit.layer(ocikit.link("d", "/tmp/creel-link"),
                                                       ocikit.link("e", "../../../../tmp")),
                           ocikit.layer(ocikit.file("d/creel-was-here", b"x"),
                                        ocikit.file("e/creel-was-here", b"x")))
    opened(place)
    done = creel("image", "import", source, "led", timeout=120)
    assert not pathlib.Path("/tmp/creel-was-here").exists()
    assert not pathlib.Path("/tmp/creel-link").exists()
    assert done.code in (0, 125), done
    assert not imagekit.left(creel)


@pytest.mark.parametrize("source, told", [
    ("oci:/nonexistent:x", "skopeo failed"),
    ("docker-archive:/etc/passwd", "skopeo failed"),
])
def test_what_is_no_image_is_told(rootless_creel, source, told):
    done = rootless_creel("image", "import", source, "none", timeout=60)
    assert done.code == 125 and told in done.errors, done
    assert not imagekit.left(rootless_creel)


# ---- pull, from a registry of the test's own ----

LOGIN = ("team", "pot-of-lobsters")


def serve(path, auth=""):
    """A registry on this machine, without TLS: the process and its HOST:PORT."""
    program = shutil.which("docker-registry")
    if not program:
        creelkit.skip("image", "docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    (path / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\n"
        f"storage: {{filesystem: {{rootdirectory: {path}/data}}}}\n"
        f"http: {{addr: '{address}'}}\n{auth}")
    return subprocess.Popen([program, "serve", path / "config.yml"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), address


def push(source, address, *options):
    """Does the registry take it as team/tool:1?"""
    return subprocess.run(
        ["skopeo", "copy", "--dest-tls-verify=false", *options, source,
         f"docker://{address}/team/tool:1"], timeout=60, capture_output=True,
        check=False).returncode == 0


def served(path, auth="", options=()):
    """Yields the address of a registry that has team/tool:1."""
    process, address = serve(path, auth)
    source = ocikit.layout(path / "oci", *honest(), env=ENV)
    try:
        assert creelkit.wait_until(lambda: push(source, address, *options), 20, 0.2)
        yield address
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    yield from served(tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def closed_registry(tmp_path_factory):
    """One that wants LOGIN."""
    path = tmp_path_factory.mktemp("closed")
    # bcrypt, which is what the registry takes.
    made = subprocess.run(["perl", "-e", "print crypt($ARGV[0], '$2b$05$' . 'a' x 22)", LOGIN[1]],
                          capture_output=True, timeout=10, check=True, text=True).stdout
    (path / "users").write_text(f"{LOGIN[0]}:{made}\n")
    yield from served(path, f"auth: {{htpasswd: {{realm: test, path: {path}/users}}}}\n",
                      ("--dest-creds", ":".join(LOGIN)))


def test_the_usual_logins_are_used(creel, closed_registry):
    reference = f"docker://{closed_registry}/team/tool:1"
    done = creel("image", "pull", reference, "closed", "--plain-http", timeout=60)
    assert done.code == 125 and "skopeo failed" in done.errors, done
    creel.own(creel.home / ".docker")
    word = base64.b64encode(":".join(LOGIN).encode()).decode()
    creel.file(creel.home / ".docker" / "config.json",
               json.dumps({"auths": {closed_registry: {"auth": word}}}), 0o600)
    try:
        done = creel("image", "pull", reference, "closed", "--plain-http", timeout=60)
    finally:
        shutil.rmtree(creel.home / ".docker")
    assert done.code == 0, done
    image = check_honest(creel, "closed")
    for path in pathlib.Path(image["root"]).parent.rglob("*"):
        if path.is_file() and os.access(path, os.R_OK):
            content = path.read_bytes()
            assert LOGIN[1].encode() not in content and word.encode() not in content, path


def test_an_image_is_pulled(creel, registry):
    done = creel("image", "pull", f"docker://{registry}/team/tool:1", "--plain-http", timeout=120)
    assert done.code == 0, done
    image = check_honest(creel, "tool")
    assert image["source"]["reference"] == f"docker://{registry}/team/tool:1"
    named = creel("image", "pull", f"docker://{registry}/team/tool:1", "mine", "--plain-http",
                  timeout=120)
    assert named.code == 0, named
    assert imagekit.inspect(creel, "mine")["digest"] == image["digest"]
    assert creel("image", "rm", "mine").code == 0
    check_honest(creel, "tool")


def test_a_registry_without_tls_needs_the_option(rootless_creel, registry):
    done = rootless_creel("image", "pull", f"docker://{registry}/team/tool:1", "plain", timeout=60)
    assert done.code == 125 and "skopeo failed" in done.errors, done
    assert not imagekit.left(rootless_creel)


def test_a_missing_image_is_told(rootless_creel, registry):
    done = rootless_creel("image", "pull", f"docker://{registry}/no/such:1", "--plain-http",
                          timeout=60)
    assert done.code == 125 and "skopeo failed" in done.errors, done
