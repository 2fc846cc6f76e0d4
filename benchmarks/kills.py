# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands killed (SIGKILL) at random times and started again: the result must be that of an undisturbed run.

    python benchmarks/kills.py --count 50 --work kills/ --output kills.json
    python benchmarks/kills.py --count 2 --commands pick --work kills/

Every trial kills the command once or twice, continues it with the same words, and compares every file that it leaves
(without times), and looks for temporary files. Exits 1 if a trial differs.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from trials import COMMANDS, arguments_of, fresh_folder, leftovers, make_data, output_files, start, write_rows

EARLIEST = 0.3  # of the undisturbed time: before, the program is only being loaded


def main() -> int:
    """Run the trials, print a line for each command, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--count", type=int, default=10, help="Trials of each command.")
    parser.add_argument("--work", type=Path, default=Path("kills"), help="Folder to work in.")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    make_data(options.work)
    rows = []
    for name in options.commands:
        rows.append(kill_command(name, options.count, options.work, options.seed))
        print(
            "{name:22s} {killed} kills in {trials} trials: {equal} equal to the undisturbed run, "
            "{clean} without leftovers".format(**rows[-1]),
            *rows[-1]["failures"][:3],
            sep="\n    ",
            flush=True,
        )
        if options.output:
            write_rows(options.output, rows)
    return 1 if any(row["failures"] for row in rows) else 0


def kill_command(name: str, count: int, work: Path, seed: int) -> dict:
    """Figures of the trials of one command."""
    whole, began = fresh_folder(work, f"{name}-whole"), time.monotonic()
    if start(arguments_of(name), whole, whole / "run.log").wait():
        raise RuntimeError(f"{name} failed undisturbed; see {whole / 'run.log'}")
    seconds, wanted = time.monotonic() - began, output_files(whole)
    row = dict(name=name, trials=count, killed=0, equal=0, clean=0, seconds=round(seconds, 1), failures=[])
    for trial in range(count):
        rng = np.random.default_rng((seed, trial))
        folder = fresh_folder(work, f"{name}-{trial}")
        code, killed = _killed_and_continued(name, folder, seconds, rng)
        found, left = output_files(folder), leftovers(folder)
        other = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key) and key not in left)
        row["killed"] += killed
        row["equal"] += not code and not other
        row["clean"] += not left
        if code or other or left:
            row["failures"].append(f"trial {trial}: exit code {code}, other files {other[:4]}, left {left[:4]}")
    return row


def _killed_and_continued(name, folder, seconds, rng):
    """Kill once or twice, then let it end. Returns the last exit code and the number of kills."""
    killed, code = 0, None
    for _ in range(int(rng.integers(1, 3))):
        process = start(arguments_of(name), folder, folder / "run.log")
        time.sleep(float(rng.uniform(EARLIEST, 1.0)) * seconds)
        code = process.poll()
        if code is not None:
            break
        process.kill()
        process.wait()
        killed += 1
    if code is None:
        code = start(arguments_of(name), folder, folder / "run.log").wait()
    return code, killed


if __name__ == "__main__":
    sys.exit(main())
