# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables and single figures of the documentation, from benchmarks/figures, so that no figure is typed twice.

python scripts/page_tables.py [--check]

A page has a line `<!-- table NAME -->` before a table and `<!-- end of table -->` behind it; what lies between is
replaced by the table of that name in benchmarks/figures, where benchmarks/run.py writes it, and the commit and day of
its measurement. A single figure in a sentence is `<!--figure:TABLE|ROW|COLUMN-->0.58<!---->`: ROW is the beginning of
the row's cells, COLUMN that of the column's title, or its number, `~` in place of spaces. With --check nothing is
written, and pages that are not as their figures are named (exit status 1).
"""

import json
import re
import sys
from pathlib import Path
from typing import Dict, List

TOP = Path(__file__).resolve().parent.parent
POSITION = re.compile(r"<!-- table (\S+) -->\n.*?<!-- end of table -->", re.DOTALL)
FIGURE = re.compile(r"<!--figure:(\S+?)-->.*?<!---->", re.DOTALL)
Rows = List[List[str]]  # the first is the head


def tables() -> Dict[str, Rows]:
    """{name: rows}; the last row of each says when and by which command it was measured."""
    found = {}
    for path in sorted((TOP / "benchmarks" / "figures").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for name, rows in record.get("tables", {}).items():
            days = record["measured"].get(name) or record["measured"]
            at = ", ".join(
                f"{day} ({', '.join(commit for commit, its in days.items() if its == day)})"
                for day in dict.fromkeys(days.values())
            )
            again = f"; repeat: `{record['command']}`" if record["command"] else " once"
            found[name] = [*rows, [f"Measured {at}{again}."]]
    return found


def figure(position: str, every: Dict[str, Rows]) -> str:
    """A single figure, without stars. Raises KeyError unless its position, as above, is a single one."""
    name, row, column = position.replace("~", " ").split("|")
    head, *rows = every[name][:-1]
    titles = [i for i, title in enumerate(head) if title.startswith(column) or str(i + 1) == column]
    found = [r for r in rows if " ".join(r).replace("*", "").startswith(row)]
    if len(titles) != 1 or len(found) != 1:
        raise KeyError(f"{position}: {len(found)} rows, {len(titles)} columns")
    return found[0][titles[0]].replace("*", "")


def written(page: str, every: Dict[str, Rows]) -> str:
    """The text of a page with its tables and single figures as those of the benchmarks are."""

    def table(name: str) -> str:
        head, *rows, said = every[name]
        lines = "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))
        return f"<!-- table {name} -->\n\n{lines}\n\n{said[0]}\n\n<!-- end of table -->"

    page = POSITION.sub(lambda m: table(m[1]), page)
    return FIGURE.sub(lambda m: f"<!--figure:{m[1]}-->{figure(m[1], every)}<!---->", page)


def main() -> int:
    every, old = tables(), []
    for path in sorted((TOP / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        new = written(text, every)
        if new != text:
            old.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    for name in old:
        print(f"docs/{name}: tables that are not as their figures" + (" are" if "--check" in sys.argv else " were"))
    return int(bool(old) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
