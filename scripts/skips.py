#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Judges what a pytest suite skipped: skips.py CREEL RESULTS.xml

A skip is allowed for something that `creel doctor` reports missing too, or for what is in the list
below. Every other one is named; where CI is set, it is a failure."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

# (what the reason says, whether that can be so here)
KNOWN = (
    (r"not run as root|needs root|run as root|of this very user", lambda _: not was_root()),
    # Languages (and an editor) that ./check does not install; what it does install is in
    # CREEL_TEST_REQUIRE, and then its absence fails in the suite itself.
    (r"^(java|ruby|php|lua|go|octave|julia|guile|vim): not installed", lambda _: True),
    # Large programs that it does not install either, and what npm would have to fetch.
    (r"^(java: no java|chromium: no chromium|(claude|codex): no npm) in /usr", lambda _: True),
    (r"no btrfs", lambda _: not has_filesystem("btrfs")),
    (r"rootless limits need not be cgroups", lambda _: True),
    # A check of the doctor whose name the reason has, and which is not ok here.
    (r".", lambda reason: any(name in reason.lower() for name in not_ok())),
)


def was_root():
    """The suite, not this program, which needs no root."""
    return os.geteuid() == 0 or os.environ.get("CHECK_AS_ROOT", "yes") == "yes"


def has_filesystem(name):
    with open("/proc/filesystems") as file:
        return any(line.split()[-1] == name for line in file)


def not_ok(found={}):  # noqa: B006 (asked once)
    if "names" not in found:
        done = subprocess.run([sys.argv[1], "doctor", "--json"], capture_output=True, timeout=60,
                              check=False)
        checks = json.loads(done.stdout)["checks"]
        found["names"] = [n.lower() for n, check in checks.items() if check["state"] != "ok"]
    return found["names"]


def known(reason):
    return any(re.search(pattern, reason) and here(reason) for pattern, here in KNOWN)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        cases = xml.etree.ElementTree.parse(sys.argv[2]).iter("testcase")
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        sys.exit(f"skips: {sys.argv[2]}: {error}")
    total, odd = 0, []
    for case in cases:
        total += 1
        for skipped in case.findall("skipped"):
            reason = skipped.get("message", "")
            if not known(reason):
                odd.append(f"{case.get('classname')}.{case.get('name')}: {reason}")
    if not total:
        sys.exit("skips: no test was run")
    for line in odd:
        print(f"skipped for no known reason: {line}")
    return 1 if odd and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
