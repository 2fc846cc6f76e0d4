# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of the engine's layers: a box for each folder with its number of modules, an arrow for each kind of import.

python scripts/draw_layers.py FILE.png
"""

import ast
import collections
import sys
import typing
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ENGINE = Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine" / "cryodl"
LAYERS = (
    ("cli", "doctor", "__main__"),
    ("recipes",),
    ("micrographs", "particles", "tomograms", "maps"),
    ("latent",),
    ("learning", "likelihood", "reconstruction"),
    ("simulate",),
    ("io",),
    ("core",),
    ("contract",),
)


def arrows() -> typing.Tuple[typing.Counter, typing.Set[typing.Tuple[str, str]]]:
    """Modules of each folder below the engine (a loose module is its own), and the pairs of which one imports."""
    size: typing.Counter[str] = collections.Counter()
    found = set()
    for path in ENGINE.rglob("*.py"):
        parts = path.relative_to(ENGINE).with_suffix("").parts
        size[parts[0]] += 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                inner = (node.module or "").split(".") if node.module else []
                base = list(parts[:-1][: len(parts) - node.level]) + inner if node.level else inner[1:]
                if node.level or inner[:1] == ["cryodl"]:
                    found |= {(parts[0], base[0])} if base else {(parts[0], alias.name) for alias in node.names}
    return size, found


def main(path: str) -> None:
    size, found = arrows()
    _, axes = pyplot.subplots(figsize=(11, 8.5))
    colours, centre, level_of = pyplot.get_cmap("tab10").colors, {}, {}
    for level, layer in enumerate(LAYERS):
        here = [name for name in layer if size[name]]
        axes.axhspan(-level - 0.36, -level + 0.36, color=colours[level], alpha=0.08, zorder=0)
        for position, name in enumerate(here):
            centre[name], level_of[name] = ((position + 0.5) / len(here), -level), level
            words = f"{name}\n{size[name]} module{'' if size[name] == 1 else 's'}"
            box = dict(fc="w", ec=colours[level], boxstyle="round", lw=1.5)
            axes.text(*centre[name], words, ha="center", va="center", fontsize=11, bbox=box, zorder=3)
    for start, end in sorted(pair for pair in found if pair[0] != pair[1] and set(pair) <= set(centre)):
        bend = 0.0 if level_of[end] - level_of[start] == 1 else (0.16 if centre[start][0] <= 0.5 else -0.16)
        line = dict(arrowstyle="->", color=colours[level_of[start]], alpha=0.7, shrinkA=20, shrinkB=20)
        line["connectionstyle"] = f"arc3,rad={bend}"  # past the boxes between
        axes.annotate("", centre[end], centre[start], arrowprops=line, zorder=1)
    axes.set(xlim=(0, 1), ylim=(-len(LAYERS) + 0.4, 0.6))
    axes.axis("off")
    pyplot.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main(*sys.argv[1:])
