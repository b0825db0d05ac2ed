# SPDX-License-Identifier: Apache-2.0
"""--profile: option sets in the configuration file."""

import contextlib
import json
import os
import pathlib
import shutil

import pytest

GOOD = """\
# options of creel run by name
profiles:
  small:
    memory: 64M
    pids: 33
    timeout: 5s
    env:
      - A=1
      - B=2
    label: [team=red]
    hostname: from-profile
  tools:
    root: true
    user: false
    cpus: 1
    seccomp: build
  empty: {}
"""


@contextlib.contextmanager
def config(creel, text):
    """The configuration file of this user; root's own is put back afterwards."""
    path = pathlib.Path("/etc/creel/creel.yaml") if creel.is_root else \
        creel.home / "config" / "creel" / "creel.yaml"
    made = not path.parent.exists()
    path.parent.mkdir(exist_ok=True)
    backup = path.with_name("creel.yaml.itest-backup")
    if path.exists():
        shutil.copy2(path, backup)
    try:
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
            path.chmod(0o644)
        yield path
    finally:
        path.unlink(missing_ok=True)
        if backup.exists():
            os.replace(backup, path)
        elif made:
            path.parent.rmdir()


def test_options_of_a_profile(creel):
    with config(creel, GOOD):
        result = creel.json("--profile", "small", "--", "sh", "-c", "hostname; echo $A$B")
    assert result["stdout"] == "from-profile\n12\n"
    limits = result["isolation"]["limits"]
    assert limits["memory"]["asked"] == 64 << 20 and limits["memory"]["named"] is True
    assert limits["pids"]["asked"] == 33 and limits["timeout"]["asked"] == 5000
    assert result["labels"] == {"team": "red"}


def test_flags_of_a_profile(creel):
    with config(creel, GOOD):
        result = creel.json("--profile", "tools", "--", "id", "-u")
    assert result["stdout"] == "0\n"
    assert result["isolation"]["layers"]["seccomp"]["profile"] == "build"


@pytest.mark.parametrize("before", [True, False])
def test_the_command_line_wins_wherever_it_stands(creel, before):
    words = ["--memory", "128M"], ["--profile", "small"]
    words = [*words[0], *words[1]] if before else [*words[1], *words[0]]
    with config(creel, GOOD):
        result = creel.json(*words, "--env", "A=9", "--", "sh", "-c", "echo $A$B")
    assert result["isolation"]["limits"]["memory"]["asked"] == 128 << 20
    assert result["stdout"] == "92\n"


def test_written_with_equals(creel):
    with config(creel, GOOD):
        assert creel.run("--profile=small", "--", "hostname").out == b"from-profile\n"


def test_profile_of_the_command_is_not_ours(creel):
    with config(creel, GOOD):
        assert creel.run("--", "echo", "--profile", "nonsense").out == b"--profile nonsense\n"
        assert creel.run("--env", "X=--profile", "--", "hostname").out == b"creel\n"
        assert creel.run("echo", "--profile", "small").out == b"--profile small\n"


def test_profiles_do_not_mix(creel):
    with config(creel, "profiles: {a: {cwd: /tmp, env: [X=a]}, b: {cwd: /opt, env: [X=b]}}"):
        for name, there in ("a", "/tmp"), ("b", "/opt"):
            done = creel.run("--profile", name, "--", "sh", "-c", "pwd; echo $X")
            assert done.text == f"{there}\n{name}\n"


def test_empty_profile(creel):
    with config(creel, GOOD):
        assert creel.run("--profile", "empty", "--", "true").code == 0


def test_file_is_not_read_without_the_option(creel):
    with config(creel, "nonsense: ["):
        assert creel.run("--", "true").code == 0


def refused(creel, text, *says, name="small"):
    with config(creel, text) as path:
        done = creel.run("--profile", name, "--", "true")
        told = creel.run("--json", "--profile", name, "--", "true")
    assert done.code == 125 and done.out == b"" and done.err.count(b"\n") == 1, done
    for word in says:
        assert str(word).replace("PATH", str(path)) in done.errors, done
    assert json.loads(told.out)["error"]["module"] in ("config", "options")


def test_unknown_profile(creel):
    refused(creel, GOOD, "no profile nonsense", name="nonsense")


def test_no_file(creel):
    refused(creel, None, "creel.yaml", "No such file")


@pytest.mark.parametrize("text, says", [
    ("", "empty"),
    ("profiles:\n  small:\n    memry: 1G\n", "PATH:3"),
    ("profiles:\n  small:\n    memory: 1G\n    pids: 5\n    memory: 2G\n", "PATH:5"),
    ("profiles:\n  small: {}\n  other: {}\n  small: {}\n", "PATH:4"),
    ("profiles:\n  small:\n    memory: lots\n", "PATH:3"),
    ("profiles:\n  small:\n    memory: {a: b}\n", "PATH:3"),
    ("profiles:\n  small:\n    memory:\n", "PATH:3"),
    ("profiles:\n  small:\n    root: maybe\n", "PATH:3"),
    ("profiles:\n  small: nonsense\n", "PATH:2"),
    ("profiles:\n  - small\n", "PATH:2"),
    ("profiles: nonsense\n", "PATH:1"),
    ("nonsense: 1\n", "PATH:1"),
    ("profiles:\n  small: {}\nother: 1\n", "creel.yaml:"),
    ("- a\n", "PATH:1"),
    ("just words\n", "PATH:1"),
    ("profiles:\n  small:\n    profile: other\n", "PATH:3"),
    ("profiles:\n  small:\n    help: true\n", "PATH:3"),
    ("profiles:\n  small:\n    c: print(1)\n", "PATH:3"),
    ("profiles:\n  small:\n    json: x\n", "PATH:3"),
    ("profiles:\n  small:\n\tmemory: 1G\n", "PATH:3"),
    ("profiles: [\n", "creel.yaml:"),
    ("profiles:\n  small:\n    ? [a]\n    : b\n", "PATH:3"),
    ("profiles:\n  small: {}\n  broken:\n    nonsense: 1\n", "PATH:4"),
    ("profiles: &a\n  small: *a\n", "creel.yaml"),
    ("\x00\x01\x02", "creel.yaml"),
])
def test_mistakes_are_told_with_their_line(creel, text, says):
    refused(creel, text, says)


def test_file_that_cannot_be_read(rootless_creel):
    with config(rootless_creel, GOOD) as path:
        path.chmod(0)
        done = rootless_creel.run("--profile", "small", "--", "true")
    assert done.code == 125 and "Permission denied" in done.errors


def test_home_is_the_fallback(rootless_creel):
    creel = rootless_creel
    place = creel.own(creel.home / ".config" / "creel", 0o755)
    creel.file(place / "creel.yaml", GOOD)
    done = creel.run("--profile", "small", "--", "hostname", env={"XDG_CONFIG_HOME": None})
    assert done.out == b"from-profile\n", done


def test_repeatable_options_of_profile_and_line_add_up(creel):
    with config(creel, GOOD):
        result = creel.json("--profile", "small", "--label", "x=y", "--env", "C=3", "--", "sh",
                            "-c", "echo $A$B$C")
    assert result["labels"] == {"team": "red", "x": "y"} and result["stdout"] == "123\n"
