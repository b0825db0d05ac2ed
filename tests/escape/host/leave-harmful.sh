#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Leaves in the current directory everything that must not reach the machine as it is: setuid
# modes, devices, whiteouts, fifos, sockets, links out of the tree, overlay marks. Each step may
# be refused; what counts is what the driver finds outside.
# Usage: leave-harmful.sh HOSTFILE HOSTDIR (paths on the machine that links shall point to)

hostfile=$1
hostdir=$2

echo ordinary >ordinary
mkdir -p tree/below && echo deep >tree/below/file

cp /bin/sh suid 2>/dev/null && chmod 4755 suid
cp /bin/sh sgid 2>/dev/null && chmod 2755 sgid
mkdir -p sgid-directory && chmod 2777 sgid-directory
mkdir -p sticky && chmod 1777 sticky
mknod whiteout c 0 0
mknod ordinary-gone c 0 0
mknod memory c 1 1
mknod disk b 8 0
mkfifo fifo
ln -s /etc/shadow link-shadow
ln -s "$hostfile" link-hostfile
ln -s ../../../../../../../etc/shadow link-dotdot
ln -s "$hostdir" link-hostdir
ln -s /proc/self/root link-proc
ln -s link-self link-self
ln -s ordinary link-inside
ln ordinary hard
ln /attacks/plant.sh hard-ro
ln /usr/bin/cat hard-usr
python3 - 2>/dev/null <<'END'
import os, socket
for key in ("user.overlay.opaque", "user.overlay.whiteout", "user.overlay.redirect",
            "trusted.overlay.opaque", "user.harmless"):
    try:
        os.setxattr("tree", key, b"y")
    except OSError:
        pass
try:
    os.setxattr("ordinary", "security.capability", bytes.fromhex("0100000200200080" + "00" * 12))
except OSError:
    pass
for name in ("new\nline", "esc\x1b[2J", "-rf", " ", "a" * 255, "..."):
    open(name, "w").write("x")
open(b"not-utf8-\xff", "w").write("x")
s = socket.socket(socket.AF_UNIX)
s.bind("socket")
END
exit 0
