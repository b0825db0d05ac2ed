# SPDX-License-Identifier: Apache-2.0
"""Who is measured: a function for each peer, which returns how to call it or raises Skip.

Every peer is then probed: a peer whose command does not print what it should, or whose exit code
does not come back, is skipped too, since its speed would mean nothing.
"""

import subprocess
from pathlib import Path

import oci
from context import PATH, Broken, Peer, Skip, need, need_file, need_root, need_user

PYTHON = "/usr/bin/python3"
CASES = {"true": ("/bin/true",), "python": (PYTHON, "-c", "pass")}
FILTER_FD = 10
OPEN_FILES = 1024
PROCESSES = 512


def floor(ctx):
    need_root(ctx)
    binary = str(ctx.out / "floor")
    return Peer("floor", "kernel floor", lambda argv: (binary, *argv), ctx.environment("root"),
                note="bench/floor.c: namespaces, overlay, proc, pivot_root, exec; no protection")


def creel_root(ctx, slug="creel", label="creel run", options=(), **env):
    need_root(ctx)
    creel = need_file(Path(env.pop("binary", ctx.creel)), "creel")
    return Peer(slug, label, lambda argv: (creel, "run", *options, "--", *argv),
                tuple({**dict(ctx.environment("root")), **env}.items()),
                note="root, every default protection and limit", version=(creel, "--version"))


def creel_user(ctx, slug="creel-user", label="creel run, rootless", options=()):
    ids = need_user(ctx)
    creel = need_file(ctx.creel, "creel")
    return Peer(slug, label, lambda argv: (creel, "run", *options, "--", *argv),
                ctx.environment("user", ctx.user), ids=ids, cwd=str(ctx.home("user", ctx.user)),
                note="ordinary user with an id range")


def usr_argv(ctx):
    """bubblewrap's arguments for the host's /usr, read-only, and the links into it."""
    root = ctx.root_dir()
    links = [arg for name in oci.LINKS if (root / name).is_symlink()
             for arg in ("--symlink", str((root / name).readlink()), f"/{name}")]
    return ("--ro-bind", "/usr", "/usr", *links)


def bwrap_bare_argv(ctx):
    """The reference of the targets, so the leanest that runs a command: binding all of / costs
    bubblewrap a remount for each of the host's mounts."""
    return (need("bwrap"), "--unshare-all", *usr_argv(ctx), "--dev", "/dev", "--proc", "/proc",
            "--")


def bwrap(ctx):
    need_root(ctx)
    prefix = bwrap_bare_argv(ctx)
    return Peer("bwrap", "bwrap bare", lambda argv: (*prefix, *argv), ctx.environment("root"),
                note="--unshare-all --ro-bind /usr /usr --dev --proc; no filter, limits or ids",
                version=(prefix[0], "--version"))


def bwrap_host(ctx):
    need_root(ctx)
    prefix = (need("bwrap"), "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev",
              "--proc", "/proc", "--")
    return Peer("bwrap-host", "bwrap --ro-bind / /", lambda argv: (*prefix, *argv),
                ctx.environment("root"), note="bare, with the host's whole root visible")


def bwrap_user(ctx):
    ids = need_user(ctx)
    prefix = bwrap_bare_argv(ctx)
    return Peer("bwrap-user", "bwrap bare, rootless", lambda argv: (*prefix, *argv),
                ctx.environment("user", ctx.user), ids=ids, cwd=str(ctx.home("user", ctx.user)),
                note="the same as an ordinary user; one id")


def make_filter(ctx):
    """The seccomp program for bubblewrap as a file; None where it cannot be built."""
    binary, path = ctx.out / "filter", ctx.work / "filter.bpf"
    source = ctx.repo / "bench/filter.c"
    built = subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-o", str(binary),
                            str(source), "-lseccomp"], capture_output=True, check=False)
    if built.returncode:
        return None
    with open(path, "wb") as output:
        subprocess.run([str(binary)], input=" ".join(ctx.syscalls()).encode(), stdout=output,
                       check=True)
    path.chmod(0o644)
    return path


def bwrap_equal(ctx):
    need_root(ctx)
    binary = need("bwrap")
    bpf = ctx.once("filter", lambda: make_filter(ctx))
    if not bpf:
        raise Skip("bench/filter.c does not compile (libseccomp-dev)")
    etc = str(ctx.root_dir() / "etc")
    prefix = (binary, "--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000",
              "--gid", "1000", "--hostname", "bench", *usr_argv(ctx),
              "--ro-bind", etc, "/etc", "--tmpfs", "/tmp", "--tmpfs", "/home", "--dir",
              "/home/user", "--dev", "/dev", "--tmpfs", "/dev/shm", "--proc", "/proc",
              "--chdir", "/home/user", "--clearenv", "--setenv", "PATH", PATH,
              "--die-with-parent", "--new-session", "--cap-drop", "ALL",
              "--seccomp", str(FILTER_FD), "--")
    return Peer("bwrap-equal", "bwrap equal", lambda argv: (*prefix, *argv),
                ctx.environment("root"), fds=((FILTER_FD, str(bpf)),),
                note="creel's mounts and walls as far as bwrap has them: allow-list filter, user "
                     "namespace, no capabilities, --disable-userns; no limits, overlay, Landlock")


def hybrid_cgroups():
    return not Path("/sys/fs/cgroup/cgroup.controllers").exists()


def pure_v2_namespace(ctx):
    """crun refuses v1 and hybrid hosts: it is given a mount namespace where only v2 is seen."""
    script = "umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && echo ready && " \
             "exec sleep infinity"
    helper = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-c", script],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    ctx.helpers.append(helper)
    if helper.stdout.readline() != b"ready\n":
        raise Skip("cgroup v2 cannot be mounted")
    return f"/proc/{helper.pid}/ns/mnt"


def oci_peer(ctx, binary, slug, label, *options, limits=True, mntns="", note=""):
    state = str(ctx.work / f"state-{slug}")
    def wrap(argv):
        return (binary, "--root", state, *options, "run", "--bundle", ctx.bundle(argv, limits),
                f"bench-{slug}")
    return Peer(slug, label, wrap, ctx.environment("root"), mntns=mntns, note=note,
                version=(binary, "--version"))


def crun(ctx):
    need_root(ctx)
    binary = need("crun")
    if not hybrid_cgroups():
        return oci_peer(ctx, binary, "crun", "crun", note="filter and limits")
    return oci_peer(ctx, binary, "crun", "crun", limits=False,
                    mntns=ctx.once("pure-v2", lambda: pure_v2_namespace(ctx)),
                    note="filter; no limits: this host's controllers are v1, crun takes v2 only")


def runc(ctx):
    need_root(ctx)
    return oci_peer(ctx, need("runc"), "runc", "runc", note="filter and limits")


def gvisor_systrap(ctx):
    need_root(ctx)
    binary = need_file(ctx.cache / "bin/runsc", "gVisor's Go module (--install builds it)")
    return oci_peer(ctx, binary, "gvisor", "gVisor systrap", "--network=none",
                    "--platform=systrap", note="built from the Go module, limits")


def gvisor_ptrace(ctx):
    need_root(ctx)
    return oci_peer(ctx, need("runsc"), "gvisor-ptrace", "gVisor ptrace", "--network=none",
                    "--platform=ptrace", note="the distribution's package, limits")


def nsjail(ctx):
    need_root(ctx)
    prefix = (need("nsjail"), "-Mo", "--quiet", "--chroot", str(ctx.root_dir()), "-R", "/usr",
              "-T", "/tmp", "--user", "1000", "--group", "1000", "--")
    return Peer("nsjail", "nsjail", lambda argv: (*prefix, *argv), ctx.environment("root"))


def firejail(ctx):
    need_root(ctx)
    prefix = (need("firejail"), "--quiet", "--noprofile", "--net=none", "--seccomp",
              "--caps.drop=all", "--nonewprivs", "--private", "--private-dev", "--private-tmp",
              "--")
    return Peer("firejail", "firejail", lambda argv: (*prefix, *argv), ctx.environment("root"),
                note="--noprofile --net=none --seccomp --caps.drop=all --private*",
                version=(prefix[0], "--version"))


def nspawn(ctx):
    need_root(ctx)
    prefix = (need("systemd-nspawn"), "--quiet", "--register=no", "--keep-unit", "--console=pipe",
              "--private-network", "--bind-ro=/usr", "-D", str(ctx.root_dir()), "--")
    return Peer("nspawn", "systemd-nspawn", lambda argv: (*prefix, *argv),
                ctx.environment("root"), note="its own filter; no limits",
                version=(prefix[0], "--version"))


def podman_runtime():
    return need("runc" if hybrid_cgroups() else "crun")


def podman_argv(ctx):
    """podman with a store of its own, and the arguments of podman run; its default rlimits would
    need CAP_SYS_RESOURCE."""
    program = (need("podman"), "--root", str(ctx.work / "podman"),
               "--runroot", str(ctx.work / "podman-run"), "--storage-driver", "overlay",
               "--runtime", podman_runtime(), "--cgroup-manager", "cgroupfs",
               "--events-backend", "none")
    return program, ("run", "--rm", "--network=none",
                     "--ulimit", f"nofile={OPEN_FILES}:{OPEN_FILES}",
                     "--ulimit", f"nproc={PROCESSES}:{PROCESSES}", "--memory", "2g",
                     "--pids-limit", str(PROCESSES))


def podman(ctx):
    """--rootfs needs no image."""
    need_root(ctx)
    program, run = podman_argv(ctx)
    prefix = (*program, *run, "--volume", "/usr:/usr:ro", "--rootfs", str(ctx.root_dir()))
    return Peer("podman", "podman run", lambda argv: (*prefix, *argv), ctx.environment("root"),
                note=f"--rootfs, {Path(podman_runtime()).name}, its default filter, limits",
                version=(prefix[0], "--version"))


def codex(ctx):
    """The native binary itself: its npm wrapper would add Node's start to every run."""
    vendored = ctx.cache.glob("npm/node_modules/@openai/codex-*/vendor/*/bin/codex")
    binary = next((str(path) for path in vendored), "")
    if not binary:
        raise Skip("@openai/codex is not there (--install fetches it)")
    return Peer("codex", "codex sandbox", lambda argv: (binary, "sandbox", "--", *argv),
                ctx.environment("agent"), cwd=str(ctx.home("agent")),
                note="native binary, without the npm wrapper's Node", version=(binary, "--version"))


def srt(ctx):
    script = need_file(ctx.cache / "npm/node_modules/.bin/srt",
                       "@anthropic-ai/sandbox-runtime (--install fetches it)")
    node = need("node")
    return Peer("srt", "srt (sandbox-runtime)", lambda argv: (node, script, "--", *argv),
                ctx.environment("agent"), cwd=str(ctx.home("agent")), note="default settings",
                version=(node, script, "--version"))


MAKERS = {
    "floor": floor, "creel": creel_root, "creel-user": creel_user, "bwrap": bwrap,
    "bwrap-user": bwrap_user, "bwrap-host": bwrap_host, "bwrap-equal": bwrap_equal,
    "crun": crun, "runc": runc, "nsjail": nsjail, "firejail": firejail, "nspawn": nspawn,
    "podman": podman, "gvisor": gvisor_systrap, "gvisor-ptrace": gvisor_ptrace, "codex": codex,
    "srt": srt,
}


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else "no message"


def probe(ctx, peer):
    """Raises Broken unless output and exit code of a sandboxed command come back."""
    code, out, err = ctx.launcher.probe(peer.command((PYTHON, "-c", "print(6*7)")))
    if code or out.strip() != "42":
        raise Broken(f"a probe failed (exit code {code}): {last_line(err or out)}")
    code, _, err = ctx.launcher.probe(peer.command(("/bin/sh", "-c", "exit 7")))
    if code != 7:
        raise Broken(f"a command's exit code 7 came back as {code}: {last_line(err)}")


def detect(ctx, wanted=(), makers=MAKERS):
    """({slug: Peer} of those that work, {slug: reason} of the others, [failures]).

    A peer may be missing or broken, and the others are measured; creel itself may only be missing.
    """
    peers, skipped, failures = {}, {}, []
    for slug, make in makers.items():
        if wanted and slug not in wanted:
            skipped[slug] = "not asked for"
            continue
        try:
            peer = make(ctx)
            probe(ctx, peer)
            peers[slug] = peer
        except Skip as reason:
            skipped[slug] = str(reason)
            if isinstance(reason, Broken) and slug.startswith("creel"):
                failures.append(f"{slug}: {reason}")
    return peers, skipped, failures


def version_of(peer):
    if not peer.version:
        return ""
    done = subprocess.run(peer.version, env=dict(peer.env), capture_output=True, text=True,
                          timeout=20, check=False)
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""
