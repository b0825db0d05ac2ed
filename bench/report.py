# SPDX-License-Identifier: Apache-2.0
"""Samples into figures: the tables, the comparison with the targets. Prints no verdict but met or
not met, since a benchmark is no test."""

import statistics
from dataclasses import dataclass

MODES = {"back-to-back": "back to back", "gaps": "with 100 ms gaps"}
CASE_NAMES = {"true": "/bin/true", "python": "python3 -c pass"}

# (what, slower or measured peer, reference peer, limit, True: at most / False: at least)
TARGETS = (
    ("creel run, root / bwrap bare", "creel", "bwrap", 1.0, True),
    ("creel run, root / bwrap bare (stretch)", "creel", "bwrap", 0.8, True),
    ("creel run, root / kernel floor", "creel", "floor", 1.6, True),
    ("creel run, rootless / bwrap bare, rootless", "creel-user", "bwrap-user", 1.4, True),
    ("codex sandbox / creel run", "codex", "creel", 8.0, False),
    ("srt / creel run", "srt", "creel", 60.0, False),
)
IDLE_TARGET_KIB = 1024


@dataclass(frozen=True)
class Findings:
    """All of one benchmark run; tables and load have the shape that results.json keeps."""

    facts: str
    peers: dict  # {slug: Peer}
    skipped: dict  # {slug: reason}
    versions: dict  # {slug: text}
    tables: dict  # {mode: {case: {slug: stats}}}
    load: dict
    failures: list

    @property
    def labels(self):
        return {slug: peer.label for slug, peer in self.peers.items()}


def stats(samples_ns):
    """Milliseconds; p95 by nearest rank."""
    ordered = sorted(samples_ns)
    rank = min(len(ordered) - 1, -(-95 * len(ordered) // 100) - 1)
    return {"runs": len(ordered), "min": ordered[0] / 1e6,
            "median": statistics.median(ordered) / 1e6, "p95": ordered[rank] / 1e6}


def ratio(rows, slug, reference):
    """Of the medians of one table; None where one of the two was not measured."""
    if slug not in rows or reference not in rows:
        return None
    return rows[slug]["median"] / rows[reference]["median"]


def _cell(value):
    return "–" if value is None else f"{value:.2f}"


def table(rows, labels):
    lines = ["| | min ms | median ms | p95 ms | × floor | × bwrap bare | runs |",
             "|---|---:|---:|---:|---:|---:|---:|"]
    for slug in sorted(rows, key=lambda slug: rows[slug]["median"]):
        row = rows[slug]
        lines.append(f"| {labels[slug]} | {row['min']:.2f} | {row['median']:.2f} | "
                     f"{row['p95']:.2f} | {_cell(ratio(rows, slug, 'floor'))} | "
                     f"{_cell(ratio(rows, slug, 'bwrap'))} | {row['runs']} |")
    return lines


def tables(results, labels):
    lines = []
    for mode, cases in results.items():
        for case, rows in cases.items():
            lines += ["", f"## {CASE_NAMES[case]}, {MODES[mode]}", "", *table(rows, labels)]
    return lines


def _target_line(text, value, limit, at_most):
    sign = "≤" if at_most else "≥"
    if value is None:
        return f"| {text} | {sign} {limit:g} | – | not measured |"
    met = value <= limit if at_most else value >= limit
    return f"| {text} | {sign} {limit:g} | {value:.2f} | {'met' if met else 'not met'} |"


def targets(results, load):
    """/bin/true against the project's targets, in both tables."""
    lines = ["", "## Targets (/bin/true, ratio of medians)", "",
             "| what | target | measured | |", "|---|---:|---:|---|"]
    for mode, cases in results.items():
        for text, slug, reference, limit, at_most in TARGETS:
            value = ratio(cases["true"], slug, reference)
            lines.append(_target_line(f"{text}, {MODES[mode]}", value, limit, at_most))
    for slug in ("creel", "creel-user"):
        value = load.get("idle_kib", {}).get(slug)
        lines.append(_target_line(f"{slug}: KiB of an idle sandbox", value, IDLE_TARGET_KIB, True))
    return lines


def load_lines(load, labels):
    if not load:
        return []
    lines = ["", "## Load"]
    if load.get("rates"):
        jobs = sorted(next(iter(load["rates"].values())), key=int)
        lines += ["", "Sandboxes/s of /bin/true, by how many run at once:", "",
                  "| | " + " | ".join(jobs) + " |", "|---|" + "---:|" * len(jobs)]
        lines += [f"| {labels[slug]} | " + " | ".join(_cell(rates[j]) for j in jobs) + " |"
                  for slug, rates in load["rates"].items()]
    lines.append("")
    for slug, burst in load.get("burst", {}).items():
        lines.append(f"- {labels[slug]}: {burst['correct']} of {burst['count']} sandboxes started "
                     f"at once gave the right result, in {burst['seconds']:.2f} s")
    for slug, kib in load.get("idle_kib", {}).items():
        lines.append(f"- {labels[slug]}: {kib:.0f} KiB for an idle sandbox (PSS of its own "
                     "processes, without the sandboxed one)")
    return lines


def notes(found):
    lines = ["", "## Who was measured", "",
             "Runs of a table alternate in a random order; slow peers take part in fewer rounds "
             "(the last column). `–`: not measured.", ""]
    for slug, peer in found.peers.items():
        parts = [part for part in (found.versions.get(slug), peer.note) if part]
        lines.append(f"- {peer.label}: {'; '.join(parts)}")
    if found.skipped:
        lines += ["", "Skipped:", ""]
        lines += [f"- {slug}: {reason}" for slug, reason in found.skipped.items()]
    if found.failures:
        lines += ["", "Failed while being measured:", ""]
        lines += [f"- {failure}" for failure in found.failures]
    return lines


def text(found):
    """The whole report as Markdown; its first line names the machine."""
    lines = [found.facts, *tables(found.tables, found.labels),
             *load_lines(found.load, found.labels), *targets(found.tables, found.load),
             *notes(found)]
    return "\n".join(lines) + "\n"
