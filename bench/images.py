# SPDX-License-Identifier: Apache-2.0
"""Who runs a command on an image: creel, and its peers on the very same tree.

The image is built once, by creel, in a state directory that outlasts the benchmark; everything else
in there goes before each one. Peers see the tree read-only or below a layer of their own, since its
digest is over every file.
"""

import shutil
import subprocess
import time

from context import Broken, Peer, Skip, need, need_file, need_root, say
from peers import creel_root, last_line, podman_argv, runc

IMAGE = "base"
BUILD_TIMEOUT_S = 900
IMPORT_TIMEOUT_S = 300
PODMAN_NAME = "localhost/creel-bench"


def state_dir(ctx):
    """Without what earlier runs left, which must not count."""
    def make():
        path = ctx.cache / "state"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for entry in path.iterdir():
            if entry.is_dir() and entry.name != "images":
                shutil.rmtree(entry)
            elif not entry.is_dir():
                entry.unlink()
        return path
    return ctx.once("image-state", make)


def _build(ctx, name):
    creel = need_file(ctx.creel, "creel")
    say(f"building the image {IMAGE}, once; about a minute")
    begin = time.monotonic()
    done = subprocess.run([creel, "image", "build", IMAGE, "--state", str(state_dir(ctx))],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=BUILD_TIMEOUT_S, check=False)
    if done.returncode:
        raise Skip(f"creel image build {IMAGE}: {last_line(done.stderr)}")
    say(f"the image {IMAGE} is there, after {time.monotonic() - begin:.0f} s")
    return name.read_text()


def tree(ctx):
    """The image's root directory; src/store/image.h says where it lies."""
    def find():
        need_root(ctx)
        images = state_dir(ctx) / "images"
        name = images / "names" / IMAGE
        digest = name.read_text() if name.exists() else _build(ctx, name)
        return images / digest.strip() / "root"
    return ctx.once("image-tree", find)


def creel_image(ctx):
    tree(ctx)
    return creel_root(ctx, "creel-base", f"creel run --image {IMAGE}", ("--image", IMAGE),
                      CREEL_STATE=str(state_dir(ctx)))


def creel_host(ctx):
    return creel_root(ctx, "creel-host", "creel run (host)", CREEL_STATE=str(state_dir(ctx)))


def bwrap_image(ctx):
    prefix = (need("bwrap"), "--unshare-all", "--ro-bind", str(tree(ctx)), "/", "--dev", "/dev",
              "--proc", "/proc", "--")
    return Peer("bwrap-base", "bwrap --ro-bind of the tree", lambda argv: (*prefix, *argv),
                ctx.environment("root"), note="--unshare-all; no layer, filter, limits or ids",
                version=(prefix[0], "--version"))


def runc_image(ctx):
    """As Docker does it: an overlay mounted for each container, and runc on it."""
    lower, layer = str(tree(ctx)), str(ctx.work / "layer")
    bare = runc(ctx)
    program, options = bare.version[0], ("--root", str(ctx.work / "state-runc-base"))
    def wrap(argv):
        bundle = ctx.bundle(argv, True, f"{layer}/root")
        return (str(ctx.out / "layer"), lower, layer, program, *options, "run", "--bundle", bundle,
                "bench-runc-base")
    return Peer("runc-base", "overlay and runc", wrap, bare.env, version=bare.version,
                note="mount, run, unmount and delete, without an engine around it; filter, limits")


def _import(ctx, program):
    """Into podman's own store: what it runs is an image like any other of its."""
    with subprocess.Popen(["tar", "-C", str(tree(ctx)), "-c", "."],
                          stdout=subprocess.PIPE) as tar:
        done = subprocess.run([*program, "import", "-", PODMAN_NAME], stdin=tar.stdout, text=True,
                              capture_output=True, timeout=IMPORT_TIMEOUT_S, check=False)
    if done.returncode or tar.returncode:
        raise Broken(f"podman import: {last_line(done.stderr)}")


def podman_image(ctx):
    tree(ctx)
    program, run = podman_argv(ctx)
    ctx.once("podman-image", lambda: _import(ctx, program))
    prefix = (*program, *run, PODMAN_NAME)
    return Peer("podman-base", "podman run --network none", lambda argv: (*prefix, *argv),
                ctx.environment("root"), note="its overlay store, default filter, limits",
                version=(prefix[0], "--version"))


MAKERS = {"creel-base": creel_image, "creel-host": creel_host, "bwrap-base": bwrap_image,
          "runc-base": runc_image, "podman-base": podman_image}
