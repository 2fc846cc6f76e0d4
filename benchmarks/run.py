#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run benchmarks; what they measure becomes benchmarks/figures/NAME.json, and from there the tables of the pages.

    PYTHON benchmarks/run.py NAME ... [--only KEY=VALUE ...] [--set KEY=VALUE ...] [--tool NAME=PATH ...]
    PYTHON benchmarks/run.py --list                  all names, with the tables that they fill
    PYTHON benchmarks/run.py NAME ... --quick        the first case, tiny, to see that it runs; nothing is kept
    PYTHON benchmarks/run.py NAME ... --tables       only write the tables of the rows anew

PYTHON is the engine's (`cryodl doctor` names it), for a few Scipion's (README.md). Data are found by CRYODL_DATA
(default ../shared/data beside the checkout). All runs take one thread. A stopped run goes on where it was: cases that
NAME.json has are not measured again. A case that fails is said, and the others are measured.
"""

import argparse
import ast
import datetime
import functools
import importlib
import json
import os
import shlex
import subprocess
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import bench

FIGURES = bench.ROOT / "benchmarks" / "figures"


@functools.cache
def names():
    """{name of a benchmark: its module and what it measures}"""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8")) if path.name != "run.py" else ast.Module([], [])
        for node in tree.body:
            decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", ())]
            if any(one.startswith("benchmark(") for one in decorators):
                found[node.name] = path.stem, (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
    return found


def load(name):
    """A declared Benchmark. Ends the program with a sentence if there is none of that name."""
    known = names()
    if name not in known:
        sys.exit(f"There is no benchmark {name}; --list has all.")
    importlib.import_module(known[name][0])
    return bench.BENCHMARKS[name]


def read(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else dict(command="", measured={}, rows=[])


def write(path, record):
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def tables_of(one, rows):
    """{name of a table: its rows of texts}"""
    return {table: [list(map(str, line)) for line in make(rows)] for table, make in one.tables.items()}


def draw(one, rows):
    for file, picture in one.pictures.items():
        picture(rows, bench.ROOT / "docs" / "images" / file)


def commit():
    done = subprocess.run(["git", "rev-parse", "--short=8", "HEAD"], cwd=bench.ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "no commit"


def rounded(value):
    """Figures of five digits, in whatever holds them."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    value = value.item() if hasattr(value, "item") else str(value) if isinstance(value, Path) else value
    return float(f"{value:.5g}") if isinstance(value, float) else value


def measure(name, options):
    """Measure what the record has not. Returns how many cases failed."""
    one, failed = load(name), 0
    path = options.output or (options.work / "quick" / f"{name}.json" if options.quick else FIGURES / f"{name}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    record = dict(measured={}, rows=[]) if options.quick else read(path)
    run = bench.Run(
        options.work / ("quick" if options.quick else commit()) / name,  # no older commit's models, picks or data
        options.tool,
        options.quick,
    )
    run.output.mkdir(parents=True, exist_ok=True)
    chosen = [case for case in one.all_cases() if all(str(case.get(k)) == v for k, v in options.only.items())]
    settings = {**(one.quick if options.quick else {}), **options.set}
    for case in chosen[:1] if options.quick else chosen:
        asked = {**case, **{k: v for k, v in settings.items() if k in case}}
        if any(asked.items() <= row.items() for row in record["rows"]):
            continue
        try:
            found = one.measure(run, **{**settings, **asked})
        except (RuntimeError, ValueError, OSError) as error:
            traceback.print_exc(limit=-3)
            print(f"{name} {asked}: not measured: {str(error)[-600:]}", flush=True)
            failed += 1
            continue
        rows = [rounded({**asked, **row}) for row in (found if isinstance(found, list) else [found])]
        record["rows"] += rows
        record["measured"][commit()] = str(datetime.date.today())
        again = ["--set", *(f"{key}={value}" for key, value in options.set.items())] if options.set else []
        record["command"] = f"PYTHON benchmarks/run.py {shlex.join([name, *again])}"
        write(path, dict(record, tables=tables_of(one, record["rows"])))
        print("\n".join(json.dumps(row, ensure_ascii=False)[:2000] for row in rows), flush=True)
    if path.parent == FIGURES and record["rows"]:
        draw(one, record["rows"])
    for table in tables_of(one, record["rows"]).values() if record["rows"] else ():
        print("\n" + "\n".join("| " + " | ".join(line) + " |" for line in table))
    return failed


def value(text):
    """A word of the command line as a number, list or truth value, if it is one."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def main(words=None):
    pair = lambda text: tuple(text.split("=", 1))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="print all names, with what they measure")
    parser.add_argument("--only", nargs="+", type=pair, default=[], help="cases with these values alone")
    parser.add_argument("--set", nargs="+", type=pair, default=[], help="other values of settings, or of a case")
    parser.add_argument("--tool", nargs="+", type=pair, default=[], help="paths of other programs")
    parser.add_argument("--quick", action="store_true", help="the first case, tiny")
    parser.add_argument("--tables", action="store_true", help="measure nothing, write the tables anew")
    parser.add_argument("--work", type=Path, default=Path("benchmark_results"), help="folder for data and models")
    parser.add_argument("--output", type=Path, help="the file of figures, in place of benchmarks/figures/NAME.json")
    options = parser.parse_args(words)
    options.only, options.tool = dict(options.only), dict(options.tool)
    options.set = {key: value(text) for key, text in options.set}
    if options.list:
        print("\n".join(f"{name} ({module}.py): {what}" for name, (module, what) in names().items()))
    for name in options.names if options.tables else ():
        path = options.output or FIGURES / f"{name}.json"
        record = read(path)
        write(path, dict(record, tables=tables_of(load(name), record["rows"])))
        draw(load(name), record["rows"])
    return bool(sum(measure(name, options) for name in (() if options.tables else options.names)))


if __name__ == "__main__":
    failed = main()
    sys.stdout.flush()
    os._exit(failed)  # pyworkflow leaves threads behind
