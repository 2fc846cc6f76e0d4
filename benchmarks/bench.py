# SPDX-License-Identifier: GPL-3.0-or-later
"""What all benchmarks share: how one is declared, the real sets, commands with their cost, scores, cells of tables."""

import dataclasses
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean as mean

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "cryodl_scipion" / "engine"
sys.path[:0] = [] if str(ENGINE) in sys.path else [str(ENGINE)]
NETWORKS = ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2")
CPU = ("--device", "cpu", "--threads", 1)
BENCHMARKS = {}  # name: Benchmark, of the modules that were imported


# ----- how a benchmark is declared and what it is given
@dataclasses.dataclass(frozen=True)
class Benchmark:
    """measure: function of a Run, a case and settings. cases: {name: values or function}, all combinations, or a
    function that lists dicts. tables: {table of a page: function of the rows}. quick: settings of a tiny run. pictures:
    {file in docs/images: function of the rows and its path}."""

    measure: object
    cases: object
    tables: dict
    quick: dict
    pictures: dict

    def all_cases(self):
        if callable(self.cases):
            return self.cases()
        values = [list(v() if callable(v) else v) for v in self.cases.values()]
        return [dict(zip(self.cases, combination)) for combination in itertools.product(*values)]


def benchmark(cases=None, tables=None, quick=None, pictures=None):
    """Declare a function as a benchmark; see README.md."""

    def register(measure):
        BENCHMARKS[measure.__name__] = Benchmark(measure, cases or {}, tables or {}, quick or {}, pictures or {})
        return measure

    return register


class Run:
    """One run of a benchmark. output: folder of what runs of a commit keep. tools: {name: path} of other programs."""

    def __init__(self, output, tools=None, quick=False):
        self.output, self.tools, self.quick = Path(output).resolve(), tools or {}, quick

    def folder(self, key):
        """A new folder's path for one measurement; what a stopped run left there is removed."""
        path = self.output / "work" / str(key).replace("/", "-").replace(" ", "-")
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def work(self, key):
        """`folder`, made."""
        path = self.folder(key)
        path.mkdir()
        return path

    def kept(self, name, make):
        """output/name, which make(path) writes if it is not there."""
        path = self.output / name
        if not path.exists():
            partial = self.folder(f"partial {name}")
            make(partial)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.rename(path)
        return path

    def tool(self, name):
        """Path of another program. Raises ValueError with what to do if it was not given."""
        if name not in self.tools:
            raise ValueError(f"{name} is not there; give --tool {name}=PATH.")
        return self.tools[name]


# ----- data
def data_folder():
    """Where the data lie. Ends the program with a sentence if they are not there."""
    data = Path(os.environ.get("CRYODL_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not data.is_dir():
        sys.exit(f"No data in {data}: set CRYODL_DATA to the folder that holds empiar10017_betagal and others.")
    return data


def structure_file(name):
    """Path of a structure of the data by its name without endings. Raises ValueError."""
    for folder in ("complexes", "small", "maps"):
        for path in sorted((data_folder() / "structures" / folder).glob(f"{name}.*")):
            return path
    raise ValueError(f"There is no structure {name} in {data_folder() / 'structures'} (complexes, small or maps).")


@dataclasses.dataclass(frozen=True)
class RealSet:
    """A labelled real set. folder: of its data. pixel_size: Å/px. diameter_px, border: px. training: how many of the
    first micrographs teach; the others test."""

    name: str
    folder: Path
    pixel_size: float
    diameter_px: float
    border: float
    training: int

    diameter = property(lambda self: round(self.pixel_size * self.diameter_px, 2))  # Å
    ground_truth = property(lambda self: self.folder / "coords")
    micrographs = property(lambda self: sorted(map(str, (self.folder / "micrographs").glob("*.mrc"))))
    train = property(lambda self: self.micrographs[: self.training])
    test = property(lambda self: self.micrographs[self.training :])


SETS = {
    "empiar10017": ("empiar10017_betagal", 3.54, 54, 66, 4),
    "empiar10028": ("empiar10028_ribosome", 5.36, 56, 35, 3),
    "empiar10947": ("empiar10947", 3.8, 58, 36, 3),
}


def real(name):
    folder, *values = SETS[name]
    return RealSet(name, data_folder() / folder, *values)


# ----- commands
# A process counts the memory of the one that started it, so a small one stands between and writes the figures.
BETWEEN = """import os, sys
_, status, usage = os.wait4(os.spawnvp(os.P_NOWAIT, sys.argv[2], sys.argv[2:]), 0)
os.write(int(sys.argv[1]), f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss / 1024}".encode())
sys.exit(os.waitstatus_to_exitcode(status) != 0)"""


def measure(command, environment=None, folder=None):
    """Run a command. Returns standard output, CPU seconds, wall seconds and peak memory in MB of the process.

    Raises RuntimeError with the end of its messages if it fails.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as used:
        start, words = time.monotonic(), [sys.executable, "-S", "-c", BETWEEN, used.fileno(), *command]
        places = dict(stdout=out, stderr=err, env=environment, cwd=folder, pass_fds=[used.fileno()])
        process = subprocess.run([str(c) for c in words], **places)
        wall = time.monotonic() - start
        *said, figures = [stream.seek(0) or stream.read() for stream in (out, err, used)]
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))[:300]} failed:\n{said[1][-2000:] or said[0][-1000:]}")
    cpu, memory = map(float, figures.split())
    return said[0], cpu, wall, memory


def cryodl(*words, folder=None, patch=""):
    """`measure` for one command of the engine, in this Python. patch: code that runs before it."""
    environment = dict(os.environ, PYTHONPATH=str(ENGINE))
    code = f"{patch}\nfrom cryodl.running import cli\nraise SystemExit(cli.main())"
    start = ("-c", code) if patch else ("-m", "cryodl")
    return measure([sys.executable, *start, *words], environment, folder)


def recorded(command, output, *words, record=None):
    """`cryodl COMMAND --output OUTPUT WORDS` with its result: the outputs, the warnings, and the cost."""
    record = Path(record or f"{output}.result.json")
    cost = cryodl(command, "--output", output, "--result", record, *words)
    result = json.loads(record.read_text())
    return result["outputs"], result["warnings"], cost


def flags(**options):
    """Words of a command line: `snr=0.1` is --snr 0.1, True a flag alone, None nothing; a list gives several words."""
    several = lambda value: value if isinstance(value, (list, tuple)) else [] if value is True else [value]
    given = [["--" + name.replace("_", "-"), *several(value)] for name, value in options.items() if value is not None]
    return [word for words in given for word in words]


def asked(command, output, **options):
    """`recorded` with options by name, on one thread: the outputs and the CPU seconds, the start included."""
    outputs, _, cost = recorded(command, output, *flags(**dict(dict(threads=1), **options)))
    return outputs, cost[1]


def costs(measured):
    return dict(cpu=measured[1], wall=measured[2], memory=measured[3])


# ----- pickers
def train(real, coordinates, model, *options, micrographs=None, patch=""):
    """Train on the set's training micrographs, one thread. Returns dict: cpu, wall (s), memory (MB)."""
    given = ("--micrographs", *(micrographs or real.train), "--coordinates", coordinates, "--output", model)
    size = ("--pixel-size", real.pixel_size, "--particle-diameter", real.diameter)
    return costs(cryodl("train-picker", *given, *size, *CPU, *options, patch=patch))


def pick(micrographs, pixel_size, diameter, model, folder, *options, patch=""):
    """Pick, one thread, with nothing avoided: networks are compared. diameter: Å, None to have it found.

    Returns dict: cpu, wall (s), memory (MB).
    """
    stated = ("--particle-diameter", diameter) if diameter else ()
    given = ("--micrographs", *micrographs, "--pixel-size", pixel_size, "--model", model, "--output", folder)
    return costs(cryodl("pick", *given, *stated, *CPU, "--avoid", "nothing", "--pictures", 0, *options, patch=patch))


def evaluate(picks, ground_truth, pixel_size, diameter, border, micrographs):
    """Figures of `cryodl evaluate-picks`: best_f1 and ap of all candidates; f1, precision, recall of the picks."""
    given = ("--coordinates", picks, "--reference", ground_truth, "--micrographs", *micrographs, "--threshold", 0)
    sizes = ("--pixel-size", pixel_size, "--particle-diameter", diameter, "--border", border)
    found = json.loads(cryodl("evaluate-picks", *given, *sizes, "--json")[0])
    every = found.get("all_candidates") or found["metrics"]
    figures = {key: round(found["metrics"][key], 4) for key in ("f1", "precision", "recall")}
    return dict(best_f1=round(every["best_f1"], 4), ap=round(every["average_precision"], 4), **figures)


def score(real, picks, micrographs=None):
    """`evaluate` on the set's test micrographs, or on others of it."""
    return evaluate(picks, real.ground_truth, real.pixel_size, real.diameter, real.border, micrographs or real.test)


# ----- tables
def f1_ap(scores):
    """'best F1 / AP (F1 at the default threshold)'."""
    return f"{scores['best_f1']:.3f} / {scores['ap']:.3f} ({scores['f1']:.3f})"


def cell(row, column):
    """A cell. column: a function of the row, or 'key' or 'key:format'; what the row has not is empty."""
    if callable(column):
        return str(column(row))
    key, _, form = column.partition(":")
    value = row.get(key)
    return "" if value is None else format(value, form or ("g" if isinstance(value, float) else ""))


def columns(spec):
    """A function that makes a table of rows: the head, and a line for each row. spec: {title: column, see `cell`}."""
    return lambda rows: [list(spec), *([cell(row, one) for one in spec.values()] for row in rows)]


def grouped(rows, *keys):
    """{values of the keys: their rows}, in order."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    return found


def groups(keys, spec, parts=grouped):
    """As `columns`, a line for each group of rows with equal keys. A column is a function of these rows, or that of the
    first one, see `cell`. parts: function of the rows and keys that gives other groups, or another order."""
    of = lambda part, one: str(one(part)) if callable(one) else cell(part[0], one)
    lines = lambda rows: [[of(part, one) for one in spec.values()] for part in parts(rows, *keys).values()]
    return lambda rows: [list(spec), *lines(rows)]


def in_order(rows, *keys):
    """`grouped`, sorted by the keys."""
    return dict(sorted(grouped(rows, *keys).items()))


def of_all(key, form):
    """A column of `groups`: the mean of a value."""
    return lambda part: format(mean(row[key] for row in part), form)


def title(name):
    return name.replace("empiar", "EMPIAR-")
