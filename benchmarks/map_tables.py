# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of maps compared as input, sharpened and improved, and whether the floors are reached."""

import numpy as np
from map_cases import NOT_REACHED, angstrom
from parts import table

HEAD = [
    "FSC 0.5 in the mask: input",
    "best sharpening",
    "ours",
    "whole box: input",
    "input x mask",
    "ours",
    "Q-score: input",
    "best sharpening",
    "ours",
]
Q_FLOOR, WORSE = 0.1, 0.3  # Q-score above the best sharpening's; Å that a real map may lose
SAME = 0.005  # Å: what two decimals cannot tell apart is no worse


def mean(found, kind, name):
    """Mean of a figure over several comparisons, as map_cases.compared gives them."""
    if name == "q":
        return float(np.mean([f[kind]["q"] for f in found]))
    return float(np.mean([angstrom(f[kind], name) for f in found]))


def cells(found):
    """The cells of HEAD for the mean of comparisons; 'not measured' if there are none."""
    if not found:
        return [None] * len(HEAD)
    positions = [
        ("input", "fsc05"),
        ("sharpened", "fsc05"),
        ("improved", "fsc05"),
        ("input", "unmasked"),
        ("input", "times_mask"),
        ("improved", "unmasked"),
    ]
    return [f"{mean(found, *position):.2f}" for position in positions] + [
        mean(found, kind, "q") for kind in ("input", "sharpened", "improved")
    ]


def worst(found):
    """(name, Å) of the comparison that loses most (or gains least) in the mask. found: {name: comparison}."""
    loss = {name: angstrom(f["improved"]) - angstrom(f["input"]) for name, f in found.items()}
    name = max(loss, key=loss.get)
    return name, loss[name]


def floors(found, groups):
    """Lines: what the floors on simulated maps ask, and whether it is reached. groups: {word: [comparison]}."""
    worse = [
        f"{name} (+{lost:.2f} Å)"
        for name, lost in (
            (name, mean(part, "improved", "fsc05") - mean(part, "input", "fsc05"))
            for name, part in groups.items()
            if part
        )
        if lost > SAME
    ]
    gains = [mean(found, kind, "fsc05") - mean(found, "improved", "fsc05") for kind in ("input", "sharpened")]
    q = mean(found, "improved", "q") - mean(found, "sharpened", "q")
    box = mean(found, "input", "times_mask") - mean(found, "improved", "unmasked")
    return [
        _line("in the mask no worse than the input at any resolution", not worse, ", ".join(worse) or "none is"),
        _line(
            "in the mask better on average than input and best sharpening",
            min(gains) > 0,
            f"by {gains[0]:.2f} and {gains[1]:.2f} Å",
        ),
        _line("whole box better on average than input x mask", box > 0, f"by {box:.2f} Å"),
        _line(f"Q-score at least {Q_FLOOR:g} above the best sharpening's", q >= Q_FLOOR, f"by {q:.3f}"),
    ]


def real_floors(found):
    """Lines, for real maps. found: {name: comparison}."""
    every = list(found.values())
    gain = mean(every, "input", "fsc05") - mean(every, "improved", "fsc05")
    name, lost = worst(found)
    return [
        _line("in the mask better on average than the input", gain > 0, f"by {gain:.2f} Å"),
        _line(f"none worse by more than {WORSE:g} Å", lost <= WORSE, f"{lost:+.2f} Å at worst, {name}"),
    ]


def _line(text, reached, figure):
    return f"- {'Reached' if reached else '**Not reached**'}: {text} ({figure})."


def comparison(first, rows):
    """Markdown. first: head of the first columns. rows: [(cells of the first columns, [comparison])]."""
    return table([*first, *HEAD], [[*start, *cells(found)] for start, found in rows])


def cut_off(found):
    """A sentence on what cutting off the negative values of the input does alone."""
    if not all("positive" in f for f in found):
        return []
    return [
        f"For comparison, the input with its negative values cut off: {mean(found, 'positive', 'fsc05'):.2f} Å in "
        f"the mask, Q-score {mean(found, 'positive', 'q'):.3f}."
    ]


def not_reached(found):
    """A sentence if a figure stands for a curve that never reached 0.5."""
    missing = sum(
        f[kind][name] is None
        for f in found
        for kind in ("input", "sharpened", "improved")
        for name in ("fsc05", "unmasked", "times_mask")
    )
    return [f"{missing} curves lie below 0.5 from the first shell on; they count {NOT_REACHED:g} Å."] if missing else []
