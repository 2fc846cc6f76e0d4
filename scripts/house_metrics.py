# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the engine as a house: rooms (packages), arrows (imports between them), loose modules, copies.

python scripts/house_metrics.py [FOLDER OF cryodl] [--picture FILE.png]
"""

import argparse
import ast
import collections
import os
import typing
from pathlib import Path

ENGINE = Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine" / "cryodl"
LAYERS = (
    ("cli", "doctor", "__main__", "(root)", "commands"),
    ("recipes",),
    ("micrographs", "particles", "tomograms", "maps"),
    ("learning", "likelihood", "reconstruction"),
    ("simulate",),
    ("io",),
    ("core",),
    ("contract",),
)


class Module(typing.NamedTuple):
    """name: dotted, below cryodl. package: dotted. lines: of the file. imports: names of modules of cryodl. at_run:
    those that are not for types alone."""

    name: str
    package: str
    lines: typing.List[str]
    imports: typing.Set[str]
    at_run: typing.Set[str]
    functions: typing.List[ast.FunctionDef]


def read(root: Path) -> typing.Dict[str, Module]:
    """All modules of a folder `cryodl` by name."""
    paths = {name_of(root, path): path for path in sorted(root.rglob("*.py"))}
    return {name: read_one(root, name, path, set(paths)) for name, path in paths.items()}


def name_of(root: Path, path: Path) -> str:
    """Dotted name of a file below the package's folder; '' for its own __init__."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_one(root: Path, name: str, path: Path, known: typing.Set[str]) -> Module:
    """A module with what it imports of `known`, also inside functions."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    package = list(path.relative_to(root).parts[:-1])
    imports, at_run = set(), set()
    checking = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)]
    type_only = {id(n) for block in checking for inner in block.body for n in ast.walk(inner)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            inner = node.module.split(".") if node.module else []
            if not node.level and inner[:1] != ["cryodl"]:
                continue
            base = package[: len(package) - node.level + 1] + inner if node.level else inner[1:]
            full = {".".join(base + [alias.name]) for alias in node.names}
            found = {item if item in known else ".".join(base) for item in full}
            imports |= found
            at_run |= found if id(node) not in type_only else set()
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    return Module(
        name, ".".join(package), text.split("\n"), imports & known - {name}, at_run & known - {name}, functions
    )


def cycles(arrows: typing.Dict[str, typing.Set[str]]) -> int:
    """Number of groups of nodes that reach each other (strongly connected, more than one)."""

    def reach(start: str) -> typing.Set[str]:
        seen, todo = set(), [start]
        while todo:
            for following in arrows.get(todo.pop(), set()) - seen:
                seen.add(following)
                todo.append(following)
        return seen

    reached = {node: reach(node) for node in arrows}
    groups = {frozenset(o for o in reached[n] if n in reached.get(o, ())) for n in arrows if n in reached[n]}
    return sum(len(group) > 1 for group in groups)


def copies(modules: typing.Iterable[Module]) -> int:
    """Number of blocks of six lines with text that stand in more than one place."""
    positions: typing.Counter[str] = collections.Counter()
    for module in modules:
        lines = [
            line.strip()
            for line in module.lines
            if line.strip() and not line.strip().startswith(("#", "import", "from"))
        ]
        positions.update("\n".join(lines[i : i + 6]) for i in range(len(lines) - 5))
    return sum(count > 1 for block, count in positions.items() if len(block) > 120)


def annotated(function: ast.FunctionDef) -> bool:
    """Whether all parameters but self and cls, and the return value, have a type."""
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    free = [a for a in arguments if a.arg not in ("self", "cls") and a.annotation is None]
    return function.returns is not None and not free


def figures(modules: typing.Dict[str, Module]) -> typing.Dict[str, object]:
    """Name of each figure and its value, in the order of the table."""
    arrows = {(m.package, modules[i].package) for m in modules.values() for i in m.imports}
    between = collections.defaultdict(set)
    for start, end in arrows:
        if start != end:
            between[start].add(end)
    importers = collections.Counter(i for m in modules.values() for i in m.imports)
    functions = [f for m in modules.values() for f in m.functions]
    share = sum(map(annotated, functions)) / max(1, len(functions))
    root = [m.name for m in modules.values() if not m.package and m.name]
    return {
        "packages": len({m.package for m in modules.values()}),
        "modules": len(modules),
        "import arrows between packages": sum(map(len, between.values())),
        "groups of modules that import each other in a circle": cycles({m.name: m.at_run for m in modules.values()}),
        "modules at the engine's root": len(root),
        "files of less than 40 lines with one importer": sum(
            len(m.lines) < 40 and importers[m.name] == 1 for m in modules.values()
        ),
        "blocks of six lines that stand twice": copies(modules.values()),
        "public functions with all types": f"{share:.0%}",
    }


def draw(modules: typing.Dict[str, Module], path: str) -> None:
    """A picture of the layers: boxes as wide as their number of modules, an arrow for each kind of import."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    room = {name: name.split(".")[0] if "." in name or not m.package == "" else name for name, m in modules.items()}
    size = collections.Counter(room.values())
    figure, axes = pyplot.subplots(figsize=(9, 6))
    centre = {}
    for level, layer in enumerate(LAYERS):
        here = [name for name in layer if size[name]]
        for position, name in enumerate(here):
            centre[name] = ((position + 0.5) / len(here), -level)
            axes.text(
                *centre[name], f"{name}\n{size[name]} modules", ha="center", va="center", bbox=dict(fc="w"), zorder=3
            )
    pairs = {(room[m.name], room[i]) for m in modules.values() for i in m.imports}
    for start, end in sorted(pairs):
        if start != end and start in centre and end in centre:
            axes.annotate("", centre[end], centre[start], arrowprops=dict(arrowstyle="->", color="0.7", shrinkB=18))
    axes.set(xlim=(0, 1), ylim=(-len(LAYERS) + 0.4, 0.6))
    axes.axis("off")
    figure.savefig(path, dpi=80, bbox_inches="tight")


def main() -> None:
    """Print the table; draw the picture if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=str(ENGINE))
    parser.add_argument("--picture")
    options = parser.parse_args()
    modules = read(Path(options.folder))
    for name, value in figures(modules).items():
        print(f"| {name} | {value} |")
    if options.picture:
        draw(modules, options.picture)
        print(f"{options.picture}: {os.path.getsize(options.picture) // 1000} kB")


if __name__ == "__main__":
    main()
