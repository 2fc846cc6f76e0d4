#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutation tests: of mutmut's changes of what is calculated, which ones do the tests notice?

    pip install --target FOLDER mutmut==3.8.1
    PYTHONPATH=FOLDER:.cryodl/engine-pytest-2 ENGINE_PYTHON scripts/mutants.py [SEED [COUNT]]

Draws COUNT (60) mutants of the folders in pyproject.toml by SEED and runs, for each, the test files that are nearest
to its module. Prints each one that lives, with its change; whether that changes a result is for a reader to say.
"""

import ast
import difflib
import importlib
import os
import random
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
ENOUGH = 8  # test files; no further imports are followed
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
    """Test files in the order in which they are asked: of the module's name, then by how many imports lead to it."""
    named = sorted(str(test) for test in (ENGINE.parent / "tests").rglob(f"test_{path.stem}*.py"))
    stages, seen, files = [named], set(named), {path}
    while files and len(seen) < ENOUGH:
        files = set().union(*(users.get(name_of(file), set()) for file in files))
        stages.append(sorted({str(file) for file in files if file.name.startswith("test_")} - seen))
        seen.update(stages[-1])
    return [stage for stage in stages if stage]


def name_of(path: Path) -> str:
    """The name by which a file of the engine, or a helper of the tests, is imported."""
    if ENGINE not in path.parents:
        return path.stem
    parts = path.relative_to(ENGINE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def lives(engine: Path, tests: typing.List[str]) -> bool:
    """Whether the tests pass in a copy of the engine, in a fork of this process."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(MOST)
        os.chdir(engine)
        sys.path[:0], os.environ["PYTHONPATH"] = [str(engine)], os.pathsep.join([str(engine), *sys.path])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        words = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
        os._exit(
            int(sys.modules["pytest"].main(words + [test.replace(str(ENGINE.parent), str(engine)) for test in tests]))
        )
    return os.waitpid(pid, 0)[1] == 0


def main() -> None:
    """Print the mutants that live, and how many were noticed."""
    seed, count = [int(word) for word in sys.argv[1:]] + [20261123, 60][len(sys.argv) - 1 :]
    mutants, users, killed = drawn(seed, count), importers(), 0
    sys.dont_write_bytecode = True
    for name in WARM:
        importlib.import_module(name)
    engine = Path(tempfile.mkdtemp()) / "engine"
    shutil.copytree(ENGINE.parent, engine)
    for number, (path, text) in enumerate(mutants):
        copy, before = engine / path.relative_to(ENGINE.parent), path.read_text(encoding="utf-8")
        copy.write_text(text, encoding="utf-8")
        noticed = any(not lives(engine, stage) for stage in tests_of(path, users))
        shutil.copy2(path, copy)
        killed += noticed
        change = difflib.unified_diff(before.splitlines(), text.splitlines(), str(path.relative_to(ENGINE)), "", n=0)
        print(f"{number + 1}: {'noticed' if noticed else 'LIVES'}", *change, sep="\n", flush=True)
    shutil.rmtree(engine.parent)
    print(f"{killed} of {count} are noticed")


if __name__ == "__main__":
    main()
