# SPDX-License-Identifier: Apache-2.0
"""What lasts, and what that costs: images, layers, the log, an overlay on a project, an agent.

Each part alternates creel and what it is compared with, and adds rows to one table. The ratio is
always creel's figure by the other's. A part whose programs or rights are missing is skipped by
name.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import images
import report
from context import Context, Skip, need_file, need_root, say
from launch import BenchError
from peers import CASES, MAKERS, creel_root, creel_user, detect, last_line

PROGRAM_TIMEOUT_S = 900
AT_ONCE = 16
CHUNKS = 8  # in which what cannot alternate run by run does: the disk's own sync, a pool held open
SLOW = ("podman-base",)
LAYER_FILES, QUICK_LAYER_FILES = 50_000, 5_000
PROJECT_FILES, FILES_EACH = 10_000, 100

# Targets: (what of the row, limit, True: at most / False: at least)
RECORDS_ADD_MS = ("figure", 0.5, True)
GROUP_RECORDS = ("figure", 500_000, False)
VERIFY_RECORDS = ("figure", 1_000_000, False)


@dataclass
class Store:
    """One run of these parts, and what it found."""

    ctx: Context
    quick: bool
    rows: list = field(default_factory=list)
    tables: dict = field(default_factory=dict)  # {title: {"labels", "rows": {slug: stats}}}
    samples: dict = field(default_factory=dict)
    peers: dict = field(default_factory=dict)
    skipped: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)

    def rounds(self, full, quick):
        return quick if self.quick else full

    def add(self, what, figure, unit, beside="", other=None, target=None):
        """A row of the table; without a figure there is none."""
        if figure is not None:
            self.rows.append({"what": what, "figure": figure, "unit": unit, "beside": beside,
                              "other": other, "target": target})

    def detect(self, makers):
        peers, skipped, failures = detect(self.ctx, makers=makers)
        self.peers |= peers
        self.skipped |= skipped
        self.failures += failures
        return peers

    def program(self, path):
        return need_file(self.ctx.build / path, f"{Path(path).name} (make bench builds it)")

    def call(self, path, *args):
        """The JSON that a benchmark program of creel's own prints."""
        done = subprocess.run([self.program(path), *map(str, args)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S,
                              check=False)
        if done.returncode:
            raise BenchError(f"{Path(path).name} {args[0]}: {last_line(done.stderr)}")
        return json.loads(done.stdout)

    def failed(self, slug, status, good):
        self.failures.append(f"{slug}: exit code {os.waitstatus_to_exitcode(status)} after "
                             f"{good} good runs")

    def sample(self, peers, rounds, samples):
        """Runs /bin/true by all peers, alternating; adds to {slug: [ns]}."""
        if not peers:
            return
        commands = [peer.command(CASES["true"], max(2, rounds // 4) if slug in SLOW else rounds)
                    for slug, peer in peers.items()]
        for slug, got in self.ctx.launcher.sample(commands, 2, 0).items():
            samples.setdefault(slug, []).extend(got["ns"])
            if got["status"]:
                self.failed(slug, got["status"], len(got["ns"]))

    def keep(self, title, peers, samples):
        """{slug: median ms} of a table that the plot draws, too."""
        rows = {slug: {**report.stats(samples[slug]), "samples_ns": samples[slug]}
                for slug in peers if samples.get(slug)}
        self.tables[title] = {"labels": {slug: peers[slug].label for slug in rows}, "rows": rows}
        return {slug: row["median"] for slug, row in rows.items()}


def median(samples):
    """Milliseconds; None without a sample."""
    return report.stats(samples)["median"] if samples else None


def on_image(store):
    """A root filesystem of its own, against the host's /usr and against others on the same."""
    peers = store.detect(images.MAKERS)
    samples = {}
    store.sample(peers, store.rounds(120, 20), samples)
    got = store.keep("/bin/true on the image base", peers, samples)
    for slug in ("creel-host", "podman-base", "runc-base", "bwrap-base"):
        if slug in got:
            store.add("creel run --image base", got.get("creel-base"), "ms", peers[slug].label,
                      got[slug])


def layers(store):
    need_root(store.ctx)
    files = store.rounds(LAYER_FILES, QUICK_LAYER_FILES)
    got = store.call("src/store/bench-store", "layers", store.ctx.work / "layers", files,
                     store.rounds(100, 10))
    store.samples["layers"] = got
    ms = {name: median(samples) for name, samples in got.items()}
    store.add("subvolume with a limit, create", ms["create"], "ms", "mkdir", ms["plain_create"])
    store.add("subvolume, delete", ms["delete"], "ms", "rmdir, empty", ms["plain_delete"])
    store.add("subvolume, create + delete",
              median([sum(pair) for pair in zip(got["create"], got["delete"])]), "ms")
    for what, ours, others in (
            (f"snapshot of {files:,} files", "snapshot",
             (("cp -a --reflink=never", "copy"), ("btrfs subvolume snapshot", "tool_snapshot"))),
            ("snapshot, delete", "snapshot_delete",
             (("rm -rf of the copy", "copy_delete"), ("btrfs subvolume delete", "tool_delete")))):
        for label, other in others:
            store.add(what, ms[ours], "ms", label, ms[other])


def log(store):
    got = store.call("src/audit/bench-audit", store.ctx.work / "log")
    store.samples["log"] = got
    disk = "write + fdatasync, p50"
    sync = got["fdatasync_p50_us"]
    for what, name in (("durable append, p50", "durable_append_p50_us"),
                       (f"{got['processes']} processes, durable append, p50",
                        "processes_p50_us"),
                       (f"{got['processes']} processes, durable append, p99",
                        "processes_p99_us")):
        store.add(what, got[name], "µs", disk, sync)
    rate = got["group_records_per_s"]
    store.add(f"group of {got['group']} records, durable", got["group"] / rate * 1e6, "µs", disk,
              sync)
    store.add(f"durable records in groups of {got['group']}", rate, "/s", target=GROUP_RECORDS)
    store.add("verify, records by one core", got["verify_records_per_s"], "/s",
              target=VERIFY_RECORDS)


def ablated(slug, label, options=(), **env):
    """A maker of creel from the build whose parts can be left out: one binary, so that nothing but
    the part differs."""
    def make(ctx):
        binary = need_file(ctx.build / "ablation/src/cmd/creel/creel",
                           "a build with -Dablation=true (make bench makes it)")
        return dataclasses.replace(
            creel_root(ctx, slug, label, options, binary=binary, **env),
            note="root, every default protection and limit; a build with -Dablation=true")
    return make


LOGGED = {
    "creel-logged": ablated("creel-logged", "creel run"),
    "creel-unlogged": ablated("creel-unlogged", "creel run without its log",
                              CREEL_ABLATE="audit"),
    "creel-unwatched": ablated("creel-unwatched", "creel run --audit files=off",
                               ("--audit", "files=off")),
}


def records(store):
    """Two records a run: what they add to it beyond the two syncs that they cannot do without."""
    peers, samples, syncs = store.detect(LOGGED), {}, []
    for _ in range(CHUNKS):
        store.sample(peers, store.rounds(40, 5), samples)
        syncs += store.call("src/store/bench-store", "sync", store.ctx.work, 25)["sync"]
    got = store.keep("/bin/true, the log and file access", peers, samples)
    store.samples["sync"] = syncs
    if "creel-logged" not in got:
        return
    if "creel-unlogged" in got:
        added, two = got["creel-logged"] - got["creel-unlogged"], 2 * median(syncs)
        store.add("creel run, with its two records", got["creel-logged"], "ms",
                  "without its log", got["creel-unlogged"])
        store.add("the two records add", added, "ms", "two bare fdatasyncs", two)
        store.add("the two records add, over two bare fdatasyncs", added - two, "ms",
                  target=RECORDS_ADD_MS)
    if "creel-unwatched" in got:
        store.add("creel run, files that it reads and writes told", got["creel-logged"], "ms",
                  "--audit files=off", got["creel-unwatched"])


def at_once(store):
    """Sixteen runs at any time: throughput and latency, with the log, without, and bubblewrap."""
    makers = {slug: LOGGED[slug] for slug in ("creel-logged", "creel-unlogged")}
    peers = store.detect(makers | {"bwrap": MAKERS["bwrap"]})
    samples, wall = {}, {}
    runs = store.rounds(AT_ONCE * 10, AT_ONCE * 3)
    for _ in range(store.rounds(CHUNKS, 2)):
        for slug, peer in peers.items():
            got = store.ctx.launcher.parallel(peer.command(CASES["true"], runs), AT_ONCE)
            if got["status"]:
                store.failed(slug, got["status"], 0)
                return
            samples.setdefault(slug, []).extend(got["ns"])
            wall[slug] = wall.get(slug, 0) + got["wall"]
    store.keep(f"/bin/true, {AT_ONCE} at once", peers, samples)
    compare_at_once(store, peers, samples, wall)


def compare_at_once(store, peers, samples, wall):
    rate = {slug: len(samples[slug]) / wall[slug] * 1e9 for slug in wall}
    p50 = {slug: median(ns) for slug, ns in samples.items()}
    p99 = {slug: report.percentile(ns, 99) / 1e6 for slug, ns in samples.items()}
    for slug in ("creel-unlogged", "bwrap"):
        if slug not in peers or "creel-logged" not in peers:
            continue
        label = peers[slug].label
        for what, figures, unit in (("runs", rate, "/s"), ("p50", p50, "ms"), ("p99", p99, "ms")):
            store.add(f"creel run, {AT_ONCE} at once, {what}", figures["creel-logged"], unit, label,
                      figures[slug])


def project(ctx, name, ids=()):
    """A directory of many small files; the user's own where ids are given."""
    def make():
        root = ctx.work / name
        for i in range(PROJECT_FILES // FILES_EACH):
            folder = root / str(i)
            folder.mkdir(parents=True)
            for j in range(FILES_EACH):
                (folder / f"{j}.txt").write_text(f"file {i} {j}\n")
        if ids:
            subprocess.run(["chown", "-R", f"{ids[0]}:{ids[1]}", str(root)], check=True)
        return str(root)
    return ctx.once(name, make)


def overlay_of(ctx, name, ids=()):
    return ("--overlay", project(ctx, name, ids))


AGENT = ("--agent", "bench")
LASTING = {
    "creel-plain": lambda ctx: creel_root(ctx, "creel-plain", "creel run"),
    "creel-overlay": lambda ctx: creel_root(ctx, "creel-overlay", "creel run --overlay",
                                            overlay_of(ctx, "project")),
    "creel-agent": lambda ctx: creel_root(ctx, "creel-agent", "creel run --agent", AGENT),
    "creel-user-plain": lambda ctx: creel_user(ctx, "creel-user-plain", "creel run, rootless"),
    "creel-user-overlay": lambda ctx: creel_user(
        ctx, "creel-user-overlay", "creel run --overlay, rootless",
        overlay_of(ctx, "project-user", ctx.user if ctx.is_root else ())),
    "creel-user-agent": lambda ctx: creel_user(ctx, "creel-user-agent",
                                               "creel run --agent, rootless", AGENT),
}
POOLED = ("creel-overlay", "creel-agent")


@contextlib.contextmanager
def held_pool(store):
    """Another process has the pool mounted: what a second run at the same time finds."""
    state = dict(store.ctx.environment("root"))["CREEL_STATE"]
    argv = [store.program("src/store/bench-store"), "hold", state, f"{state}/run"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        if holder.stdout.readline() != b"ready\n":
            raise Skip("the pool cannot be held open")
        yield
        holder.stdin.close()


def lasting(store):
    peers = store.detect(LASTING)
    warm = {f"{slug}-warm": dataclasses.replace(peers[slug], slug=f"{slug}-warm",
                                                label=f"{peers[slug].label}, pool mounted")
            for slug in POOLED if slug in peers}
    samples, rounds = {}, store.rounds(12, 3)
    for _ in range(CHUNKS):
        store.sample(peers, rounds, samples)
        if warm:
            with held_pool(store):
                store.sample(warm, rounds, samples)
    peers |= warm
    got = store.keep(f"/bin/true, --overlay of {PROJECT_FILES:,} files and --agent", peers,
                     samples)
    for slug in got:
        plain = "creel-user-plain" if "-user" in slug else "creel-plain"
        if slug != plain:
            store.add(peers[slug].label, got[slug], "ms", peers[plain].label, got.get(plain))


# Layers last: what they write keeps the disk busy for a while.
PARTS = {"images": (on_image,), "log": (log, records, at_once), "lasting": (lasting,),
         "layers": (layers,)}


def measure(ctx, parts, quick):
    """The Store after those of its parts that were asked for."""
    store = Store(ctx, quick)
    for name in filter(parts.__contains__, PARTS):
        for part in PARTS[name]:
            say(f"{name}: {part.__name__.replace('_', ' ')}")
            os.sync()  # of the part before
            try:
                part(store)
            except Skip as reason:
                store.skipped[part.__name__] = str(reason)
            except (BenchError, OSError, subprocess.SubprocessError) as error:
                store.failures.append(f"{part.__name__}: {error}")
    return store
