# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of machine and input, one after the other: what each command did, and whether it lost anything.

    python benchmarks/faults.py --work faults/ --output faults.json
    python benchmarks/faults.py --trials disk-full --work faults/

Small file systems are mounted where that is allowed (root); elsewhere those trials are said to be not run. Exits 1 if
any trial fails.
"""

import argparse
import sys
import traceback
from pathlib import Path

import fault_disks
import fault_processes
from fault_runs import NotRun
from trials import fresh_folder, make_data, write_rows


def main() -> int:
    """Run the trials, print a line for each, and write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", nargs="+", choices=list(TRIALS), default=list(TRIALS))
    parser.add_argument("--work", type=Path, default=Path("faults"), help="Folder to work in.")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    options.work = options.work.resolve()
    make_data(options.work)
    rows = []
    for name in options.trials:
        rows.append(run_trial(name, options.work))
        print("{name:20s} {verdict:9s} {said}".format(**rows[-1]), flush=True)
        if options.output:
            write_rows(options.output, rows)
    return 1 if any(row["verdict"] == "failed" for row in rows) else 0


def run_trial(name: str, work: Path) -> dict:
    """Row of one trial: name, tried (its docstring), verdict (survived, failed, not run), said (what was printed)."""
    trial = TRIALS[name]
    row = dict(name=name, tried=" ".join(trial.__doc__.split()))
    try:
        said = trial(fresh_folder(work, name))
        return dict(row, verdict="survived", said=said.replace(str(work), "."))
    except NotRun as reason:
        return dict(row, verdict="not run", said=str(reason))
    except Exception as error:  # a trial that fails must not end the others
        traceback.print_exc()
        return dict(row, verdict="failed", said=str(error).replace(str(work), ".")[:300])


TRIALS = {
    "disk-full": fault_disks.disk_full,
    "disk-full-before": fault_disks.disk_full_before,
    "disk-full-drawing": fault_disks.disk_full_drawing,
    "read-only": fault_disks.read_only,
    "no-space-in-tmpdir": fault_disks.no_temporary_space,
    "umask-077": fault_processes.umask_077,
    "little-memory": fault_processes.little_memory,
    "bad-files": fault_processes.bad_files,
    "names-outside": fault_processes.names_outside,
    "locale-c": fault_processes.locale_c,
    "two-at-once": fault_processes.two_at_once,
    "protocol-killed": fault_processes.protocol_killed,
    "control-c": fault_processes.control_c,
    "clock-set-back": fault_processes.clock_set_back,
}

if __name__ == "__main__":
    sys.exit(main())
