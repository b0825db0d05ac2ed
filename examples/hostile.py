# SPDX-License-Identifier: Apache-2.0
"""What a hostile or confused agent might try, one attack a run: hostile.py ATTACK [TARGET...]

Each line of the output says what was tried and what came of it: `GOT what` for whatever must not
work, `failed what: why` for the rest, `fact name value` for what scripts/show.py compares.
It does real harm where nothing holds it: run it in a sandbox only. It refuses to start when it can
tell that it is not in one."""

import ctypes
import errno
import glob
import os
import signal
import socket
import sys
import time

MIB = 1 << 20


def failed(what, error):
    print(f"failed {what}: {errno.errorcode.get(error.errno or 0, error)}", flush=True)


def attempt(what, function, *args):
    """Says whether function(*args) worked, which it should not."""
    try:
        result = function(*args)
    except OSError as error:
        failed(what, error)
        return None
    print(f"GOT {what}: {str(result)[:60]!r}", flush=True)
    return result


def first_line(path):
    with open(path, "rb") as file:
        return file.readline(200)


def keys(*canaries):
    """Private keys, password hashes, tokens in other processes' environments, planted secrets."""
    places = [*canaries, "/etc/shadow", "/etc/gshadow", "/etc/ssh/ssh_host_ed25519_key",
              "/root/.ssh/id_ed25519", "/root/.ssh/id_rsa", "/root/.ssh/authorized_keys",
              "/root/.aws/credentials", "/root/.netrc", "/root/.bash_history", "/proc/1/environ",
              "/proc/kcore", "/var/run/docker.sock", "/run/systemd/private"]
    for home in glob.glob("/home/*"):
        places += [f"{home}/.ssh/id_ed25519", f"{home}/.ssh/id_rsa", f"{home}/.aws/credentials"]
    for place in places:
        attempt(place, first_line, place)
    for name in os.environ:
        if any(word in name for word in ("KEY", "TOKEN", "SECRET", "PASSWORD")):
            print(f"GOT environment {name}", flush=True)
    print(f"fact places {len(places)}")


def processes(victim):
    """Every process in sight; then the one whose number the driver tells us."""
    seen = [name for name in os.listdir("/proc") if name.isdigit()]
    for pid in seen:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                print("sees", pid, file.read(200).replace(b"\0", b" ").decode("utf-8", "replace"))
        except OSError as error:
            failed(f"/proc/{pid}/cmdline", error)
    print(f"fact seen {len(seen)}")
    attempt(f"kill {victim}", os.kill, int(victim), 9)
    attempt(f"environment of {victim}", first_line, f"/proc/{victim}/environ")


def forks():
    """Every process makes as many as it can, and so do its children."""
    first = os.getpid()
    while True:
        try:
            os.fork()
        except OSError as error:
            why = error
            break
    if os.getpid() != first:
        time.sleep(30)
        os._exit(0)
    time.sleep(0.2)
    failed("fork", why)


def disk():
    """Fills every directory that can be written, over and over, until nothing more goes in."""
    written, block = 0, os.urandom(MIB // 4)
    for place in ("/workspace", "/tmp", "/var/tmp", os.path.expanduser("~")):
        try:
            with open(f"{place}/filler", "wb", buffering=0) as file:
                while True:
                    written += file.write(block)
        except OSError as error:
            failed(f"write to {place}", error)
    print(f"fact written {written}")


def memory():
    """Takes memory and touches it, so that it is really there."""
    taken = []
    try:
        while True:
            taken.append(bytearray(os.urandom(MIB // 4) * 16))
            print(f"fact taken {len(taken) * 4 * MIB}", flush=True)
    except MemoryError:
        size = len(taken)
        taken.clear()
        print(f"failed memory: MemoryError after {size * 4} MiB")


def connect(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.settimeout(2)
        sock.connect(address)
        sock.send(b"\0" * 12)
        return sock.recv(1)


def network(port, *resolvers):
    """The driver's own listener first: it answers outside, so silence here is no accident."""
    inet, stream = socket.AF_INET, socket.SOCK_STREAM
    targets = [("a service of this machine", inet, stream, ("127.0.0.1", int(port))),
               ("cloud metadata", inet, stream, ("169.254.169.254", 80)),
               ("1.1.1.1:443", inet, stream, ("1.1.1.1", 443)),
               ("2606:4700::1111:443", socket.AF_INET6, stream, ("2606:4700::1111", 443))]
    targets += [(f"resolver {r}", socket.AF_INET6 if ":" in r else inet, socket.SOCK_DGRAM, (r, 53))
                for r in (*resolvers, "9.9.9.9")]
    for name, family, kind, address in targets:
        attempt(name, connect, family, kind, address)
    attempt("name lookup", socket.getaddrinfo, "example.com", 443)
    attempt("raw socket", socket.socket, inet, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    attempt("packet socket", socket.socket, socket.AF_PACKET, socket.SOCK_RAW)
    print(f"fact targets {len(targets) + 3}")
    print("fact interfaces", ",".join(name for _, name in socket.if_nameindex()))


def syscall(name, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)
    return name


def root():
    """Ways to become root, to undo the sandbox, or to change the machine."""
    attempt("setuid(0)", os.setuid, 0)
    attempt("chroot", os.chroot, "/")
    attempt("a new user namespace", syscall, "unshare", 0x10000000)
    attempt("a new mount", syscall, "mount", b"none", b"/tmp", b"tmpfs", 0, None)
    attempt("unmount /proc/sys", syscall, "umount2", b"/proc/sys", 2)
    for path in ("/usr/bin/python3", "/etc/passwd", "/sys/kernel/uevent_helper",
                 "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/mem", "/dev/vda"):
        attempt(f"write {path}", lambda p: os.close(os.open(p, os.O_WRONLY)), path)
    print("fact ways 12")


def forever():
    """Burns CPU and ignores every polite request to stop."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


ATTACKS = {f.__name__: f for f in (keys, processes, forks, disk, memory, network, root, forever)}


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in ATTACKS:
        sys.exit(f"usage: hostile.py {'|'.join(ATTACKS)} [TARGET...]")
    # Where `creel run --lang python FILE` puts FILE; nobody starts it from there by mistake.
    if os.path.dirname(os.path.abspath(__file__)) != "/run/script":
        sys.exit("hostile.py: this is no creel sandbox; it would do real harm here")
    ATTACKS[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
