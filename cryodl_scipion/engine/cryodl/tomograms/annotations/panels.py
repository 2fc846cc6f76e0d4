# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the annotation window: state, messages, help, and the list of features and tiles."""

from __future__ import annotations

import functools
import typing

if typing.TYPE_CHECKING:
    from .session import Session

LINES = 15
HELP = (
    "Slice: click = new tile or choose one, wheel or arrows = other slice, Ctrl + wheel = zoom, 0 = whole slice, "
    "[ ] = other tomogram, a = average slices, c C = contrast\n"
    "Tile: left button = draw, right button = erase, + - = brush, u = uncertain, f = fill outlines, n N = copy to "
    "next / previous slice, h = hide drawings, z = undo, Delete = delete tile\n"
    "w = mark tiles WITHOUT the feature, one click each;  t T = next / previous tile, wheel over the list = "
    "further tiles;  every stroke is saved at once"
)


Line = tuple[str, typing.Callable[[], None] | None, bool]  # text, what a click does, whether it is the chosen one


class Words:
    """State and message above, help below. figure: matplotlib's."""

    def __init__(self, figure: typing.Any) -> None:
        self._state = figure.text(0.012, 0.972, "", fontsize=10, weight="bold", va="center")
        self._message = figure.text(0.012, 0.944, "", fontsize=10, va="center")
        figure.text(0.012, 0.008, HELP, fontsize=8.6, va="bottom", linespacing=1.4, color="0.25")

    def show(self, session: Session) -> None:
        """State and message of a session."""
        mode = (
            "marking tiles WITHOUT it"
            if session.marking
            else "drawing: UNCERTAIN"
            if session.uncertain
            else "drawing the feature"
        )
        averaged = f", mean of {session.averaged} slices" if session.averaged > 1 else ""
        self._state.set_text(
            f"{session.name} ({session.number + 1} of {len(session.tomograms)}), slice "
            f"{session.z + 1} of {session.shape[0]}{averaged}  |  {session.feature} by "
            f"{session.annotator}  |  {mode}  |  brush {session.brush} px"
        )
        self._message.set_text(session.message)
        self._message.set_color("#c00000" if session.failed else "#00507a")


class TileList:
    """Features with their counts, and the tiles of the one that is drawn; a click on a line goes there.

    Of a longer list a part is shown, and how many lines are above and below; the wheel and clicks there show them.
    """

    def __init__(self, axes: typing.Any) -> None:
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(LINES, 0)
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
        for name, (positive, negative) in session.counts().items():
            lines.append(
                (
                    f"{name}: {positive} with, {negative} without",
                    functools.partial(session.choose_feature, name),
                    name == session.feature,
                )
            )
        sheets = sorted(session.sheets(), key=lambda s: s.centre_zyx)
        lines.append((f"Tiles of {session.feature} in {session.name}", None, False))
        positions = {}
        for sheet in sheets:
            z, y, x = sheet.centre_zyx
            positions[id(sheet)] = len(lines)
            lines.append(
                (
                    f"slice {z + 1:4d}  x {x:5d}  y {y:5d}  {sheet.state}",
                    functools.partial(session.select, sheet),
                    sheet is session.active,
                )
            )
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
            text.set_text(("" if line[1] is None else "> " if line[2] else "  ") + line[0])
            text.set_weight("bold" if line[1] is None or line[2] else "normal")

    def click(self, y: float) -> bool:
        """Do what the line at this height of the axes stands for. Returns whether there was one."""
        row = int(y)
        action = self._shown[row][1] if 0 <= row < len(self._shown) else None
        if action is not None:
            action()
        return action is not None
