# SPDX-License-Identifier: Apache-2.0
"""creel on other kernels and control group layouts, in QEMU without KVM (see run.sh).

The checks themselves are in guest/checks_*.py; each boot here is one test, which names every check that
failed. A machine without QEMU, debootstrap or the packages skips, unless CREEL_TEST_REQUIRE names vm.
"""

import os
import pathlib
import re
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
TIMEOUT = int(os.environ.get("CREEL_VM_TIMEOUT", "900"))

# Debian 12's kernel in each layout, Debian 13's with the one that it has (it lacks v1's memory).
MACHINES = [("6.1", "v2"), ("6.1", "v1"), ("6.1", "systemd"), ("6.12", "v2")]


def boot(kernel, layout, *extra):
    command = [HERE / "run.sh", "--kernel", kernel, "--layout", layout, *extra]
    # Making the root filesystem, once, takes longer than any boot.
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, timeout=TIMEOUT + 1900, check=False)


def parse(text):
    """{check: (verdict, detail)} and the fields of the last line."""
    checks = {}
    for name, verdict, detail in re.findall(r"^VM-CHECK (\S+) (ok|FAIL) ?(.*)$", text, re.M):
        checks[name] = (verdict, detail)
    done = re.search(r"^VM-DONE (.*)$", text, re.M)
    return checks, dict(field.split("=", 1) for field in done[1].split()) if done else None


@pytest.mark.parametrize("kernel,layout", MACHINES, ids=[f"{k}-{la}" for k, la in MACHINES])
def test_machine(kernel, layout, record_property):
    ran = boot(kernel, layout)
    if ran.returncode == SKIPPED:
        reason = ran.stdout.strip().removeprefix("VM-SKIP ") or "no reason given"
        if "vm" in re.split(r"[,\s]+", os.environ.get("CREEL_TEST_REQUIRE", "")):
            pytest.fail(f"CREEL_TEST_REQUIRE names vm: {reason}", pytrace=False)
        pytest.skip(reason)
    checks, done = parse(ran.stdout)
    assert done, f"the machine did not come to its end:\n{ran.stdout}\n{ran.stderr}"
    for key in ("boot", "seconds"):
        record_property(key, done[key])
    assert done["kernel"].startswith(kernel + ".") and done["layout"] == layout, done
    assert len(checks) == int(done["checks"]) > 5, f"results are missing:\n{ran.stdout}"
    failed = [f"{name}: {detail}" for name, (verdict, detail) in checks.items() if verdict == "FAIL"]
    assert not failed, f"{len(failed)} of {len(checks)} checks failed:\n" + "\n".join(failed)
    assert ran.returncode == 0, ran.stderr
