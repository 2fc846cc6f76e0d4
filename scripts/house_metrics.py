# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics of the engine's structure: packages, imports between them, loose modules, repeated blocks, findings.

python scripts/house_metrics.py [FOLDER OF cryodl] [--picture FILE.png]
ENGINE_PYTHON scripts/house_metrics.py --before COMMIT --json benchmarks/figures/house.json

The second form measures a commit and the working tree; ruff and mypy must be importable. `scripts/page_tables.py`
writes the table of docs/architecture.md from the file.
"""

import argparse
import ast
import collections
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import typing
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
BELOW = Path("cryodl_scipion") / "engine" / "cryodl"
ENGINE = TOP / BELOW
WINGS = ("micrographs", "particles", "tomograms", "maps")
LAYERS = (
    ("cli", "doctor", "__main__", "(root)", "commands"),
    ("recipes",),
    WINGS,
    ("latent",),
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
    """Number of blocks of six lines of code that stand in more than one place.

    Docstrings, comments and imports do not count, and each module is written anew from its syntax tree: how it is
    formatted makes no difference.
    """
    positions: typing.Counter[str] = collections.Counter()
    for module in modules:
        tree = ast.parse("\n".join(module.lines))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        lines = [line.strip() for line in ast.unparse(tree).split("\n")]
        lines = [line for line in lines if line and not line.startswith(("import", "from"))]
        positions.update("\n".join(lines[i : i + 6]) for i in range(len(lines) - 5))
    return sum(count > 1 for block, count in positions.items() if len(block) > 120)


def annotated(function: ast.FunctionDef) -> bool:
    """Whether all parameters but self and cls, and the return value, have a type."""
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    free = [a for a in arguments if a.arg not in ("self", "cls") and a.annotation is None]
    return function.returns is not None and not free


def metrics(modules: typing.Dict[str, Module]) -> typing.Dict[str, typing.Any]:
    """Name of each metric and its value, in the order of the table."""
    arrows = {(m.package, modules[i].package) for m in modules.values() for i in m.imports}
    between = collections.defaultdict(set)
    for start, end in arrows:
        if start != end:
            between[start].add(end)
    importers = collections.Counter(i for m in modules.values() for i in m.imports)
    functions = [f for m in modules.values() for f in m.functions]
    annotated_part = sum(map(annotated, functions)) / max(1, len(functions))
    root = [m.name for m in modules.values() if not m.package and m.name]
    sizes = collections.Counter(m.package for m in modules.values())
    wing = lambda package: package.split(".")[0] if package.split(".")[0] in WINGS else ""
    return {
        "packages": len(sizes),
        "modules": len(modules),
        "modules per package, mean": round(statistics.mean(sizes.values()), 1),
        "modules per package, maximum": max(sizes.values()),
        "modules at the engine's root": len(root),
        "import arrows between packages": sum(map(len, between.values())),
        "import arrows between wings": sum(wing(a) != wing(b) and bool(wing(a) and wing(b)) for a, b in arrows)
        if {wing(package) for package in sizes} >= set(WINGS)
        else None,
        "import cycles (groups of modules that import each other)": cycles(
            {m.name: m.at_run for m in modules.values()}
        ),
        "files of less than 40 lines with one importer": sum(
            len(m.lines) < 40 and importers[m.name] == 1 for m in modules.values()
        ),
        "blocks of six lines that stand twice": copies(modules.values()),
        "public functions with all types (%)": round(100 * annotated_part, 1),
    }


def measured_tree(top: Path) -> typing.Dict[str, typing.Any]:
    """The metrics of a checkout: its modules, findings of the checkers as they are configured now, time, tests."""
    found = metrics(read(top / BELOW))
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "--exit-zero"]
    command += ["--config", str(TOP / "pyproject.toml"), "cryodl_scipion", "benchmarks", "scripts"]
    lines = subprocess.run(command, cwd=top, capture_output=True, text=True, check=True).stdout.splitlines()
    found["ruff findings"] = sum(line.count(": ") > 0 and ".py:" in line for line in lines)
    command = [sys.executable, "-m", "mypy", "--config-file", str(TOP / "pyproject.toml"), "--cache-dir"]
    with tempfile.TemporaryDirectory() as cache:
        lines = subprocess.run([*command, cache], cwd=top, capture_output=True, text=True).stdout.splitlines()
    found["mypy findings (engine)"] = sum(": error: " in line for line in lines)
    found["`cryodl --help`, CPU seconds (median of 9)"] = round(help_seconds(top), 2)
    tests = [path for folder in ("cryodl_scipion", "benchmarks") for path in (top / folder).rglob("test_*.py")]
    found["test functions"] = sum(path.read_text(encoding="utf-8").count("def test_") for path in tests)
    return found


def help_seconds(top: Path) -> float:
    """Median CPU time of `cryodl --help`, which other processes on the machine hardly change."""
    environment, times = dict(os.environ, PYTHONPATH=str((top / BELOW).parent)), []
    for _ in range(9):
        begun = os.times()
        subprocess.run(
            [sys.executable, "-m", "cryodl", "--help"], env=environment, stdout=subprocess.DEVNULL, check=True
        )
        ended = os.times()
        times.append(ended.children_user + ended.children_system - begun.children_user - begun.children_system)
    return statistics.median(times)


def measured_commit(commit: str) -> typing.Dict[str, typing.Any]:
    """The metrics of a commit of this repository."""
    packed = subprocess.run(["git", "archive", commit], cwd=TOP, check=True, stdout=subprocess.PIPE).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder)
        return measured_tree(Path(folder))


def draw(modules: typing.Dict[str, Module], path: str) -> None:
    """A picture of the layers: a box for each folder with its number of modules, an arrow for each kind of import."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    room = {name: name.split(".")[0] if "." in name or not m.package == "" else name for name, m in modules.items()}
    size = collections.Counter(room.values())
    figure, axes = pyplot.subplots(figsize=(11, 8.5))
    colours, centre, level_of = pyplot.get_cmap("tab10").colors, {}, {}
    for level, layer in enumerate(LAYERS):
        here = [name for name in layer if size[name]]
        axes.axhspan(-level - 0.36, -level + 0.36, color=colours[level], alpha=0.08, zorder=0)
        for position, name in enumerate(here):
            centre[name], level_of[name] = ((position + 0.5) / len(here), -level), level
            words = f"{name}\n{size[name]} module{'' if size[name] == 1 else 's'}"
            box = dict(fc="w", ec=colours[level], boxstyle="round", lw=1.5)
            axes.text(*centre[name], words, ha="center", va="center", fontsize=11, bbox=box, zorder=3)
    for start, end in sorted({(room[m.name], room[i]) for m in modules.values() for i in m.imports}):
        if start != end and start in centre and end in centre:
            steps = level_of[end] - level_of[start]
            bend = 0.0 if steps == 1 else (0.16 if centre[start][0] <= 0.5 else -0.16)  # past the boxes between
            line = dict(arrowstyle="->", color=colours[level_of[start]], alpha=0.7, shrinkA=20, shrinkB=20)
            line["connectionstyle"] = f"arc3,rad={bend}"
            axes.annotate("", centre[end], centre[start], arrowprops=line, zorder=1)
    axes.set(xlim=(0, 1), ylim=(-len(LAYERS) + 0.4, 0.6))
    axes.axis("off")
    figure.savefig(path, dpi=80, bbox_inches="tight")


def main() -> None:
    """Print the table; draw the picture if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default=str(ENGINE))
    parser.add_argument("--picture")
    parser.add_argument("--before", help="commit to compare with")
    parser.add_argument("--json", help="file for the metrics of both; with --before")
    options = parser.parse_args()
    if options.before:
        both = dict(commit=options.before, before=measured_commit(options.before), after=measured_tree(TOP))
        Path(options.json).write_text(json.dumps(both, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(json.dumps(both, indent=1, ensure_ascii=False))
        return
    modules = read(Path(options.folder))
    for name, value in metrics(modules).items():
        print(f"{name}: {value}")
    if options.picture:
        draw(modules, options.picture)
        print(f"{options.picture}: {os.path.getsize(options.picture) // 1000} kB")


if __name__ == "__main__":
    main()
