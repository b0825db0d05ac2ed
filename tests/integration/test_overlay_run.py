# SPDX-License-Identifier: Apache-2.0
"""creel run --overlay: a project that a command changes without changing it. What becomes of the
changes is test_changes*.py's."""

import os
import re
import subprocess

import pytest


@pytest.fixture
def project(any_creel):
    path = any_creel.directory("project-")
    any_creel.file(path / "a", "old\n")
    any_creel.file(path / "run.sh", "#!/bin/sh\necho ran\n", 0o755)
    any_creel.file(any_creel.own(path / "d", 0o755) / "f", "deep\n")
    return path


def tree(path):
    return {str(p.relative_to(path)): p.read_bytes() if p.is_file() else None
            for p in sorted(path.rglob("*"))}


def test_the_project_is_as_before_and_the_changes_are_kept(any_creel, project):
    before = tree(project)
    done = any_creel.sh("./run.sh; echo new >> a; rm -r d; mkdir e; mv run.sh e/; cat a",
                        "--overlay", project)
    assert done.text == "ran\nold\nnew\n" and done.code == 0, done
    assert tree(project) == before
    name = re.search(r"creel diff\|apply\|discard (i[a-z0-9]{20})", done.errors).group(1)
    again = any_creel.sh("cat a; ls e; ls d", "--continue", name)
    assert again.text == "old\nnew\nrun.sh\n" and again.code == 2, again
    assert tree(project) == before


def test_owner_and_mode_are_the_projects(any_creel, project):
    project.chmod(0o750)
    done = any_creel.sh("stat -c '%a %U' . a; touch new && stat -c %U new", "--overlay", project)
    assert done.text == "750 user\n644 user\nuser\n", done


def test_the_result_tells_what_changed(any_creel, project):
    result = any_creel.json("--overlay", project, "--", "sh", "-c", "echo x > a; rm d/f; echo y > n")
    found = {c["path"]: c["kind"] for c in result["changes"] if c["path"].startswith("/workspace")}
    assert found == {"/workspace/a": "modified", "/workspace/d/f": "deleted",
                     "/workspace/n": "added"}
    assert result["kept"]["overlay"] == result["id"]


def test_a_run_that_changes_nothing_keeps_nothing(any_creel, project):
    result = any_creel.json("--overlay", project, "--", "cat", "a")
    assert result["kept"]["overlay"] is None
    kept = any_creel.state / "overlays" / "local"
    assert result["id"] not in (os.listdir(kept) if kept.exists() else [])


def test_continue_needs_what_is_there(any_creel, project):
    done = any_creel.run("--continue", "i" + "a" * 20, "--", "true")
    assert done.code == 125 and "creel diff" in done.errors, done
    done = any_creel.run("--continue", "nonsense", "--", "true")
    assert done.code == 125 and done.err.count(b"\n") == 1, done


def test_another_agent_cannot_continue(creel):
    project = creel.directory("project-")
    result = creel.json("--agent", "one", "--overlay", project, "--", "touch", "f")
    for who in (("--agent", "two"), (), ("--org", "other", "--agent", "one")):
        done = creel.run(*who, "--continue", result["id"], "--", "true")
        assert done.code == 125, (who, done)
    assert creel.run("--agent", "one", "--continue", result["id"], "--", "ls").text == "f\n"


def test_another_directory_at_the_projects_path_is_refused(creel):
    """Whoever may write above the project must not choose what the next run is shown."""
    above = creel.directory("above-")
    project = creel.own(above / "project", 0o755)
    secret = creel.own(creel.directory() / "secret", 0o700)
    creel.file(secret / "shadow", "TOPSECRET", 0o600)
    result = creel.json("--overlay", project, "--", "touch", "f")
    os.rename(project, above / "old")
    os.symlink(secret, project)
    done = creel.run("--continue", result["id"], "--", "cat", "shadow")
    assert done.code == 125 and b"TOPSECRET" not in done.out, done
    os.unlink(project)
    os.rename(above / "old", project)
    assert creel.run("--continue", result["id"], "--", "ls").text == "f\n"


def test_a_project_that_is_swapped_all_the_time(creel, children):
    """Between the look and the mount: the run has the one that was looked at, or none."""
    above = creel.directory("above-")
    names = above / "project", above / "other"
    for name, text in zip(names, ("mine", "TOPSECRET")):
        creel.file(creel.own(name, 0o755) / "f", text)
    swap = subprocess.Popen(["/usr/bin/python3", "-c", f"""
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
while True:
    libc.renameat2(-100, {os.fsencode(names[0])!r}, -100, {os.fsencode(names[1])!r}, 2)
    time.sleep(0.0003)
"""])
    children.append(swap)
    seen = set()
    for _ in range(40):
        done = creel.sh("cat f; stat -c %i .", "--overlay", names[0])
        seen.add(done.code)
        assert done.code == 0 or b"was replaced" in done.err, done
    assert 0 in seen


def test_one_workspace_only(any_creel, project):
    for more in (("--workspace", str(project)), ("--workspace", "name"), ("--continue", "i" + "a" * 20)):
        done = any_creel.run("--overlay", project, *more, "--", "true")
        assert done.code == 125 and done.err.count(b"\n") == 1, done


def test_somebody_elses_project_is_refused_without_root(rootless_creel):
    done = rootless_creel.run("--overlay", "/etc", "--", "true")
    assert done.code == 125 and "must be yours" in done.errors, done


def test_root_inside_changes_a_project_of_root(root_creel):
    """It only ever reads it: what it writes is in the layer."""
    project = root_creel.directory("project-")
    root_creel.file(project / "a", "x\n", 0o600)
    done = root_creel.sh("cat a; id -u; echo y > a; chown 5:5 a; ls -ln a", "--root", "--overlay",
                         project)
    assert done.text.startswith("x\n0\n") and done.code == 0, done
    assert (project / "a").read_text() == "x\n" and (project / "a").stat().st_uid == 0


def test_files_put_in_are_changes_too(any_creel, project):
    extra = any_creel.file(any_creel.directory() / "extra", "in\n")
    result = any_creel.json("--overlay", project, "--in", extra, "--", "cat", "extra")
    assert result["stdout"] == "in\n"
    assert result["kept"]["overlay"] == result["id"]
