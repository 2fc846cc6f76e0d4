# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening the annotation window on the screen."""

from __future__ import annotations

import typing

from ...io.windows import open_figure, show_until_closed

if typing.TYPE_CHECKING:
    from .session import Session

_WAYS_OUT = (
    "Work at the machine's screen, or over ssh -X, or draw on another computer and copy the folder of "
    "annotations; cryodl import-annotations takes drawings of other programs."
)


def show_annotation_window(session: Session, title: str) -> typing.Any:
    """Open the window for a Session, and return when it is closed. Raises ValueError if there is no screen for it."""
    from .window import SIZE, AnnotationWindow

    figure = open_figure(title, SIZE, "annotation window", _WAYS_OUT)
    window = AnnotationWindow(figure, session)
    show_until_closed(figure)
    return window
