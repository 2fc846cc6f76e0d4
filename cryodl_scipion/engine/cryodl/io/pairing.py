# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairing of files by their names."""

import re
import typing
from itertools import starmap

MAX_NAMED = 5


def pair_by_name(
    names: typing.Sequence[str], others: typing.Sequence[str], what: tuple[str, str], of_others: tuple[str, str]
) -> tuple[list[int], str]:
    """Which file belongs to which.

    Names are alike if they are the same, or if one stands in the other as a whole word (tomo_1 in tomo_1_labels, not in
    tomo_12). If none is like any, they are paired in sorted order (2 before 10), which the warning says. If some are
    alike, so are the others, unless the alike ones do not lie side by side in that order or numbers contradict it
    (tomo_2 and tomo_3): then ValueError. One file of each belongs together whatever its name.

    Parameters
    ----------
    names : sequence of str
        Each only once.
    others : sequence of str
        As many, each only once.
    what : (plural, option)
        Of the names, in words.
    of_others : (plural, option)
        Of the others, in words.

    Returns
    -------
    positions : list of int
        Of the others that belong to each of the names.
    warning : str
        Or "".

    Raises
    ------
    ValueError
        That names what is left over.
    """
    if len(names) == len(others) == 1:
        return [0], ""
    found: dict[str, list[int]] = {}
    for position, other in enumerate(others):
        name = max(names, key=lambda n: _likeness(n, other))
        if _likeness(name, other) > (0, 0):
            found.setdefault(name, []).append(position)
    taken = {name: others[positions[0]] for name, positions in found.items() if len(positions) == 1}
    if len(taken) == len(names):
        return [found[name][0] for name in names], ""
    in_order = dict(zip(sorted(names, key=_natural), sorted(others, key=_natural)))
    positions = [others.index(in_order[name]) for name in names]
    if not found:
        return positions, (
            f"No name of the {what[0]} ({what[1]}) matches one of the {of_others[0]} ({of_others[1]}); they were "
            f"paired in sorted order: {_pairs(in_order.items())}. If that is wrong, give them the same names."
        )
    strange = [(name, other) for name, other in in_order.items() if name not in taken]
    if len(taken) == len(found) and taken.items() <= in_order.items() and not any(starmap(_contradict, strange)):
        return positions, (
            f"These names of the {what[0]} ({what[1]}) and the {of_others[0]} ({of_others[1]}) do not match; they "
            f"were paired in sorted order: {_pairs(strange)}. If that is wrong, give them the same names."
        )
    left = [n for n in names if n not in taken], [o for o in others if o not in taken.values()]
    raise ValueError(
        f"Only some names of the {what[0]} ({what[1]}) and of the {of_others[0]} ({of_others[1]}) match. Left over: "
        f"{_listed(left[0])} of the {what[0]}, {_listed(left[1])} of the {of_others[0]}. Give those that belong "
        "together, with the same names."
    )


def _likeness(one: str, other: str) -> tuple[int, int]:
    """(length of the name that is in both, whether they are the same); (0, 0) for names that are not alike."""
    short, long = sorted((one, other), key=len)
    alike = re.search(rf"(?<![A-Za-z0-9]){re.escape(short)}(?![A-Za-z0-9])", long)
    return (len(short), int(one == other)) if alike else (0, 0)


def _contradict(one: str, other: str) -> bool:
    """Whether each name has a number that the other has not (tomo_3_bin4 and tomo_2_bin4)."""
    mine, theirs = ({int(digits) for digits in re.findall(r"\d+", name)} for name in (one, other))
    return bool(mine - theirs and theirs - mine)


def _natural(name: str) -> list[int | str]:
    """Sorts 2 before 10, however many digits they are written with."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _pairs(pairs: typing.Iterable[tuple[str, str]]) -> str:
    return _listed([f"{name} with {other}" for name, other in pairs])


def _listed(names: typing.Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
