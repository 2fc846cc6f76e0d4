# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands killed (SIGKILL) at random times and started again: the result must be that of an undisturbed run.

    python benchmarks/kills.py --count 50 --work kills/ --output kills.json
    python benchmarks/kills.py --count 2 --commands pick --work kills/

Every trial kills the command one to five times, continues it with the same words each time, and compares every file
that it leaves (without times), and looks for temporary files. A kill that comes after the last file was written is not
counted: the same command then says that its output exists. resumed: trainings that went on from a checkpoint. Each
command is a process of its own, forked from one that has loaded the program, which otherwise takes most of the time.
The commands take turns. With --output, a command whose row has fewer kills goes on with the missing ones. Exits 1 if a
trial differs.
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from forked_commands import load_program, start_forked
from trials import COMMANDS, arguments_of, fresh_folder, leftovers, make_data, output_files, write_rows

EARLIEST = 0.02  # of the undisturbed time, which is that of the CPU: other programs do not change it
SHORTER = 0.8  # what is taken for the undisturbed time after a run that ended before it was killed
STEP = 0.005  # s
PORTION = 5  # kills of a command before the next one has its turn: a run that is stopped has tried all of them
MOST_AT_ONCE = 5  # kills in one trial
_RESUMED = b"Continuing the training at step"
_FINISHED = b"exists already; it is not replaced"


def main() -> int:
    """Run the trials, print a line for each command, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--count", type=int, default=10, help="Kills of each command.")
    parser.add_argument("--work", type=Path, default=Path("kills"), help="Folder to work in.")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make_data(options.work)
    load_program()
    importlib.import_module("cryodl.learning.run_training").MIN_STEPS = 2  # so that short trainings have checkpoints
    importlib.import_module("cryodl.maps.improvers.pairs").CHECKED = 2  # boxes in each validation, which is quicker
    rows, undisturbed = rows_of(options.output), {}
    for goal in range(PORTION, options.count + PORTION, PORTION):
        for name in options.commands:
            row = rows.setdefault(name, dict(name=name, trials=0, killed=0, resumed=0, equal=0, clean=0, failures=[]))
            if row["killed"] >= min(goal, options.count):
                continue
            if name not in undisturbed:
                undisturbed[name] = run_undisturbed(name, options.work)
            seconds, wanted = undisturbed[name]
            row["seconds"] = round(seconds, 1)
            while row["killed"] < min(goal, options.count):
                before = row["killed"]
                kill_command(name, row, options.work, options.seed, seconds, wanted)
                if row["killed"] == before:
                    seconds *= SHORTER
            undisturbed[name] = seconds, wanted
            print(
                "{name:22s} {killed} kills in {trials} trials: {equal} equal to the undisturbed run, "
                "{clean} without leftovers".format(**rows[name]),
                *rows[name]["failures"][:3],
                sep="\n    ",
                flush=True,
            )
            if options.output:
                write_rows(options.output, list(rows.values()))
    return 1 if any(row["failures"] for row in rows.values()) else 0


def run_undisturbed(name: str, work: Path) -> tuple[float, dict]:
    """(seconds of CPU that a command takes, {file: digest} that it leaves) where nothing kills it."""
    whole, began = fresh_folder(work, f"{name}-whole"), _cpu_seconds_of_children()
    if _end_of(start_forked(arguments_of(name), whole, whole / "run.log")):
        raise RuntimeError(f"{name} failed undisturbed; see {whole / 'run.log'}")
    return _cpu_seconds_of_children() - began, output_files(whole)


def _cpu_seconds_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cpu_seconds(pid):
    """Of a process, 0 if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def kill_command(name: str, row: dict, work: Path, seed: int, seconds: float, wanted: dict) -> None:
    """One more trial in the row of a command. seconds, wanted: of the undisturbed run."""
    rng = np.random.default_rng((seed, row["trials"]))
    folder = fresh_folder(work, f"{name}-{row['trials']}")
    code, killed = _killed_and_continued(name, folder, seconds, rng)
    found, left = output_files(folder), leftovers(folder)
    other = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key) and key not in left)
    row["killed"] += killed
    row["resumed"] = row.get("resumed", 0) + (folder / "run.log").read_bytes().count(_RESUMED)
    row["equal"] += not code and not other
    row["clean"] += not left
    if code or other or left:
        row["failures"].append(f"trial {row['trials']}: exit code {code}, other files {other[:4]}, left {left[:4]}")
    else:
        shutil.rmtree(folder)
    row["trials"] += 1


def rows_of(path: Path | None) -> dict:
    """{name: row} of the JSON file of earlier trials; empty without one."""
    return {} if not path or not path.exists() else {r["name"]: r for r in json.loads(path.read_text())["rows"]}


def _killed_and_continued(name, folder, seconds, rng):
    """Kill, continue, and at last let it end. Returns the last exit code and the number of kills."""
    log = folder / "run.log"
    for killed in range(int(rng.integers(1, MOST_AT_ONCE + 1))):
        process = start_forked(arguments_of(name), folder, log)
        limit = float(rng.uniform(EARLIEST, 1.0)) * seconds
        while process.is_alive() and _cpu_seconds(process.pid) < limit:
            time.sleep(STEP)
        if process.exitcode is not None:
            return _code_of(process, log, killed)
        process.kill()
        process.join()
    process = start_forked(arguments_of(name), folder, log)
    process.join()
    return _code_of(process, log, killed + 1)


def _code_of(process, log, killed):
    """(exit code, number of kills) of a trial whose last process has ended."""
    if process.exitcode and killed and log.read_bytes().splitlines()[-1].count(_FINISHED):
        return 0, killed - 1
    return process.exitcode, killed


def _end_of(process):
    process.join()
    return process.exitcode


if __name__ == "__main__":
    sys.exit(main())
