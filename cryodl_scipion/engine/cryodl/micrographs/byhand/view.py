# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a micrograph with its picks. While one is moved, only the picks are drawn anew (blitting)."""

from __future__ import annotations

import typing

import numpy as np
from matplotlib.collections import EllipseCollection

from ...io.plots import scale_bar

if typing.TYPE_CHECKING:
    from .session import HandSession

CERTAIN, MACHINE, REMOVED, IGNORED = "#19e57b", "#e69f00", "#ff3030", (0.80, 0.30, 0.80, 0.40)


class MicrographView:
    """axes: matplotlib's."""

    def __init__(self, axes: typing.Any) -> None:
        self.axes, self.hidden = axes, False
        self._image: typing.Any = None
        self._background: typing.Any = None
        self._shown: tuple[typing.Any, ...] | None = None
        self._micrograph: np.ndarray | None = None
        self._picks, self._bar = list[typing.Any](), list[typing.Any]()
        axes.set_axis_off()
        axes.figure.canvas.mpl_connect("draw_event", self._after_draw)

    def toggle(self) -> None:
        """Hide the picks, or show them again."""
        self.hidden = not self.hidden

    def show_image(self, session: HandSession) -> None:
        """The part of the session's micrograph that the axes' limits say, or another micrograph as a whole."""
        s = session
        if self._micrograph is not s.full:
            self._micrograph = s.full
            if self._image is None:
                self._image = self.axes.imshow(s.small, cmap="gray", interpolation="nearest")
                self._tint = self.axes.imshow(np.zeros((2, 2, 4)), interpolation="nearest", animated=True)
                self.axes.set_autoscale_on(False)
            self.axes.set_xlim(-0.5, s.shape[1] - 0.5)
            self.axes.set_ylim(s.shape[0] - 0.5, -0.5)
        columns, rows = sorted(self.axes.get_xlim()), sorted(self.axes.get_ylim())
        shown = s.number, s.low_pass, *columns, *rows
        if shown != self._shown:
            self._shown = shown
            part, extent = s.picture(tuple(rows), tuple(columns))
            self._image.set_data(part)
            self._image.set_extent(extent)
            self.axes.set_xlim(*columns)
            self.axes.set_ylim(*rows[::-1])
            self._show_bar(s.pixel_size)
        self._image.set_clim(*s.limits())

    def show_picks(self, session: HandSession) -> None:
        """Circles, crosses and the area to ignore."""
        s, size = session, 2 * session.radius
        self._picks = []
        for certain, colour in ((False, MACHINE), (True, CERTAIN)):
            xy = [(p.x, p.y) for p in s.picks if p.certain == certain]
            if xy:
                self._picks.append(self._circles(xy, size, colour))
        if s.removed:
            self._picks.append(self._crosses([(p.x, p.y) for p in s.removed]))
        tint = np.zeros((*s.ignored.shape, 4), np.float32)
        tint[s.ignored] = IGNORED
        self._tint.set_data(tint)
        height, width = (n * s.binning for n in s.ignored.shape)
        self._tint.set_extent((-0.5, width - 0.5, height - 0.5, -0.5))

    def draw_moving(self) -> None:
        """Draw the picks again, and nothing else."""
        if self._background is not None:
            canvas = self.axes.figure.canvas
            canvas.restore_region(self._background)
            self._draw_picks()
            canvas.blit(self.axes.bbox)

    def drawn(self) -> list[tuple[float, float]]:
        """(x, y) of the circles that are shown."""
        return [tuple(o) for c in self._picks if isinstance(c, EllipseCollection) for o in np.asarray(c.get_offsets())]

    def _circles(self, xy: typing.Sequence[tuple[float, float]], size: float, colour: str) -> typing.Any:
        across = np.full(len(xy), size)
        circles = EllipseCollection(
            across, across, 0 * across, units="xy", offsets=xy, offset_transform=self.axes.transData, animated=True
        )
        circles.set(facecolor="none", edgecolor=colour, linewidth=1.5)
        return self._placed(circles)

    def _crosses(self, xy: typing.Sequence[tuple[float, float]]) -> typing.Any:
        from matplotlib.lines import Line2D

        x, y = zip(*xy)
        line = Line2D(x, y, linestyle="none", marker="x", markersize=9, color=REMOVED, animated=True)
        line.set_transform(self.axes.transData)
        return self._placed(line)

    def _placed(self, artist: typing.Any) -> typing.Any:
        """The artist belongs to the figure, but is drawn by this class alone."""
        artist.set_figure(self.axes.figure)
        artist.axes = self.axes
        artist.set_clip_path(self.axes.patch)
        return artist

    def _show_bar(self, pixel_size: float) -> None:
        for artist in self._bar:
            artist.remove()
        before = set(self.axes.lines) | set(self.axes.texts)
        scale_bar(self.axes, pixel_size)
        self._bar = [a for a in (*self.axes.lines, *self.axes.texts) if a not in before]

    def _after_draw(self, event: typing.Any) -> None:
        self._background = self.axes.figure.canvas.copy_from_bbox(self.axes.bbox)
        self._draw_picks()

    def _draw_picks(self) -> None:
        if not self.hidden:
            for artist in (self._tint, *self._picks):
                self.axes.draw_artist(artist)
