# SPDX-License-Identifier: GPL-3.0-or-later
"""State of the picking window without the window itself: picks, ignored areas, undo, saving."""

import dataclasses
import typing

import numpy as np

from ...contract.frames import rescaled
from .shown import Shown
from .store import HandPicks, Pick

UNDO_STEPS = 60
REACH = 0.5  # particle radii within which a click means a pick that is there


class HandSession(Shown):
    """Picks of one micrograph after the other; every change is saved at once.

    Parameters
    ----------
    micrographs
        List of (name, file).
    store
        Where the picks are kept.
    pixel_size, diameter
        Of the micrographs and the particle, in Å.

    Attributes
    ----------
    picks, removed
        Lists of Pick of the micrograph that is shown.
    ignored
        (h, w) bool of the area to ignore, in blocks of `binning` px.
    painting
        Whether clicks paint the area to ignore.
    message, failed
        One sentence about what happened last; whether the picks could not be saved.
    """

    def __init__(self, micrographs: list, store: HandPicks, pixel_size: float, diameter: float) -> None:
        self.store, self.painting, self.message, self.failed = store, False, "", False
        self.radius, self.touched = diameter / pixel_size / 2, set[str]()
        self.brush = 2 * self.radius
        self._undo: list[typing.Any] = []
        self._held: typing.Any = None
        Shown.__init__(self, micrographs, pixel_size)
        self.choose(0)

    # ----- where one looks
    def choose(self, number: int) -> None:
        """Show another micrograph. One that cannot be read is said, and has no picks to change."""
        self._held = None
        self.message = ""
        try:
            self.load(number % len(self.micrographs))
            self.picks, self.removed = self.store.read(self.name)
            self.ignored = self.store.read_ignored(self.name, self.binning, self.small.shape)
        except (ValueError, OSError) as error:
            self.blank()
            self.picks, self.removed, self.ignored = [], [], np.zeros(self.small.shape, bool)
            self.message = str(error)

    # ----- picks
    def near(self, y: float, x: float) -> int | None:
        """Number of the pick that a click at a position means, None if there is none."""
        far = [(p.y - y) ** 2 + (p.x - x) ** 2 for p in self.picks]
        if not far:
            return None
        best = int(np.argmin(far))
        return best if far[best] <= (REACH * self.radius) ** 2 else None

    def press(self, y: float, x: float, erase: bool = False) -> None:
        """Begin an action at a position: take a pick that is there, put a new one, or paint.

        Parameters
        ----------
        erase
            Take away what is there (a pick, or the area to ignore under the brush).
        """
        if not self.readable or not self.inside(y, x):
            return
        self._save_undo(mask=self.painting)
        if self.painting:
            self._held = "erase" if erase else "paint"
            self._paint(y, x)
        elif erase:
            self._remove(y, x)
        else:
            self._held = self.near(y, x)
            if self._held is None:
                self._held = len(self.picks)
                self.picks.append(Pick(y, x))
            else:
                self.picks[self._held] = dataclasses.replace(self.picks[self._held], certain=True)

    def drag(self, y: float, x: float) -> None:
        """Go on with what `press` began, at another position."""
        if self._held in ("paint", "erase"):
            self._paint(y, x)
        elif self._held is not None and self.inside(y, x):
            self.picks[self._held] = Pick(y, x, self.picks[self._held].score)

    def release(self) -> None:
        """End the action, and save."""
        if self._held is not None:
            painted = isinstance(self._held, str)
            self._held = None
            self.save(painted)

    @property
    def busy(self) -> bool:
        """Whether an action is under way."""
        return self._held is not None

    def remove(self, y: float, x: float) -> None:
        """Take away the pick at a position, and save."""
        if self.readable:
            self._save_undo()
            self._remove(y, x)

    def confirm(self) -> None:
        """All picks of the micrograph are right, also if there are none; saved."""
        if self.readable:
            self._save_undo()
            self.picks = [dataclasses.replace(p, certain=True) for p in self.picks]
            self.message = f"All {len(self.picks)} picks are confirmed."
            self.save()

    def undo(self) -> None:
        """Take back the last change, and go where it was made."""
        if not self._undo:
            self.message = "There is nothing to undo."
            return
        number, picks, removed, ignored = self._undo.pop()
        if number != self.number:
            self.choose(number)
        self.picks, self.removed, self.message = picks, removed, "Undone."
        if ignored is not None:
            self.ignored = ignored
        self.save(ignored is not None)

    def toggle_painting(self) -> None:
        """Begin or end painting areas to ignore."""
        self.painting = not self.painting

    def change_brush(self, step: int) -> None:
        """Larger or smaller brush of the area to ignore, by a quarter for each step."""
        self.brush = float(np.clip(self.brush * 1.25**step, self.binning, max(self.shape)))

    def save(self, painted: bool = False) -> None:
        """Write the micrograph's files; what hinders it becomes the message. painted: the area to ignore, too."""
        try:
            self.store.write(self.name, self.picks, self.removed)
            if painted:
                self.store.write_ignored(self.name, self.ignored, self.binning, self.shape, self.pixel_size)
            self.failed = False
            self.touched.add(self.name)
        except OSError as error:
            self.message, self.failed = f"NOT SAVED: {error}", True

    # ----- parts
    def _remove(self, y: float, x: float) -> None:
        number = self.near(y, x)
        if number is None:
            self._undo.pop()
            self.message = "There is no pick to remove at this position."
            return
        pick = self.picks.pop(number)
        if not (pick.certain and pick.score == 1.0):  # what a human put himself was a slip, no example of a wrong pick
            self.removed.append(dataclasses.replace(pick, certain=True))
        self.message = ""
        self.save()

    def _paint(self, y: float, x: float) -> None:
        half = max(self.brush / 2 / self.binning, 0.5)
        row, column = rescaled(y, 1 / self.binning), rescaled(x, 1 / self.binning)
        rows, columns = np.ogrid[: self.ignored.shape[0], : self.ignored.shape[1]]
        self.ignored[(rows - row) ** 2 + (columns - column) ** 2 <= half**2] = self._held == "paint"

    def _save_undo(self, mask: bool = False) -> None:
        """Note how the micrograph is, before it is changed. mask: the area to ignore, too."""
        ignored = self.ignored.copy() if mask else None
        self._undo.append((self.number, list(self.picks), list(self.removed), ignored))
        del self._undo[:-UNDO_STEPS]
        self.message = ""
