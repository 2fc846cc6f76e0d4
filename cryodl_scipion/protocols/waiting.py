# SPDX-License-Identifier: GPL-3.0-or-later
"""How long items of a growing set have waited for others."""

import time
from typing import Any, Optional, Sequence


class Waiting:
    """Whether the first of the items that no batch has taken has waited long enough. longest: s."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._since: Optional[float] = None

    def over(self, items: Sequence[Any]) -> bool:
        """items: those that wait now."""
        if not items:
            self._since = None
            return False
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since >= self._longest

    def begin(self) -> None:
        """A batch took the first items: the others wait from now on."""
        self._since = None
