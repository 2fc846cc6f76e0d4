# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of the engine's own: opening them on the screen, and what their pictures have in common."""

import os
import sys
import typing

import numpy as np
from matplotlib.widgets import Button

from .messages import for_a_person

_BACKENDS = ("TkAgg", "QtAgg")


def open_figure(title: str, size: tuple[float, float], what: str, ways_out: str) -> typing.Any:
    """A matplotlib figure in a window, of the first kind of windows that works; smaller where the screen is. size:
    (width, height) in inches. what: the window is, for messages: 'annotation window'. ways_out: sentence that says what
    to do without a screen. Raises ValueError if there is no screen, or no kind of windows works."""
    import matplotlib

    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ValueError(f"There is no screen to open the {what} on (DISPLAY is not set). {ways_out}")
    matplotlib.rcParams["toolbar"] = "None"
    reasons = []
    for backend in _BACKENDS:
        try:
            matplotlib.use(backend, force=True)
            import matplotlib.pyplot as plt

            figure = plt.figure(title, figsize=size)
            _fit_screen(figure)
            return figure
        except Exception as error:  # Tk's own error is of a module that may not be there
            if not isinstance(error, (ImportError, RuntimeError)) and type(error).__name__ != "TclError":
                raise
            reasons.append(f"{backend}: {error}")
    raise ValueError(
        f"The {what} cannot be opened ({'; '.join(reasons)}). {ways_out} Tk comes with the system's package python3-tk."
    )


def show_until_closed(window: typing.Any) -> None:
    """Show a KeyWindow, which its figure does not keep alive, without matplotlib's keys; return when it is closed."""
    canvas = window.figure.canvas
    if canvas.manager.key_press_handler_id is not None:
        canvas.mpl_disconnect(canvas.manager.key_press_handler_id)
    import matplotlib.pyplot as plt

    with for_a_person():
        plt.show(block=True)


def zoom_axes(axes: typing.Any, shape: tuple[int, int], factor: float, x: float, y: float) -> None:
    """Enlarge a picture around a position, out to the whole picture at most. shape: (h, w) of the picture in px, whose
    first pixel's centre is 0. factor: no unit. x, y: px, the position stays where it is in the window."""
    for get, put, position, count in _sides(axes, shape, x, y):
        low, high = sorted(get())
        span = min((high - low) / factor, count)
        start = float(np.clip(position - (position - low) * span / (high - low), -0.5, count - 0.5 - span))
        _put(get, put, start, start + span)


def move_axes(axes: typing.Any, shape: tuple[int, int], x: float, y: float) -> None:
    """Show another part of a picture, not beyond it. shape: (h, w) of the picture, px. x, y: px, how much further."""
    for get, put, step, count in _sides(axes, shape, x, y):
        low, high = sorted(get())
        step = float(np.clip(step, -0.5 - low, count - 0.5 - high))
        _put(get, put, low + step, high + step)


def _sides(axes: typing.Any, shape: tuple[int, ...], x: float, y: float) -> typing.Iterator[tuple]:
    yield axes.get_xlim, axes.set_xlim, x, shape[1]
    yield axes.get_ylim, axes.set_ylim, y, shape[0]


def _put(
    get: typing.Callable[[], tuple[float, float]], put: typing.Callable[..., typing.Any], low: float, high: float
) -> None:
    """Set limits in the order that they have: pictures of micrographs have their first row above."""
    first, last = get()
    put((low, high) if first < last else (high, low))


def _fit_screen(figure: typing.Any) -> None:
    window = figure.canvas.manager.window
    if hasattr(window, "winfo_screenwidth"):  # Tk's; Qt keeps its windows on the screen by itself
        room = 0.95 * window.winfo_screenwidth(), 0.88 * window.winfo_screenheight()
        width, height = figure.get_size_inches() * figure.dpi
        scale = min(1.0, room[0] / width, room[1] / height)
        figure.canvas.manager.resize(round(width * scale), round(height * scale))


_ON, _OFF = "#ffd27f", "0.92"  # colours of buttons
TOP = 0.978  # of the sentence above everything, part of the window's height


class KeyWindow:
    """A window in which mouse, keys and buttons change a session, and all that is shown follows. A child fills `keys`
    and gives `refresh`, and what the mouse does. figure: matplotlib's, of any canvas. session: with `busy`, whether an
    action is under way. help: what the user can do, at the bottom."""

    def __init__(self, figure: typing.Any, session: typing.Any, help: str) -> None:
        self.figure, self.session = figure, session
        self._pan: tuple[float, float] | None = None
        self.keys: dict[str, typing.Callable[[], typing.Any]] = {}
        self.buttons: dict[str, typing.Any] = {}
        self._state = figure.text(0.012, TOP, "", fontsize=10, weight="bold", va="center")
        self._message = figure.text(0.012, TOP - 0.023, "", fontsize=10, va="center")
        figure.text(0.012, 0.008, help, fontsize=8.6, va="bottom", linespacing=1.4, color="0.25")
        for event, action in (
            ("button_press_event", self.press),
            ("motion_notify_event", self.motion),
            ("button_release_event", self.release),
            ("scroll_event", self.scroll),
            ("key_press_event", self.key),
        ):
            figure.canvas.mpl_connect(event, action)

    def add_button(self, key: str, label: str, place: tuple[float, float, float, float]) -> None:
        """A button that does what a key does. place: left, bottom, width and height, parts of the window."""
        self.buttons[key] = Button(self.figure.add_axes(place), label, color=_OFF, hovercolor="0.85")
        self.buttons[key].label.set_fontsize(9)
        self.buttons[key].on_clicked(lambda event: self.do(self.keys[key]))

    def light(self, **on: bool) -> None:
        """Show of some buttons, by their keys, whether what they stand for is on."""
        for key, lit in on.items():
            self.buttons[key].color = _ON if lit else _OFF
            self.buttons[key].ax.set_facecolor(self.buttons[key].color)

    def say(self, state: str, message: str, failed: bool) -> None:
        """What is shown, and what happened last."""
        self._state.set_text(state)
        self._message.set(text=message, color="#c00000" if failed else "#00507a")

    def do(self, action: typing.Callable[[], typing.Any]) -> None:
        """Do something that may change everything that is shown; an action under way is ended first."""
        if not self.session.busy:
            action()
            self.refresh()

    def key(self, event: typing.Any) -> None:
        """Do what the key stands for."""
        if event.key in self.keys:
            self.do(self.keys[event.key])

    def refresh(self) -> None:
        """Bring all that is shown into line with the session."""
        raise NotImplementedError

    def press(self, event: typing.Any) -> None:
        """What the mouse does; here nothing."""

    motion = scroll = press

    def release(self, event: typing.Any) -> None:
        """End what the pressed button began."""
        self._pan = None
        if self.session.busy:
            self.session.release()
            self.refresh()


class MovingPicture:
    """A picture of which only some artists are drawn anew while the mouse moves (blitting)."""

    def __init__(self, axes: typing.Any) -> None:
        self.axes, self._background = axes, None
        axes.figure.canvas.mpl_connect("draw_event", self._after_draw)

    def moving(self) -> typing.Iterable[typing.Any]:
        """The artists that are drawn anew."""
        raise NotImplementedError

    def draw_moving(self) -> None:
        """Draw what moves again, and nothing else."""
        if self._background is not None:
            canvas = self.axes.figure.canvas
            canvas.restore_region(self._background)
            self._draw()
            canvas.blit(self.axes.bbox)

    def _after_draw(self, event: typing.Any) -> None:
        self._background = self.axes.figure.canvas.copy_from_bbox(self.axes.bbox)
        self._draw()

    def _draw(self) -> None:
        for artist in self.moving():
            self.axes.draw_artist(artist)


class WindowSession:
    """What the sessions of windows have in common: grey values of what they show, and that every change is saved.
    message: what happened last. failed: whether it could not be saved."""

    contrast, message, failed = 1.0, "", False

    def change_contrast(self, step: int) -> None:
        """More contrast, or less for a negative number of steps."""
        self.contrast = float(np.clip(self.contrast * 1.25**step, 0.1, 20))

    def drawn_together(self, low: float, high: float) -> tuple[float, float]:
        """Values shown as black and white, by the contrast. low, high: those of contrast 1."""
        middle, half = (low + high) / 2, (high - low) / 2 / self.contrast
        return middle - half, middle + half

    def saved(self, *writes: typing.Callable[[], typing.Any]) -> bool:
        """Write what is to be saved, and tell whether; what hinders it becomes the message."""
        try:
            for write in writes:
                write()
            self.failed = False
        except (OSError, ValueError) as error:
            self.message, self.failed = f"NOT SAVED: {error}", True
        return not self.failed
