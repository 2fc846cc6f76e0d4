# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a half-map test in sentences, for the command line and for Scipion."""

import typing

from .wording import resolution_in_words, say_if

WARNING = "WARNING: "
GAINED, LOST = 0.02, -0.05  # mean difference of two FSC; masks and clipping alone came down to -0.04
# Fraction of the shared power. Filters, masks and clipping left up to 0.007 unexplained, an added texture of 0.15 of
# the signal's amplitude 0.010 or more in 263 of 264 tests (benchmarks/run.py map_invention). Where the shipped network
# brings a map nearer to the truth, it adds up to 0.04 (map_halves).
ADDED, BY_NETWORK = 0.012, 0.04
FINER = 0.9  # of a resolution: what is not finer than this is as fine
# In the worst five shells: a white texture beyond a low-pass filter hides in the mean.
WORST, NETWORK_WORST = 0.05, 0.4
DOUBTED = 0.03  # of the density looks invented; 0.01 would by chance
PIECE = 300.0  # Å³ in one place, from which on it is said: filters and clipping left none, a ligand 620


def half_map_resolutions(metrics: typing.Optional[typing.Dict[str, typing.Any]]) -> typing.Dict[str, typing.Any]:
    """The values that half_map_verdict needs, from the results of a half-map test. metrics: results of the test; None
    if there was none. Returns {raw, control, improved, crossed: Å at FSC 0.143, or None; gain, unexplained, worst:
    numbers}."""
    return {
        name: values["fsc0143_angstrom"] if isinstance(values, dict) else values
        for name, values in (metrics or {}).items()
    }


def half_map_verdict(test: typing.Dict[str, typing.Any], usual: float = ADDED) -> typing.Tuple[bool, typing.List[str]]:
    """The verdict of a half-map test. test: raw: of the half-maps; control: of the half-maps with the same filter,
    clipping and local scale as the improved ones; improved: of both improved; crossed: of one improved with the control
    of the other half; all Å at FSC 0.143, or None. gain: mean difference of the FSC `crossed` and `control`.
    unexplained: fraction of the power that both improved half-maps share and the data do not have. worst: the same in
    the worst shells. doubted: part of the density that looks invented, piece: Å³ of the largest part in one place, and
    place: xyz in Å of that. Results of earlier versions lack the last four. usual: fraction that may be added without a
    warning. Returns whether there is no warning, and the warnings."""
    raw, control, improved, crossed = (test.get(name) for name in ("raw", "control", "improved", "crossed"))
    words = [resolution_in_words(value) for value in (raw, control, improved, crossed)]
    lines = [
        f"Half-maps, FSC 0.143: raw {words[0]}; control (same filter, mask and clipping) {words[1]}; both improved "
        f"{words[2]}; improved with the control of the other half {words[3]}."
    ]
    if raw is None and improved is None:
        return True, lines + [
            "The half-maps do not agree with each other, so the test says nothing. Check that they belong together."
        ]
    if raw is None:
        return False, lines + [
            WARNING
            + "the improved half-maps agree with each other, but the raw half-maps do not: the improved map shows "
            "something that is not in the data."
        ]
    gained, gain = _gain(test["gain"])
    added, addition = _addition(test["unexplained"], test.get("worst", 0.0), usual)
    places = _places(test.get("doubted", 0.0), test.get("piece", 0.0), test.get("place"))
    return gained and added and not places, lines + [gain, addition, *places, *_beyond(improved, crossed)]


def _gain(gain: float) -> typing.Tuple[bool, str]:
    """(no warning?, sentence): whether an improved half-map is nearer to the independent half than its control is."""
    if gain < LOST:
        return False, WARNING + (
            "an improved half-map agrees less with the other half than its control does: more errors were "
            "added than removed. Do not trust new details in the improved map."
        )
    if gain > GAINED:
        return True, (
            "An improved half-map agrees better with the independent other half than its control does: part of the "
            "improvement is supported by the data."
        )
    return True, "Beyond the effect of filter, mask and clipping, the data show no gain."


def _places(doubted: float, piece: float, place: typing.Any) -> typing.List[str]:
    """A warning, in a list, which part of the density looks invented, and where most of it lies."""
    where = ", ".join(f"{x:.0f}" for x in place or ())
    return say_if(
        doubted > DOUBTED or piece > PIECE,
        f"{WARNING}{100 * doubted:.3g} % of the improved map's density looks as 1 % of what is in the data does, most "
        f"of it around ({where}) Å (x, y, z). See the map of doubt.",
    )


def _beyond(improved: typing.Optional[float], crossed: typing.Optional[float]) -> typing.List[str]:
    """A sentence, in a list, if the improved half-maps agree to a finer resolution than one does with the data."""
    if improved is None or (crossed is not None and improved > FINER * crossed):
        return []
    where = "anywhere" if crossed is None else f"beyond {resolution_in_words(crossed)}"
    return [
        f"The improved half-maps agree to {resolution_in_words(improved)}, but not with the data {where}: finer detail "
        "was added."
    ]


def _addition(unexplained: float, worst: float, usual: float) -> typing.Tuple[bool, str]:
    """(no warning?, sentence): what both improved half-maps share but the data do not have."""
    said = f"{100 * unexplained:.1f} % of what the improved half-maps share is not in the data"
    unsure = "it was added, and this test cannot tell whether it is correct. Compare new details with the original map."
    if unexplained > usual:
        return False, f"{WARNING}{said}: {unsure}"
    if worst > (WORST if usual == ADDED else NETWORK_WORST):
        return False, f"{WARNING}{said}, but {100 * worst:.0f} % in the worst part of their resolution: {unsure}"
    if unexplained > ADDED or worst > WORST:
        return True, f"{said}: it was added, no more than the shipped network adds to simulated maps."
    return True, f"{said}: no more than filter, mask and clipping may leave."


def doubt_script(made: typing.Sequence[typing.Tuple[str, typing.Optional[str]]]) -> str:
    """ChimeraX commands that open improved maps, the first shown, each coloured by its map of doubt. made: paths of
    both; None for no map of doubt."""
    texts: typing.List[str] = []
    for improved, doubt in made:
        number = 1 + sum(2 if other else 1 for _, other in made[: len(texts)])
        texts.append(
            f'open "{improved}"\n'
            + f'open "{doubt}"\nvolume #{number + 1} hide\n' * bool(doubt)
            + f"color sample #{number} map #{number + 1} palette blue:white:red range 0,1\n" * bool(doubt)
            + f"volume #{number} hide\n" * bool(texts)
        )
    return "".join(texts)


def split_verdict(sentences: typing.Sequence[str]) -> typing.Tuple[typing.List[str], typing.List[str]]:
    """The sentences of half_map_verdict, split into ordinary ones and warnings, which are shown separately."""
    said = [line for line in sentences if not line.startswith(WARNING)]
    warned = [line[len(WARNING) :] for line in sentences if line.startswith(WARNING)]
    return said, [line[:1].upper() + line[1:] for line in warned]
