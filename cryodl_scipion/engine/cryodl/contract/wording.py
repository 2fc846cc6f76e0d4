# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, names and sentences as the command line and Scipion say them."""

import typing


def say_if(holds: typing.Any, sentence: str) -> typing.List[str]:
    """The sentence in a list if it holds, else no sentence."""
    return [sentence] if holds else []


def counted(number: int, noun: str, nouns: typing.Optional[str] = None) -> str:
    """A number with its noun: '1 tomogram', '2 tomograms', '0 tomograms'. nouns: the plural if it is not with s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def resolution_in_words(resolution: typing.Optional[float], none: str = "not reached") -> str:
    """A resolution in words: '7.8 Å', or 'not reached' for None. resolution: Å, or None. none: the words for None."""
    return none if resolution is None else f"{resolution:.3g} Å"


def score_text(score: float) -> str:
    """A score or a threshold, everywhere with the same digits: '0.3241', '0.5'. score: no unit."""
    return f"{score:.4g}"


def span(values: typing.Iterable[float], form: str = ".3g") -> str:
    """The smallest and the largest of some values: '3.5 to 4', or '4' if both read alike. form: of each."""
    ordered = sorted(values)
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (ordered[0], ordered[-1])))


def some_names(names: typing.Iterable[str], maximum: int = 8) -> str:
    """Names for a message: the first ones in alphabetical order, and how many more there are. maximum: number of names
    that are listed."""
    names = sorted(names)
    return ", ".join(names[:maximum]) + (f" and {len(names) - maximum} more" if len(names) > maximum else "")
