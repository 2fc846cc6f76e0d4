# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of the table of the engine's structure; see page_tables.py."""

import typing

from page_cells import Rows, plain


def house(figures: typing.Any) -> Rows:
    """The metrics of scripts/house_metrics.py, before and after the division into wings."""
    before, after = figures["before"], figures["after"]
    words = lambda value: "-" if value is None else plain(value)
    return [["Metric", "Before", "After"], *([name, words(before[name]), words(after[name])] for name in after)]
