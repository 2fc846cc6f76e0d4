# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the benchmarks: what it may use, and a file of figures, so that a stopped run goes on where it was."""

import dataclasses
import glob
import json
import sys
from pathlib import Path

import numpy as np
from common import SETS, cryodl, evaluate

NETWORKS = ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2")


@dataclasses.dataclass(frozen=True)
class RealSet:
    """A labelled real set. pixel_size: Å/px. diameter_px, border: px. training: how many of the first micrographs
    teach."""

    name: str
    data: Path
    folder: str
    pixel_size: float
    diameter_px: float
    border: float
    training: int

    @property
    def diameter(self):
        return round(self.pixel_size * self.diameter_px, 2)

    @property
    def ground_truth(self):
        return self.data / self.folder / "coords"

    @property
    def micrographs(self):
        return sorted(glob.glob(str(self.data / self.folder / "micrographs" / "*.mrc")))

    @property
    def train(self):
        return self.micrographs[: self.training]

    @property
    def test(self):
        return self.micrographs[self.training :]


class Bench:
    """options: what pickers.py was asked. output: folder of all files. topaz: a topaz.Topaz or None."""

    def __init__(self, options, data, topaz=None):
        self.options, self.data, self.topaz = options, data, topaz
        self.output = Path(options.output)
        self.output.mkdir(parents=True, exist_ok=True)
        self.file, self.failed = self.output / "figures.json", []
        self.figures = self._read()

    def real(self, name):
        return RealSet(name, self.data, *SETS[name])

    @property
    def sets(self):
        return [self.real(name) for name in self.options.sets]

    def once(self, key, measure):
        """The figures `key`, measured now if they are not in the file. None, and a line, if the measurement failed."""
        if key not in self.figures:
            try:
                figures = measure()
            except (RuntimeError, ValueError, OSError) as error:
                print(f"{key}: not measured: {str(error)[-600:]}", flush=True)
                self.failed.append(key)
                return None
            self.figures = dict(self._read(), **{key: figures})  # another part may have been measured beside this one
            temporary = self.file.with_suffix(".partial")
            temporary.write_text(json.dumps(self.figures, indent=1))
            temporary.replace(self.file)
            print(key, json.dumps(self.figures[key]), flush=True)
        return self.figures[key]

    def _read(self):
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def folder(self, key):
        """A new folder's path for one measurement; what a stopped run left there is removed."""
        import shutil

        path = self.output / "work" / key.replace("/", "-").replace(" ", "-")
        shutil.rmtree(path, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def trained(self, real, network="unet"):
        """Folder of the picker trained on all labels of the set's training micrographs; trained if it is not there."""
        model = self.output / "models" / f"{real.name}-{network}"
        if not model.exists():
            model.parent.mkdir(exist_ok=True)
            links = link_coordinates(real, real.train, self.folder(f"labels {real.name}"))
            train(real, links, model, "--network", network, "--labels", "complete")
        return model

    def model(self, name):
        """The shipped general model if that is asked for (its card says what it left out), else one without `name`."""
        return "general" if self.options.same_general else self.general(name)

    def general(self, without=None):
        """Folder (or shipped name) of the general model, or of the one that never saw the set `without`."""
        if without is None:
            return "general"
        given = self.options.general_models
        folder = Path(given or self.output / "models") / f"without-{without}"
        if given and not folder.exists():
            raise ValueError(f"{folder} (--general-models) is missing.")
        if not folder.exists():
            from general import train_without

            train_without(self, without, folder)
        return folder


def run_parts(bench, parts):
    """Measure the parts of bench.options.parts and write all tables to DIR/tables.md. Ends the program if something
    failed.

    parts: {word: (module with run(bench) and tables(bench), title)}.
    """
    for part in bench.options.parts:
        parts[part][0].run(bench)
    text = "\n\n".join(f"## {title}\n\n{module.tables(bench)}" for module, title in parts.values())
    (bench.output / "tables.md").write_text(text + "\n")
    print(f"\nTables: {bench.output / 'tables.md'}")
    if bench.failed:
        sys.exit(f"{len(bench.failed)} measurements failed: {', '.join(bench.failed)}")


def link_coordinates(real, micrographs, folder):
    """A folder with the ground truth of these micrographs only."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in micrographs:
        name = f"{Path(path).stem}.star"
        (folder / name).symlink_to((real.ground_truth / name).resolve())
    return folder


def train(real, coordinates, model, *options):
    """Train on the set's training micrographs, one thread. Returns dict: cpu, wall (s), memory (MB)."""
    _, cpu, wall, memory = cryodl(
        "train-picker",
        "--micrographs",
        *real.train,
        "--coordinates",
        coordinates,
        "--pixel-size",
        real.pixel_size,
        "--particle-diameter",
        real.diameter,
        "--output",
        model,
        "--device",
        "cpu",
        "--threads",
        1,
        *options,
    )
    return dict(cpu=cpu, wall=wall, memory=memory)


def pick(micrographs, pixel_size, diameter, model, folder, *options):
    """Pick, one thread, with nothing avoided: networks are compared. diameter: Å, None to have it found.

    Returns dict: cpu, wall (s), memory (MB).
    """
    stated = ("--particle-diameter", diameter) if diameter else ()
    _, cpu, wall, memory = cryodl(
        "pick",
        "--micrographs",
        *micrographs,
        "--pixel-size",
        pixel_size,
        *stated,
        "--model",
        model,
        "--output",
        folder,
        "--device",
        "cpu",
        "--threads",
        1,
        "--avoid",
        "nothing",
        *options,
    )
    return dict(cpu=cpu, wall=wall, memory=memory)


def score(real, picks, threshold=0):
    """best_f1 and ap of all candidates; f1, precision and recall at the threshold. On the set's test micrographs."""
    figures = evaluate(picks, real.ground_truth, real.pixel_size, real.diameter, real.border, real.test, threshold)
    every = figures.get("all_candidates", figures)
    return dict(
        best_f1=every["best_f1"],
        ap=every["average_precision"],
        **{key: figures[key] for key in ("f1", "precision", "recall")},
    )


def pick_and_score(bench, real, model, key, *options):
    """Pick the set's test micrographs with a model and score them. Returns figures, with the CPU seconds of picking."""
    folder = bench.folder(key)
    cost = pick(real.test, real.pixel_size, real.diameter, model, folder, *options)
    return dict(score(real, folder), pick_cpu=cost["cpu"])


def draw_labels(real, count, seed, folder):
    """`count` of the positives of the training micrographs, at random, as STAR files. Returns how many there were."""
    engine_path()
    from cryodl.io.coordinates import read_coordinates, write_coordinates

    ground_truth = {k: v[0] for k, v in read_coordinates(real.ground_truth).items()}
    rows = [(Path(p).stem, i) for p in real.train for i in range(len(ground_truth[Path(p).stem]))]
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    chosen = [rows[i] for i in sorted(order)]
    folder.mkdir(parents=True, exist_ok=True)
    for name in {name for name, _ in chosen}:
        yx = ground_truth[name][[i for n, i in chosen if n == name]]
        write_coordinates(folder / f"{name}.star", yx, np.ones(len(yx)))
    return len(chosen), len(rows)


def expected_particles(real):
    """Particles per training micrograph, of the truth."""
    engine_path()
    from cryodl.io.coordinates import read_coordinates

    ground_truth = read_coordinates(real.ground_truth)
    return round(sum(len(ground_truth[Path(p).stem][0]) for p in real.train) / real.training)


def engine_path():
    """Make the engine importable."""
    from common import ROOT

    path = str(ROOT / "cryodl_scipion" / "engine")
    if path not in sys.path:
        sys.path.insert(0, path)


def table(head, rows):
    """Markdown. rows: lists of texts and numbers; None is 'not measured'."""

    def cell(value):
        return "not measured" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(v) for v in line) + " |" for line in lines)


def f1_ap(figures):
    """'best F1 / AP (F1 at the default threshold)'."""
    return None if figures is None else f"{figures['best_f1']:.3f} / {figures['ap']:.3f} ({figures['f1']:.3f})"
