# SPDX-License-Identifier: GPL-3.0-or-later
"""State of the annotation window without the window itself: tiles, strokes, undo, saving."""

import typing

import numpy as np

from ...contract.annotations import FEATURE, NEGATIVE, POSITIVE, UNCERTAIN, WITHOUT, check_name
from ...io import files, windows
from ...io.tomograms import Tomogram
from .store import AnnotationStore
from .tiles import EMPTY, WITHOUT_IT, Sheet

AVERAGED = (1, 3, 5, 9)  # slices that are shown as one
SAMPLED, WIDTH = 7, 500  # slices, and px along their sides, that the grey values are measured in


UNDO_STEPS = 100
BRUSHES = (1, 2, 3, 4, 6, 8, 11, 15, 20, 28, 40)  # diameters, px


class Session(windows.WindowSession):
    """What one annotator draws. tomograms: list of (name, Tomogram, pixel size in Å/px); only what is shown is read.
    size: of new tiles, px. active: the chosen Sheet, or None. message: one sentence about what happened last. brush:
    diameter, px. uncertain: what is drawn now is marked as uncertain. marking: each click puts a tile without the
    feature. failed: the drawings could not be saved; the message says why."""

    def __init__(
        self,
        store: AnnotationStore,
        tomograms: typing.Sequence[tuple[str, Tomogram, float]],
        feature: str,
        annotator: str,
        size: int,
    ) -> None:
        self.size, self.brush, self.uncertain, self.marking = size, 4, False, False
        self._undo: list[typing.Any] = []
        self._stroke: typing.Any = None
        self.tomograms, self.number, self.z, self.averaged = tomograms, 0, 0, 1
        self._limits: dict[tuple[int, int], tuple[float, float]] = {}
        check_name(annotator, "annotator")
        self.store, self.annotator, self.message = store, annotator, ""
        self.active: Sheet | None = None
        self._named, self._sheets = list[str](), dict[tuple[str, str], list[Sheet]]()
        for name, tomogram, _ in tomograms:
            store.set_path(name, tomogram.path, tomogram.shape)
        self.choose_feature(feature)
        self.choose_tomogram(0)

    @property
    def name(self) -> str:
        """Name of the tomogram that is shown."""
        return self.tomograms[self.number][0]

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x) of the tomogram."""
        return self.tomograms[self.number][1].shape

    def image(self) -> np.ndarray:
        """(h, w) float32 of what is shown: the slice, or the mean of `averaged` slices around it."""
        return self._mean(self.z)

    def limits(self) -> tuple[float, float]:
        """Values shown as black and white: percentiles 1 and 99 of some slices, drawn together by the contrast."""
        key = self.number, self.averaged
        if key not in self._limits:
            low, high = np.percentile(self._sample(), (1, 99))
            self._limits[key] = float(low), float(high if high > low else low + 1)
        return self.drawn_together(*self._limits[key])

    def change_averaging(self) -> None:
        """Show the mean of the next number of slices."""
        self.averaged = AVERAGED[(AVERAGED.index(self.averaged) + 1) % len(AVERAGED)]

    def _sample(self) -> list[np.ndarray]:
        """Values of some slices; those that cannot be read are left out. Raises ValueError if that is all of them."""
        step, values = max(1, max(self.shape[1:]) // WIDTH), []
        for z in files.evenly_spaced(range(self.shape[0]), SAMPLED):
            try:
                values.append(self._mean(z)[::step, ::step])
            except ValueError as error:
                reason = error  # Python forgets `error` at the end of this block
        if not values:
            raise reason
        return values

    def _mean(self, z: int) -> np.ndarray:
        first = max(z - self.averaged // 2, 0)
        return self.tomograms[self.number][1].part((first, z + self.averaged // 2 + 1)).mean(axis=0)

    def choose_tomogram(self, number: int) -> None:
        """Show another tomogram: at its last tile of the feature, or in the middle."""
        self.number, self.active = number % len(self.tomograms), None
        sheets = self.sheets()
        self.z = self.shape[0] // 2
        if sheets:
            self.select(sheets[-1])

    def choose_slice(self, z: int) -> None:
        """Show another slice; a tile of the former one is left."""
        self.z = int(np.clip(z, 0, self.shape[0] - 1))
        if self.active is not None and self.active.z != self.z:
            self.active = None

    def choose_feature(self, name: str) -> None:
        """Go on with another feature, also a new one. Raises ValueError for a name that cannot be kept."""
        check_name(name)
        self.feature, self.active, self.message = name, None, f"Drawing {name}."
        if name not in self._named:
            self._named.append(name)

    @property
    def features(self) -> list[str]:
        """Names of all features, those without tiles last."""
        return list(dict.fromkeys(self.store.features + self._named))

    def sheets(self) -> list[Sheet]:
        """Sheets of the tomogram and the feature, in all slices."""
        key = self.name, self.feature
        if key not in self._sheets:
            self._sheets[key] = [
                Sheet(t.centre_zyx, t.size, self.store.drawing(t), t.kind == NEGATIVE, t)
                for t in self.store.tiles(self.feature, self.annotator, self.name)
                if t.path
            ]
        return self._sheets[key]

    def sheets_here(self) -> list[Sheet]:
        """Sheets of the slice that is shown."""
        return [s for s in self.sheets() if s.z == self.z]

    def counts(self) -> dict[str, tuple[int, ...]]:
        """{feature: (tiles with it, tiles without it)} of the annotator."""
        found = self.store.counts(self.annotator)
        return {f: tuple(found.get(f, {}).get(kind, 0) for kind in (POSITIVE, NEGATIVE)) for f in self.features}

    def select(self, sheet: Sheet) -> None:
        """Choose a sheet, and go to its slice."""
        self.z, self.active = sheet.z, sheet
        self.message = {
            EMPTY: "Draw the feature on this tile; the tile is saved with the first stroke.",
            WITHOUT_IT: "A tile without the feature.",
        }.get(sheet.state, "")

    def step_tile(self, step: int) -> None:
        """Go to the next or the previous tile of the tomogram."""
        sheets = sorted(self.sheets(), key=lambda s: s.centre_zyx)
        if not sheets:
            self.message = f"There is no tile of {self.feature} in {self.name}."
            return
        here = self.active.centre_zyx if self.active else (self.z, -1, -1)
        after = [s for s in sheets if (s.centre_zyx > here if step > 0 else s.centre_zyx < here)]
        self.select((after or sheets)[0 if step > 0 else -1])

    def click(self, y: float, x: float) -> None:
        """Choose the tile at a place of the slice, or put a new one there."""
        if not (-0.5 <= y < self.shape[1] - 0.5 and -0.5 <= x < self.shape[2] - 0.5):
            return
        there = [s for s in self.sheets_here() if s.contains(y, x)]
        if there and not (self.marking and there[-1].state == EMPTY):
            self.select(there[-1])
            return
        row, column = (_centre(p, self.size, n) for p, n in zip((y, x), self.shape[1:]))
        sheet = Sheet((self.z, row, column), self.size, negative=self.marking)
        self.sheets()[:] = [s for s in self.sheets() if s.state != EMPTY]
        if self.marking:
            self._save_undo(sheet)
        self.sheets().append(sheet)
        self.select(sheet)
        if self.marking:
            self._keep(sheet)

    def delete(self) -> None:
        """Take the chosen tile away."""
        if (sheet := self._chosen()) is not None:
            self._save_undo(sheet)
            self.sheets().remove(sheet)
            self.active = None
            self._keep(sheet)

    def begin(self, y: float, x: float, erase: bool = False) -> bool:
        """Begin a stroke on the chosen tile. Returns whether there is one."""
        if (sheet := self._chosen()) is None:
            return False
        self._save_undo(sheet)
        self._stroke = (y, x), WITHOUT if erase else UNCERTAIN if self.uncertain else FEATURE
        self.move(y, x)
        return True

    def move(self, y: float, x: float) -> None:
        """Go on with the stroke to a position."""
        if self._stroke is not None and self.active is not None:
            before, value = self._stroke
            self.active.paint(before, (y, x), self.brush, value)
            self._stroke = (y, x), value

    def release(self) -> None:
        """End the stroke, and save."""
        if self._stroke is not None and self.active is not None:
            self._stroke = None
            self._after_change(self.active)

    @property
    def busy(self) -> bool:
        """Whether a stroke is under way."""
        return self._stroke is not None

    def fill(self) -> None:
        """Fill the outlines on the chosen tile."""
        if (sheet := self._chosen()) is not None:
            self._save_undo(sheet)
            sheet.fill()
            self._after_change(sheet)

    def copy(self, step: int) -> None:
        """Copy the chosen tile to the next (step 1) or previous (-1) slice, and go there; one that is there stays."""
        if (sheet := self._chosen()) is None:
            return
        z = sheet.z + step
        if not 0 <= z < self.shape[0]:
            self.message = "There is no further slice."
            return
        centre = (z, sheet.centre_zyx[1], sheet.centre_zyx[2])
        target = next((s for s in self.sheets() if s.centre_zyx == centre and s.size == sheet.size), None)
        target = target or Sheet(centre, sheet.size)
        if target.state != EMPTY:
            self.select(target)
            self.message = "There is a tile already. Delete it first, to copy to this slice."
            return
        self._save_undo(target)
        target.drawing[:], target.negative = sheet.drawing, sheet.negative
        if target not in self.sheets():
            self.sheets().append(target)
        self.select(target)
        self._keep(target)

    def undo(self) -> None:
        """Take back the last change, and go where it was made."""
        if not self._undo:
            self.message = "There is nothing to undo."
            return
        self.number, self.feature, sheet, drawing, sheet.negative, present = self._undo.pop()
        sheet.drawing[:] = drawing
        others = [s for s in self.sheets() if s is not sheet]
        self.sheets()[:] = others + [sheet] if present else others
        self.z, self.active, self.message = sheet.z, sheet if present else None, "Undone."
        self._keep(sheet)

    def change_brush(self, step: int) -> None:
        """A wider brush, or a narrower one for a negative number of steps."""
        self.brush = BRUSHES[int(np.clip(BRUSHES.index(self.brush) + step, 0, len(BRUSHES) - 1))]

    def _chosen(self) -> Sheet | None:
        if self.active is None:
            self.message = "Choose or place a tile first: click on the slice."
        return self.active

    def _save_undo(self, sheet: Sheet) -> None:
        present = any(s is sheet for s in self.sheets())
        self._undo.append((self.number, self.feature, sheet, sheet.drawing.copy(), sheet.negative, present))
        del self._undo[:-UNDO_STEPS]

    def _after_change(self, sheet: Sheet) -> None:
        if (sheet.drawing == FEATURE).any():
            sheet.negative = False
        self.select(sheet)
        self._keep(sheet)

    def _keep(self, sheet: Sheet) -> None:
        """Bring the store into line with a sheet, and save it: whatever happens then, the drawing is not lost."""
        kept = any(s is sheet for s in self.sheets()) and sheet.state != EMPTY
        if kept:
            name, _, pixel_size = self.tomograms[self.number]
            tile = sheet.tile or self.store.add(
                name, pixel_size, sheet.centre_zyx, sheet.size, self.feature, self.annotator
            )
            drawn = sheet.drawing.any() or tile.drawing is not None
            sheet.tile = self.store.redraw(tile, sheet.drawing) if drawn else tile
        if not kept and sheet.tile is not None:
            self.store.remove(sheet.tile)
            sheet.tile = None
        self.save()

    def save(self) -> None:
        """Save; what hinders it becomes the message."""
        self.saved(self.store.save)


def _centre(position: float, size: int, count: int) -> int:
    low, high = size // 2, count - size + size // 2
    return int(np.clip(round(position), low, high)) if high >= low else count // 2
