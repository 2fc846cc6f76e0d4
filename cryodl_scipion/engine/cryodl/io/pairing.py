# SPDX-License-Identifier: GPL-3.0-or-later
"""Which file belongs to which, by their names."""
import re

MOST_NAMED = 5


def pair_by_name(names, others, what, of_others):
    """Places of the others that belong to each of the names, and a warning or "".

    names, others: as many, each only once. what, of_others: (plural, option) in words. Names are alike if they are the
    same, or if one stands in the other as a whole word (tomo_1 in tomo_1_labels, not in tomo_12). If no name is like
    any, both are taken in sorted order, which the warning says; one file of each belongs together whatever its name.
    Raises ValueError naming what is left over if only some are alike.
    """
    if len(names) == len(others) == 1:
        return [0], ""
    found = {}
    for place, other in enumerate(others):
        name = max(names, key=lambda n: _likeness(n, other))
        if _likeness(name, other) > (0, 0):
            found.setdefault(name, []).append(place)
    if not found:
        partner = dict(zip(sorted(names), sorted(others)))
        return [others.index(partner[name]) for name in names], (
            f"No name of the {what[0]} ({what[1]}) is like one of the {of_others[0]} ({of_others[1]}); they were "
            f"paired in sorted order, {min(names)} with {min(others)} first. If that is wrong, give them the same "
            "names.")
    taken = {place for places in found.values() if len(places) == 1 for place in places}
    if len(taken) < len(others):
        left = [n for n in names if len(found.get(n, ())) != 1], [o for p, o in enumerate(others) if p not in taken]
        raise ValueError(f"Only some names of the {what[0]} ({what[1]}) and of the {of_others[0]} ({of_others[1]}) are "
                         f"alike. Left over: {_listed(left[0])} of the {what[0]}, {_listed(left[1])} of the "
                         f"{of_others[0]}. Give those that belong together, with the same names.")
    return [found[name][0] for name in names], ""


def _likeness(one, other):
    """(length of the name that is in both, whether they are the same); (0, 0) for names that are not alike."""
    short, long = sorted((one, other), key=len)
    alike = re.search(rf"(?<![A-Za-z0-9]){re.escape(short)}(?![A-Za-z0-9])", long)
    return (len(short), int(one == other)) if alike else (0, 0)


def _listed(names):
    return ", ".join(names[:MOST_NAMED]) + (f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else "")
