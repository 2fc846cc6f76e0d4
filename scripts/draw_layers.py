# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of the engine's layers: a box for each folder with its number of modules, an arrow for each kind of import.

PYTHONPATH=.cryodl/checkers-2:cryodl_scipion/engine PYTHON scripts/draw_layers.py FILE.png     (the engine's Python)
"""

import sys
import typing

import grimp
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

LAYERS = (
    ("__main__",),
    ("recipes",),
    ("micrographs", "particles", "tomograms", "maps"),
    ("latent",),
    ("learning", "likelihood", "reconstruction"),
    ("running",),
    ("simulate",),
    ("io",),
    ("core",),
    ("contract",),
)


def arrows() -> typing.Tuple[typing.Dict[str, int], typing.Set[typing.Tuple[str, str]]]:
    """Modules of each folder below the engine (a loose module is its own), and the pairs of which one imports."""
    graph, size = grimp.build_graph("cryodl"), {}
    for folder in sorted(graph.find_children("cryodl")):
        size[folder.split(".")[1]] = 1 + len(graph.find_descendants(folder))
        graph.squash_module(folder)
    imported = {name: graph.find_modules_directly_imported_by(f"cryodl.{name}") for name in size}
    return size, {(name, one.split(".")[1]) for name, ones in imported.items() for one in ones if "." in one}


def main(path: str) -> None:
    size, found = arrows()
    _, axes = pyplot.subplots(figsize=(11, 8.5))
    colours, centre, level_of = pyplot.get_cmap("tab20").colors[::2] + ((0, 0, 0),), {}, {}
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
