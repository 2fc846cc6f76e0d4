# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in sentences."""

import typing


def counted(number: int, noun: str, nouns: typing.Optional[str] = None) -> str:
    """'1 tomogram', '2 tomograms', '0 tomograms'. nouns: the plural where it takes more than an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def resolution_in_words(resolution: typing.Optional[float]) -> str:
    """'7.8 Å', or what None means."""
    return "not reached" if resolution is None else f"{resolution:.3g} Å"
