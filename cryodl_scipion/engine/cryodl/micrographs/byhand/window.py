# SPDX-License-Identifier: GPL-3.0-or-later
"""The window of picks: what mouse, keys and buttons do to a HandSession, and when what is drawn again."""

import typing

from matplotlib.widgets import Button

from ...io.windows import connect, move_axes, open_figure, show_until_closed, zoom_axes
from .session import HandSession
from .view import MicrographView

SIZE = 13.6, 9.4  # inches
_ON, _OFF = "#ffd27f", "0.92"  # colours of buttons
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
    "confirm all picks of this micrograph; n p = next or previous micrograph; every change is saved "
    "immediately\ngreen = confirmed, orange = automatic, red cross = removed, magenta = ignored"
)


def show_pick_window(session: HandSession, title: str) -> None:
    """Open the window, and return when it is closed. Raises ValueError if there is no screen for it."""
    figure = open_figure(title, SIZE, "window of picks", _WAYS_OUT)
    window = HandWindow(figure, session)
    show_until_closed(window.figure)


class HandWindow:
    """figure: matplotlib's, of any canvas. session: HandSession."""

    def __init__(self, figure: typing.Any, session: HandSession) -> None:
        self.figure, self.session = figure, session
        self._pan: tuple[float, float] | None = None
        self.view = MicrographView(figure.add_axes((0.012, 0.085, 0.845, 0.855)))
        self._state = figure.text(0.012, 0.978, "", fontsize=10, weight="bold", va="center")
        self._message = figure.text(0.012, 0.955, "", fontsize=10, va="center")
        figure.text(0.012, 0.008, HELP, fontsize=8.6, va="bottom", linespacing=1.4, color="0.25")
        self.keys = self._actions()
        self.buttons: dict[str, typing.Any] = {}
        for row, (key, label) in enumerate(BUTTONS):
            self.buttons[key] = Button(
                figure.add_axes((0.868, 0.9 - 0.0495 * row, 0.12, 0.04)), label, color=_OFF, hovercolor="0.85"
            )
            self.buttons[key].label.set_fontsize(9)
            self.buttons[key].on_clicked(lambda event, key=key: self.do(self.keys[key]))
        connect(figure, self)
        self.refresh()

    def _actions(self) -> dict[str, typing.Callable[[], typing.Any]]:
        """{key: function}"""
        s = self.session
        keys = {key: lambda: s.choose(s.number + 1) for key in ("right", "n", "pagedown")}
        keys.update({key: lambda: s.choose(s.number - 1) for key in ("left", "p", "pageup")})
        keys.update({key: s.undo for key in ("z", "u", "ctrl+z")})
        keys.update({key: lambda: s.change_brush(1) for key in ("+", "=")})
        keys.update(
            {
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
        )
        return keys

    # ----- what happens
    def do(self, action: typing.Callable[[], typing.Any]) -> None:
        """Do something that may change everything that is shown; an action under way is ended first."""
        if not self.session.busy:
            action()
            self.refresh()

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

    def release(self, event: typing.Any) -> None:
        """End what the pressed button began."""
        self._pan = None
        if self.session.busy:
            self.session.release()
            self.refresh()

    def scroll(self, event: typing.Any) -> None:
        """Zoom around the mouse."""
        if event.inaxes is self.view.axes:
            self.do(lambda: zoom_axes(self.view.axes, self.session.shape, _ZOOM**event.step, event.xdata, event.ydata))

    def key(self, event: typing.Any) -> None:
        """Do what the key stands for; x removes the pick under the mouse."""
        if event.key == "x" and event.inaxes is self.view.axes:
            self.do(lambda: self.session.remove(event.ydata, event.xdata))
        elif event.key in self.keys:
            self.do(self.keys[event.key])

    # ----- drawing
    def refresh(self) -> None:
        """Bring all that is shown into line with the session."""
        s = self.session
        self.view.show_image(s)
        self.view.show_picks(s)
        certain = sum(p.certain for p in s.picks)
        painting = f"  |  painting areas to ignore, brush {s.brush * s.pixel_size:.0f} Å" if s.painting else ""
        low_pass = f"  |  low-pass {s.low_pass} Å" if s.low_pass else ""
        self._state.set_text(
            f"{s.name} ({s.number + 1} of {len(s.micrographs)})  |  {len(s.picks)} picks, {certain} of them "
            f"confirmed, {len(s.removed)} removed{painting}{low_pass}"
        )
        self._message.set_text(s.message)
        self._message.set_color("#c00000" if s.failed or not s.readable else "#00507a")
        for key, on in (("i", s.painting), ("h", self.view.hidden), ("l", s.low_pass > 0)):
            self.buttons[key].color = _ON if on else _OFF
            self.buttons[key].ax.set_facecolor(_ON if on else _OFF)
        self.figure.canvas.draw_idle()
