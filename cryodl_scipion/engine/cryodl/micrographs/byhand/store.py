# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of picks that were made or corrected by hand.

<folder>/<micrograph>.star: the picks, with cryodlCertain 1 where a human put, moved or confirmed one. The first line
tells which image they were made on.
<folder>/removed/<micrograph>.star: what a human took away; train-picker takes them as background.
<folder>/ignored/<micrograph>.mrc: not 0 where nothing shall be learnt; train-picker takes the folder as --uncertain.
<folder>/answers.json: there if questions were answered (byhand/questions.py); nobody looked at the other picks.
<folder>/from_classes.json: there if 2-D classes made the labels (labels-from-classes); what it was made from.
Corrections made in the window of picks, as labels: what a human is certain of, and what a machine left."""

import dataclasses
import os
import typing
from pathlib import Path

import numpy as np

from ...contract import counted, say_if, some_names
from ...io import micrographs, stamps
from ...io.coordinates import align_keys, coordinate_files, read_coordinates, write_coordinates
from ...io.files import micrograph_key, read_text, without_pick_suffix
from ...io.star import read_tables
from .questions import ANSWERS

CERTAIN = "cryodlCertain"
REMOVED, IGNORED = "removed", "ignored"
FROM_CLASSES = "from_classes.json"
_MADE_ON = "; made on "  # and the content_stamp of the image


@dataclasses.dataclass(frozen=True)
class Pick:
    """A position in px of the micrograph; its score; whether a human is certain of it."""

    y: float
    x: float
    score: float = 1.0
    certain: bool = True


class HandPicks:
    """The files of a folder. folder: of the picks; need not exist. names: of the micrographs. start_from: folder or
    file of picks to begin with on micrographs that the folder has no file of; '' for none. by: what corrects the picks,
    for the files' heads. Raises ValueError or FileNotFoundError for picks that cannot be read, or a file."""

    def __init__(self, folder: str, names: list[str], start_from: str = "", by: str = "by hand") -> None:
        self.folder, self.by = Path(folder), f" {by}"
        if self.folder.exists() and not self.folder.is_dir():  # before anything is done that could not be saved
            raise ValueError(f"{folder} (--coordinates) is a file. Give a folder, where the picks will be saved.")
        own, plain = {f"{name}.star" for name in names}, {without_pick_suffix(name) for name in names}
        for file in coordinate_files(self.folder) if self.folder.exists() else ():
            if file.name not in own and without_pick_suffix(micrograph_key(file)) in plain:
                raise ValueError(
                    f"{file} has picks under another name than <micrograph>.star, which would not be shown. Give its "
                    "folder as picks to start from (--start-from), and another one for the picks (--coordinates)."
                )
        self._machine = align_keys(read_coordinates(start_from), names) if start_from else {}

    def read(self, name: str) -> tuple[list[Pick], list[Pick]]:
        """Picks, and removed picks, of a micrograph."""
        path = self.folder / f"{name}.star"
        if not path.exists():
            return self.started(name), []
        picks = _picks(next(iter(read_coordinates(path).values())), False)
        picks = [dataclasses.replace(p, certain=bool(sure)) for p, sure in zip(picks, _certainty(path, len(picks)))]
        removed = self.folder / REMOVED / f"{name}.star"
        return picks, _picks(next(iter(read_coordinates(removed).values())), True) if removed.exists() else []

    def started(self, name: str) -> list[Pick]:
        """The picks of a micrograph to begin with."""
        return _picks(self._machine.get(name), False)

    def write(self, name: str, picks: list[Pick], removed: list[Pick], micrograph: str = "") -> None:
        """Write what is certain and what not, each file whole or not at all. micrograph: its file. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        made_on = _MADE_ON + stamps.content_stamp(micrograph) if os.path.exists(micrograph) else ""
        _write(self.folder / f"{name}.star", picks, f"cryodl: picks of {name}, corrected{self.by}{made_on}")
        path = self.folder / REMOVED / f"{name}.star"
        if removed:
            path.parent.mkdir(exist_ok=True)
            _write(path, removed, f"cryodl: picks of {name} that were removed{self.by}")
        else:
            path.unlink(missing_ok=True)

    def read_ignored(self, name: str, binning: int, shape: tuple[int, int]) -> np.ndarray:
        """(h, w) bool of the area to ignore, in blocks of `binning` px. shape: (h, w) in blocks."""
        path = self.folder / IGNORED / f"{name}.mrc"
        if not path.exists():
            return np.zeros(shape, bool)
        mask = micrographs.read_micrograph(str(path)) != 0
        height, width = shape
        if any(not 0 <= side - blocks * binning < binning for side, blocks in zip(mask.shape, shape)):
            raise ValueError(
                f"{path} has {mask.shape[1]} x {mask.shape[0]} px, which is not its micrograph's size. Remove it."
            )
        return mask[: height * binning, : width * binning].reshape(height, binning, width, binning).any(axis=(1, 3))

    def write_ignored(
        self, name: str, mask: np.ndarray, binning: int, shape: tuple[int, int], pixel_size: float
    ) -> None:
        """Write the area to ignore as a mask of the micrograph's size; none if there is no such area. mask: (h, w)
        bool, in blocks of `binning` px. shape: (h, w) of the micrograph px. pixel_size: Å."""
        path = self.folder / IGNORED / f"{name}.mrc"
        if not mask.any():
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        rows, columns = (np.minimum(np.arange(n) // binning, m - 1) for n, m in zip(shape, mask.shape))
        micrographs.write_micrograph(path, mask.astype(np.int8)[rows][:, columns], pixel_size)


def _picks(values: tuple[np.ndarray, np.ndarray] | None, certain: bool) -> list[Pick]:
    return [Pick(float(y), float(x), float(s), certain) for (y, x), s in zip(*values or ([], []))]


def _write(path: str | os.PathLike[str], picks: typing.Sequence[Pick], comment: str) -> None:
    yx = np.array([(p.y, p.x) for p in picks]).reshape(-1, 2)
    write_coordinates(
        path, yx, np.array([p.score for p in picks]), comment, **{CERTAIN: np.array([int(p.certain) for p in picks])}
    )


def notes_of_labels(folder: str | os.PathLike[str], named: typing.Iterable[tuple[str, str]]) -> list[str]:
    """A sentence if labels of a folder were made on other images than those that have their names now."""
    lists = [(name, path, Path(folder, f"{name}.star")) for name, path in named if os.path.exists(path)]
    heads = [(name, path, read_text(star).partition("\n")[0]) for name, path, star in lists if star.exists()]
    other = [name for name, path, head in heads if _MADE_ON in head and stamps.content_stamp(path) not in head]
    return say_if(
        other,
        f"The picks of {counted(len(other), 'micrograph')} in {folder} were made on other images than the given ones "
        f"of the same names: {some_names(other)}. Unless these show the same pixels (denoised, in another format), "
        "give the micrographs that were picked.",
    )


@dataclasses.dataclass(frozen=True)
class Corrections:
    """Labels of a folder of `pick-by-hand`, by micrograph; positions are (n, 2) yx in px of the micrographs. certain:
    picks that a human put, moved or confirmed. machine: picks of a machine that nobody confirmed. removed: picks of a
    machine that a human took away. masks: files of the areas to ignore. from_classes: whether 2-D classes made the
    labels: they tell of the picks alone, and nothing of missed particles. asked: whether these are answers to
    questions."""

    certain: dict[str, np.ndarray]
    machine: dict[str, np.ndarray]
    removed: dict[str, np.ndarray]
    masks: dict[str, str]
    from_classes: bool = False
    asked: bool = False

    @property
    def unseen(self) -> bool:
        """Whether the machine's picks teach nothing: nobody looked at them."""
        return self.from_classes or self.asked

    @property
    def partial(self) -> bool:
        """Whether the labels are not complete: some picks were not confirmed, or nobody looked for missed ones."""
        return self.unseen or any(len(yx) for yx in self.machine.values())

    @property
    def names(self) -> set[str]:
        """Micrographs on which something is certain."""
        return {name for part in (self.certain, self.removed) for name, yx in part.items() if len(yx)}


def is_corrected(source: str | os.PathLike[str]) -> bool:
    """Whether a folder holds picks that were corrected by hand: STAR files with the column of certainty."""
    folder = Path(source)
    return folder.is_dir() and any(
        f"\n_{CERTAIN}" in path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("*.star"))
    )


def read_corrections(folder: str | os.PathLike[str], names: typing.Iterable[str]) -> Corrections:
    """Read a folder of `pick-by-hand`. folder: with <micrograph>.star, removed/ and ignored/. names: of the
    micrographs; files of others are left alone. Raises FileNotFoundError, or ValueError for files that cannot be read,
    or a folder of something else."""
    folder, names = Path(folder), set(names)
    if not folder.is_dir():
        raise FileNotFoundError(f"The folder of corrections {folder} does not exist.")
    if not is_corrected(folder):
        raise ValueError(
            f"{folder} has no corrections: none of its STAR files has the column {CERTAIN}. Make them with `cryodl "
            "pick-by-hand --coordinates FOLDER --start-from PICKS`."
        )
    every = {
        key: (yx, _certainty(path, len(yx)))
        for path in sorted(folder.glob("*.star"))
        for key, (yx, _) in read_coordinates(path).items()
    }
    mine = {name: found for name, found in align_keys(every, names).items() if name in names}
    certain = {name: yx[sure] for name, (yx, sure) in mine.items()}
    machine = {name: yx[~sure] for name, (yx, sure) in mine.items()}
    gone = folder / REMOVED
    lists = align_keys(read_coordinates(gone), names) if any(gone.glob("*.star")) else {}
    removed = {name: yx for name, (yx, _) in lists.items() if name in names}
    masks = {path.stem: str(path) for path in sorted((folder / IGNORED).glob("*.mrc")) if path.stem in names}
    return Corrections(certain, machine, removed, masks, (folder / FROM_CLASSES).exists(), (folder / ANSWERS).exists())


def _certainty(path: Path, count: int) -> np.ndarray:
    """(n,) bool of a list of so many picks; one without the column is another program's: nothing in it is certain."""
    words = [word for table in read_tables(path).values() for word in table.get(CERTAIN, ())]
    return np.array([word != "0" for word in words], bool) if len(words) == count else np.zeros(count, bool)
