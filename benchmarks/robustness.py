# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of what was tried and survived, from the JSON files of fuzz.py, kills.py, protocol_kills.py, silence.py and
faults.py.

python benchmarks/robustness.py [--results benchmarks/robustness] [--page docs/robustness.md]
"""

import argparse
import json
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
HEAD = """# What was tried, and what survived

Users kill programs, fill disks and give them broken files. This page lists trials of that kind. It is written by
`python benchmarks/robustness.py`, from the results of the commands that do the trials. Every row names the
command that repeats it. Run them with the engine's Python in the folder of the repository.

The design behind the results:

- A command works in `<output>.partial`, or on one file at a time under a temporary name, and renames at the end. A
  killed command is continued by the same command line, with the same parameters and input files. Input files that
  have changed since are noticed.
- A lock beside the output (`.<output>.lock`) prevents two commands from working on one output. The system releases it
  when its process ends.
- The engine watches the process id and start time of the protocol that started it, and ends with it, whatever is
  between the two on the same machine (tried with a shell). On another machine only the lock separates two runs. An
  engine that is started by hand is not watched.
- Readers allocate no more than the file and the memory can hold. A file that cannot be used is skipped, counted and
  named.
"""


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=TOP / "benchmarks/robustness", help="Folder of JSON files.")
    parser.add_argument("--page", type=Path, default=TOP / "docs" / "robustness.md")
    options = parser.parse_args()
    parts = [HEAD]
    for name, section in SECTIONS.items():
        path = options.results / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text(encoding="utf-8"))["rows"]))
    options.page.write_text("\n".join(parts), encoding="utf-8")


def faults(rows: list) -> str:
    """Section of the faults of machine and input."""
    lines = ["## Faults of machine and input", "", "| tried | outcome | what was said | command |", "|---|---|---|---|"]
    lines += [
        f"| {_cell(row['tried'])} | {row['verdict']} | {_cell(row['said'])} | "
        f"`python benchmarks/faults.py --trials {row['name']}` |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def kills(rows: list) -> str:
    """Section of the kills."""
    total = sum(row["killed"] for row in rows)
    lines = [
        "## Kills",
        "",
        f"{total} kills (SIGKILL) at random times, each continued by the same command on tiny "
        "data; some runs are killed several times. Equal: every file has the same content as after an undisturbed "
        "run (times aside). Clean: no temporary file, lock or working folder is left. Resumed: how often a training "
        "went on from a checkpoint; before the first one it begins anew.",
        "",
        "| command | kills | runs | equal | clean | resumed | repeat |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['killed']} | {row['trials']} | {row['equal']} | {row['clean']} | "
        f"{row.get('resumed') or ''} | `python benchmarks/kills.py --commands {row['name']} --count {row['killed']}` |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def protocol_kills(rows: list) -> str:
    """Section of the kills of whole protocols."""
    total, runs = (sum(row[key] for row in rows) for key in ("killed", "trials"))
    lines = [
        "## Kills of whole protocols",
        "",
        f"{runs} runs of protocols in Scipion were killed {total} times, with the engine and all their processes "
        "(SIGKILL) at random times, and continued. Equal: every file and the rows of every output set are those of an "
        "undisturbed run (times and ids aside). Clean: no temporary file, lock or working folder is left.",
        "",
        "| protocol | kills | runs | equal | clean | repeat |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['killed']} | {row['trials']} | {row['equal']} | {row['clean']} | "
        f"`python benchmarks/protocol_kills.py --protocols {row['name']} --count {row['killed']}` |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def silence(rows: list) -> str:
    """Section of the silence of logs."""
    lines = [
        "## Silence of logs",
        "",
        "How long a log stands still while a command works on data of a usual size (2 micrographs of 4096 x 4096 px; "
        "2,000 particles of 64 px; a tomogram of 512 x 512 x 256 voxels; maps of 96 voxels), start-up included. The "
        "machine had two cores, of which other work took one; for the last six rows, eight other programs shared both. "
        "A command that has said nothing for 8 s prints how long it has been at work, and at which step a training is. "
        "The last column is the longest silence without these lines, in seconds of CPU: what a terminal shows. Each "
        "command was stopped after some seconds of CPU, so later stages are not in the table.",
        "",
        "| command | stopped or ended after, s | longest silence, s | without the added lines, s of CPU |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row['name']} | {row['seconds']:.0f} | {row['longest']:.1f} | {row['own']:.0f} |" for row in rows]
    return "\n".join(lines) + "\n\nRepeat: `python benchmarks/silence.py --output silence.json`\n"


def fuzz(rows: list) -> str:
    """Section of the mutated files."""
    total = sum(row["files"] for row in rows)
    lines = [
        "## Mutated files",
        "",
        f"{total} mutated files. A failure is: more than 10 s, more than 1 GB above the "
        "size of the file, the end of the process, or anything but a sentence. Slowest and largest are of the "
        "worst file.",
        "",
        "| kind | files | read | refused | failures | slowest, s | largest, MB | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['name']} | {row['files']} | {row['read']} | {row['refused']} | {len(row['failures'])} | "
        f"{row['slowest']:.2f} | {row['largest']:.0f} | `python benchmarks/fuzz.py --kinds {row['name']} --count "
        f"{row['files']}{' --first ' + str(row['first']) if row.get('first') else ''}` |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ").removeprefix("cryodl: error: ")


SECTIONS = {"faults": faults, "kills": kills, "protocol_kills": protocol_kills, "silence": silence, "fuzz": fuzz}

if __name__ == "__main__":
    main()
