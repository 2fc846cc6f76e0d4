# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hand can do with a picture in a window: zoom, move, contrast, hide what is drawn; and its scale bar."""

import tkinter as tk
from tkinter import ttk
from typing import Any, List, Tuple

from matplotlib import patheffects

from .plots import view

_ZOOM = 1.25  # of one click of the mouse wheel
_CONTRAST = 1.3  # of one press of the key
_DRAG = 4  # px of the screen; less is a click
_BAR = "scale bar"  # name of the bar among what is drawn
HINT = "Wheel: zoom. Drag: move. 0: whole image. c, C: contrast. h: hide overlays."


def barLength(width: float) -> float:
    """Å of a scale bar: 1, 2 or 5 times a power of ten, at most a third of the width (Å)."""
    lengths = [factor * 10.0**power for power in range(-1, 6) for factor in (1, 2, 5)]
    return max((length for length in lengths if length <= width / 3), default=width / 3)


def drawBar(axes: Any, pixelSize: float) -> None:
    """A scale bar in the lower right corner of what is seen; replaces that of an earlier call. pixelSize: Å/px."""
    for old in [artist for artist in (*axes.lines, *axes.texts) if artist.get_gid() == _BAR]:
        old.remove()
    seen = abs(axes.get_xlim()[1] - axes.get_xlim()[0]) * pixelSize
    length = barLength(seen)
    edge = [patheffects.withStroke(linewidth=3, foreground="black")]  # seen on any grey
    ends, style = (0.97 - length / seen, 0.97), dict(transform=axes.transAxes, path_effects=edge, gid=_BAR, zorder=5)
    axes.plot(ends, (0.035, 0.035), color="white", linewidth=3, **style)
    axes.text(sum(ends) / 2, 0.05, f"{length:g} Å", color="white", ha="center", va="bottom", fontsize=11, **style)


class Looking:
    """Beside MicrographWindow, whose canvas, axes and preview it takes."""

    _HINT = HINT
    _PAN_BUTTONS: Tuple[int, ...] = (1, 2)  # of the mouse: left, middle

    root: Any
    _canvas: Any
    _axes: Any
    _preview: Any
    _pixelSize: Any = None  # Å/px of the picture; None: no scale bar
    _hidden, _contrast, _held = False, 1.0, None

    def _addHand(self) -> None:
        """Listen to mouse and keys."""
        for event, listener in (
            ("scroll_event", self._scroll),
            ("button_press_event", self._press),
            ("motion_notify_event", self._drag),
            ("button_release_event", self._release),
        ):
            self._canvas.mpl_connect(event, listener)
        for key, function in (("c", self._more), ("C", self._less), ("h", self._hide), ("0", self._whole)):
            self.root.bind(f"<KeyPress-{key}>", lambda event, function=function: self._key(event, function))

    def _key(self, event: Any, function: Any) -> None:
        """Do what a key means, unless it is typed into a box."""
        typed = isinstance(event.widget, (tk.Entry, ttk.Entry, tk.Text))
        if not typed and self._preview is not None:
            function()
            self._canvas.draw_idle()

    # ----- zoom and move
    def _scroll(self, event: Any) -> None:
        """The mouse wheel zooms around the pointer, out to the whole micrograph."""
        if event.inaxes is not self._axes or self._preview is None:
            return
        self._zoom((event.xdata, event.ydata), self._span() * (_ZOOM if event.button == "down" else 1 / _ZOOM))
        self._seen()

    def _press(self, event: Any) -> None:
        if event.button in self._PAN_BUTTONS and event.inaxes is self._axes and self._preview is not None:
            self._held = event.x, event.y, self._middle()

    def _drag(self, event: Any) -> None:
        if self._held is None or max(abs(event.x - self._held[0]), abs(event.y - self._held[1])) < _DRAG:
            return
        x, y, middle = self._held
        perPixel = self._span() / self._axes.get_window_extent().width
        down = -1 if self._axes.yaxis_inverted() else 1
        self._zoom((middle[0] - (event.x - x) * perPixel, middle[1] - down * (event.y - y) * perPixel), self._span())
        self._seen()

    def _release(self, event: Any) -> None:
        self._held = None

    def _middle(self) -> Any:
        """(x, y) in the middle of what is seen."""
        return tuple(sum(limits) / 2 for limits in (self._axes.get_xlim(), self._axes.get_ylim()))

    def _whole(self) -> None:
        self._zoom(self._middle(), max(self._preview.width, self._preview.height))
        self._seen()

    def _zoom(self, centre: Any, span: Any) -> None:
        view(self._axes, self._preview, centre, span)

    def _span(self) -> Any:
        """Px of the micrograph from left to right."""
        left, right = self._axes.get_xlim()
        return right - left

    def _seen(self) -> None:
        """Draw what depends on the part that is seen."""
        if self._pixelSize and self._axes is not None:
            drawBar(self._axes, self._pixelSize)
        self._canvas.draw_idle()

    # ----- contrast, and what is drawn
    def _pictures(self) -> List[Any]:
        """The pictures whose contrast is changed; what lies over them is not."""
        return self._axes.images[:1]

    def _more(self) -> None:
        self._setContrast(self._contrast * _CONTRAST)

    def _less(self) -> None:
        self._setContrast(self._contrast / _CONTRAST)

    def _setContrast(self, contrast: float) -> None:
        """1: as the picture was read; greater: fewer greys."""
        self._contrast = contrast
        for picture in self._pictures():
            picture.set_clim(0.5 - 0.5 / contrast, 0.5 + 0.5 / contrast)

    def _hide(self) -> None:
        self._hidden = not self._hidden
        self._showDrawn()

    def _showDrawn(self) -> None:
        """Hide or show all that is drawn on the picture."""
        axes = self._axes
        drawn = [*axes.collections, *axes.patches, *axes.lines, *axes.texts, *axes.images[1:]]
        for artist in drawn + ([axes.get_legend()] if axes.get_legend() else []):
            if artist.get_gid() != _BAR:
                artist.set_visible(not self._hidden)
