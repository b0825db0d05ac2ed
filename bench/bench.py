#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How fast creel starts a sandbox, side by side with its peers: a table, results.json, plot.svg.

Everything that is compared runs alternating in one run, because absolute figures differ between
machines, and minutes, by a factor of two. Targets are reported as met or not met; the exit code is
0 either way, and 1 only if something ran wrongly. Needs cc; root for most peers; installs nothing
unless asked to.

environment: CREEL_BUILD (the build directory, default build), CREEL (the binary, default the one
there), CREEL_BENCH_CACHE (where --install puts what npm and go give, and where the image stays).
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import install
import load
import plot
import report
import store
from context import Context, say
from launch import BenchError, Launcher
from peers import CASES, MAKERS, detect, version_of

REPO = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("CREEL_BUILD", REPO / "build")).absolute()
GAPS_MS = {"back-to-back": 0, "gaps": 100}
CFLAGS = ("-std=gnu17", "-D_GNU_SOURCE", "-O2", "-static")
PROGRAMS = {"floor": ("floor.c",), "layer": ("layer.c",), "spawn": ("spawn.c", "plan.c")}
PARTS = ("start", "load", *store.PARTS)
SLOW_MS = 100  # peers above this are measured less often, so that a run ends in minutes
ROUNDS, SLOW_ROUNDS, WARM_UP = 120, 40, 5
QUICK_ROUNDS, QUICK_SLOW_ROUNDS, QUICK_WARM_UP = 30, 6, 2
SLOW_GAP_SHARE = 2  # with gaps, slow peers run even less often: caches matter little to them


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, for a first look")
    parser.add_argument("--out", type=Path, default=BUILD / "bench",
                        help="where table.md, results.json and plot.svg go (default: build/bench)")
    parser.add_argument("--only", default="", metavar="PEER,...",
                        help="of start and load, measure only these")
    parser.add_argument("--parts", default=",".join(PARTS), metavar="PART,...",
                        help="measure only these (default: %(default)s)")
    parser.add_argument("--no-load", action="store_true", help="leave the part load out")
    parser.add_argument("--install", action="store_true",
                        help="first install peers by apt, npm and go, and make the user "
                             f"{install.USER} (root)")
    args = parser.parse_args()
    args.only = tuple(filter(None, args.only.split(",")))
    args.parts = tuple(filter(None, args.parts.split(",")))
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts: no such part: {', '.join(sorted(unknown))}; "
                     f"there are {', '.join(PARTS)}")
    if unknown := set(args.only) - set(MAKERS):
        parser.error(f"--only: no such peer: {', '.join(sorted(unknown))}; "
                     f"there are {', '.join(MAKERS)}")
    return args


def compile_programs(out):
    for name, sources in PROGRAMS.items():
        paths = [str(REPO / "bench" / source) for source in sources]
        subprocess.run(["cc", *CFLAGS, "-o", str(out / name), *paths], check=True)


def rootless_user():
    """(uid, gid) of the rootless rows; the caller's own if that is no root."""
    if os.geteuid():
        return os.getuid(), os.getgid()
    try:
        entry = pwd.getpwnam(os.environ.get("CREEL_BENCH_USER", install.USER))
    except KeyError:
        return ()
    return entry.pw_uid, entry.pw_gid


def cache_directory():
    home = Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"
    return Path(os.environ.get("CREEL_BENCH_CACHE", home / "creel-bench"))


def cgroup_kind():
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "cgroup v2"
    return "cgroup hybrid" if Path("/sys/fs/cgroup/unified").exists() else "cgroup v1"


def machine_facts():
    """Names no host and no path."""
    cpu = next((line.split(":", 1)[1].strip()
                for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (f"Linux {platform.release()}, {os.cpu_count()} × {cpu}, {pages / 2**30:.0f} GiB, "
            f"{cgroup_kind()}, {datetime.date.today().isoformat()}")


def load_average():
    return f"{os.getloadavg()[0]:.1f}"


def find_slow(ctx, peers):
    """The peers whose /bin/true takes longer than SLOW_MS."""
    commands = [peer.command(CASES["true"], 3) for peer in peers.values()]
    measured = ctx.launcher.sample(commands, 1, 0)
    return {slug for slug, result in measured.items()
            if not result["ns"] or report.stats(result["ns"])["median"] > SLOW_MS}


def rounds_of(slug, slow, quick, gap_ms):
    if slug not in slow:
        return QUICK_ROUNDS if quick else ROUNDS
    if quick:
        return QUICK_SLOW_ROUNDS
    return SLOW_ROUNDS // SLOW_GAP_SHARE if gap_ms else SLOW_ROUNDS


def measure_table(ctx, peers, argv, slow, quick, gap_ms):
    """({slug: stats}, [failures]) of one command, all peers alternating."""
    commands = [peer.command(argv, rounds_of(slug, slow, quick, gap_ms))
                for slug, peer in peers.items()]
    warm_up = QUICK_WARM_UP if quick else WARM_UP
    rows, failures = {}, []
    for slug, result in ctx.launcher.sample(commands, warm_up, gap_ms).items():
        if result["status"]:
            code = os.waitstatus_to_exitcode(result["status"])
            failures.append(f"{slug}, {' '.join(argv)}: exit code {code} after "
                            f"{len(result['ns'])} good runs")
        else:
            rows[slug] = {**report.stats(result["ns"]), "samples_ns": result["ns"]}
    return rows, failures


def measure_all(ctx, peers, quick):
    """({mode: {case: {slug: stats}}}, [failures])."""
    slow = find_slow(ctx, peers)
    results, failures = {}, []
    for mode, gap_ms in GAPS_MS.items():
        results[mode] = {}
        for case, argv in CASES.items():
            say(f"{report.CASE_NAMES[case]}, {report.MODES[mode]}")
            rows, failed = measure_table(ctx, peers, argv, slow, quick, gap_ms)
            results[mode][case] = rows
            failures += failed
    return results, failures


def write_results(out, found):
    text = report.text(found)
    print(text, end="")
    (out / "table.md").write_text(text)
    (out / "plot.svg").write_text(plot.draw(found.panels, found.facts))
    (out / "results.json").write_text(json.dumps({
        "facts": found.facts, "versions": found.versions, "skipped": found.skipped,
        "failures": found.failures, "tables": found.tables, "load": found.load,
        "store": {"rows": found.store.rows, "tables": found.store.tables,
                  "samples": found.store.samples}}, indent=1) + "\n")


def run(ctx, args):
    """The number of things that ran wrongly."""
    before = load_average()
    peers, skipped, failures, tables, loads = {}, {}, [], {}, {}
    if {"start", "load"} & set(args.parts):
        say("probing the peers")
        peers, skipped, failures = detect(ctx, args.only)
        if not peers:
            raise BenchError("no peer works here: " + "; ".join(skipped.values()))
    if "start" in args.parts:
        tables, failed = measure_all(ctx, peers, args.quick)
        failures += failed
    if "load" in args.parts and not args.no_load:
        say("many at once")
        loads, failed = load.measure(ctx, peers, args.quick)
        failures += failed
    lasting = store.measure(ctx, args.parts, args.quick)
    write_results(ctx.out, report.Findings(
        facts=f"{machine_facts()}, load average {before} before and {load_average()} after",
        peers=peers, skipped=skipped | lasting.skipped, tables=tables, load=loads, store=lasting,
        failures=failures + lasting.failures,
        versions={slug: version_of(peer) for slug, peer in {**peers, **lasting.peers}.items()}))
    return len(failures) + len(lasting.failures)


def clean_up(ctx):
    """Peers may leave mounts below the scratch directory, as gVisor does: they go first."""
    for helper in ctx.helpers:
        helper.kill()
        helper.wait()
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in mounts]
    for point in reversed([point for point in points if point.startswith(f"{ctx.work}/")]):
        with contextlib.suppress(OSError):  # what ended the run may be that nothing can start
            subprocess.run(["umount", "-l", point], check=False)
    shutil.rmtree(ctx.work, ignore_errors=True)
    if ctx.work.exists() and not ctx.is_root:  # rootless state has files of subordinate ids
        subprocess.run(["unshare", "--map-root-user", "--map-auto", "rm", "-rf", str(ctx.work)],
                       check=False)


def main():
    args = parse_arguments()
    if args.install:
        if os.geteuid():
            sys.exit("bench: --install needs root")
        install.everything(cache_directory())
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    compile_programs(out)
    # /var/tmp: on a real disk, where durable writes cost what they cost; not /tmp, see context.py
    work = Path(tempfile.mkdtemp(prefix="creel-bench-", dir="/var/tmp"))
    work.chmod(0o755)
    ctx = Context(repo=REPO, out=out, work=work, cache=cache_directory(), build=BUILD,
                  creel=Path(os.environ.get("CREEL", BUILD / "creel")).absolute(),
                  launcher=Launcher(out / "spawn", work), user=rootless_user(),
                  is_root=os.geteuid() == 0)
    try:
        return 1 if run(ctx, args) else 0
    except (BenchError, subprocess.SubprocessError, OSError) as error:
        say(str(error))
        return 1
    finally:
        clean_up(ctx)


if __name__ == "__main__":
    sys.exit(main())
