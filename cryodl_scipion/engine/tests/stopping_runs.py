# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that starts commands and asks them to end, for test_stopped_commands.py: it forks, so that not each of them
has to import torch.

python stopping_runs.py FOLDER [DATA ...]
"""

import functools
import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

import robustness
from recipes import trials

from cryodl.learning import recipe
from cryodl.maps.improvers import pairs


def serve(work, *data):
    """Answer the lines of the standard input. work: folder. data: names of what is needed, if not all."""
    answers, sys.stdout = sys.stdout, sys.stderr
    trials.make_data(work, *data)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and would stay so
    recipe.MIN_STEPS = pairs.CHECKED = 2  # short trainings have validations, which are quick
    whole = functools.cache(lambda trial: robustness.run_undisturbed(trial, work))
    for line in sys.stdin:
        trial, number, part = line.split()
        print(json.dumps(tried(trial, int(number), float(part), work, *whole(trial))), file=answers, flush=True)


def tried(trial, number, part, work, seconds, wanted):
    """What a command does that gets a signal, and a second start. part: of the CPU time of an undisturbed run, by which
    the signal comes; negative: when there is a checkpoint. seconds, wanted: CPU time and files of an undisturbed run.

    code, seconds: how it ended, and how soon. said: all that both have printed. kept: whether there was a checkpoint.
    second: exit code of the second start. others: files that are not those of an undisturbed run. left: what should
    have been removed."""
    for tries in range(1, 9):  # a signal after the last file was written comes too late
        folder = trials.fresh_folder(work, f"{trial}-{number}")
        process = trials.start_forked(trials.arguments_of(trial), folder, folder / "run.log")
        checkpoint = lambda: list(folder.rglob("checkpoint.safetensors"))
        due = checkpoint if part < 0 else lambda: robustness.cpu_seconds(process.pid) >= part * seconds
        while process.is_alive() and not due():
            time.sleep(0.002)
        asked = time.monotonic()
        if process.exitcode is None:
            os.kill(process.pid, number)
        process.join()
        took = time.monotonic() - asked
        if process.exitcode and (process.exitcode > 0 or trials.output_files(folder) != wanted):
            break
        part *= 0.8
    found = dict(code=process.exitcode, seconds=took, kept=bool(checkpoint()), tries=tries)
    again = trials.start_forked(trials.arguments_of(trial), folder, folder / "run.log")
    again.join()
    files, left = trials.output_files(folder), trials.leftovers(folder)
    others = sorted(key for key in {*wanted, *files} if wanted.get(key) != files.get(key) and key not in left)
    said = (folder / "run.log").read_text(errors="replace")
    return dict(found, second=again.exitcode, others=others, left=left, said=said)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), *sys.argv[2:])
