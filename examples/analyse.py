# SPDX-License-Identifier: Apache-2.0
"""What an agent might write when it is asked: "which product sells best, where and when?"
Needs nothing but Python's standard library; reads sales.csv, prints a summary, leaves report.md."""

import collections
import csv
import statistics

with open("sales.csv", newline="") as file:
    rows = list(csv.DictReader(file))

revenue = collections.defaultdict(collections.Counter)
for row in rows:
    amount = int(row["units"]) * float(row["price"])
    for key in ("product", "region", "month"):
        revenue[key][row[key]] += amount

total = sum(revenue["product"].values())
widest = max(revenue["product"].values())
lines = [f"{len(rows)} rows, revenue {total:,.0f}"]
for name, amount in revenue["product"].most_common():
    bar = "#" * round(28 * amount / widest)
    lines.append(f"{name:<8} {amount:>9,.0f}  {amount / total:4.0%}  {bar}")
best_month, best = revenue["month"].most_common(1)[0]
usual = statistics.median(revenue["month"].values())
lines.append(f"best region {revenue['region'].most_common(1)[0][0]}; "
             f"best month {best_month}, {best / usual - 1:.0%} above the median month")

print("\n".join(lines))
with open("report.md", "w") as file:
    file.write("# Sales\n\n```\n" + "\n".join(lines) + "\n```\n")
