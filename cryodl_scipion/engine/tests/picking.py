# SPDX-License-Identifier: GPL-3.0-or-later
"""The pick command on the fixture `project`, for the tests of picking."""

from cryodl.cli import main
from cryodl.contract import Result


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
