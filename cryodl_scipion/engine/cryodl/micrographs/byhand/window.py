# SPDX-License-Identifier: GPL-3.0-or-later
"""The window of picks: what mouse, keys and buttons do to a HandSession, and when what is drawn again."""

import typing

import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.lines import Line2D

from ...io.plots import scale_bar
from ...io.windows import KeyWindow, MovingPicture, move_axes, open_figure, show_until_closed, zoom_axes
from .session import HandSession

SIZE = 13.6, 9.4  # inches
_ZOOM = 1.25  # of one click of the wheel
_WAYS_OUT = (
    "Work at the machine's screen, or over ssh -X; coordinates of other programs (.star, .box, Topaz .txt) can also "
    "be used as labels."
)
BUTTONS = (
    ("right", "Next (n)"),
    ("left", "Previous (p)"),
    ("k", "Confirm all (k)"),
    ("i", "Ignore area (i)"),
    ("+", "Larger brush (+)"),
    ("-", "Smaller brush (-)"),
    ("z", "Undo (u)"),
    ("c", "More contrast (c)"),
    ("C", "Less contrast (C)"),
    ("l", "Low-pass (l)"),
    ("L", "Less low-pass (L)"),
    ("h", "Hide picks (h)"),
    ("0", "Whole (0)"),
)
HELP = (
    "Left click = add a pick, or confirm the one there; drag = move it; right click or x = remove; wheel = zoom, "
    "middle button = move the picture\ni = paint areas to ignore (left) and erase them (right), + - = brush; k = "
    "confirm all picks of this micrograph; n p = next or previous micrograph; every change is saved at "
    "once: close the window to finish\ngreen = confirmed, orange = automatic, red cross = removed, magenta = ignored"
)


def show_pick_window(session: HandSession, title: str) -> None:
    """Open the window, and return when it is closed. Raises ValueError if there is no screen for it."""
    show_until_closed(HandWindow(open_figure(title, SIZE, "window of picks", _WAYS_OUT), session))


class HandWindow(KeyWindow):
    """Of a HandSession."""

    def __init__(self, figure: typing.Any, session: HandSession) -> None:
        KeyWindow.__init__(self, figure, session, HELP)
        self.view = MicrographView(figure.add_axes((0.012, 0.085, 0.845, 0.855)))
        self.keys = self._actions()
        for row, (key, label) in enumerate(BUTTONS):
            self.add_button(key, label, (0.868, 0.9 - 0.0495 * row, 0.12, 0.04))
        self.refresh()

    def _actions(self) -> dict[str, typing.Callable[[], typing.Any]]:
        s = self.session
        return {
            **dict.fromkeys(("right", "n", "pagedown"), lambda: s.choose(s.number + 1)),
            **dict.fromkeys(("left", "p", "pageup"), lambda: s.choose(s.number - 1)),
            **dict.fromkeys(("z", "u", "ctrl+z"), s.undo),
            **dict.fromkeys(("+", "="), lambda: s.change_brush(1)),
            "-": lambda: s.change_brush(-1),
            "k": s.confirm,
            "i": s.toggle_painting,
            "c": lambda: s.change_contrast(1),
            "C": lambda: s.change_contrast(-1),
            "l": lambda: s.change_low_pass(1),
            "L": lambda: s.change_low_pass(-1),
            "h": self.view.toggle,
            "0": lambda: zoom_axes(self.view.axes, s.shape, 1e-9, 0, 0),
        }

    # ----- what happens
    def press(self, event: typing.Any) -> None:
        """Begin a pick, a stroke, or a move of the picture."""
        if event.inaxes is not self.view.axes or self.session.busy:
            return
        if event.button == 2:
            self._pan = event.xdata, event.ydata
        elif event.button in (1, 3):
            self.session.press(event.ydata, event.xdata, erase=event.button == 3)
            self.refresh()

    def motion(self, event: typing.Any) -> None:
        """Go on with what the pressed button began."""
        if event.inaxes is not self.view.axes:
            return
        if self._pan is not None:
            move_axes(self.view.axes, self.session.shape, self._pan[0] - event.xdata, self._pan[1] - event.ydata)
            self.refresh()
        elif self.session.busy:
            self.session.drag(event.ydata, event.xdata)
            self.view.show_picks(self.session)
            self.view.draw_moving()

    def scroll(self, event: typing.Any) -> None:
        """Zoom around the mouse."""
        if event.inaxes is self.view.axes:
            self.do(lambda: zoom_axes(self.view.axes, self.session.shape, _ZOOM**event.step, event.xdata, event.ydata))

    def key(self, event: typing.Any) -> None:
        """Do what the key stands for; x removes the pick under the mouse."""
        if event.key == "x" and event.inaxes is self.view.axes:
            self.do(lambda: self.session.remove(event.ydata, event.xdata))
        else:
            super().key(event)

    # ----- drawing
    def refresh(self) -> None:
        """Bring all that is shown into line with the session."""
        s = self.session
        self.view.show_image(s)
        self.view.show_picks(s)
        certain = sum(p.certain for p in s.picks)
        painting = f"  |  painting areas to ignore, brush {s.brush * s.pixel_size:.0f} Å" if s.painting else ""
        low_pass = f"  |  low-pass {s.low_pass:g} Å" if s.low_pass else ""
        self.say(
            f"{s.name} ({s.number + 1} of {len(s.micrographs)})  |  {len(s.picks)} picks, {certain} of them "
            f"confirmed, {len(s.removed)} removed{painting}{low_pass}",
            s.message,
            s.failed or not s.readable,
        )
        self.light(i=s.painting, h=self.view.hidden, l=s.low_pass > 0)
        self.figure.canvas.draw_idle()


# ----- The picture of a micrograph with its picks. While one is moved, only the picks are drawn anew (blitting).
CERTAIN, MACHINE, REMOVED, IGNORED = "#19e57b", "#e69f00", "#ff3030", (0.80, 0.30, 0.80, 0.40)


class MicrographView(MovingPicture):
    """axes: matplotlib's."""

    def __init__(self, axes: typing.Any) -> None:
        MovingPicture.__init__(self, axes)
        self.hidden = False
        self._image: typing.Any = None
        self._shown: tuple[typing.Any, ...] | None = None
        self._micrograph: np.ndarray | None = None
        self._picks, self._bar = list[typing.Any](), list[typing.Any]()
        axes.set_axis_off()

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
            self.axes.set(xlim=(-0.5, s.shape[1] - 0.5), ylim=(s.shape[0] - 0.5, -0.5))
        columns, rows = sorted(self.axes.get_xlim()), sorted(self.axes.get_ylim())
        shown = s.number, s.low_pass, *columns, *rows
        if shown != self._shown:
            self._shown = shown
            part, extent = s.picture(tuple(rows), tuple(columns))
            self._image.set(data=part, extent=extent)
            self.axes.set(xlim=columns, ylim=rows[::-1])
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
        height, width = (n * s.binning for n in s.ignored.shape)
        self._tint.set(data=tint, extent=(-0.5, width - 0.5, height - 0.5, -0.5))

    def moving(self) -> typing.Iterable[typing.Any]:
        """The area to ignore and the picks, unless they are hidden."""
        return () if self.hidden else (self._tint, *self._picks)

    def _circles(self, xy: typing.Sequence[tuple[float, float]], size: float, colour: str) -> typing.Any:
        across = np.full(len(xy), size)
        circles = EllipseCollection(
            across, across, 0 * across, units="xy", offsets=xy, offset_transform=self.axes.transData, animated=True
        )
        circles.set(facecolor="none", edgecolor=colour, linewidth=1.5)
        return self._placed(circles)

    def _crosses(self, xy: typing.Sequence[tuple[float, float]]) -> typing.Any:
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
