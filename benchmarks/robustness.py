# SPDX-License-Identifier: GPL-3.0-or-later
"""Killed commands and mutated files: what each command did, and whether it lost anything."""

import importlib
import json
import os
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

import numpy as np
from bench import ENGINE, benchmark
from recipes.broken import KINDS, mutated, readers_of, valid_file
from recipes.trials import COMMANDS, arguments_of, fresh_folder, leftovers, make_data, output_files, start_forked

from cryodl.io.memory import is_memory_error

# ----- kills
GROUPS = {
    "micrographs and picking": "pick assess-micrographs estimate-ctf extract-particles pick-filaments train-picker "
    "auto-pick denoise-micrographs train-filament-picker train-general-picker train-micrograph-denoiser "
    "compare-maps-of-picks",
    "particles": "train-denoiser denoise denoise-general assign-orientations reconstruct assess-integrity classify-2d "
    "classify-2d-classes-from classify-2d-again select-classes fit-heterogeneity fit-heterogeneity-auto identify "
    "initial-map evaluate-denoiser latent-volumes",
    "tomograms": "train-classifier cluster-subtomograms fit-heterogeneity-subtomograms train-segmenter segment "
    "denoise-tomograms train-detector detect-particles train-general-segmenter merge-features pick-features "
    "measure-membranes",
    "maps": "train-map-improver improve-map evaluate-map",
    "simulations": "simulate-micrographs simulate-particles simulate-tomograms simulate-subtomograms "
    "simulate-half-maps",
}


def kills_table(rows):
    lines = [["commands", "kills", "runs", "equal to an undisturbed run", "nothing left behind", "resumed"]]
    for group, words in {**GROUPS, "all": " ".join(COMMANDS)}.items():
        part = [r for r in rows if r["command"] in words.split()]
        sums = [str(sum(r[key] for r in part)) for key in ("killed", "trials", "equal", "clean", "resumed")]
        lines += [[f"{group} ({len(part)} commands)", *sums]] if part else []
    return lines


@benchmark(cases=dict(command=COMMANDS), tables={"kills": kills_table}, quick=dict(count=2, command="reconstruct"))
def kills(run, command, count=50, seed=0):
    """Commands killed (SIGKILL) at random times and started again: the result must be that of an undisturbed run. Every
    trial kills the command one to five times, continues it with the same words each time, compares every file that it
    leaves (without times), and looks for temporary files. A kill after the last file was written is not counted: the
    same command then says that its output exists. resumed: trainings that went on from a checkpoint."""
    make_data(run.output)
    importlib.import_module("cryodl.learning.recipe").MIN_STEPS = 2  # so that short trainings have checkpoints
    importlib.import_module("cryodl.maps.improvers.pairs").CHECKED = 2  # boxes in each validation, which is quicker
    row = dict(trials=0, killed=0, resumed=0, equal=0, clean=0, failures=[])
    seconds, wanted = run_undisturbed(command, run.output)
    row["seconds"] = round(seconds, 1)
    while row["killed"] < count:
        before = row["killed"]
        kill_command(command, row, run.output, seed, seconds, wanted)
        seconds *= SHORTER if row["killed"] == before else 1
    return row


EARLIEST = 0.02  # of the undisturbed time, which is that of the CPU: other programs do not change it
STEP = 0.005  # s
SHORTER = 0.8  # what is taken for the undisturbed time after a run that ended before it was killed
MOST_AT_ONCE = 5  # kills in one trial
_RESUMED = b"Continuing the training at step"
_FINISHED = b"exists already; it is not replaced"


def run_undisturbed(name: str, work: Path) -> tuple[float, dict]:
    """(seconds of CPU that a command takes, {file: digest} that it leaves) where nothing kills it."""
    whole, began = fresh_folder(work, f"{name}-whole"), _cpu_seconds_of_children()
    process = start_forked(arguments_of(name), whole, whole / "run.log")
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{name} failed undisturbed; see {whole / 'run.log'}")
    return _cpu_seconds_of_children() - began, output_files(whole, (str(whole),))


def _cpu_seconds_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds(pid):
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
    found, left = output_files(folder, (str(folder),)), leftovers(folder)
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


def _killed_and_continued(name, folder, seconds, rng):
    """Kill, continue, and at last let it end. Returns the last exit code and the number of kills."""
    log = folder / "run.log"
    for killed in range(int(rng.integers(1, MOST_AT_ONCE + 1))):
        process = start_forked(arguments_of(name), folder, log)
        limit = float(rng.uniform(EARLIEST, 1.0)) * seconds
        while process.is_alive() and cpu_seconds(process.pid) < limit:
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


# ----- mutated files: none may hang, take memory, raise anything but a sentence, or kill the process
MAX_SECONDS = 10.0
MAX_MEMORY = 1e9  # bytes above what the process had, beside the size of the file
START = 60.0  # seconds that a new process may take for its imports


def _follow(process, row, number, end):
    """Take up a worker's lines until it ends or hangs. end: after the last file. Returns the number to go on with."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        limit = START
        while True:
            if not _heard(selector, process, limit):
                if number == end:  # all files are done; it only ends slowly
                    return number
                row["failures"].append(dict(file=number, what=f"hangs for more than {limit:.0f} s"))
                return number + 1
            line = process.stdout.readline()
            if not line:
                code = process.wait()
                if code:
                    row["failures"].append(dict(file=number, what=f"ended the process with {code}"))
                    return number + 1
                return number
            limit = MAX_SECONDS
            found = json.loads(line)
            if "file" in found:
                _count(row, found)
                number = found["file"] + 1


def _heard(selector, process, limit):
    """Whether a line comes before so many seconds of CPU, or ten times as many by the clock: machines are shared."""
    began, end = cpu_seconds(process.pid), time.monotonic() + 10 * limit
    while time.monotonic() < end and cpu_seconds(process.pid) - began < limit:
        if selector.select(limit):
            return True
    return False


def _count(row, found):
    row["slowest"], row["largest"] = max(row["slowest"], found["seconds"]), max(row["largest"], found["memory"] / 1e6)
    if found["error"] or found["memory"] > MAX_MEMORY + found["size"] or found["seconds"] > MAX_SECONDS:
        what = found["error"] or f"{found['seconds']:.1f} s, {found['memory'] / 1e6:.0f} MB"
        row["failures"].append(dict(file=found["file"], what=what))
    else:
        row["read" if found["read"] else "refused"] += 1


def work(kind, first, count):
    """The worker: one JSON line for each file. Everything that the readers print is swallowed."""
    out, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        path, neighbours = valid_file(kind, Path(folder))
        whole, readers = path.read_bytes(), readers_of(kind)
        for reader in readers:
            reader(path)  # the file itself is read
        print("{}", file=out, flush=True)
        for number in range(first, first + count):
            path.write_bytes(mutated(whole, kind, zlib.crc32(f"{kind} {number}".encode())))
            neighbours(path)
            print(json.dumps(dict(_try(readers, path), file=number, size=path.stat().st_size)), file=out, flush=True)


def _try(readers, path):
    start, before, read, error = time.process_time(), _begin_peak(), False, ""
    for reader in readers:
        try:
            reader(path)
            read = read or reader is readers[0]
        except (ValueError, FileNotFoundError) as sentence:
            if not str(sentence).strip() or "\n" in str(sentence).strip():
                error = f"no sentence: {sentence!r}"
        except Exception as other:  # what a command would end by
            error = "too little memory" if is_memory_error(other) else traceback.format_exc(limit=-3)
    return dict(read=read, error=error, seconds=time.process_time() - start, memory=max(0.0, _peak() - before))


def _begin_peak():
    """Forget the highest memory so far; returns the present one, in bytes."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    return _peak()


def _peak():
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next(1024.0 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


KINDS_IN_GROUPS = {
    "images and volumes": "mrc mrc_gz tiff tiff_gz tomogram map stack weights zarr zarr_group zarr_chunk zarr3",
    "lists and tables": "star particles positions ctfs subtomograms box topaz cbox eman2 csv cs list list_star ids "
    "pairs sets",
    "3-D coordinates": "dynamo imod copick eman2_boxes napari",
    "structures": "pdb cif",
    "models, requests, annotations": "card safetensors request annotations questions result sums",
}


def fuzz_table(rows):
    lines = [["files", "number", "read", "refused with a sentence", "failures", "slowest, s", "largest, MB"]]
    for group, words in KINDS_IN_GROUPS.items():
        part = [r for r in rows if r["kind"] in words.split()]
        sums = [f"{sum(r[key] for r in part):,}" for key in ("files", "read", "refused")]
        worst = [f"{max(r['slowest'] for r in part):.2f}", f"{max(r['largest'] for r in part):.0f}"] if part else []
        failures = str(sum(len(r["failures"]) for r in part))
        lines += [[f"{group} ({', '.join(r['kind'] for r in part)})", *sums, failures, *worst]] if part else []
    return lines


@benchmark(cases=dict(kind=KINDS), tables={"fuzz": fuzz_table}, quick=dict(count=20))
def fuzz(run, kind, first=0, count=2000):
    """Mutated files against every reader, which runs in a process of its own. File number n of a kind is made from
    (kind, n): a failure is seen again with --set first=n count=1. A failure is more than 10 CPU s, more than 1 GB above
    the size of the file, the end of the process, or anything but a sentence."""
    row = dict(first=first, files=count, read=0, refused=0, slowest=0.0, largest=0.0, failures=[])
    number, end = first, first + count
    while number < end:
        code = f"import robustness; robustness.work({kind!r}, {number}, {end - number})"
        here = dict(os.environ, PYTHONPATH=f"{Path(__file__).parent}:{ENGINE}")
        piped = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=here)
        with subprocess.Popen([sys.executable, "-c", code], **piped) as process:
            number = _follow(process, row, number, end)
            process.kill()
    return row
