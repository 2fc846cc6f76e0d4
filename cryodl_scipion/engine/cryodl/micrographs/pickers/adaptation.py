# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle size, contrast and score calibration, estimated on some micrographs before a general model picks."""

import contextlib
import dataclasses
import os
import typing

import numpy as np
import torch

from ...contract import counted
from ...core.calibration import best_threshold, calibrate, fit_to_probabilities, logit
from ...core.geometry import values_at
from ...core.matching import match_picks
from ...io.coordinates import DECIMALS
from ...io.files import read_some
from ...io.micrographs import read_micrograph
from ..assess.assessment import areas_of
from ..normalize import Prepared, prepare_micrograph
from .general_view import ContrastFound, compare_contrasts
from .pick_record import ASKED_OF, PickSettings, typical_contrast
from .predict import Picker, working_factor
from .size import FAR, MICROGRAPHS, MORE, SIDE, WHOLE, ScaleCandidates, Size, find_size
from .thresholds import expected_counts, threshold_uncertainty

Found = list[tuple[str, np.ndarray, np.ndarray]]  # path, yx (n, 2) and raw scores (n,) of micrographs
UNSURE = (
    "No clear particles of any size were found in these micrographs; they may be empty, show only carbon or dirt, or "
    "have very low contrast. They are picked at the given diameter. Check the picks before you trust their scores."
)


def ask_micrographs(
    settings: PickSettings,
    paths: typing.Sequence[str],
    picker: Picker,
    card: typing.Mapping[str, typing.Any],
    notes: list[str],
) -> PickSettings:
    """The settings with what some of the micrographs tell. picker: with the model's own calibration, which it has again
    afterwards. card: the model's. A stated diameter holds against a much smaller one of picks that are not trusted:
    noise has spots, of either sign."""
    stated, before = settings.particle_diameter, list(notes)
    typical = settings.contrast or typical_contrast(card)
    other = "bright" if typical == "dark" else "dark"
    sized = {typical: _sized(settings, paths, picker, typical)}
    asked = _Asked(paths, picker, card, sized, typical)
    usual = asked.contrast()  # by its own size alone
    if not (usual.clear and usual.contrast == typical):
        sized[other] = _sized(settings, paths, picker, other)
    sized = {c: s for c, s in sized.items() if s.scale is not None}
    contradicted = not settings.contrast_open and _compare_stated(typical, asked, notes)
    if not settings.contrast_open:
        sized.pop(other, None)
    if not sized or not asked.found(typical):  # nothing can be said of what cannot be read, which picking reports
        return settings
    contrast, assumed, said = typical, settings.assumed, list[str]()
    if settings.contrast_open:
        found = asked.contrast()
        if not found.clear and typical not in sized:
            return settings
        (said if found.clear and found.contrast == typical else notes).append(found.sentence())
        contrast, assumed = found.contrast, not found.clear
    contrast = contrast if contrast in sized else next(iter(sized))  # the usual one, in which nothing was found
    asked.take_protein(contrast)
    mine = dataclasses.replace(sized[contrast], contrast=contrast, assumed=assumed)
    if settings.size_open and not mine.size and not contradicted:
        notes.append(UNSURE)
    adapted = adapt(asked.raw(contrast), picker.calibration) if mine.general else None
    if adapted:
        ranked = np.sort(calibrate(np.concatenate(asked.raw(contrast)), adapted.calibration))[::-1]
        each = len(asked.raw(contrast))
        adapted = dataclasses.replace(
            adapted,
            agreement=_agreement(mine, asked, picker, adapted),
            by_number=tuple(ranked[each - 1 :: each].round(DECIMALS).tolist()),
        )
    size = Size(**mine.size) if mine.size and settings.size_open else None
    if size and stated and size.diameter < stated / FAR and not (adapted and adapted.agreement >= SAME):
        notes[:] = [*before, UNSURE]
        kept = ask_micrographs(dataclasses.replace(settings, keep_diameter=True), paths, picker, card, notes)
        return dataclasses.replace(kept, keep_diameter=False)
    for sentence in said:
        print(sentence)
    if mine.general and not adapted:
        notes.append(
            f"There are fewer than {MINIMUM} candidates: their scores are by the model's own calibration, those of "
            "micrographs that come later may be by another. Pick all again then (--overwrite)."
        )
    if size:
        (notes.append if stated and size.contradicts(stated) else print)(size.sentence(stated))
        if size.others and (adapted is None or adapted.agreement >= SAME):  # else further sizes may be those of dirt
            notes.append(
                f"There seem to be particles of several sizes: {size.diameter:.0f} Å and about "
                f"{', '.join(f'{d:.0f} Å' for d in size.others)}. Those of {size.diameter:.0f} Å are picked; pick the "
                "others in a separate run, with --particle-diameter."
            )
    if adapted and adapted.below:
        notes.append(
            f"The scores have a gap. Below it are {counted(adapted.below, 'candidate')} of "
            f"{counted(each, 'micrograph')} that the model would pick by itself; they are left out. If a second kind "
            "of particle is missing, give a lower score threshold (--threshold)."
        )
    return dataclasses.replace(
        mine,
        adapted=dataclasses.asdict(adapted) if adapted else None,
        asked=[os.path.abspath(path) for path, *_ in asked.found(contrast)],
    )


def ask_contrast(
    settings: PickSettings, paths: typing.Sequence[str], picker: Picker, card: typing.Mapping[str, typing.Any]
) -> list[str]:
    """What speaks against a stated contrast, for a model that asks nothing else; its own contrast is not asked."""
    notes: list[str] = []
    if not settings.general and settings.contrast and settings.contrast != typical_contrast(card):
        _compare_stated(
            settings.contrast, _Asked(paths, picker, card, {settings.contrast: settings}, settings.contrast), notes
        )
    return notes


def _compare_stated(stated: str, asked: "_Asked", notes: list[str]) -> bool:
    """Whether the scores are clearly those of the other contrast, which is said."""
    found = asked.contrast()
    if against := found.clear and found.contrast != stated:
        notes.append(
            f"The micrographs contradict the contrast {stated} (--contrast). {found.sentence()} It was used all the "
            "same; leave --contrast out to pick with what is found."
        )
    return against


class _Asked:
    """Candidates of some micrographs, evenly spread, with either sign, looked for once; those that cannot be read or
    picked are passed over, picking reports them. sized: {contrast: PickSettings}, may grow; a
    sign without its own is looked at with the size of the other. protein: the contrast of which dirt is, too."""

    def __init__(
        self,
        paths: typing.Sequence[str],
        picker: Picker,
        card: typing.Mapping[str, typing.Any],
        sized: typing.Mapping[str, PickSettings],
        protein: str,
    ) -> None:
        self.paths, self.picker, self.card, self.sized = paths, picker, card, sized
        self.protein = ""
        self.take_protein(protein)

    def take_protein(self, protein: str) -> None:
        """Look for dirt of this contrast, as picking does; all is looked for anew if it is another one."""
        if protein != self.protein:
            self.protein = protein
            self._found = dict[tuple[str, float | None], Found]()
            self._prepared = dict[tuple[str, float], Prepared]()  # with dark protein

    def found(self, contrast: str) -> Found:
        """All candidates of each micrograph, with raw scores; [] without any size."""
        known = [s for s in (self.sized.get(contrast), *self.sized.values()) if s is not None and s.scale is not None]
        if not known:
            return []
        key = contrast, known[0].scale
        if key not in self._found:
            look = lambda path: (path, *_candidates(known[0], self.picker, contrast, self.prepared(path, known[0])))
            sized = (known[0].size or {}).get("micrographs", 0)  # more, where the first ones show no particles
            self._found[key] = read_some(look, self.paths, max(ASKED_OF, sized))
            self.picker.seen |= {(path, *key): (yx, raw) for path, yx, raw in self._found[key]}
        return self._found[key]

    def prepared(self, path: str, settings: PickSettings) -> Prepared:
        """A micrograph at the size that was found, its dark protein bright. Raises ValueError, FileNotFoundError."""
        key = path, typing.cast("float", settings.scale)
        if key not in self._prepared:
            image, dirt = read_micrograph(path), None
            if self.picker.spares_outliers:  # darker than ice, as what is looked for
                dirt = areas_of(image if self.protein == "dark" else -image, settings.pixel_size, key[1]).contaminated
            with _as_told(settings, self.picker, "dark"):
                self._prepared[key] = self.picker.prepared(image, settings.pixel_size, key[1], dirt)
        return self._prepared[key]

    def raw(self, contrast: str) -> list[np.ndarray]:
        """[(n,) raw scores of each micrograph]."""
        return [raw for *_, raw in self.found(contrast)]

    def contrast(self) -> ContrastFound:
        """Which sign of protein the micrographs show."""
        scores = {c: [calibrate(part, self.picker.calibration) for part in self.raw(c)] for c in ("dark", "bright")}
        return compare_contrasts(scores, typical_contrast(self.card))


def _sized(settings: PickSettings, paths: typing.Sequence[str], picker: Picker, contrast: str) -> PickSettings:
    size = _size(settings, paths, picker, contrast) if settings.size_open else None
    return dataclasses.replace(settings, size=dataclasses.asdict(size)) if size else settings


def _size(settings: typing.Any, paths: typing.Sequence[str], picker: Picker, contrast: str) -> Size | None:
    known = dict[tuple[int, float, bool], Prepared]()  # both signs are of the same

    def look(image: np.ndarray, diameter: float, whole: bool, opposite: bool) -> ScaleCandidates:
        factor, key = working_factor(picker.method, settings.pixel_size, diameter), (id(image), diameter, whole)
        part = cut_middle(image, int((WHOLE if whole else SIDE) / factor))
        wide = picker.method.working_diameter
        try:
            prepared = known.pop(key, None) or prepare_micrograph(part, factor, wide, contrast == "dark")
        except ValueError:  # constant, or not-a-number: nothing is seen there; picking reports the micrograph
            return ScaleCandidates(np.zeros(0), np.zeros(0), 1.0)
        if opposite:
            prepared = prepared.inverted()
        else:
            known[key] = prepared
        yx, scores, sizes = picker.sized_candidates(prepared, settings.distance_part * wide)
        area, heights = float(prepared.valid.sum()) * (settings.pixel_size / factor) ** 2, None
        if whole and not opposite:
            heights = values_at(prepared.bands(wide).numpy(), yx)
        return ScaleCandidates(scores, diameter * sizes, area, heights)

    spares, picker.spares_outliers = picker.spares_outliers, False  # how unevenly spots stand out tells dirt's size
    try:
        found = find_size(look, paths, settings.pixel_size, settings.particle_diameter)
        if found or settings.particle_diameter or len(paths) <= MICROGRAPHS:
            return found
        known.clear()  # names of images that are gone are given again
        found = find_size(look, paths, settings.pixel_size, number=MORE)
        # in so many there are spots of dirt, of all widths
        return None if found and found.dirty else found
    finally:
        picker.spares_outliers = spares


def cut_middle(image: typing.Any, side: int) -> typing.Any:
    """The middle (side, side) of an image, an array or a tensor."""
    starts = [max(0, (n - side) // 2) for n in image.shape]
    return image[starts[0] : starts[0] + side, starts[1] : starts[1] + side]


@contextlib.contextmanager
def _as_told(settings: PickSettings, picker: Picker, contrast: str) -> typing.Iterator[None]:
    """The picker with raw scores, and what the settings tell it."""
    own, typical = picker.calibration, picker.contrast
    settings.tell(picker)
    picker.calibration, picker.contrast = (1.0, 0.0), contrast
    try:
        yield
    finally:
        picker.calibration, picker.contrast, picker.typical_size = own, typical, None


def _candidates(
    settings: PickSettings, picker: Picker, contrast: str, prepared: Prepared
) -> tuple[np.ndarray, np.ndarray]:
    """Positions (n, 2) and raw scores (n,) of candidates, at the size that was found. prepared: with dark protein."""
    seen = prepared if contrast == "dark" else prepared.inverted()
    with _as_told(settings, picker, contrast):
        # nobody asks for candidates without any size
        return picker.candidates(seen, settings.pixel_size, typing.cast("float", settings.scale), settings.distance)


def _agreement(settings: PickSettings, asked: _Asked, picker: Picker, adapted: "Adapted") -> float:
    """Adapted.agreement. What a network is unsure of changes as its micrograph is turned; particles do not."""
    reach, same, picks = typing.cast("float", settings.scale) / settings.pixel_size / 4, 0, 0
    for path, *seen in asked.found(str(settings.contrast))[:TURNED]:
        prepared = asked.prepared(path, settings)
        image, valid = (torch.rot90(x).contiguous() for x in (prepared.image, prepared.valid))
        dirt = None if prepared.dirt is None else torch.rot90(prepared.dirt)
        turned = _candidates(
            settings, picker, str(settings.contrast), Prepared(image, valid, prepared.shape[::-1], dirt)
        )
        kept, back = (yx[calibrate(raw, adapted.calibration) >= adapted.threshold] for yx, raw in (seen, turned))
        back = np.c_[back[:, 1], prepared.shape[1] - 1 - back[:, 0]]
        same, picks = same + int(match_picks(kept, back, reach).sum()), picks + len(kept) + len(back)
    return round(2 * same / max(1, picks), 4)


# ----- Calibration of a general model's scores on micrographs that it never saw, without labels
# (docs/how_general_model.md). Two normal distributions are fitted to the candidates' log odds (expectation
# maximisation), held back by what they look like elsewhere. If they are far apart, the logistic curve nearest to their
# posterior takes the place of the model's own; else the fit is chance.
# Log odds of the general model's candidates on simulated micrographs of structures that it did not see, SNR 0.03 and
# 0.15: mean and deviation of the particles, and of the rest. They count as so many candidates of each kind.
PARTICLES, REST, WEIGHT = (-0.15, 1.34), (-3.67, 1.38), 10.0
# Distance of the two means, in their mean deviation, from which they are believed. Of 20 simulated sets, 10 above
# 4.1 had expected F1 within 0.08 of the ground truth by their components, 9 below 3.7 lost up to 0.5 of F1 by them.
APART = 3.9
# F1 from how well picks of turned micrographs agree (slope, offset of calibrate; fitted on 66 simulated sets). What is
# stated lies half way, in log odds, to what the scores let expect. People leave particles out: two who mark the same
# micrographs agree to 0.83 to 0.92, so one agrees with what is there to 0.93 or so. MARKED is about half way there, and
# HIGHEST between the 0.84 of EMPIAR-10028's marks and the 1.0 of clear simulated sets: more cannot be known.
# SAME: agreement from which picks are trusted to tell particles from the rest.
AGREEMENT, MARKED, HIGHEST, SAME = (1.14, -1.09), 0.96, 0.92, 0.9225
TURNED = 3  # micrographs
MINIMUM = 40  # candidates below which the model's own calibration stays: two components cannot be told
ROUNDS, STILL = 300, 1e-4  # of expectation maximisation, and the change of a probability at which it has ended
# Where the components are too close but an upper heap of scores stands apart, as of clear particles on a grainy
# background, the gap is taken for even odds: of log odds smoothed by BROAD, below HALF of both heaps, by DEEP standard
# errors. Odds change with BROAD around it.
BROAD, HALF, DEEP = 0.5, 0.5, 5.0
SHARED = 0.6  # of the micrographs' parts of both


@dataclasses.dataclass(frozen=True)
class Adapted:
    """calibration: (slope, offset) for calibrate. threshold, uncertainty: of the scores that it gives. candidates: how
    many it was fitted to. own: whether it is the model's own calibration, where the scores are one component.
    separation: of the components. expected_f1: of these candidates at the threshold, by their scores. agreement: F1 of
    the picks of turned micrographs against those of the same micrographs as they are. by_number: the score that as many
    candidates per micrograph reach as its place says, from 1 on. below: candidates that the model's own scores would
    pick and that lie below a gap."""

    calibration: tuple[float, ...]
    threshold: float
    uncertainty: float
    candidates: int
    own: bool = False
    separation: float = 0.0
    expected_f1: float = 0.0
    agreement: float = 0.0
    by_number: tuple[float, ...] = ()
    below: int = 0

    @property
    def f1(self) -> float:
        """What is stated of picks at the threshold."""
        half = AGREEMENT[0] / 2, (AGREEMENT[1] + float(logit(np.array(self.expected_f1)))) / 2
        return min(HIGHEST, MARKED * float(calibrate(np.array(self.agreement), half)))


def adapt(found: typing.Sequence[np.ndarray], calibration: tuple[float, ...]) -> Adapted | None:
    """Adapted for candidates of one data set; None if there are too few. found: raw scores of all candidates of each of
    some micrographs. calibration: the model's own (slope, offset)."""
    raw = np.concatenate([np.zeros(0), *found])
    if len(raw) < MINIMUM:
        return None
    odds, upper = logit(raw), two_components(logit(raw), calibrate(raw, calibration))
    particles, rest = _normal(odds, upper, *PARTICLES), _normal(odds, 1 - upper, *REST)
    # distance of the means over the root of the mean variance
    separation = float((particles[0] - rest[0]) / np.sqrt((particles[1] ** 2 + rest[1] ** 2) / 2))
    fitted = tuple(calibration) if separation < APART else fit_to_probabilities(upper, raw)
    scores = calibrate(raw, fitted)
    threshold = best_threshold(scores)
    plain, gap = scores >= threshold, -np.inf if separation >= APART else _gap(logit(scores))
    if gap > (least := float(logit(np.array(threshold)))) and _together(
        [logit(calibrate(one, fitted)) for one in found], least, gap
    ):
        fitted = fitted[0] / BROAD, (fitted[1] - gap) / BROAD
        scores = calibrate(raw, fitted)
        threshold = best_threshold(scores)
    return Adapted(
        fitted,
        threshold,
        round(threshold_uncertainty(np.split(scores, len(scores))), 4),
        len(raw),
        fitted == tuple(calibration),
        round(separation, 2),
        round(expected_counts(scores, threshold).metrics()["f1"], 3),
        below=int((plain & (scores < threshold)).sum()),
    )


def _gap(odds: np.ndarray) -> float:
    """The gap below an upper heap of (n,) log odds; -inf where none stands apart."""
    places = np.arange(odds.min(), odds.max() + 0.1, 0.1)
    dense = np.exp(-0.5 * ((places[:, None] - odds) / BROAD) ** 2).sum(1)
    heaps = np.minimum(np.maximum.accumulate(dense), np.maximum.accumulate(dense[::-1])[::-1])
    # the variance of such a sum of kernels is their sum over the root of 2
    depth = (heaps - dense) / np.sqrt((heaps + dense + 1e-9) / np.sqrt(2))
    depth[(odds >= places[:, None]).sum(1) < MINIMUM] = 0
    lowest = int(depth.argmax())
    return float(places[lowest]) if depth[lowest] > DEEP and dense[lowest] < HALF * heaps[lowest] else -np.inf


def _together(odds: typing.Sequence[np.ndarray], least: float, gap: float) -> bool:
    """Whether the same micrographs have log odds above a gap and between `least` and the gap: particles at a large
    defocus stand higher than those of other micrographs, which are particles, too."""
    above, between = (
        counts / max(1, counts.sum())
        for low, high in ((gap, np.inf), (least, gap))
        for counts in [np.array([((x >= low) & (x < high)).sum() for x in odds])]
    )
    return bool(np.minimum(above, between).sum() > SHARED or not between.any())


def two_components(odds: np.ndarray, start: np.ndarray) -> np.ndarray:
    """(n,) probabilities of belonging to the upper of two normal distributions. odds: (n,). start: (n,) first guess."""
    order = np.argsort(odds)
    odds, upper = odds[order], start[order]
    for _ in range(ROUNDS):
        particles, rest = _normal(odds, upper, *PARTICLES), _normal(odds, 1 - upper, *REST)
        ratio = (
            np.log((upper.sum() + 1) / ((1 - upper).sum() + 1))
            + _log_density(odds, *particles)
            - _log_density(odds, *rest)
        )
        # the wider of two normal distributions wins at both ends: beyond the components' middles nothing turns back
        high, low = np.searchsorted(odds, particles[0]), np.searchsorted(odds, rest[0])
        ratio[high:] = np.maximum.accumulate(ratio[high:])
        ratio[:low] = np.minimum.accumulate(ratio[:low][::-1])[::-1]
        before, upper = upper, 1 / (1 + np.exp(-np.clip(ratio, -30, 30)))
        if np.abs(upper - before).max() < STILL:
            break
    return upper[np.argsort(order)]


def _log_density(odds: np.ndarray, middle: float, deviation: float) -> np.ndarray:
    """(n,) logarithm of a normal distribution's density, up to a constant. scipy.stats takes half a second to load."""
    return -0.5 * ((odds - middle) / deviation) ** 2 - np.log(deviation)


def _normal(odds: np.ndarray, fraction: np.ndarray, mean: float, deviation: float) -> tuple[float, float]:
    """Mean and deviation of odds weighted by shares, with WEIGHT candidates of the usual ones among them."""
    total = fraction.sum() + WEIGHT
    middle = (fraction @ odds + WEIGHT * mean) / total
    return middle, np.sqrt((fraction @ (odds - middle) ** 2 + WEIGHT * deviation**2) / total)
