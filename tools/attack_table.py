#!/usr/bin/python3
"""Turns the rows of `make attack` into the table of docs/security.md.

    tools/attack_table.py ROWS.jsonl     prints a summary, writes the table of
                                   attempts; 1 when one did not hold

A row is what tests/attack/record.py writes: {role, place, what, expected, held}. The same attempt
on the release and on the sanitized programs is one row. Nothing in it depends on time or chance, so
that the page changes only when an attempt or an outcome does. What was measured goes to
build/attack-figures.md, from where docs/benchmarks.md has it.
"""

import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FIGURES = os.path.join(ROOT, "build", "attack-figures.md")
PAGE = os.path.join(ROOT, "docs", "security.md")
BEGIN, END = "<!-- attempts: made by make attack -->\n", "<!-- end of attempts -->\n"


def load(path):
    """(attempts, each held only when every row of it is; figures)."""
    found, figures = {}, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if "figure" in row:
                figures.append(row)
                continue
            key = (row["role"], row["place"], row["what"])
            known = found.setdefault(key, row)
            known["held"] = known["held"] and row["held"]
    rows = sorted(found.values(), key=lambda row: (row["role"], row["place"], row["what"]))
    return rows, figures


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def render(rows):
    lines = []
    for role in dict.fromkeys(row["role"] for row in rows):
        own = [row for row in rows if row["role"] == role]
        held = sum(row["held"] for row in own)
        lines += [f"### {role}: {held} of {len(own)} held", "",
                  "| where | attempt | what one sees | result |", "|---|---|---|---|"]
        lines += [f"| {cell(row['place'])} | {cell(row['what'])} | {cell(row['expected'])} | "
                  f"{'held' if row['held'] else '**did not hold**'} |" for row in own]
        lines.append("")
    return "\n".join(lines) + "\n"


def write(text):
    with open(PAGE, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    after = rest.partition(END)[2]
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n" + text + END + after)


def write_figures(figures):
    lines = ["`make attack` measures:", "", "| programs | what | measured |", "|---|---|---|"]
    lines += [f"| {row['programs']} | {cell(row['figure'])} | {cell(row['value'])} |"
              for row in figures]
    with open(FIGURES, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    rows, figures = load(sys.argv[1])
    write_figures(figures)
    write(render(rows))
    for role in dict.fromkeys(row["role"] for row in rows):
        own = [row for row in rows if row["role"] == role]
        print(f"{role:<12} {len(own):>5} attempts, {sum(row['held'] for row in own):>5} held")
    lost = [row for row in rows if not row["held"]]
    for row in lost:
        print(f"did not hold: {row['role']} / {row['place']} / {row['what']}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
