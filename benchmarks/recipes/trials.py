# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny data, the commands that work on them, and what their output is: for trials of faults and kills."""

import csv
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
from bench import ENGINE

_COMPUTE = "--device cpu --threads 1"
_MICROGRAPHS = "--micrographs data/sim/micrographs/*.mrc --pixel-size 8"
_SIZED = f"{_MICROGRAPHS} --particle-diameter 160"
_FOUR = _SIZED.replace("*", "simulated_000[1-4]")
_PARTICLES = "--particles data/particles.star"
_FEW = "--particles data/few.star"
_HALVES = "--even data/cells/halves/*_even.mrc --odd data/cells/halves/*_odd.mrc"
_CELLS = "--tomograms data/cells/tomograms/*.mrc"
_LATENT = "--reference data/map.mrc --latent 1 --resolution 40 --maps 2 --clusters 2"
_SIMULATED_CELL = "--size 64 --thickness 32 --vesicles 1 --membranes 1 --microtubules 0 --filaments 0 --tilt-step 20"


# Name of a trial: its command without --output, and the output.
COMMANDS = {
    "pick": (f"pick {_FOUR} --contrast dark --model general {_COMPUTE}", "out"),
    "assess-micrographs": (f"assess-micrographs {_SIZED} --threads 1", "out"),
    "estimate-ctf": (
        "estimate-ctf --micrographs data/rings/micrographs/*.mrc --pixel-size 4 --voltage 300 "
        "--spherical-aberration 2.7 --highest-resolution 10 --threads 1",
        "out.star",
    ),
    "extract-particles": (f"extract-particles --coordinates data/sim/coordinates {_SIZED} --threads 1", "out.star"),
    "pick-filaments": (f"pick-filaments {_MICROGRAPHS} --filament-diameter 160 {_COMPUTE}", "out"),
    "train-picker": (
        f"train-picker {_FOUR} --coordinates data/sim/coordinates --steps 24 --batch-size 1 {_COMPUTE}",
        "out",
    ),
    "auto-pick": (f"auto-pick {_FOUR} --contrast dark --rounds 1 --steps 4 --training-micrographs 3 {_COMPUTE}", "out"),
    "denoise-micrographs": (f"denoise-micrographs {_MICROGRAPHS} --steps 4 {_COMPUTE}", "out"),
    "simulate-micrographs": (
        f"simulate-micrographs --structure data/map.mrc --pixel-size 8 --count 6 --size 384 {_COMPUTE}",
        "out",
    ),
    "simulate-particles": (
        "simulate-particles --structure data/map.mrc --pixel-size 8 --box 32 --count 2000 --snr 0.1 " + _COMPUTE,
        "out.star",
    ),
    "train-denoiser": (
        f"train-denoiser {_PARTICLES} --structure data/map.mrc --network swinconv --steps 4 --batch-size 2 {_COMPUTE}",
        "out",
    ),
    "denoise": (f"denoise {_PARTICLES} --model data/denoiser {_COMPUTE}", "out.star"),
    "denoise-general": (f"denoise {_PARTICLES} --model general_denoiser {_COMPUTE}", "out.star"),
    "assign-orientations": (
        f"assign-orientations {_FEW} --structure data/map.mrc --resolution 32 {_COMPUTE}",
        "out.star",
    ),
    "reconstruct": (f"reconstruct {_PARTICLES} --threads 1", "out.mrc"),
    "assess-integrity": (
        f"assess-integrity {_FEW} --structures data/map.mrc data/other.mrc --resolution 32 {_COMPUTE}",
        "out",
    ),
    "classify-2d": (f"classify-2d {_PARTICLES} --classes 4 --epochs 4 {_COMPUTE}", "out"),
    "classify-2d-classes-from": (
        f"classify-2d --particles data/later.star --classes-from data/classes {_COMPUTE}",
        "out",
    ),
    "classify-2d-again": (f"classify-2d {_PARTICLES} --classes-from data/classes --again {_COMPUTE}", "out"),
    "select-classes": (
        "select-classes --classes data/classes/classes.star --particles data/classes/particles.star --threshold 0",
        "out",
    ),
    "fit-heterogeneity": (f"fit-heterogeneity {_PARTICLES} --method linear {_LATENT} {_COMPUTE}", "out"),
    "fit-heterogeneity-auto": (f"fit-heterogeneity {_PARTICLES} --method auto {_LATENT} {_COMPUTE}", "out"),
    "train-classifier": (
        "train-classifier --subtomograms data/subtomograms.star --network dsrf3d --steps 4 --batch-size 2 " + _COMPUTE,
        "out",
    ),
    "cluster-subtomograms": (
        f"classify-subtomograms --subtomograms data/subtomograms.star --classes 2 {_COMPUTE}",
        "out.star",
    ),
    "fit-heterogeneity-subtomograms": (
        "fit-heterogeneity --particles data/subtomograms.star --latent 1 --maps 2 --clusters 2 --threads 1",
        "out",
    ),
    "simulate-tomograms": (
        f"simulate-tomograms --structures data/map.mrc --copies 4 --count 2 {_SIMULATED_CELL} {_COMPUTE}",
        "out",
    ),
    "train-segmenter": (
        f"train-segmenter {_CELLS} --labels data/cells/labels/*.mrc --label 1 --tiles 4 --feature membrane --steps 6 "
        f"--batch-size 2 {_COMPUTE}",
        "out",
    ),
    "segment": (f"segment {_CELLS} --model membrane ribosome {_COMPUTE}", "out"),
    "denoise-tomograms": (f"denoise-tomograms {_HALVES} --steps 4 {_COMPUTE}", "out"),
    "train-detector": (
        f"train-detector {_CELLS} --coordinates data/cells/coordinates/*.star --diameter 160 --steps 6 "
        f"--batch-size 2 {_COMPUTE}",
        "out",
    ),
    "detect-particles": (
        f"detect-particles {_CELLS} --template data/map.mrc --diameter 160 --angular-step 45 {_COMPUTE}",
        "out",
    ),
    "train-map-improver": (
        "train-map-improver --structures data/helices/*.pdb --simulated 1 --steps 4 --batch-size 1 " + _COMPUTE,
        "out",
    ),
    "improve-map": (f"improve-map --map data/helix_full.mrc --resolution 4 --overlap 15 {_COMPUTE}", "out.mrc"),
    "train-filament-picker": (f"train-filament-picker --simulated 15 --steps 4 --batch-size 2 {_COMPUTE}", "out"),
    "train-general-picker": (
        f"train-general-picker --procedural 20 --simulated 20 --steps 4 --batch-size 2 {_COMPUTE}",
        "out",
    ),
    "train-micrograph-denoiser": (
        f"train-micrograph-denoiser --procedural 10 --simulated 10 --steps 4 {_COMPUTE}",
        "out",
    ),
    "train-general-segmenter": (
        "train-general-segmenter --ribosomes data/map.mrc --cells 1 --validation-cells 1 --network unet "
        f"--working-pixel-size 28 --steps 4 {_COMPUTE}",
        "out",
    ),
    "simulate-subtomograms": (
        f"simulate-subtomograms --structures data/map.mrc data/other.mrc --count 60 --box 32 {_COMPUTE}",
        "out.star",
    ),
    "simulate-half-maps": (
        "simulate-half-maps --structure data/helices/a.pdb --resolution 4 --box 96 --threads 1",
        "out",
    ),
    "identify": (f"identify {_FEW} --structures data/map.mrc data/other.mrc {_COMPUTE}", "out"),
    "initial-map": (f"initial-map --particles data/more.star {_COMPUTE}", "out"),
    "evaluate-denoiser": (
        f"evaluate-denoiser {_PARTICLES} --model data/denoiser --structure data/map.mrc {_COMPUTE}",
        "out",
    ),
    "latent-volumes": ("latent-volumes --particles data/latent/particles.star --maps 2 --threads 1", "out"),
    "merge-features": ("merge-features --scores data/scores --surfaces", "out"),
    "pick-features": ("pick-features --segmentations data/cells/labels/*.mrc --label 1 --shape membranes", "out"),
    "measure-membranes": ("measure-membranes --segmentations data/cells/labels/*.mrc --label 1", "out"),
    "evaluate-map": (
        "evaluate-map --map data/helix_full.mrc --structure data/helix_model.pdb --resolution 4 --half-maps "
        "data/helix_half1.mrc data/helix_half2.mrc --threads 1",
        "out",
    ),
    "compare-maps-of-picks": (
        "compare-maps-of-picks --micrographs data/rings/micrographs/*.mrc --pixel-size 4 --particle-diameter 160 "
        f"--picks one=data/rings/coordinates two=data/picks --ctf data/ctf.star --structure data/map.mrc "
        f"--resolution 32 --scaled-box 20 {_COMPUTE}",
        "out",
    ),
}


# What is made of the two maps, in data/.
_MADE = (
    f"simulate-micrographs --structure map.mrc --pixel-size 8 --count 6 --size 192 --snr 0.5 --output sim {_COMPUTE}",
    f"simulate-micrographs --structure map.mrc --pixel-size 4 --count 2 --size 512 --snr 0.5 --output rings {_COMPUTE}",
    "simulate-particles --structure map.mrc --pixel-size 8 --box 32 --count 120 --snr 0.2 --output particles.star "
    + _COMPUTE,
    f"simulate-particles --structure map.mrc --pixel-size 8 --box 24 --count 8 --snr 0.2 --output few.star {_COMPUTE}",
    "simulate-particles --structure map.mrc --pixel-size 8 --box 32 --count 100 --snr 0.2 --seed 1 --output later.star "
    + _COMPUTE,
    "simulate-particles --structure map.mrc --pixel-size 8 --box 24 --count 220 --snr 0.5 --seed 2 --output more.star "
    + _COMPUTE,
    "estimate-ctf --micrographs rings/micrographs/*.mrc --pixel-size 4 --voltage 300 --spherical-aberration 2.7 "
    "--highest-resolution 10 --threads 1 --output ctf.star",
    "pick --micrographs rings/micrographs/*.mrc --pixel-size 4 --particle-diameter 160 --contrast dark --model general "
    f"--output picks {_COMPUTE}",
    f"classify-2d --particles particles.star --classes 4 --epochs 4 --output classes {_COMPUTE}",
    "simulate-subtomograms --structures map.mrc other.mrc --count 13 --box 32 --output subtomograms.star " + _COMPUTE,
    "simulate-tomograms --structures map.mrc --copies 8 --count 3 --halves --output cells "
    f"{_SIMULATED_CELL} {_COMPUTE}",
    "simulate-half-maps --structure helices/a.pdb --resolution 4 --box 48 --output helix --threads 1",
    "fit-heterogeneity --particles particles.star --method linear --reference map.mrc --latent 1 --resolution 40 "
    f"--maps 2 --clusters 2 --output latent {_COMPUTE}",
    f"segment --tomograms cells/tomograms/*.mrc --model membrane ribosome --output scores {_COMPUTE}",
    "train-denoiser --particles particles.star --structure map.mrc --network swinconv --steps 2 --batch-size 2 "
    f"--output denoiser {_COMPUTE}",
)
_HELIX = (  # atom, radius (Å), angle (degrees), height (Å) about the helix's axis
    ("N", 1.55, 0.0, 0.0),
    ("CA", 2.28, 28.0, 0.9),
    ("C", 1.68, 55.0, 1.9),
    ("O", 2.0, 60.0, 3.1),
    ("CB", 3.3, 18.0, 0.2),
)
_VOLATILE = re.compile("seconds|created|versions|date|device|memory|path|changed|made_of")


def arguments_of(name: str) -> list:
    words, output = COMMANDS[name]
    return [*words.split(), "--output", output]


def environment(**more) -> dict:
    """Environment variables for the engine of this checkout on one thread."""
    return dict(os.environ, PYTHONPATH=str(ENGINE), OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1", **more)


def start(arguments: list, folder: Path, log: Path, **options) -> subprocess.Popen:
    """A running command in a folder, its words in a log."""
    with open(log, "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "cryodl", *arguments],
            cwd=folder,
            stdout=file,
            stderr=subprocess.STDOUT,
            **{"env": environment(), **options},
        )


def make_data(folder: Path, *needed: str) -> None:
    """data/ in a folder: maps, and what is simulated and learnt from them. What is there is kept. needed: names of what
    is made of the maps, if not all."""
    data = folder / "data"
    (data / "helices").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("map.mrc", "other.mrc")):
        write_map(data / name, number)
    for number, name in enumerate("abc"):
        write_helix(data / "helices" / f"{name}.pdb", number)
    load_program()
    for words in map(str.split, _MADE):
        name = words[words.index("--output") + 1]
        if not list(data.glob(f"{name}*")) and name in (needed or [name]):
            process = start_forked(words, data, folder / "data.log")
            process.join()
            if process.exitcode:
                raise RuntimeError(f"{words[0]} failed; see {folder / 'data.log'}")


def write_map(path, number, pixel_size=5.0):
    """A lopsided molecule of ten balls in a box of 40 voxels (Å)."""
    rng, grid = np.random.default_rng(number), np.indices((40,) * 3).astype(np.float32)
    density = np.zeros((40,) * 3, np.float32)
    for centre in 20 + rng.uniform(-7, 7, (10, 3)):
        density += np.exp(-((grid - centre[:, None, None, None]) ** 2).sum(0) / 8)
    density[density < 0.05] = 0
    mrcfile.write(path, density, overwrite=True, voxel_size=pixel_size)


def write_helix(path, number):
    """An alpha helix without side chains, of a sequence of its own."""
    lines, names = [], np.random.default_rng(number).choice(["ALA", "LEU", "SER", "GLU", "LYS", "ASP"], 24)
    for residue, name in enumerate(names):
        for atom, radius, degrees, height in _HELIX:
            angle = np.radians(degrees + 100.0 * residue)
            x, y, z = radius * np.cos(angle), radius * np.sin(angle), height + 1.5 * residue
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {atom:3s} {name} A{residue + 1:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
                f"  1.00 20.00          {atom[0]:>2s}"
            )
    path.write_text("\n".join([*lines, "END", ""]))


def fresh_folder(parent: Path, name: str) -> Path:
    """An empty folder with the data linked into it."""
    folder = parent / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(parent.resolve() / "data")
    return folder


def output_files(folder: Path, own: tuple = ()) -> dict:
    """{name: digest of what a file says} of all that a command has left, without times. Pictures are only counted.

    own: strings in names and texts that are others in every run.
    """
    return {
        without(str(path.relative_to(folder)), own): _digest(path, own)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not path.is_symlink()
        and "data" not in path.relative_to(folder).parts[:1]
        and path.suffix != ".log"
    }


def leftovers(folder: Path) -> list:
    """Names of temporary files, locks and unfinished work in a folder."""
    return [
        name
        for name in output_files(folder)
        if ".tmp" in name or name.endswith(".lock") or ".partial" in name or Path(name).name.startswith(".")
    ]


def without(text: str, strings: tuple) -> str:
    for string in strings:
        text = text.replace(string, "")
    return text


def _digest(path, own=()):
    values = path.read_bytes()
    if own and path.suffix in (".json", ".csv", ".star", ".txt"):
        values = without(values.decode(), own).encode()
    if path.suffix == ".json":
        values = json.dumps(_without_times(json.loads(values)), sort_keys=True).encode()
    elif path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(values.decode()))
        values = json.dumps([{k: v for k, v in row.items() if not _VOLATILE.search(k or "")} for row in rows]).encode()
    elif path.suffix in (".mrc", ".mrcs"):
        values = values[:212] + values[1024:]  # the labels have the time
    elif path.suffix == ".star":
        values = re.sub(rb"made of \w+", b"", values)
    return hashlib.sha256(b"picture" if path.suffix == ".png" else values).hexdigest()[:12]


def _without_times(value):
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if not _VOLATILE.search(k)}
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return ""  # of a file with times, which is compared itself
    return [_without_times(v) for v in value] if isinstance(value, list) else value


SLOW_TO_IMPORT = ("accelerate", "matplotlib.pyplot", "torch._dynamo")  # and imported by commands at work
FORK = multiprocessing.get_context("fork")


def load_program() -> None:
    """Import all modules of the engine. No thread is started, so that this process can be forked."""
    sys.path.insert(0, str(ENGINE))
    os.environ.update(PYTHONPATH=str(ENGINE), OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1", MPLBACKEND="Agg")
    for module in pkgutil.walk_packages(importlib.import_module("cryodl").__path__, "cryodl."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)


def start_forked(arguments: list, folder: Path, log: Path, **variables: str) -> multiprocessing.Process:
    """A running command in a folder, its words in a log. It has is_alive(), kill(), join() and exitcode. variables: of
    its environment."""
    process = FORK.Process(target=_run, args=(arguments, folder, log, variables))
    process.start()
    return process


def _run(arguments, folder, log, variables):
    os.environ.update(variables)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(folder)
    sys.argv = ["cryodl", *arguments]
    sys.exit(importlib.import_module("cryodl.running.cli").main(arguments))
