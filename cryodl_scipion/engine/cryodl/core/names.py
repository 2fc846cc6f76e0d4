# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers given for names: one for all, or name=number for each; and words out of a list."""

import typing


def numbers_by_name(
    texts: typing.Sequence[str], names: typing.Sequence[str], what: str, low: float, high: float
) -> dict[str, float]:
    """{name: number} of texts.

    texts: one number for all names, or name=number for some of them.
    names: all that there are.
    what: what is given, with its flag, for messages: 'Thresholds (--threshold)'.
    low, high: in the unit of the numbers, numbers must lie between them, neither included.
    Empty without texts.
    Raises ValueError for texts that are neither, and for unknown names."""
    found: dict[str, float] = {}
    for text in texts:
        name, equals, number = str(text).rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not low < value < high:
            raise ValueError(f"{what} has {text!r}; give a number above {low:g} and below {high:g}, or name=number.")
        if equals and name not in names:
            raise ValueError(f"{what} names {name!r}, which does not exist; there are {', '.join(names)}.")
        if not equals and len(texts) > 1:
            raise ValueError(
                f"{what} mixes {text!r} with other values; give one number for all, or name=number for each."
            )
        found.update({name: value} if equals else dict.fromkeys(names, value))
    return found


def check_words(what: str, given: typing.Collection[str], allowed: typing.Sequence[str]) -> None:
    """Whether words are of a list; if not, an error. what: name of the argument, for the message. Raises ValueError for
    a word that is not allowed."""
    if unknown := set(given) - set(allowed):
        raise ValueError(f"{what} is {sorted(unknown)}; it may hold {', '.join(allowed)}.")
