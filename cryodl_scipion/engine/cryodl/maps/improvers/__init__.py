# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that improve maps: one class each, and its row in contract/networks.py."""

from ...learning.registry import method_of


def improver_method(name):
    """The method object of a registered name. Raises ValueError that lists the names."""
    return method_of("map_improver", name)
