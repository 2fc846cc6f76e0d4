# SPDX-License-Identifier: GPL-3.0-or-later
"""State of the picking window without the window itself: picks, ignored areas, undo, saving."""

import dataclasses
import typing

import numpy as np
from scipy.ndimage import gaussian_filter

from ...contract.frames import rescaled
from ...core.thumbnails import block_means, grey_limits
from ...io.micrographs import read_micrograph
from ...io.windows import WindowSession
from .store import HandPicks, Pick

# ----- The micrograph that is shown, reduced so that it is drawn quickly whatever its size.
SIDE = 1000  # px drawn, at most
LOW_PASS = (0, 1 / 24, 1 / 12, 1 / 6, 1 / 3)  # resolution in particle diameters; 0: none
_FIRST = 3  # of them: fine noise is gone, and particles of any kind still have their shape


class Shown(WindowSession):
    """Micrographs without their slow changes of brightness, as thicker ice makes them, and low-passed. micrographs:
    [(name, file)]. pixel_size: Å/px. diameter: of the particle, Å. number, shape: of the micrograph that is shown; (h,
    w) px. small, binning: the whole micrograph in blocks of `binning` px. low_pass: Å; 0: none. readable: False if the
    micrograph's file cannot be read. touched: names of those of which something was saved."""

    def __init__(self, micrographs: list, pixel_size: float, diameter: float) -> None:
        self.micrographs, self.pixel_size, self._diameter = micrographs, pixel_size, diameter
        self.number, self.touched = 0, set[str]()
        self._filters = [round(part * diameter, 1) for part in LOW_PASS]
        self.low_pass = self._filters[_FIRST]
        self.blank()

    def load(self, number: int) -> None:
        """Read a micrograph. Raises ValueError or OSError."""
        self.number = number
        self.full = read_micrograph(self.micrographs[number][1])
        self.shape, self.readable = self.full.shape, True
        self.small, self.binning = block_means(self.full, SIDE)
        self._slow = self._smoothed(np.nan_to_num(self.small), self._diameter / (self.pixel_size * self.binning))
        self._limits: dict[float, tuple[float, float]] = {}

    def blank(self) -> None:
        """An empty picture in place of a micrograph that cannot be read."""
        self.full = self.small = self._slow = np.zeros((16, 16), np.float32)
        self.shape, self.binning, self.readable, self._limits = (16, 16), 1, False, {}

    @property
    def name(self) -> str:
        """Name of the micrograph that is shown."""
        return self.micrographs[self.number][0]

    def saved(self, *writes: typing.Callable[[], typing.Any]) -> bool:
        """As of every session, of the micrograph that is shown."""
        return super().saved(*writes, lambda: self.touched.add(self.name))

    def inside(self, y: float, x: float) -> bool:
        """Whether a position lies in the micrograph."""
        return -0.5 <= y < self.shape[0] - 0.5 and -0.5 <= x < self.shape[1] - 0.5

    def picture(
        self, rows: tuple[float, float], columns: tuple[float, float]
    ) -> tuple[np.ndarray, tuple[float, float, float, float]]:
        """A part of the micrograph as it is drawn. rows, columns: first and last place of the part, px. Returns (h, w)
        float32 of at most SIDE px, flattened and low-passed, and its left, right, bottom and top edges in px."""
        (top, bottom), (left, right) = (
            (max(0, int(low + 0.5)), min(count, int(high + 1.5)))
            for (low, high), count in zip((rows, columns), self.shape)
        )
        if (bottom - top, right - left) == self.shape:
            part, binning = self.small, self.binning
        else:
            part, binning = block_means(self.full[top:bottom, left:right], SIDE)
        y, x = (
            np.clip((first + (np.arange(n) + 0.5) * binning) / self.binning, 0, count - 1).astype(int)
            for first, n, count in zip((top, left), part.shape, self._slow.shape)
        )
        part = self._filtered(np.nan_to_num(part) - self._slow[np.ix_(y, x)], binning)
        height, width = (n * binning for n in part.shape)
        return part, (left - 0.5, left - 0.5 + width, top - 0.5 + height, top - 0.5)

    def limits(self) -> tuple[float, float]:
        """Values shown as black and white: percentiles of the whole picture, drawn together by the contrast."""
        if self.low_pass not in self._limits:
            self._limits[self.low_pass] = grey_limits(
                self._filtered(np.nan_to_num(self.small) - self._slow, self.binning)
            )
        return self.drawn_together(*self._limits[self.low_pass])

    def change_low_pass(self, step: int) -> None:
        """The next stronger (step 1) or weaker (-1) low-pass filter."""
        self.low_pass = self._filters[int(np.clip(self._filters.index(self.low_pass) + step, 0, len(LOW_PASS) - 1))]

    def _filtered(self, image: np.ndarray, binning: int) -> np.ndarray:
        """Gaussian filter that halves the amplitude at the resolution `low_pass`."""
        return self._smoothed(image, np.sqrt(np.log(2) / 2) / np.pi * self.low_pass / (self.pixel_size * binning))

    @staticmethod
    def _smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
        return gaussian_filter(image, sigma, mode="nearest", truncate=3) if sigma > 0.2 else image


UNDO_STEPS = 60
REACH = 0.5  # particle radii within which a click means a pick that is there


class HandSession(Shown):
    """Picks of one micrograph after the other; every change is saved at once. micrographs: [(name, file)]. store: where
    the picks are kept. pixel_size, diameter: of the micrographs and the particle, Å. picks, removed: lists of Pick of
    the micrograph that is shown. ignored: (h, w) bool of the area to ignore, in blocks of `binning` px. painting:
    whether clicks paint the area to ignore. message, failed: one sentence about what happened last; whether the picks
    could not be saved."""

    def __init__(self, micrographs: list, store: HandPicks, pixel_size: float, diameter: float) -> None:
        self.store, self.painting = store, False
        self.radius = diameter / pixel_size / 2
        self.brush = 2 * self.radius
        self._undo: list[typing.Any] = []
        self._held: typing.Any = None
        Shown.__init__(self, micrographs, pixel_size, diameter)
        self.choose(0)

    # ----- where one looks
    def choose(self, number: int) -> None:
        """Show another micrograph; one that cannot be read has no picks, and one that cannot be saved is not left."""
        self._held = None
        if self.failed and not self.save(painted=True):
            return
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
        best = int(np.argmin(far)) if far else None
        return best if best is not None and far[best] <= (REACH * self.radius) ** 2 else None

    def press(self, y: float, x: float, erase: bool = False) -> None:
        """Begin an action at a position: take a pick that is there, put a new one, or paint. erase: take away what is
        there (a pick, or the area to ignore under the brush)."""
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
            pick = self.picks[self._held] = dataclasses.replace(self.picks[self._held], certain=True)
            self._grip = pick.y - y, pick.x - x

    def drag(self, y: float, x: float) -> None:
        """Go on with what `press` began, at another position."""
        if self._held in ("paint", "erase"):
            self._paint(y, x)
        elif self._held is not None and self.inside(y := y + self._grip[0], x := x + self._grip[1]):
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
        if self._undo[-1][0] != self.number:
            self.choose(self._undo[-1][0])
        if self._undo[-1][0] != self.number:  # what is shown cannot be saved
            return
        _, picks, removed, ignored = self._undo.pop()
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

    def save(self, painted: bool = False) -> bool:
        """Write the files, and tell whether; what hinders it becomes the message. painted: the area to ignore, too."""
        picks = lambda: self.store.write(self.name, self.picks, self.removed, self.micrographs[self.number][1])
        mask = lambda: self.store.write_ignored(self.name, self.ignored, self.binning, self.shape, self.pixel_size)
        return self.saved(picks, *[mask] * painted)

    # ----- parts
    def _remove(self, y: float, x: float) -> None:
        if (number := self.near(y, x)) is None:
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
        self._undo.append((self.number, list(self.picks), list(self.removed), self.ignored.copy() if mask else None))
        del self._undo[:-UNDO_STEPS]
        self.message = ""
