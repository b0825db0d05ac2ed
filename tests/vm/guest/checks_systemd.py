# SPDX-License-Identifier: Apache-2.0
"""creel in what systemd makes: scopes, services and sessions, delegated or not, of root and of a user,
and the limits of the unit itself."""

import os
import subprocess

from guestkit import CREEL, check, creel, expect, expect_enforced, finish, nothing_left, wait_until

BUS = {"XDG_RUNTIME_DIR": "/run/user/1001", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1001/bus"}


def user_manager():
    wait_until(lambda: os.path.exists("/run/user/1001/bus"), 60, 0.5)
    expect(os.path.exists("/run/user/1001/bus"), "the user manager did not start")


def limited_in(*command, left_of=None, **options):
    """creel that `command` starts finds a group for its limits, and leaves none."""
    ran = finish([*command, CREEL, "run", "--json", "--", "cat", "/proc/self/cgroup"], 60, **options)
    expect(ran.code == 0 and ran.json, str(ran))
    expect_enforced(ran)
    nothing_left(left_of)


def limited_of_user(*command, user="ranged"):
    user_manager()
    limited_in(*command, left_of="ranged", user=user, env=BUS)


@check("systemd")
def systemd_user_scope():
    """What the doctor advises to a user without delegation."""
    limited_of_user("systemd-run", "--user", "--scope", "-q", "-p", "Delegate=yes")


@check("systemd")
def systemd_user_service():
    limited_of_user("systemd-run", "--user", "--pipe", "--wait", "-q", "-p", "Delegate=yes")


@check("systemd")
def systemd_user_asks_by_itself():
    """From a group that is not the user's: creel asks the user manager for a scope."""
    limited_of_user()


@check("systemd")
def systemd_login_session():
    """A session scope of a login (session-N.scope), as of ssh: root owns it and starts it."""
    limited_of_user("systemd-run", "--scope", "-q", "--slice=user-1001.slice", "--uid=ranged", user=None)


@check("systemd")
def systemd_root_delegated_scope():
    limited_in("systemd-run", "--scope", "-q", "-p", "Delegate=yes")


def outer_limit_holds(*options):
    """In a scope of 80M; options are systemd-run's."""
    ran = finish(["systemd-run", "--scope", *options, "-q", "-p", "MemoryMax=80M", CREEL, "run", "--json",
                  "--lang", "python", "-c", "x = b'x' * 200000000\nprint(len(x))"], 60)
    expect("200000000" not in ran.out, f"{options}: the sandbox has more memory than the unit: {ran}")
    return str(ran)[:300]


@check("systemd")
def systemd_outer_limit_holds():
    """The unit's own limit bounds the sandbox as well."""
    return outer_limit_holds("-p", "Delegate=yes")


@check("systemd")
def systemd_outer_limit_holds_undelegated():
    """Nobody asked for I/O limits: their controller is no reason to leave the unit or its slice."""
    first = outer_limit_holds()
    subprocess.run(["systemctl", "set-property", "--runtime", "small.slice", "MemoryMax=80M"], check=True)
    return f"{first} / {outer_limit_holds('--slice=small.slice')}"


@check("systemd")
def systemd_detached():
    user_manager()
    ran = creel("run", "--detach", "--memory", "64M", "--", "sh", "-c", "sleep 2; cat /sys/fs/cgroup/memory.max",
                user="ranged", env=BUS)
    expect(ran.code == 0, str(ran))
    waited = creel("wait", ran.out.strip(), user="ranged", env=BUS)
    logs = creel("logs", ran.out.strip(), user="ranged", env=BUS)
    expect(waited.code == 0 and "67108864" in logs.out, f"{ran} / {waited} / {logs}")
    nothing_left("ranged")
