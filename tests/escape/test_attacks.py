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
