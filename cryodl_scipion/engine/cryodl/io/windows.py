# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of the engine's own: opening them on the screen, and what their pictures have in common."""

import os
import sys
import typing

import numpy as np

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
        except (ImportError, RuntimeError) as error:
            reasons.append(f"{backend}: {error}")
        except Exception as error:  # Tk's own error, of a module that may not be there
            if type(error).__name__ != "TclError":
                raise
            reasons.append(f"{backend}: {error}")
    raise ValueError(
        f"The {what} cannot be opened ({'; '.join(reasons)}). {ways_out} Tk comes with the system's package python3-tk."
    )


def show_until_closed(figure: typing.Any) -> None:
    """Show a window, without matplotlib's own keys, and return when it is closed."""
    manager = figure.canvas.manager
    if manager.key_press_handler_id is not None:
        figure.canvas.mpl_disconnect(manager.key_press_handler_id)
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


def connect(figure: typing.Any, window: typing.Any) -> None:
    """Send mouse and keys of a matplotlib figure to a window's methods press, motion, release, scroll and key."""
    for event, action in (
        ("button_press_event", window.press),
        ("motion_notify_event", window.motion),
        ("button_release_event", window.release),
        ("scroll_event", window.scroll),
        ("key_press_event", window.key),
    ):
        figure.canvas.mpl_connect(event, action)
