# SPDX-License-Identifier: GPL-3.0-or-later
"""What a half-map test says: whether the gain of an improved map is in the data, in words for the command line and for
Scipion."""

from .words import resolution_in_words

WARNING = "WARNING: "
DIFFERENT = 0.02  # of a resolution: less than that is no change


def half_map_resolutions(figures):
    """{raw, improved, crossed: Å at FSC 0.143, or None} of the figures of a half-map test (None: there was none)."""
    return {name: values["fsc0143_angstrom"] for name, values in (figures or {}).items()}


def half_map_verdict(test):
    """(no warning?, sentences) of a half-map test. test: {raw, improved, crossed}: Å at FSC 0.143, or None.

    raw: the half-maps with each other; improved: both improved; crossed: one improved with the other as it is. What the
    network invents, it invents in both halves: 'improved' rises. The other half as it is shares no invention.
    """
    raw, improved, crossed = (test.get(name) for name in ("raw", "improved", "crossed"))
    lines = [
        "Half-maps, FSC 0.143: as they are %s; both improved %s; one improved with the other as it is %s."
        % tuple(resolution_in_words(value) for value in (raw, improved, crossed))
    ]
    if raw is None and improved is None:
        return True, lines + [
            "The half-maps do not agree with each other: nothing can be told. Check that they belong together."
        ]
    if raw is None or crossed is None:
        return False, lines + [
            WARNING
            + (
                "the improved half-maps agree with each other, the half-maps as they are do not"
                if raw is None
                else "an improved half-map does not agree with the other half"
            )
            + ": the improved map shows something that is "
            "not in the data."
        ]
    finer = lambda value: value is not None and value < raw * (1 - DIFFERENT)
    if crossed > raw * (1 + DIFFERENT):
        return False, lines + [
            WARNING + "an improved half-map agrees less with the other half than the half-map as it "
            "is: the network changes more than it mends. Do not trust what is new in the improved "
            "map."
        ]
    if finer(crossed):
        return True, lines + [
            "An improved half-map agrees better with the independent other half: the gain is in the data."
        ]
    if finer(improved):
        return False, lines + [
            WARNING + "the improved half-maps agree with each other, but not better with the other "
            "half as it is: what is gained is invented by the network, and is no detail of "
            "the data."
        ]
    return True, lines + ["Nothing was gained, and nothing lost."]


def split_verdict(sentences):
    """(what is said, what is warned of) of the sentences of half_map_verdict, for who shows warnings in another way."""
    said = [line for line in sentences if not line.startswith(WARNING)]
    warned = [line[len(WARNING) :] for line in sentences if line.startswith(WARNING)]
    return said, [line[:1].upper() + line[1:] for line in warned]
