# SPDX-License-Identifier: GPL-3.0-or-later
"""Corrections made in the window of picks, as labels: what a human is certain of, and what a machine left."""

from __future__ import annotations

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np

from ...io.coordinates import align_keys, read_coordinates
from ...io.star import read_tables
from .store import CERTAIN, FROM_CLASSES, IGNORED, REMOVED


@dataclasses.dataclass(frozen=True)
class Corrections:
    """Labels of a folder of `pick-by-hand`, by micrograph; positions are (n, 2) yx in px of the micrographs.

    Attributes
    ----------
    certain
        Picks that a human put, moved or confirmed.
    machine
        Picks of a machine that nobody confirmed.
    removed
        Picks of a machine that a human took away.
    masks
        Files of the areas to ignore.
    from_classes
        Whether 2-D classes made the labels: they tell of the picks alone, and nothing of missed particles.
    """

    certain: dict[str, np.ndarray]
    machine: dict[str, np.ndarray]
    removed: dict[str, np.ndarray]
    masks: dict[str, str]
    from_classes: bool = False

    @property
    def partial(self) -> bool:
        """Whether the labels are not complete: some picks were not confirmed, or nobody looked for missed ones."""
        return self.from_classes or any(len(yx) for yx in self.machine.values())

    @property
    def names(self) -> set[str]:
        """Micrographs on which something is certain."""
        return {name for part in (self.certain, self.removed) for name, yx in part.items() if len(yx)}


def is_corrected(source: str | os.PathLike[str]) -> bool:
    """Whether a folder holds picks that were corrected by hand: STAR files with the column of certainty."""
    folder = Path(source)
    return folder.is_dir() and any(_has_column(path) for path in sorted(folder.glob("*.star")))


def read_corrections(folder: str | os.PathLike[str], names: typing.Iterable[str]) -> Corrections:
    """Read a folder of `pick-by-hand`.

    Parameters
    ----------
    folder
        With <micrograph>.star, removed/ and ignored/.
    names
        Of the micrographs; files of others are left alone.

    Raises
    ------
    FileNotFoundError, ValueError
        No folder, files that cannot be read, or a folder of something else.
    """
    folder, names = Path(folder), set(names)
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder of corrections {folder} does not exist.")
    if not is_corrected(folder):
        raise ValueError(
            f"{folder} has no corrections: none of its STAR files has the column {CERTAIN}. Make them with `cryodl "
            "pick-by-hand --coordinates FOLDER --start-from PICKS`."
        )
    certain, machine = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for name, (yx, sure) in align_keys(_with_certainty(folder), names).items():
        if name in names:
            certain[name], machine[name] = yx[sure], yx[~sure]
    removed = _positions(folder / REMOVED, names)
    masks = {path.stem: str(path) for path in sorted((folder / IGNORED).glob("*.mrc")) if path.stem in names}
    return Corrections(certain, machine, removed, masks, (folder / FROM_CLASSES).exists())


def _with_certainty(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{key: (yx, certain)}; a list without the column is another program's: nothing in it is certain."""
    found = {}
    for path in sorted(folder.glob("*.star")):
        for key, (yx, _) in read_coordinates(path).items():
            words = [word for table in read_tables(path).values() for word in table.get(CERTAIN, ())]
            sure = np.array([word != "0" for word in words], bool)
            found[key] = yx, sure if len(sure) == len(yx) else np.zeros(len(yx), bool)
    return found


def _positions(folder: Path, names: set[str]) -> dict[str, np.ndarray]:
    if not any(folder.glob("*.star")):
        return {}
    positions = {key: yx for key, (yx, _) in read_coordinates(folder).items()}
    return {name: yx for name, yx in align_keys(positions, names).items() if name in names}


def _has_column(path: Path) -> bool:
    with open(path, encoding="utf-8", errors="replace") as file:
        return any(line.startswith("_" + CERTAIN) for line in file)
