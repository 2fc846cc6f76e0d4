# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening the annotation window on the screen."""

import functools
import typing

from matplotlib.widgets import Slider, TextBox

from ...io.windows import KeyWindow, open_figure, show_until_closed
from .session import Session
from .view import SliceView, TileView

_WAYS_OUT = (
    "Work at the machine's screen, or over ssh -X, or draw on another computer and copy the folder of "
    "annotations; cryodl import-annotations takes drawings of other programs."
)


def show_annotation_window(session: Session, title: str) -> None:
    """Open the window for a Session, and return when it is closed. Raises ValueError if there is no screen for it."""
    show_until_closed(AnnotationWindow(open_figure(title, SIZE, "annotation window", _WAYS_OUT), session))


SIZE = 14.4, 8.8  # inches
_ZOOM = 1.25  # of one click of the wheel
PAGE = 10  # slices
BUTTONS = (
    ("w", "Mark without (w)"),
    ("u", "Uncertain (u)"),
    ("+", "Larger brush (+)"),
    ("-", "Smaller brush (-)"),
    ("f", "Fill outlines (f)"),
    ("n", "Copy to next (n)"),
    ("z", "Undo (z)"),
    ("delete", "Delete tile"),
    ("a", "Average slices (a)"),
    ("h", "Hide drawings (h)"),
)


class AnnotationWindow(KeyWindow):
    """Of a Session."""

    def __init__(self, figure: typing.Any, session: Session) -> None:
        KeyWindow.__init__(self, figure, session, HELP)
        self._shown: tuple[int, int, int, float] | None = None
        self._position = session.shape[1] // 2, session.shape[2] // 2, session.size
        self.slice_view = SliceView(figure.add_axes((0.012, 0.135, 0.53, 0.79)))
        self.tile_view = TileView(figure.add_axes((0.562, 0.44, 0.30, 0.485)))
        self.tiles = TileList(figure.add_axes((0.562, 0.095, 0.425, 0.275)))
        slices = figure.add_axes((0.06, 0.1, 0.43, 0.025))
        self.slider = Slider(slices, "Slice", 1, 2, valinit=1, valstep=1, valfmt="%d")
        self.slider.vline.set_visible(False)  # the mark of a default value, which there is none of
        self.slider.on_changed(lambda value: self.do(lambda: self.session.choose_slice(int(value) - 1)))
        self.box = TextBox(figure.add_axes((0.64, 0.385, 0.222, 0.035)), "Feature  ", session.feature)
        self.box.on_submit(self.name_feature)
        self.box.active = False  # else it draws the whole window at each click
        self.keys = self._actions()
        for row, (key, label) in enumerate(BUTTONS):
            self.add_button(key, label, (0.875, 0.885 - 0.0495 * row, 0.113, 0.04))
        self.refresh()

    def _actions(self) -> dict[str, typing.Callable[[], typing.Any]]:
        s = self.session
        slices = {"up": 1, "right": 1, "down": -1, "left": -1, "pageup": PAGE, "pagedown": -PAGE}
        go = lambda step: lambda: s.choose_slice(s.z + step)
        return {
            **{key: go(step) for key, step in slices.items()},
            "+": lambda: s.change_brush(1),
            "=": lambda: s.change_brush(1),
            "-": lambda: s.change_brush(-1),
            "u": lambda: self.toggle("uncertain"),
            "w": lambda: self.toggle("marking"),
            "f": s.fill,
            "n": lambda: s.copy(1),
            "N": lambda: s.copy(-1),
            "z": s.undo,
            "ctrl+z": s.undo,
            "delete": s.delete,
            "h": self.toggle_hidden,
            "backspace": s.delete,
            "a": s.change_averaging,
            "c": lambda: s.change_contrast(1),
            "C": lambda: s.change_contrast(-1),
            "t": lambda: s.step_tile(1),
            "T": lambda: s.step_tile(-1),
            "[": lambda: s.choose_tomogram(s.number - 1),
            "]": lambda: s.choose_tomogram(s.number + 1),
            "0": lambda: self.slice_view.zoom(1e-9, 0, 0),
        }

    def toggle(self, what: str) -> None:
        """Begin or end drawing what is 'uncertain', or 'marking' tiles without the feature; the other one ends."""
        on = not getattr(self.session, what)
        self.session.uncertain, self.session.marking = on and what == "uncertain", on and what == "marking"

    def toggle_hidden(self) -> None:
        """Hide the drawings, or show them again."""
        self.slice_view.hidden = not self.slice_view.hidden

    def name_feature(self, text: str) -> None:
        """Go on with the feature that was typed."""
        if text.strip() == self.session.feature:
            return
        try:
            self.session.choose_feature(text.strip())
        except ValueError as error:
            self.session.message = str(error)
        self.refresh()

    def press(self, event: typing.Any) -> None:
        """Choose a tile, begin a stroke, or move the picture; a click that ends the typing of a name does no more."""
        s = self.session
        if self.box.capturekeystrokes and event.inaxes is not self.box.ax:
            return self.box.stop_typing()
        if event.inaxes is self.slice_view.axes and event.button == 1:
            self.do(lambda: s.click(event.ydata, event.xdata))
        elif event.inaxes is self.slice_view.axes and event.button == 2:
            self._pan = event.xdata, event.ydata
        elif event.inaxes is self.tiles.axes:
            self.do(lambda: self.tiles.click(event.ydata))
        elif event.inaxes is self.tile_view.axes and event.button in (1, 3) and not s.busy:
            if s.begin(event.ydata, event.xdata, erase=event.button == 3):
                self.tile_view.draw_strokes(s.active)
            else:
                self.refresh()

    def motion(self, event: typing.Any) -> None:
        """Go on with what the pressed button began."""
        s, inside = self.session, event.inaxes is self.tile_view.axes
        self.box.active = event.inaxes is self.box.ax or self.box.capturekeystrokes
        if inside and s.busy:
            s.move(event.ydata, event.xdata)
        if self._pan is not None and event.inaxes is self.slice_view.axes:
            self.slice_view.move(self._pan[0] - event.xdata, self._pan[1] - event.ydata)
            self.figure.canvas.draw_idle()
        colour = "#cc4dcc" if s.uncertain else "white"
        self.tile_view.show_brush(event.xdata if inside else None, event.ydata, s.brush, colour)
        self.tile_view.draw_strokes(s.active)

    def scroll(self, event: typing.Any) -> None:
        """Go to other slices or tiles; with the control key, zoom."""
        zooms = "control" in (event.key or "") or "ctrl" in getattr(event, "modifiers", ())
        if zooms and event.inaxes is self.slice_view.axes:
            self.do(lambda: self.slice_view.zoom(_ZOOM**event.step, event.xdata, event.ydata))
        elif event.inaxes is self.tiles.axes:
            self.do(lambda: self.tiles.scroll(-3 if event.step > 0 else 3))
        elif event.inaxes in (self.slice_view.axes, self.tile_view.axes):
            self.do(lambda: self.session.choose_slice(self.session.z + (1 if event.step > 0 else -1)))

    def key(self, event: typing.Any) -> None:
        if event.key == "enter":  # else the keys after it would go on with the name
            self.box.stop_typing()
        if not self.box.capturekeystrokes:
            super().key(event)

    def refresh(self) -> None:
        s = self.session
        self._show_slice()
        if s.active is not None:
            self._position = (*s.active.centre_zyx[1:], s.active.size)
        self.slice_view.show_tiles(s)
        self.tile_view.show_tile(s.active, self._position[:2], self._position[2], self.slice_view.hidden)
        self._show_words()
        self.tiles.show(s)
        self._show_controls()
        self.figure.canvas.draw_idle()

    def _show_slice(self) -> None:
        s = self.session
        shown = s.number, s.z, s.averaged, s.contrast
        if shown == self._shown:
            return
        try:
            image, limits = s.image(), s.limits()
        except (ValueError, OSError) as error:  # the other slices, and what was drawn, are as good as before
            s.message = str(error)
            return
        self.slice_view.show_image(image, limits, whole=self._shown is None or self._shown[0] != s.number)
        self.tile_view.show_image(image, limits)
        self._shown = shown

    def _show_controls(self) -> None:
        s = self.session
        self.slider.valmax = s.shape[0]
        self.slider.ax.set_xlim(1, max(s.shape[0], 2))
        named = self.box.text if self.box.capturekeystrokes else s.feature
        widgets: tuple[tuple[typing.Any, int | str], ...] = ((self.slider, s.z + 1), (self.box, named))
        for widget, value in widgets:
            if (widget.val if widget is self.slider else widget.text) != value:
                widget.eventson = False
                widget.set_val(value)
                widget.eventson = True
        self.light(w=s.marking, u=s.uncertain, h=self.slice_view.hidden, a=s.averaged > 1)

    def _show_words(self) -> None:
        s = self.session
        mode = (
            "marking tiles WITHOUT it" if s.marking else "drawing: UNCERTAIN" if s.uncertain else "drawing the feature"
        )
        averaged = f", mean of {s.averaged} slices" if s.averaged > 1 else ""
        self.say(
            f"{s.name} ({s.number + 1} of {len(s.tomograms)}), slice {s.z + 1} of {s.shape[0]}{averaged}  |  "
            f"{s.feature} by {s.annotator}  |  {mode}  |  brush {s.brush} px",
            s.message,
            s.failed,
        )


LINES = 15
HELP = (
    "Slice: click = new tile or choose one, wheel or arrows = other slice, Ctrl + wheel = zoom, 0 = whole slice, "
    "[ ] = other tomogram, a = average slices, c C = contrast\n"
    "Tile: left button = draw, right button = erase, + - = brush, u = uncertain, f = fill outlines, n N = copy to "
    "next / previous slice, h = hide drawings, z = undo, Delete = delete tile\n"
    "w = mark tiles WITHOUT the feature, one click each;  t T = next / previous tile, wheel over the list = "
    "further tiles;  every stroke is saved at once: close the window to finish"
)


Line = tuple[str, typing.Callable[[], None] | None, bool]  # text, what a click does, whether it is the chosen one


class TileList:
    """Features with their counts, and the tiles of the one that is drawn; a click on a line goes there. Of a longer
    list a part is shown, and how many lines are above and below; the wheel and clicks there show them."""

    def __init__(self, axes: typing.Any) -> None:
        axes.set_axis_off()
        axes.set(xlim=(0, 1), ylim=(LINES, 0))
        self.axes = axes
        self._texts = [
            axes.text(0, row + 0.5, "", family="monospace", fontsize=9, va="center", clip_on=True)
            for row in range(LINES)
        ]
        self._lines, self._shown, self._first = list[Line](), list[typing.Any](), 0
        self._followed: tuple[typing.Any, ...] | None = None

    def show(self, session: Session) -> None:
        """All of a session, the chosen tile among what is seen if it was another one before."""
        lines: list[Line] = [("Features", None, False)]
        for name, counts in session.counts().items():
            choose = functools.partial(session.choose_feature, name)
            lines.append(("{}: {} with, {} without".format(name, *counts), choose, name == session.feature))
        sheets = sorted(session.sheets(), key=lambda s: s.centre_zyx)
        lines.append((f"Tiles of {session.feature} in {session.name}", None, False))
        positions = {}
        for sheet in sheets:
            z, y, x = sheet.centre_zyx
            positions[id(sheet)] = len(lines)
            words = f"slice {z + 1:4d}  x {x:5d}  y {y:5d}  {sheet.state}"
            lines.append((words, functools.partial(session.select, sheet), sheet is session.active))
        self._lines = lines
        followed = session.number, session.feature, session.active, len(sheets)
        if followed != self._followed:
            self._followed = followed
            position = positions.get(id(session.active))
            if position is not None and not self._first < position < self._first + LINES - 1:
                self._first = position - LINES // 2
        self._write()

    def scroll(self, lines: int) -> None:
        """Show what is so many lines further down."""
        self._first += lines
        self._write()

    def _write(self) -> None:
        self._first = max(0, min(self._first, len(self._lines) - LINES))
        self._shown = list(self._lines[self._first : self._first + LINES])
        below = len(self._lines) - self._first - LINES
        if self._first > 0:
            self._shown[0] = f"... {self._first + 1} more above", lambda: self.scroll(2 - LINES), False
        if below > 0:
            self._shown[-1] = f"... and {below + 1} more below", lambda: self.scroll(LINES - 2), False
        for text, line in zip(self._texts, self._shown + [("", None, False)] * LINES):
            mark = "" if line[1] is None else "> " if line[2] else "  "
            text.set(text=mark + line[0], weight="bold" if line[1] is None or line[2] else "normal")

    def click(self, y: float) -> None:
        """Do what the line at this height of the axes stands for."""
        if action := dict(enumerate(action for _, action, _ in self._shown)).get(int(y)):
            action()
