# SPDX-License-Identifier: Apache-2.0
"""Named workspaces: creel workspace ls, rm and path."""

import json
import pathlib
import subprocess

import pytest

import creelkit


def listed(creel, *options):
    done = creel("workspace", "ls", "--json", *options)
    assert done.code == 0, done
    return {entry.pop("name"): entry for entry in json.loads(done.out)}


@pytest.fixture
def shown(creel):
    """Ends the mount that `workspace path` makes for root."""
    yield
    pool = creel.state / "run" / "pool"
    if creel.is_root and pool.is_mount():
        subprocess.run(["umount", pool], check=True, timeout=20)


def test_list_path_and_remove(creel, shown):
    assert creel.sh("head -c 3M /dev/urandom > data", "--workspace", "work-1").code == 0
    found = listed(creel)["work-1"]
    assert 3 * creelkit.MIB <= found["bytes"] < 4 * creelkit.MIB
    assert found["last_use"] > 1600000000
    assert (found["limit"] is None) == (not creel.is_root or not (creel.state / "pool.img").exists())
    line, = (l for l in creel("workspace", "ls").text.splitlines() if l.startswith("work-1 "))
    assert "3.0M" in line
    done = creel("workspace", "path", "work-1")
    assert done.code == 0, done
    assert (pathlib.Path(done.text.strip()) / "data").stat().st_size == 3 * creelkit.MIB
    assert creel("workspace", "path", "work-1").out == done.out
    assert creel.run("--workspace", "work-1", "--", "cat", "data").out
    assert creel("workspace", "rm", "work-1").code == 0
    assert "work-1" not in listed(creel)
    for verb in ("rm", "path"):
        done = creel("workspace", verb, "work-1")
        assert done.code == 125 and "workspace ls" in done.errors, done


def test_a_used_one_stays(creel):
    name = creel.detach("--workspace", "used", "--", "sh", "-c", "echo x > f; sleep 60")
    assert creelkit.wait_until(lambda: "used" in listed(creel))
    done = creel("workspace", "rm", "used")
    assert done.code == 125 and "in use" in done.errors, done
    assert creel("kill", name).code == 0
    assert creelkit.wait_until(lambda: creel("workspace", "rm", "used").code == 0)


def test_orgs_are_apart(creel):
    assert creel.sh("echo x > f", "--workspace", "secret").code == 0
    assert listed(creel, "--org", "other") == {}
    for words in (("rm", "secret", "--org", "other"), ("rm", "../local/secret", "--org", "other"),
                  ("path", "secret", "--org", "../local"), ("path", "../../images"), ("rm", ".")):
        assert creel("workspace", *words).code == 125, words
    assert creel("workspace", "rm", "secret").code == 0


def test_files_of_other_ids_are_counted_and_removed(creel):
    script = "mkdir d; head -c 2M /dev/urandom > d/f; chown -R 5 d; chmod 700 d"
    done = creel.sh(script, "--workspace", "ids", "--root")
    if done.code == 125:  # a named workspace may map one id alone
        pytest.skip(done.errors)
    assert listed(creel)["ids"]["bytes"] >= 2 * creelkit.MIB
    assert creel("workspace", "rm", "ids").code == 0


@pytest.mark.parametrize("words", [(), ("ls", "x"), ("rm",), ("path", "a", "b"), ("bad",),
                                   ("rm", "--json", "x"), ("ls", "--bad")])
def test_bad_words(rootless_creel, words):
    done = rootless_creel("workspace", *words)
    assert done.code == 125 and (done.err.count(b"\n") == 1 or "--json" in words), done
