# SPDX-License-Identifier: Apache-2.0
"""README.md as it is printed: its commands work where it stands, its profile is one."""

import json
import re
import shlex
import shutil

import pytest

import creelkit
from test_profile import config

README = (creelkit.REPO / "README.md").read_text()
COMMANDS = re.findall(r"^(?:\$ )?creel (run\b.*)$", README, re.MULTILINE)


@pytest.fixture
def checkout(creel):
    """What the examples use of the repository, as a directory of this user."""
    place = creel.directory("checkout-")
    creel.own(place / "examples", 0o755)
    for name in ("README.md", "examples/analyse.py", "examples/sales.csv"):
        creel.file(place / name, (creelkit.REPO / name).read_bytes())
    yield place
    shutil.rmtree(place)


def words_of(command):
    return shlex.split(command, comments=True)


def test_there_are_commands():
    assert len(COMMANDS) >= 9, COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_command(creel, checkout, command):
    words = words_of(command)
    done = creel(*words, cwd=checkout)
    if "--memory" in words:  # the example of a limit
        result = json.loads(done.out)
        kernel = result["isolation"]["limits"]["memory"]["enforced_by"].startswith("cgroup")
        assert done.code == result["exit_code"] == (137 if kernel else 1), done
        assert "MemoryError" in result["stderr"] or result["ended_by"] == "memory", done
        return
    assert done.code == 0, done
    if "--json" in words:
        assert json.loads(done.out)["stdout"] == "42\n"
    elif "-c" in words and "--lang" in words:
        assert done.out == b"42\n"
    elif "--detach" in words:
        assert creel("kill", done.text.strip()).code == 0
    for option, report in (("--out", "report.md"), ("--workspace", "examples/report.md")):
        if option in words and "--lang" in words:
            assert b"best month" in done.out, done
            assert (checkout / report).read_text().startswith("# Sales"), done


def test_doctor(creel):
    assert "\ncreel doctor " in README
    assert creel("doctor").code == 0


def test_profile(creel):
    """The YAML block, in the configuration file."""
    text = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)[1]
    name = re.search(r"`--profile (\w+)`", README)[1]
    with config(creel, text):
        result = creel.json("--profile", name, "--", "sh", "-c", "echo $OMP_NUM_THREADS")
    assert result["exit_code"] == 0 and result["stdout"] == "4\n", result
    assert result["isolation"]["limits"]["memory"]["asked"] == 8 << 30, result
