# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress: a bar in a terminal, now and then a line in a log file."""

import time
import typing

from tqdm import tqdm

EVERY = 30.0  # s between two lines of a log


class ProgressBar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """tqdm's bar. Where it is not written to a terminal, it is a line every half minute and one at the end, without the
    carriage returns by which a bar is drawn over itself."""

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar, or write its line if the last one is old enough."""
        if self._in_terminal():
            return bool(super().display(msg, pos))
        told, now = getattr(self, "_told", None), time.monotonic()
        if told is None or now - told >= EVERY:
            self._told = now
            if told is not None:  # not of the start
                self._line()
        return True

    def clear(self, *given: typing.Any, **named: typing.Any) -> None:
        """Nothing is to be cleared in a log."""
        if self._in_terminal():
            super().clear(*given, **named)

    def close(self) -> None:
        """End the bar, or write its last line."""
        if self.disable or self._in_terminal():  # type: ignore[has-type]
            super().close()
            return
        self.disable = True
        self._decr_instances(self)
        self._line()

    def _in_terminal(self) -> bool:
        return bool(getattr(self.fp, "isatty", lambda: False)())

    def _line(self) -> None:
        self.fp.write(f"{str(self).strip()}\n")
        self.fp.flush()
