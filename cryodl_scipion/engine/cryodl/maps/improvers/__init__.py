# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that improve maps: one class each, and its row in contract/networks.py."""

from __future__ import annotations

import typing

from ...learning.task import method_of

if typing.TYPE_CHECKING:
    from .method import ImproverMethod


def improver_method(name: str) -> ImproverMethod:
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("map_improver", name)
