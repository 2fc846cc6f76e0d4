# SPDX-License-Identifier: GPL-3.0-or-later
"""The two pictures of the annotation window: the slice with its tiles, and the tile that is drawn on, enlarged. The
first row is at the bottom (contract/frames.py)."""

import typing

import numpy as np
from matplotlib.patches import Circle, Rectangle

from ...contract.annotations import FEATURE, UNCERTAIN, Tile
from ...io.windows import MovingPicture, move_axes, zoom_axes
from .session import Session
from .tiles import EMPTY, WITH, WITHOUT_IT, Sheet

# Distinguishable by the colour-blind (Okabe and Ito).
COLOURS = {WITH: "#e69f00", WITHOUT_IT: "#56b4e9", EMPTY: "white"}
_FEATURE_RGBA, _UNCERTAIN_RGBA = (0.90, 0.62, 0.0, 0.45), (0.80, 0.30, 0.80, 0.45)
SURROUNDINGS = 0.35  # of a tile that is shown beside it, part of its side
CHOSEN_WIDTH, WIDTH = 2.4, 1.2  # of a tile's frame, points


def tinted(drawing: np.ndarray) -> np.ndarray:
    """(h, w, 4) colours of a drawing, transparent where nothing is drawn."""
    colours = np.zeros(drawing.shape + (4,), np.float32)
    colours[drawing == FEATURE], colours[drawing == UNCERTAIN] = _FEATURE_RGBA, _UNCERTAIN_RGBA
    return colours


class SliceView:
    """The whole slice, or a part of it."""

    def __init__(self, axes: typing.Any) -> None:
        self.axes, self.hidden = axes, False
        self._image: typing.Any = None
        self._drawn: list[typing.Any] = []
        axes.set_axis_off()

    def show_image(self, image: np.ndarray, limits: tuple[float, float], whole: bool) -> None:
        """image: (h, w). limits: values of black and white. whole: forget the part that was looked at."""
        if self._image is None or whole:
            self.axes.clear()
            self.axes.set_axis_off()
            self._drawn = []
            self._image = self.axes.imshow(image, cmap="gray", interpolation="nearest", origin="lower")
            self.axes.autoscale(False)  # pictures of tiles must not change what is looked at
        self._image.set(data=image, clim=limits)

    def show_tiles(self, session: Session) -> None:
        """Frames and drawings of the tiles in the slice; thin frames of other features' tiles."""
        for artist in self._drawn:
            artist.remove()
        there = session.store.tiles(annotator=session.annotator, tomogram=session.name)
        others = [t for t in there if t.feature != session.feature and t.path and t.centre_zyx[0] == session.z]
        self._drawn = [self._frame(tile, "0.7", 0.7, ":") for tile in others]
        for sheet in session.sheets_here():
            chosen = sheet is session.active
            style = "--" if sheet.state == EMPTY else "-"
            self._drawn.append(self._frame(sheet, COLOURS[sheet.state], CHOSEN_WIDTH if chosen else WIDTH, style))
            if sheet.drawing.any() and not self.hidden:
                self._drawn.append(
                    self.axes.imshow(
                        tinted(sheet.drawing), extent=extent_of(sheet), origin="lower", interpolation="nearest"
                    )
                )

    def zoom(self, factor: float, x: float, y: float) -> None:
        """Enlarge around a position, out to the whole slice at most."""
        if self._image is not None:
            zoom_axes(self.axes, self._image.get_size(), factor, x, y)

    def move(self, x: float, y: float) -> None:
        """Look at another part, x and y px further, not beyond the slice."""
        if self._image is not None:
            move_axes(self.axes, self._image.get_size(), x, y)

    def _frame(self, tile: Tile | Sheet, colour: str, width: float, style: str) -> typing.Any:
        row, column = tile.corner_yx
        return self.axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5),
                tile.size,
                tile.size,
                fill=False,
                edgecolor=colour,
                linewidth=width,
                linestyle=style,
            )
        )


class TileView(MovingPicture):
    """The chosen tile with what is around it. While a stroke goes on, only this picture is drawn anew (blitting)."""

    def __init__(self, axes: typing.Any) -> None:
        MovingPicture.__init__(self, axes)
        axes.set(xticks=[], yticks=[])
        self._image = axes.imshow(np.zeros((2, 2)), cmap="gray", interpolation="nearest", origin="lower")
        self._tint = axes.imshow(
            np.zeros((2, 2, 4)), interpolation="nearest", origin="lower", animated=True, visible=False
        )
        self._brush = axes.add_patch(Circle((0, 0), 1, fill=False, edgecolor="white", animated=True, visible=False))
        self._frame = axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, linewidth=CHOSEN_WIDTH, visible=False))
        self._words = axes.text(
            0.5,
            0.03,
            "Click on the slice to place a tile",
            transform=axes.transAxes,
            ha="center",
            color="white",
            fontsize=11,
            visible=False,
            bbox=dict(facecolor="0.25", edgecolor="none"),
        )
        axes.set_facecolor("0.5")

    def show_image(self, image: np.ndarray, limits: tuple[float, float]) -> None:
        """Show a slice (h, w) between two limits of its values."""
        height, width = image.shape
        self._image.set(data=image, extent=(-0.5, width - 0.5, -0.5, height - 0.5), clim=limits)

    def show_tile(self, sheet: Sheet | None, centre_yx: tuple[float, float], size: int, hidden: bool) -> None:
        """sheet: the chosen one, or None: then the position where one was is shown without it. hidden: no drawing."""
        half = size * (0.5 + SURROUNDINGS)
        self.axes.set(xlim=(centre_yx[1] - half, centre_yx[1] + half), ylim=(centre_yx[0] - half, centre_yx[0] + half))
        for artist in (self._frame, self._tint):
            artist.set_visible(sheet is not None)
        self._words.set_visible(sheet is None)
        if sheet is not None:
            row, column = sheet.corner_yx
            self._frame.set(bounds=(column - 0.5, row - 0.5, sheet.size, sheet.size), edgecolor=COLOURS[sheet.state])
            self._tint.set(extent=extent_of(sheet), data=tinted(sheet.drawing), visible=not hidden)

    def show_brush(self, x: float | None, y: float, diameter: float, colour: str) -> None:
        """The brush under the pointer; x None: nowhere."""
        self._brush.set_visible(x is not None)
        if x is not None:
            self._brush.set(center=(x, y), radius=diameter / 2, edgecolor=colour)

    def draw_strokes(self, sheet: Sheet | None) -> None:
        """Draw again what changes while the pointer moves, and nothing else."""
        if sheet is not None:
            self._tint.set_data(tinted(sheet.drawing))
        self.draw_moving()

    def moving(self) -> typing.Iterable[typing.Any]:
        return self._tint, self._brush


def extent_of(tile: Tile | Sheet) -> tuple[float, float, float, float]:
    """Left, right, bottom, top of a tile's pixels, for imshow."""
    row, column = tile.corner_yx
    return column - 0.5, column + tile.size - 0.5, row - 0.5, row + tile.size - 0.5
