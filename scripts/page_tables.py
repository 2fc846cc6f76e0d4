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

import page_rows_particles as particles
import page_rows_picking as picking
import page_rows_volumes as volumes

TOP = Path(__file__).resolve().parent.parent
FIGURES = TOP / "benchmarks" / "figures"
# name of the table: its file of figures, and the function that makes its rows (the first is the head)
TABLES = {
    "arriving-cost": ("arriving_cost", picking.arriving_cost),
    "class-choice": ("class_choice", particles.class_choice),
    "corrections": ("corrections", picking.corrections),
    "filaments": ("filaments", picking.filaments),
    "filaments-without": ("filaments", picking.filaments_without),
    "foreign-particles": ("foreign_particles", particles.foreign_particles),
    "gan-training": ("gan_training", particles.gan_training),
    "general-panel": ("general_panel", picking.general_panel),
    "general-segmenters": ("general_segmenters", volumes.general_segmenters),
    "half-maps": ("half_maps", particles.half_maps),
    "heterogeneity": ("heterogeneity", particles.heterogeneity),
    "heterogeneity-null": ("heterogeneity_null", particles.heterogeneity_null),
    "map-invention": ("map_invention", volumes.map_invention),
    "orientation-floors": ("orientation_floors", particles.orientation_floors),
    "segmented-noise": ("general_segmenters", volumes.segmented_noise),
    "stated-diameters": ("general_unstated", picking.stated_diameters),
    "subtomograms-elsewhere": ("subtomograms_elsewhere", volumes.subtomograms_elsewhere),
    "template-picking": ("template_picking", picking.template_picking),
    "tomogram-denoising": ("tomogram_denoising", volumes.tomogram_denoising),
    "tomogram-detection": ("tomogram_detection", volumes.tomogram_detection),
    "tomogram-wedge": ("tomogram_denoising", volumes.tomogram_wedge),
    "unattended": ("unattended", particles.unattended),
    "windows": ("windows", picking.windows),
}
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
