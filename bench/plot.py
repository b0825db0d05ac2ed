# SPDX-License-Identifier: Apache-2.0
"""The tables as one SVG, written by hand so that the benchmark needs nothing but Python.

One panel a table: a bar to the median, a whisker from min to p95, on a logarithmic axis that all
panels share, so that they can be compared with each other.
"""

import math
from html import escape

WIDTH = 1000
LABEL_WIDTH = 240
VALUE_WIDTH = 120
ROW = 22
BAR = 13
PANEL_TOP = 48
PANEL_BOTTOM = 40
MARGIN_TOP = 64
OURS, OTHERS, REFERENCE = "#0b6e75", "#b9c3cc", "#6f7d8a"
INK, GRID = "#1d252c", "#e3e7ea"


class Axis:
    """Milliseconds to pixels over whole 1-2-5 steps around all values."""

    def __init__(self, low, high):
        ticks = [base * 10 ** power for power in range(-2, 6) for base in (1, 2, 5)]
        below = [tick for tick in ticks if tick <= low]
        above = [tick for tick in ticks if tick >= high]
        self.low, self.high = below[-1], above[0]
        self.ticks = [tick for tick in ticks if self.low <= tick <= self.high]

    def x(self, value):
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH - VALUE_WIDTH)


def _text(x, y, text, size=12, anchor="start", weight="normal", color=INK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" fill="{color}">{escape(text)}</text>')


def _line(x1, y1, x2, y2, color, width=1.0):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{color}" stroke-width="{width}"/>')


def _color(slug):
    if slug.startswith("creel"):
        return OURS
    return REFERENCE if slug in ("floor", "bwrap") else OTHERS


def _bar(axis, slug, label, row, y):
    middle = y + ROW / 2
    left, end = axis.x(axis.low), axis.x(row["median"])
    low, high = axis.x(row["min"]), axis.x(row["p95"])
    weight = "bold" if slug.startswith("creel") else "normal"
    return [
        _text(LABEL_WIDTH - 8, middle + 4, label, anchor="end", weight=weight),
        f'<rect x="{left:.1f}" y="{middle - BAR / 2:.1f}" width="{end - left:.1f}" '
        f'height="{BAR}" fill="{_color(slug)}"/>',
        _line(low, middle, high, middle, INK, 1.2),
        _line(low, middle - 4, low, middle + 4, INK, 1.2),
        _line(high, middle - 4, high, middle + 4, INK, 1.2),
        _text(max(end, high) + 8, middle + 4, f"{row['median']:.2f} ms", weight=weight),
    ]


def _panel(axis, title, rows, labels, top):
    first = top + PANEL_TOP
    bottom = first + ROW * len(rows)
    parts = [_text(LABEL_WIDTH, top + 30, title, 15, weight="bold")]
    for tick in axis.ticks:
        x = axis.x(tick)
        parts.append(_line(x, first, x, bottom, GRID))
        parts.append(_text(x, bottom + 16, f"{tick:g}", 11, "middle"))
    for i, slug in enumerate(sorted(rows, key=lambda slug: rows[slug]["median"])):
        parts += _bar(axis, slug, labels[slug], rows[slug], first + i * ROW)
    return parts, bottom + PANEL_BOTTOM


def draw(panels, facts):
    """The SVG text, or an empty string if nothing was measured; panels: Findings.panels."""
    values = [row[key] for _, _, rows in panels for row in rows.values() for key in ("min", "p95")]
    if not values:
        return ""
    axis = Axis(min(values), max(values))
    body, top = [], MARGIN_TOP
    for title, labels, rows in panels:
        parts, top = _panel(axis, title, rows, labels, top)
        body += parts
    head = [_text(16, 28, "Start, run and end of one sandboxed command (milliseconds, log scale)",
                  17, weight="bold"),
            _text(16, 48, f"Bar: median; whisker: min to p95; dark: references. {facts}", 11,
                  color=REFERENCE)]
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" '
        f'width="{WIDTH}" height="{top:.0f}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{top:.0f}" fill="white"/>', *head, *body, "</svg>\n"])
