# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening the annotation window on the screen."""

import os
import sys

_BACKENDS = ("TkAgg", "QtAgg")
_WAYS_OUT = (
    "Work at the machine's screen, or over ssh -X, or draw on another computer and copy the folder of "
    "annotations; cryodl import-annotations takes drawings of other programs."
)


def show_window(session, title):
    """Open the window for a Session, and return when it is closed. Raises ValueError if there is no screen for it."""
    figure = _figure(title)
    from .window import AnnotationWindow

    window = AnnotationWindow(figure, session)
    manager = figure.canvas.manager
    if manager.key_press_handler_id is not None:
        figure.canvas.mpl_disconnect(manager.key_press_handler_id)  # matplotlib's own keys would do other things
    import matplotlib.pyplot as plt

    plt.show(block=True)
    return window


def _fit_screen(figure):
    """Make the window smaller where the screen is."""
    window = figure.canvas.manager.window
    if hasattr(window, "winfo_screenwidth"):  # Tk's; Qt keeps its windows on the screen by itself
        room = 0.95 * window.winfo_screenwidth(), 0.88 * window.winfo_screenheight()
        width, height = figure.get_size_inches() * figure.dpi
        scale = min(1.0, room[0] / width, room[1] / height)
        figure.canvas.manager.resize(round(width * scale), round(height * scale))


def _figure(title):
    """A figure in a window, of the first kind of windows that works."""
    import matplotlib

    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ValueError(f"There is no screen to open the annotation window on (DISPLAY is not set). {_WAYS_OUT}")
    matplotlib.rcParams["toolbar"] = "None"
    reasons = []
    for backend in _BACKENDS:
        try:
            matplotlib.use(backend, force=True)
            import matplotlib.pyplot as plt

            from .window import SIZE

            figure = plt.figure(title, figsize=SIZE)
            _fit_screen(figure)
            return figure
        except (ImportError, RuntimeError) as error:
            reasons.append(f"{backend}: {error}")
        except Exception as error:  # Tk's own error, of a module that may not be there
            if type(error).__name__ != "TclError":
                raise
            reasons.append(f"{backend}: {error}")
    raise ValueError(
        f"The annotation window cannot be opened ({'; '.join(reasons)}). {_WAYS_OUT} Tk comes with the "
        "system's package python3-tk."
    )
