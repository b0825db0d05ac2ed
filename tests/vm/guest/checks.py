# SPDX-License-Identifier: Apache-2.0
"""What creel must do on this machine, one line a check: run in the virtual machine by `start` or by
systemd. A check is a function; it returns a detail, or raises Failed. Every checks_*.py beside this
file registers its own; those of this layout run and, if /vm/only has words, of names with these."""

import glob
import importlib
import os
import signal
import sys
import time

from guestkit import CHECKS, LAYOUT, Failed, groups, read, write

for module in sorted(glob.glob("checks_*.py", root_dir=os.path.dirname(os.path.abspath(__file__)))):
    importlib.import_module(module.removesuffix(".py"))


def verdict_of(function):
    try:
        return "ok", function() or ""
    except Failed as why:
        return "FAIL", str(why)
    except Exception as why:  # one broken check must not hide the others
        where = why.__traceback__.tb_next
        file = os.path.basename(where.tb_frame.f_code.co_filename)
        return "FAIL", f"{type(why).__name__}: {why} at {file}:{where.tb_lineno}"


def clean_up():
    """What one check left does not spoil the next."""
    for group in groups():
        try:
            write(f"{group}/cgroup.kill", "1")
            time.sleep(0.3)
            os.rmdir(group)
        except OSError:
            pass


def main():
    boot = read("/proc/uptime").split()[0]
    if LAYOUT == "systemd":
        time.sleep(1)
    only = [word for word in read("/vm/only").strip().split(",") if word]
    chosen = [f for f in CHECKS if not only or any(word in f.__name__ for word in only)]
    failed = 0
    for function in chosen:
        began = time.monotonic()
        verdict, detail = verdict_of(function)
        failed += verdict == "FAIL"
        detail = detail.replace("\n", " | ")
        print(f"VM-CHECK {function.__name__} {verdict} [{time.monotonic() - began:.1f}s] {detail[:1500]}", flush=True)
        clean_up()
    print(f"VM-DONE checks={len(chosen)} failed={failed} boot={boot}", flush=True)
    return failed != 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
