# SPDX-License-Identifier: GPL-3.0-or-later
"""What the trials of faults and kills share: tiny data, the commands that work on them, and what their output is."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

ENGINE = Path(__file__).resolve().parents[1] / "cryodl_scipion" / "engine"
_COMPUTE = ["--device", "cpu", "--threads", "1"]
_MICROGRAPHS = ["--micrographs", "data/sim/micrographs/*.mrc", "--pixel-size", "8"]
_SIZED = [*_MICROGRAPHS, "--particle-diameter", "160"]
# Name of a trial: arguments without --output, and the output.
COMMANDS = {
    "pick": (["pick", *_SIZED, "--model", "general", *_COMPUTE], "out"),
    "assess-micrographs": (["assess-micrographs", *_SIZED, "--threads", "1"], "out"),
    "train-picker": (
        [
            "train-picker",
            *_SIZED,
            "--coordinates",
            "data/sim/coordinates",
            "--steps",
            "20",
            "--batch-size",
            "1",
            *_COMPUTE,
        ],
        "out",
    ),
    "auto-pick": (
        ["auto-pick", *_SIZED, "--rounds", "1", "--steps", "10", "--training-micrographs", "4", *_COMPUTE],
        "out",
    ),
    "denoise-micrographs": (["denoise-micrographs", *_MICROGRAPHS, "--steps", "20", *_COMPUTE], "out"),
    "simulate-micrographs": (
        [
            "simulate-micrographs",
            "--structure",
            "data/map.mrc",
            "--pixel-size",
            "8",
            "--count",
            "6",
            "--size",
            "384",
            *_COMPUTE,
        ],
        "out",
    ),
    "simulate-particles": (
        [
            "simulate-particles",
            "--structure",
            "data/map.mrc",
            "--pixel-size",
            "8",
            "--box",
            "32",
            "--count",
            "2000",
            "--snr",
            "0.1",
            *_COMPUTE,
        ],
        "out.star",
    ),
    "train-denoiser": (
        [
            "train-denoiser",
            "--particles",
            "data/particles.star",
            "--structure",
            "data/map.mrc",
            "--network",
            "swinconv",
            "--steps",
            "8",
            "--batch-size",
            "2",
            *_COMPUTE,
        ],
        "out",
    ),
    "assign-orientations": (
        ["assign-orientations", "--particles", "data/particles.star", "--structure", "data/map.mrc", *_COMPUTE],
        "out.star",
    ),
    "reconstruct": (["reconstruct", "--particles", "data/particles.star", "--threads", "1"], "out.mrc"),
    "train-classifier": (
        [
            "train-classifier",
            "--subtomograms",
            "data/subtomograms.star",
            "--network",
            "dsrf3d",
            "--steps",
            "6",
            "--batch-size",
            "2",
            *_COMPUTE,
        ],
        "out",
    ),
    "simulate-tomograms": (
        ["simulate-tomograms", "--structures", "data/map.mrc", "--copies", "4", "--count", "2", *_COMPUTE],
        "out",
    ),
}
_VOLATILE = re.compile("seconds|created|versions|date|device|memory|path|changed|made_of")


def arguments_of(name: str) -> list:
    """Arguments of a trial's command."""
    words, output = COMMANDS[name]
    return [*words, "--output", output]


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


def write_rows(path: Path, rows: list, **about) -> None:
    """Write rows (dicts with a name) to a JSON file, in place of those of the same names that it has."""
    kept = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    new = {row["name"]: row for row in rows}
    merged = [new.pop(row["name"], row) for row in kept] + list(new.values())
    path.write_text(json.dumps(dict(about, rows=merged), indent=1) + "\n", encoding="utf-8")


def make_data(folder: Path) -> None:
    """data/ in a folder: a map, micrographs with their particles, particles, subtomograms. Kept if it is there."""
    data = folder / "data"
    if (data / "subtomograms.star").exists():
        return
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    for number, name in enumerate(("map.mrc", "other.mrc")):
        _write_map(data / name, number)
    for words in (
        [
            "simulate-micrographs",
            "--structure",
            "map.mrc",
            "--pixel-size",
            "8",
            "--count",
            "6",
            "--size",
            "384",
            "--snr",
            "0.5",
            "--output",
            "sim",
        ],
        [
            "simulate-particles",
            "--structure",
            "map.mrc",
            "--pixel-size",
            "8",
            "--box",
            "32",
            "--count",
            "200",
            "--snr",
            "0.2",
            "--output",
            "particles.star",
        ],
        [
            "simulate-subtomograms",
            "--structures",
            "map.mrc",
            "other.mrc",
            "--count",
            "12",
            "--box",
            "32",
            "--output",
            "subtomograms.star",
        ],
    ):
        if start([*words, *_COMPUTE], data, folder / "data.log").wait():
            raise RuntimeError(f"{words[0]} failed; see {folder / 'data.log'}")


def _write_map(path, number):
    """A lopsided molecule of ten balls in a box of 40 voxels of 5 Å."""
    import mrcfile

    rng = np.random.default_rng(number)
    grid = np.indices((40,) * 3).astype(np.float32)
    density = np.zeros((40,) * 3, np.float32)
    for centre in 20 + rng.uniform(-7, 7, (10, 3)):
        density += np.exp(-((grid - centre[:, None, None, None]) ** 2).sum(0) / 8)
    density[density < 0.05] = 0
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(density)
        mrc.voxel_size = 5.0


def fresh_folder(parent: Path, name: str) -> Path:
    """An empty folder with the data linked into it."""
    folder = parent / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(parent.resolve() / "data")
    return folder


def output_files(folder: Path) -> dict:
    """{name: digest of what a file says} of all that a command has left, without times. Pictures are only counted."""
    return {
        str(path.relative_to(folder)): _digest(path)
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


def _digest(path):
    values = path.read_bytes()
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
    return [_without_times(v) for v in value] if isinstance(value, list) else value
