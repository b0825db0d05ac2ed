# SPDX-License-Identifier: Apache-2.0
"""OCI bundles for crun, runc and runsc: a minimal root with the host's /usr, read-only.

What is comparable to creel is switched on (no capabilities, no_new_privs, an allow-list, limits of
memory, CPU and processes, all but a user namespace); /sys and device rules are left out in the
peers' favour.
"""

import errno
import json
import platform
from pathlib import Path

USER_ID = 1000
MEMORY_BYTES = 2 << 30
CPU_PERIOD_US = 100_000
CPU_QUOTA_US = 200_000
PIDS = 512
NAMESPACE_FLAGS = 0x7E020000  # as in filter.c
LINKS = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
SECCOMP_ARCHES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def make_root(root):
    """A root directory to bind /usr into; needs a host whose /bin and /lib are links into /usr."""
    for name in ("usr", "etc", "proc", "sys", "dev", "tmp", "run", "var", "home/user"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in LINKS:
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(host.readlink())
    (root / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\n"
                                     f"user:x:{USER_ID}:{USER_ID}::/home/user:/bin/sh\n")
    (root / "etc/group").write_text(f"root:x:0:\nuser:x:{USER_ID}:\n")
    (root / "etc/os-release").touch()
    cache = Path("/etc/ld.so.cache")
    if cache.exists():
        (root / "etc/ld.so.cache").write_bytes(cache.read_bytes())
    return root


def _mount(destination, kind, source, *options):
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _mounts(host_usr):
    harmless = ("nosuid", "nodev")
    usr = [_mount("/usr", "bind", "/usr", "bind", "ro", *harmless)] if host_usr else []
    return [
        *usr,
        _mount("/proc", "proc", "proc", "noexec", *harmless),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=64k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance",
               "ptmxmode=0666", "mode=0620"),
        _mount("/dev/shm", "tmpfs", "shm", "noexec", "mode=1777", "size=64m", *harmless),
        _mount("/tmp", "tmpfs", "tmpfs", "mode=1777", *harmless),
        _mount("/home/user", "tmpfs", "tmpfs", "mode=1777", *harmless),
    ]


def _seccomp(names):
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": [SECCOMP_ARCHES[platform.machine()]],
        "syscalls": [
            {"names": names, "action": "SCMP_ACT_ALLOW"},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": NAMESPACE_FLAGS, "valueTwo": 0,
                       "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        ],
    }


def _process(argv):
    return {
        "terminal": False,
        "user": {"uid": USER_ID, "gid": USER_ID},
        "args": argv,
        "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/home/user", "LANG=C"],
        "cwd": "/home/user",
        "capabilities": {},
        "noNewPrivileges": True,
    }


def make_bundle(bundle, root, argv, syscalls, limits, *, host_usr):
    """Writes bundle/config.json; the root directory is shared by all bundles. Without the host's
    /usr the root is a layer of its own, and writable."""
    resources = {
        "memory": {"limit": MEMORY_BYTES},
        "cpu": {"quota": CPU_QUOTA_US, "period": CPU_PERIOD_US},
        "pids": {"limit": PIDS},
    }
    config = {
        "ociVersion": "1.0.2",
        "process": _process(argv),
        "root": {"path": str(root), "readonly": host_usr},
        "hostname": "bench",
        "mounts": _mounts(host_usr),
        "linux": {
            "namespaces": [{"type": kind} for kind in
                           ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "resources": resources if limits else {},
            "seccomp": _seccomp(syscalls),
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/sched_debug", "/proc/timer_list"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                              "/proc/sysrq-trigger"],
        },
    }
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "config.json").write_text(json.dumps(config, indent=1))
    return bundle
