# SPDX-License-Identifier: GPL-3.0-or-later
"""Picking with the fixture `project`, and the training of pickers on a blob project."""

from synthetic import DIAMETER, PIXEL_SIZE

from cryodl.contract import Result, TrainPickerConfig
from cryodl.running.cli import main


def pick(folder, *more, micrographs=None, output="out"):
    """Exit code of the pick command with the model of a project. more: further arguments."""
    return main(
        [
            "pick",
            "--micrographs",
            *(micrographs or [str(folder / "mics/*.mrc")]),
            "--pixel-size",
            "4",
            "--model",
            str(folder / "model"),
            "--output",
            str(folder / output),
            "--device",
            "cpu",
            "--threads",
            "1",
            "--pictures",
            "0",
            "--result",
            str(folder / "result.json"),
            *more,
        ]
    )


def outputs(folder):
    """What the last result names."""
    return Result.read(folder / "result.json").outputs


def times(folder):
    """When each file of candidates was written, in ns."""
    return {p.name: p.stat().st_mtime_ns for p in sorted((folder / "out/candidates").iterdir())}


def train_picker(folder, *more, output="model", steps=2, coordinates="coordinates", micrographs=None):
    """Exit code of train-picker on a blob project; the result lies in result.json. more: further arguments."""
    told = f"--pixel-size 4 --particle-diameter 120 --device cpu --threads 1 --steps {steps} --batch-size 2".split()
    own = ["--micrographs", *(micrographs or [str(folder / "mics/*.mrc")]), "--coordinates", str(folder / coordinates)]
    made = ["--output", str(folder / output), "--result", str(folder / "result.json")]
    return main(["train-picker", *own, *told, *made, *more])


def training_config(folder, **values):
    """The config of train-picker on a blob project."""
    own = dict(micrographs=(str(folder / "mics/*.mrc"),), coordinates=str(folder / "coordinates"))
    known = dict(pixel_size=PIXEL_SIZE, particle_diameter=DIAMETER, output=str(folder / "model"))
    return TrainPickerConfig(**{**own, **known, **values})
