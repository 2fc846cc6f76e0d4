# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the documentation that are written from the benchmarks' figures, so that no figure is typed twice.

python scripts/page_tables.py [--check]

A page has a line `<!-- table NAME -->` before such a table and `<!-- end of table -->` behind it; what lies between is
replaced by TABLES[NAME] of the figures in benchmarks/figures/FILE.json. With --check nothing is written, and pages that
are not as their figures are named (exit status 1).
"""

import json
import re
import sys
from pathlib import Path

from page_rows import TABLES

TOP = Path(__file__).resolve().parent.parent
FIGURES = TOP / "benchmarks" / "figures"
PLACE = re.compile(r"<!-- table (\S+) -->\n.*?<!-- end of table -->", re.DOTALL)


def table(name: str) -> str:
    """A table as Markdown. Raises KeyError if TABLES has no such name."""
    file, rows = TABLES[name]
    head, *others = rows(json.loads((FIGURES / f"{file}.json").read_text(encoding="utf-8")))
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *others))


def written(page: str) -> str:
    """The text of a page with its tables as their figures are."""
    return PLACE.sub(lambda m: f"<!-- table {m[1]} -->\n\n{table(m[1])}\n\n<!-- end of table -->", page)


def main() -> int:
    old = []
    for path in sorted((TOP / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        new = written(text)
        if new != text:
            old.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(new, encoding="utf-8")
    for name in old:
        print(f"docs/{name}: tables that are not as their figures" + (" are" if "--check" in sys.argv else " were"))
    return int(bool(old) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
