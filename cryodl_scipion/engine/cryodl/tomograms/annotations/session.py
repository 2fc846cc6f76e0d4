# SPDX-License-Identifier: GPL-3.0-or-later
"""State of the annotation window without the window itself: tiles, strokes, undo, saving."""

from __future__ import annotations

import typing

import numpy as np

from ...contract.annotations import FEATURE, UNCERTAIN, WITHOUT
from .browsing import Browser
from .sheets import EMPTY, Sheet

if typing.TYPE_CHECKING:
    from ...io.tomograms import Tomogram
    from .store import AnnotationStore

UNDO_STEPS = 100
BRUSHES = (1, 2, 3, 4, 6, 8, 11, 15, 20, 28, 40)  # diameters, px


class Session(Browser):
    """store: AnnotationStore. tomograms: list of (name, Tomogram, pixel size). size: of new tiles, px.

    brush: diameter, px. uncertain: what is drawn now is marked as uncertain. marking: each click puts a tile without
    the feature. failed: the drawings could not be saved; the message says why.
    """

    def __init__(
        self,
        store: AnnotationStore,
        tomograms: typing.Sequence[tuple[str, Tomogram, float]],
        feature: str,
        annotator: str,
        size: int,
    ) -> None:
        self.size, self.brush, self.uncertain, self.marking, self.failed = size, 4, False, False, False
        self._undo: list[typing.Any] = []
        self._stroke: typing.Any = None
        Browser.__init__(self, store, tomograms, feature, annotator)

    # ----- tiles
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
        sheet = self._chosen()
        if sheet is not None:
            self._save_undo(sheet)
            self.sheets().remove(sheet)
            self.active = None
            self._keep(sheet)

    # ----- drawing
    def begin(self, y: float, x: float, erase: bool = False) -> bool:
        """Begin a stroke on the chosen tile. Returns whether there is one."""
        sheet = self._chosen()
        if sheet is None:
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

    def end(self) -> None:
        """End the stroke, and save."""
        if self._stroke is not None and self.active is not None:
            self._stroke = None
            self._after_change(self.active)

    @property
    def drawing(self) -> bool:
        """Whether a stroke is under way."""
        return self._stroke is not None

    def fill(self) -> None:
        """Fill the outlines on the chosen tile."""
        sheet = self._chosen()
        if sheet is not None:
            self._save_undo(sheet)
            sheet.fill()
            self._after_change(sheet)

    def copy(self, step: int) -> None:
        """Copy the chosen tile with its drawing to the next (step 1) or previous (-1) slice, and go there."""
        sheet = self._chosen()
        if sheet is None:
            return
        z = sheet.z + step
        if not 0 <= z < self.shape[0]:
            self.message = "There is no further slice."
            return
        centre = (z, sheet.centre_zyx[1], sheet.centre_zyx[2])
        target = next((s for s in self.sheets() if s.centre_zyx == centre and s.size == sheet.size), None)
        target = target or Sheet(centre, sheet.size)
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

    # ----- parts
    def _chosen(self) -> Sheet | None:
        if self.active is None:
            self.message = "Choose or place a tile first: click on the slice."
        return self.active

    def _save_undo(self, sheet: Sheet) -> None:
        """Note how a sheet is, before it is changed."""
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
        try:
            self.store.save()
            self.failed = False
        except (OSError, ValueError) as error:
            self.message, self.failed = f"NOT SAVED: {error}", True


def _centre(position: float, size: int, count: int) -> int:
    """Centre of a tile around a position, moved so that the tile lies in the tomogram."""
    low, high = size // 2, count - size + size // 2
    return int(np.clip(round(position), low, high)) if high >= low else count // 2
