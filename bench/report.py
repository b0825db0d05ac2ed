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
    store: object  # store.Store, or None
    failures: list

    @property
    def labels(self):
        return {slug: peer.label for slug, peer in self.peers.items()}

    @property
    def panels(self):
        """[(title, labels, {slug: stats})], for the plot."""
        found = [(f"{CASE_NAMES[case]}, {MODES[mode]}", self.labels, rows)
                 for case in CASE_NAMES for mode, cases in self.tables.items()
                 if (rows := cases.get(case))]
        lasting = self.store.tables if self.store else {}
        return found + [(title, table["labels"], table["rows"])
                        for title, table in lasting.items() if table["rows"]]


def percentile(samples, percent):
    """By nearest rank."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, -(-percent * len(ordered) // 100) - 1)]


def stats(samples_ns):
    """Milliseconds."""
    return {"runs": len(samples_ns), "min": min(samples_ns) / 1e6,
            "median": statistics.median(samples_ns) / 1e6, "p95": percentile(samples_ns, 95) / 1e6}


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
    if not results:
        return []
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


def _quantity(value, unit):
    if value is None:
        return "–"
    if unit == "/s":
        return f"{value:,.0f} /s"
    return f"{value:.3f} {unit}" if abs(value) < 1 else f"{value:.2f} {unit}"


def _verdict(row, share):
    """(the target, met or not met) of one row."""
    if not row["target"]:
        return "", ""
    of, limit, at_most = row["target"]
    value = share if of == "ratio" else row["figure"]
    met = value <= limit if at_most else value >= limit
    text = f"{limit:,}" if of == "ratio" else f"{limit:,} {row['unit']}"
    return f"{'≤' if at_most else '≥'} {text}", "met" if met else "not met"


def lasting_lines(store):
    """What lasts: one table, whose ratio is creel's figure by the other's."""
    if not store or not store.rows:
        return []
    lines = ["", "## Images, layers, the log and what lasts (medians)", "",
             "| what | measured | beside | measured | ratio | target | |",
             "|---|---:|---|---:|---:|---:|---|"]
    for row in store.rows:
        share = row["figure"] / row["other"] if row["other"] else None
        target, met = _verdict(row, share)
        lines.append(f"| {row['what']} | {_quantity(row['figure'], row['unit'])} | "
                     f"{row['beside']} | {_quantity(row['other'], row['unit'])} | "
                     f"{'–' if share is None else f'{share:.3g}'} | {target} | {met} |")
    return lines


def notes(found):
    lines = ["", "## Who was measured", "",
             "Runs of a table alternate in a random order; slow peers take part in fewer rounds "
             "(the last column). `–`: not measured.", ""]
    lasting = found.store.peers if found.store else {}
    for slug, peer in {**found.peers, **lasting}.items():
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
             *lasting_lines(found.store), *notes(found)]
    return "\n".join(lines) + "\n"
