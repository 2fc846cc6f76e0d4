#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutation tests: of mutmut's changes of what is calculated, which ones do the tests notice?

    pip install --target FOLDER mutmut==3.8.1
    PYTHONPATH=FOLDER:.cryodl/engine-pytest-3 ENGINE_PYTHON scripts/mutants.py [SEED COUNT [NUMBER...]]

Draws COUNT (60) mutants of the folders in pyproject.toml by SEED and runs, for each, or for those of the NUMBERs, the
test files that are nearest to its module. Whether one that lives changes a result is for a reader to say.
"""

import ast
import difflib
import importlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import typing
from pathlib import Path

from check_docstrings import ENGINE, Module
from mutmut.configuration import config
from mutmut.mutation.file_mutation import create_mutations

WARM = ("torch", "scipy.ndimage", "scipy.spatial", "scipy.optimize", "scipy.special", "mrcfile", "gemmi", "pytest")
MOST = 900  # s; a mutant that does not end is noticed
ENOUGH = 25  # test files; no further imports are followed
Drawn = typing.Tuple[Path, str]


def drawn(seed: int, count: int) -> typing.List[Drawn]:
    """(file, its text with one change) of each mutant."""
    found = []
    for path in sorted(path for folder in config().source_paths for path in folder.resolve().rglob("*.py")):
        module, mutations, _, _ = create_mutations(str(path), path.read_text(encoding="utf-8"))
        found += [(path, module, m) for m in mutations if m.contained_by_top_level_function]
    chosen = random.Random(seed).sample(found, count)
    print(f"{len(found)} mutants, of which {count} are drawn by the seed {seed}")
    return [(path, module.deep_replace(m.original_node, m.mutated_node).code) for path, module, m in chosen]


def importers() -> typing.Dict[str, typing.Set[Path]]:
    """{module: files that import it}."""
    found: typing.Dict[str, typing.Set[Path]] = {}
    for path in [*ENGINE.rglob("*.py"), *(ENGINE.parent / "tests").rglob("*.py")]:
        nodes = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ImportFrom)]
        module = Module(path) if ENGINE in path.parents else None
        for node in nodes:
            source = module.source(node) if module else str(node.module)
            for target in (source, *(f"{source}.{alias.name}" for alias in node.names)):
                found.setdefault(target, set()).add(path)
    return found


def tests_of(path: Path, users: typing.Dict[str, typing.Set[Path]]) -> typing.List[typing.List[str]]:
    """Test files in the order in which they are asked: those that import the module or have its name, then by how many
    imports lead from it to a file that they import, or to a command that they run."""
    stages, seen, files, asked = [], set(), {path}, set()
    while files and len(asked) < ENOUGH:
        seen |= files
        commands = {file.stem for file in files if file.parent.name == "commands"}
        words = lambda test: re.findall(r"\w+", test.read_text(encoding="utf-8").replace("-", "_"))
        tests = (ENGINE.parent / "tests").rglob("test_*.py")
        tests = [t for t in tests if path.stem in t.stem or (commands and commands & {*words(t)})]
        files = set().union(*(users.get(name_of(file), set()) for file in files)) - seen
        stages.append(sorted({str(file) for file in [*tests, *files] if file.name.startswith("test_")} - asked))
        asked.update(stages[-1])
    return [stage for stage in stages if stage]


def name_of(path: Path) -> str:
    """The name by which a file of the engine, or a helper of the tests, is imported."""
    if ENGINE not in path.parents:
        return path.stem
    parts = path.relative_to(ENGINE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class FirstFailure:
    """A plugin of pytest that writes the first failing test to a pipe."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def pytest_runtest_logreport(self, report: typing.Any) -> None:
        """Of a test, or of a file that cannot be imported."""
        if report.failed:
            os.write(self.pipe, report.nodeid.encode())

    pytest_collectreport = pytest_runtest_logreport


def failing(engine: Path, tests: typing.List[str]) -> str:
    """The first test that fails in a copy of the engine, in a fork of this process; empty if all pass."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(MOST)
        os.chdir(engine)
        sys.path[:0], os.environ["PYTHONPATH"] = [str(engine)], os.pathsep.join([str(engine), *sys.path])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        words = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]
        os._exit(int(sys.modules["pytest"].main(words, [FirstFailure(writing)])))
    os.close(writing)
    with os.fdopen(reading) as pipe:
        test = pipe.read()
    return test if os.waitpid(pid, 0)[1] == 0 or test else "without an end"


def main() -> None:
    """Print what noticed each mutant, and how many live."""
    seed, count = [int(word) for word in sys.argv[1:3]] + [20261123, 60][len(sys.argv[1:3]) :]
    mutants, users, living = drawn(seed, count), importers(), 0
    sys.dont_write_bytecode = True
    for name in WARM:
        importlib.import_module(name)
    engine = Path(tempfile.mkdtemp()) / "cryodl_scipion" / "engine"
    shutil.copytree(ENGINE.parent, engine)
    for copied, whole in ((engine.parent, ENGINE.parents[1]), (engine.parents[1], ENGINE.parents[2])):
        for path in whole.iterdir():  # what tests of benchmarks, scripts and shipped models read
            if path.name in ("benchmarks", "scripts"):  # a link would lead them to the engine that is not changed
                shutil.copytree(path, copied / path.name)
            elif not (copied / path.name).exists():
                (copied / path.name).symlink_to(path)
    for number, (path, text) in enumerate(mutants, 1):
        if sys.argv[3:] and str(number) not in sys.argv[3:]:
            continue
        copy, before = engine / path.relative_to(ENGINE.parent), path.read_text(encoding="utf-8")
        copy.write_text(text, encoding="utf-8")
        stages = [[test.replace(str(ENGINE.parent), str(engine)) for test in s] for s in tests_of(path, users)]
        test = next(filter(None, (failing(engine, stage) for stage in stages)), "")
        shutil.copy2(path, copy)
        if test != "without an end" and test and failing(engine, [test]):
            test += ", WHICH FAILS WITHOUT IT"
        change = difflib.unified_diff(before.splitlines(), text.splitlines(), str(path.relative_to(ENGINE)), "", n=0)
        print(f"{number}: {'noticed by ' + test if test else 'LIVES'}", *change, sep="\n", flush=True)
        living += not test
    shutil.rmtree(engine.parents[1])
    print(f"{living} live")


if __name__ == "__main__":
    main()
