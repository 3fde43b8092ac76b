#!/usr/bin/env python3
"""10,000 instances boot within a minute against an account's quotas: the tables and the plot of
docs/fleet.md. --write puts them there. The same numbers come out on every machine.
"""
import math
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "fleet"))
import plot  # noqa: E402
import scenarios  # noqa: E402
import simulator  # noqa: E402

DOCUMENT = os.path.join(ROOT, "docs", "fleet.md")
PICTURE = os.path.join(ROOT, "docs", "fleet.svg")
HEAD = ("| | all ready | least | ratio | p50 | least | p99 | max | wasted calls each | failed starts each |\n"
        "|---|---|---|---|---|---|---|---|---|---|")


def seconds(value):
    return "–" if math.isinf(value) else f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"


def row(title, scenario, scale):
    """One line of a table, and what it was made from."""
    result = simulator.simulate(scenario.scaled(scale))
    least = simulator.least(scenario.scaled(scale))
    if math.isinf(result.all_ready):
        title += f": {100 * len(result.ready) // result.n_instances} % after {seconds(scenario.horizon)}"
    ratio = "–" if math.isinf(result.all_ready) else f"{result.all_ready / least.all_ready:.2f}"
    cells = [title, seconds(result.all_ready), seconds(least.all_ready), ratio, seconds(result.quantile(.5)),
             seconds(least.quantile(.5)), seconds(result.quantile(.99)), seconds(result.quantile(1)),
             f"{result.wasted_each:.1f}", f"{result.n_failed / result.n_instances:.2f}"]
    return "| " + " | ".join(cells) + " |", result, least


def table(name, say=lambda line: None):
    lines, results = [HEAD], {}
    for key, what in scenarios.TABLES[name].items():
        line, *results[key] = row(*what)
        say(line)
        lines.append(line)
    return "\n".join(lines), results


def put(text, name, lines):
    """The document with what stands between the marks of that table replaced."""
    marks = (f"<!-- table {name} -->", "<!-- end -->")
    new, n = re.subn(f"{marks[0]}\n.*?{marks[1]}", lambda m: f"{marks[0]}\n{lines}\n{marks[1]}", text,
                     count=1, flags=re.S)
    if n != 1:
        sys.exit(f"{DOCUMENT}: no place for table {name}")
    return new


def main():
    results, tables = {}, {}
    for name in scenarios.TABLES:
        print(f"-- {name}", flush=True)
        tables[name], more = table(name, lambda line: print(line, flush=True))
        results.update(more)
    if sys.argv[1:] == ["--write"]:
        with open(DOCUMENT, encoding="utf-8") as f:
            text = f.read()
        for name, lines in tables.items():
            text = put(text, name, lines)
        with open(DOCUMENT, "w", encoding="utf-8") as f:
            f.write(text)
        with open(PICTURE, "w", encoding="utf-8") as f:
            f.write(plot.draw(results))


if __name__ == "__main__":
    main()
