# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in sentences."""

import typing


def counted(number: int, noun: str, nouns: typing.Optional[str] = None) -> str:
    """A number with its noun: '1 tomogram', '2 tomograms', '0 tomograms'.

    Parameters
    ----------
    nouns : str, optional
        The plural if it is not formed with s.
    """
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def resolution_in_words(resolution: typing.Optional[float], none: str = "not reached") -> str:
    """A resolution in words: '7.8 Å', or 'not reached' for None.

    Parameters
    ----------
    resolution : float, Å, or None
    none : str
        The words for None.
    """
    return none if resolution is None else f"{resolution:.3g} Å"


def score_text(score: float) -> str:
    """A score or a threshold, everywhere with the same digits: '0.3241', '0.5'.

    Parameters
    ----------
    score : float, no unit
    """
    return f"{score:.4g}"


def some_names(names: typing.Iterable[str], maximum: int = 8) -> str:
    """Names for a message: the first ones in alphabetical order, and how many more there are.

    Parameters
    ----------
    maximum : int
        Number of names that are listed.
    """
    names = sorted(names)
    return ", ".join(names[:maximum]) + (f" and {len(names) - maximum} more" if len(names) > maximum else "")
