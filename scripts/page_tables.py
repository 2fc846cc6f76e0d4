# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the documentation that are written from the benchmarks' figures, so that no figure is typed twice.

python scripts/page_tables.py [--check]

A page has a line `<!-- table NAME -->` before such a table and `<!-- end of table -->` behind it; what lies between is
replaced by TABLES[NAME] of the figures in benchmarks/figures/FILE.json. A name with a slash, PAGE/TABLE, is a table of
benchmarks/figures/pages/PAGE.json, written as it stands there. A single figure of such a table in a sentence is
`<!-- figure PAGE/TABLE | ROW | COLUMN -->0.58<!-- -->`: ROW is the beginning of the row's first cell, COLUMN that of
the column's title, or its number. `<!-- figure FILE | KEY/KEY -->` is best F1 / AP (F1) of the figures in FILE.json. A
cell that is the same as another one is "= PAGE/TABLE | ROW | COLUMN". With --check nothing is written, and pages that
are not as their figures are named (exit status 1).
"""

import functools
import json
import re
import sys
from pathlib import Path
from typing import Any

import page_rows_denoising as denoising
import page_rows_particles as particles
import page_rows_picking as picking
import page_rows_volumes as volumes
from page_cells import Rows, best_and_default

TOP = Path(__file__).resolve().parent.parent
FIGURES = TOP / "benchmarks" / "figures"
# name of the table: its file of figures, and the function that makes its rows (the first is the head)
TABLES = {
    "assessed-by-hand": ("assessed_by_hand", picking.assessed_by_hand),
    "auto-picking": ("auto_picking", picking.auto_picking),
    "arriving-cost": ("arriving_cost", picking.arriving_cost),
    "general-sizes": ("general_sizes", picking.general_sizes),
    "general-speed": ("general_speed", picking.general_speed),
    "avoided-real": ("avoided_real", picking.avoided_real),
    "bad-micrographs": ("bad_micrographs", picking.bad_micrographs),
    "blind-particles": ("blind_particles", denoising.blind_particles),
    "class-choice": ("class_choice", particles.class_choice),
    "class-judges": ("class_labels", picking.class_judges),
    "class-labels": ("class_labels", picking.class_labels),
    "classes-stream": ("classes2d_stream", particles.classes_stream),
    "corrections": ("corrections", picking.corrections),
    "denoised-micrographs": ("micrograph_denoising", picking.denoised_micrographs),
    "denoised-noise": ("micrograph_denoising", picking.denoised_noise),
    "picked-contamination": ("picked_contamination", picking.picked_contamination),
    "picked-maps": ("picked_maps", picking.picked_maps),
    "picked-denoised": ("micrograph_denoising", picking.picked_denoised),
    "eman2-pair": ("eman2_pair", picking.eman2_pair),
    "few-labels": ("picking_networks", picking.few_labels),
    "filaments": ("filaments", picking.filaments),
    "filaments-without": ("filaments", picking.filaments_without),
    "foreign-particles": ("foreign_particles", particles.foreign_particles),
    "gan-training": ("gan_training", particles.gan_training),
    "general-panel": ("general_panel", picking.general_panel),
    "general-widths": ("general_widths", picking.general_widths),
    "general-segmenters": ("general_segmenters", volumes.general_segmenters),
    "half-maps": ("half_maps", particles.half_maps),
    "heterogeneity": ("heterogeneity", particles.heterogeneity),
    "heterogeneity-domain": ("heterogeneity_domain", particles.heterogeneity_domain),
    "subtomogram-heterogeneity": ("subtomogram_heterogeneity", particles.subtomogram_heterogeneity),
    "heterogeneity-occupancy": ("heterogeneity_occupancy", particles.heterogeneity_occupancy),
    "heterogeneity-peers": ("heterogeneity_peers", particles.heterogeneity_peers),
    "heterogeneity-memory": ("heterogeneity_memory", particles.heterogeneity_memory),
    "heterogeneity-null": ("heterogeneity_null", particles.heterogeneity_null),
    "imperfect-structures": ("imperfect_structures", particles.imperfect_structures),
    "integrity-truth": ("integrity_truth", particles.integrity_truth),
    "kinesin-sites": ("six_tests", denoising.kinesin_sites),
    "map-estimates": ("map_estimates", volumes.map_estimates),
    "map-invention": ("map_invention", volumes.map_invention),
    "map-training": ("map_training", volumes.map_training),
    "map-nucleic": ("map_nucleic", volumes.map_nucleic),
    "orientation-floors": ("orientation_floors", particles.orientation_floors),
    "orientation-symmetric": ("orientation_floors", particles.orientation_symmetric),
    "real-particles": ("real_particles", particles.real_particles),
    "rotated-networks": ("picking_networks", picking.rotated),
    "segmented-noise": ("general_segmenters", volumes.segmented_noise),
    "six-tests": ("six_tests", denoising.six_tests),
    "stated-diameters": ("general_unstated", picking.stated_diameters),
    "subtomograms-elsewhere": ("subtomograms_elsewhere", volumes.subtomograms_elsewhere),
    "wrong-labels": ("picking_networks", picking.wrong_labels),
    "twenty-boxes": ("twenty_boxes", picking.twenty_boxes),
    "template-picking": ("template_picking", picking.template_picking),
    "ten-tiles": ("general_segmenters", volumes.ten_tiles),
    "tomogram-denoising": ("tomogram_denoising", volumes.tomogram_denoising),
    "tomogram-detection": ("tomogram_detection", volumes.tomogram_detection),
    "tomogram-wedge": ("tomogram_denoising", volumes.tomogram_wedge),
    "unattended": ("unattended", particles.unattended),
    "unattended-500": ("unattended_500", particles.unattended),
    "windows": ("windows", picking.windows),
}
POSITION = re.compile(r"<!-- table (\S+) -->\n.*?<!-- end of table -->", re.DOTALL)
FIGURE = re.compile(r"<!-- figure (.+?) -->.*?<!-- -->", re.DOTALL)


def read(file: str) -> Any:
    """The figures in a file of benchmarks/figures."""
    return json.loads((FIGURES / f"{file}.json").read_text(encoding="utf-8"))


def kept(name: str) -> Rows:
    """The rows of a table PAGE/TABLE, the first its head. Raises KeyError if there is none."""
    page, key = name.split("/")
    made = read(f"pages/{page}")[key]
    return [made["head"], *([figure(c[2:]) if c.startswith("= ") else c for c in row] for row in made["rows"])]


def figure(position: str) -> str:
    """A single figure, without stars. Raises KeyError unless its position, as above, is a single one."""
    name, row, *column = position.split(" | ")
    if not column:
        return best_and_default(functools.reduce(lambda part, key: part[key], row.split("/"), read(name)))
    head, *rows = kept(name)
    columns = [i for i, title in enumerate(head) if title.startswith(column[0]) or str(i + 1) == column[0]]
    found = [r for r in rows if r[0].replace("*", "").startswith(row)]
    if len(columns) != 1 or len(found) != 1:
        raise KeyError(f"{position}: {len(found)} rows, {len(columns)} columns")
    return found[0][columns[0]].replace("*", "")


def table(name: str) -> str:
    """A table as Markdown. Raises KeyError if TABLES has no such name."""
    file, rows = ("", None) if "/" in name else TABLES[name]
    head, *others = rows(read(file)) if rows else kept(name)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *others))


def written(page: str) -> str:
    """The text of a page with its tables and single figures as those of the benchmarks are."""
    page = POSITION.sub(lambda m: f"<!-- table {m[1]} -->\n\n{table(m[1])}\n\n<!-- end of table -->", page)
    return FIGURE.sub(lambda m: f"<!-- figure {m[1]} -->{figure(m[1])}<!-- -->", page)


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
