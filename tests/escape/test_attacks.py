# SPDX-License-Identifier: Apache-2.0
"""Every line of the cell table in threats.md, run inside as uid 1000 and as root of the sandbox,
by creel started as root, as an ordinary user, and as one without subordinate ids."""

import pytest

from harness import attack_names, attack_needs
from preparation import try_attack

# Cases that may be skipped, with the reason; anything else that is skipped is a failure.
MAY_SKIP = {"abi.x86": "another processor"}

PROGRAMS = [name for name in attack_names() if "alone" not in attack_needs(name)]


def fail_if(lines):
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def judge(attempt):
    if not attempt.cases:
        pytest.fail(f"no case reported, exit {attempt.exit_code}: {attempt.text}", pytrace=False)
    fail_if(attempt.broken())
    fail_if([line for line in attempt.skipped() if line.split(":")[0] not in MAY_SKIP])
    if attempt.exit_code != 0:
        pytest.fail(f"exit {attempt.exit_code}: {attempt.text}", pytrace=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_attack(any_who, user, name, attacks):
    judge(try_attack(any_who, user, name, attacks))


@pytest.mark.parametrize("profile", ["build", "browser"])
def test_init_under_wider_profiles(any_who, user, profile, attacks):
    """build allows ptrace and process_vm_readv: of processes inside, and not of init."""
    judge(try_attack(any_who, user, "init", attacks, extra=("--seccomp", profile)))


# Attacks on what a run writes to, which with these options is kept on the disk of the machine.
FILE_PROGRAMS = ["btrfs", "devices", "plant.sh", "secrets.sh", "setuid", "whiteout"]
KEPT = {"agent": ["--agent", "attacker"], "layer": ["--keep", "attacked"],
        "disk": ["--memory", "128M", "--disk", "256M"]}


@pytest.mark.parametrize("name", FILE_PROGRAMS)
@pytest.mark.parametrize("kept", KEPT)
def test_attack_on_what_is_kept(any_who, user, name, kept, attacks):
    """The second run meets what the first has left."""
    options = [word.replace("attack", f"attack-{name}-{user}-") for word in KEPT[kept]]
    for _ in range(2):
        judge(try_attack(any_who, user, name, attacks, extra=options))


@pytest.mark.parametrize("name", ["btrfs", "devices", "plant.sh", "secrets.sh"])
def test_attack_on_a_project(any_who, user, name, attacks):
    """Below an overlay the machine's directory is only read."""
    project = any_who.directory("project-")
    (project / "file").write_text("as it was\n")
    before = sorted((p.name, p.lstat().st_mode, p.lstat().st_mtime_ns) for p in project.iterdir())
    judge(try_attack(any_who, user, name, attacks, extra=["--overlay", project]))
    assert before == sorted((p.name, p.lstat().st_mode, p.lstat().st_mtime_ns)
                            for p in project.iterdir())
