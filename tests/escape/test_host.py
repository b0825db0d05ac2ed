# SPDX-License-Identifier: Apache-2.0
"""Attacks that need the machine's side prepared: what a sandbox leaves in host directories and
in --out, links and races on the way out and in (test_entry.py: descriptors, start, neighbours).

Not held, and only documented (docs/SECURITY.md): a sandbox with `--workspace DIR` may write any
ordinary file there, and so also one that a tool of the user later runs or obeys, such as
.git/hooks, .envrc, Makefile, package.json, .vscode. Review the changes, or use --out."""

import hashlib
import os
import pathlib
import shutil
import stat

import pytest

from harness import HERE, Traces, host_tree, new_token, result_text
from preparation import (SECRET, assert_refused, assert_victim_untouched, harmful,
                         refuses_workspace, workspace_for)


@pytest.fixture(scope="session")
def tools(session_directory):
    """A copy that every user can read, wherever the repository is."""
    place = session_directory / "host-tools"
    place.mkdir()
    place.chmod(0o755)
    for path in (HERE / "host").iterdir():
        shutil.copyfile(path, place / path.name)
        (place / path.name).chmod(0o644)
    return place


def contents(directory):
    """Everything that regular files below hold, as one string; links are not followed."""
    texts = []
    for name, info in host_tree(directory).items():
        if stat.S_ISREG(info.st_mode):
            texts.append(pathlib.Path(directory, name).read_bytes()[:1 << 16])
    return b"\n".join(texts)


def escaping_links(directory):
    """Symbolic links whose target is not below the directory."""
    root, found = os.path.realpath(directory), []
    for name, info in host_tree(directory).items():
        if not stat.S_ISLNK(info.st_mode):
            continue
        path = os.path.join(root, name)
        target = os.path.join(os.path.dirname(path), os.readlink(path))
        if not os.path.normpath(target).startswith(root + "/"):
            found.append(f"{name} -> {os.readlink(path)}")
    return found


def leave(who, user, attacks, tools, victim, *options):
    extra = ["--root"] if user == "root" else []
    return who.run_json(*extra, *options, "--ro", f"{attacks}:/attacks", "--ro",
                        f"{tools}:/tools", "--cwd", "/workspace", "--", "/bin/sh",
                        "/tools/leave-harmful.sh", str(victim / "secret"), str(victim))[0]


def assert_harmless(directory, who, victim):
    kinds = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}
    odd = [name for name, info in host_tree(directory).items()
           if stat.S_IFMT(info.st_mode) not in kinds]
    assert not odd, f"not files, directories or links: {odd}"
    assert not harmful(directory, who.uid)
    text = contents(directory)
    assert SECRET.encode() not in text and b"root:" not in text
    assert_victim_untouched(victim)


def test_out_is_harmless(who, user, attacks, tools, victim):
    out = who.directory("out-")
    result = leave(who, user, attacks, tools, victim, "--out", out)
    assert (out / "ordinary").read_text() == "ordinary\n", result
    assert (out / "tree/below/file").read_text() == "deep\n"
    assert_harmless(out, who, victim)
    assert not escaping_links(out), escaping_links(out)
    for change in result["changes"]:
        assert SECRET not in str(change)
        assert ".." not in change.get("path", "").split("/"), change


def test_host_workspace_is_harmless(who, user, attacks, tools, victim):
    """Links and fifos are the user's own here (it is a shared directory), modes are not."""
    workspace = workspace_for(who, user)
    if refuses_workspace(who, user):
        assert_refused(who.run("run", "--root", "--workspace", workspace, "--", "/bin/true"))
        return
    result = leave(who, user, attacks, tools, victim, "--workspace", workspace)
    assert (workspace / "ordinary").read_text() == "ordinary\n", result
    found = harmful(workspace, workspace.stat().st_uid)
    assert not [line for line in found if not line.startswith("xattr user.overlay")]
    assert_victim_untouched(victim)
    hashes = {c.get("path"): c.get("sha256") for c in result["changes"]}
    stolen = hashlib.sha256((SECRET + "\n").encode()).hexdigest()
    assert stolen not in hashes.values(), hashes


def test_out_of_a_host_workspace(who, attacks, tools, victim):
    """--workspace and --out together: the copy is as harmless as from a layer."""
    workspace, out = who.directory("workspace-"), who.directory("out-")
    leave(who, "user", attacks, tools, victim, "--workspace", workspace, "--out", out)
    assert_harmless(out, who, victim)
    assert not escaping_links(out), escaping_links(out)


def test_marks_of_overlayfs_have_no_effect(who, attacks, tools, victim):
    """What one sandbox left as whiteouts and opaque marks hides nothing from the next."""
    workspace = who.directory("workspace-")
    leave(who, "user", attacks, tools, victim, "--workspace", workspace)
    for options in (["--workspace", workspace], ["--ro", f"{workspace}:/data"],
                    ["--in", workspace]):
        result, done = who.run_json(*options, "--", "/bin/sh", "-c",
                                    "cat $(find /workspace /data -name below)/file")
        assert result_text(result) == "deep\n", (options, result, done.stderr)


@pytest.mark.parametrize("kind", ["workspace", "layer"])
def test_race_of_links_on_the_way_out(who, tools, victim, kind):
    """CVE-2018-15664: the collector meets a directory that becomes a link under its feet."""
    for _ in range(5):
        out, token = who.directory("out-"), new_token()
        options = ["--out", out, "--ro", f"{tools}:/tools", "--cwd", "/workspace"]
        if kind == "workspace":
            options += ["--workspace", who.directory("workspace-")]
        traces = Traces.take(who)
        result, _ = who.run_json(*options, "--", "/usr/bin/python3", "/tools/race.py", victim,
                                 victim / "file", token, token=token)
        assert result["exit_code"] == 0, result
        traces.assert_gone(token, result["id"])
        assert SECRET.encode() not in contents(out)
        assert_victim_untouched(victim)


def test_out_does_not_follow_what_an_earlier_run_left(who, victim):
    """Two runs with the same --out: the first leaves links, the second files of these names."""
    out = who.directory("out-")
    who.run("run", "--out", out, "--cwd", "/workspace", "--", "/bin/sh", "-c",
            f"ln -s {victim}/file file; ln -s {victim} dir; ln -s {victim}/new new")
    who.run("run", "--out", out, "--cwd", "/workspace", "--", "/bin/sh", "-c",
            "echo overwritten > file; mkdir dir; echo planted > dir/planted; echo new > new")
    assert_victim_untouched(victim)


def test_out_that_is_full_of_traps(who, victim):
    """--out DIR with links of the user's own in it, or being one: nothing outside is written."""
    out = who.directory("out-")
    os.symlink(victim / "file", out / "file")
    os.symlink(victim, out / "dir")
    who.run("run", "--out", out, "--cwd", "/workspace", "--", "/bin/sh", "-c",
            "echo overwritten > file; mkdir dir; echo planted > dir/planted")
    assert_victim_untouched(victim)


def test_in_does_not_follow_links_out(who, victim):
    """--in DIR copies links as links: their targets stay outside."""
    source = who.directory("in-")
    (source / "mine").write_text("mine\n")
    os.symlink(victim / "secret", source / "link")
    os.symlink(victim, source / "directory")
    result, _ = who.run_json("--in", source, "--", "/bin/sh", "-c",
                             "cat $(find -L /workspace /tmp /home -name link -o -name "
                             "secret -o -name mine)")
    assert SECRET not in result_text(result), result


DESTINATIONS = ["/workspace/link/x", "/workspace/up/x", "/workspace/proc/x", "/workspace/../etc/x",
                "/workspace/link", "/workspace/self/x"]


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_mount_through_a_planted_link(who, attacks, victim, destination):
    """CVE-2025-31133's kind: a mount target that a link in the workspace leads elsewhere."""
    workspace = who.directory("workspace-")
    os.symlink(victim, workspace / "link")
    os.symlink("../../../../../../.." + str(victim), workspace / "up")
    os.symlink("/proc/1", workspace / "proc")
    os.symlink("/proc/self/root", workspace / "self")
    before = Traces.take(who)
    done = who.run("run", "--workspace", workspace, "--ro", f"{attacks}:{destination}", "--",
                   "/bin/echo", "ran")
    assert_victim_untouched(victim)
    before.assert_gone()
    assert (done.returncode, done.stdout) in ((0, b"ran\n"), (125, b"")), done
