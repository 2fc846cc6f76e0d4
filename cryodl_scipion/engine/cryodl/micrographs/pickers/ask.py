# SPDX-License-Identifier: GPL-3.0-or-later
"""Particle size, contrast and score calibration, estimated on some micrographs before a general model picks."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np

from ...core.calibration import calibrate
from ..normalize import particle_bands, prepare_micrograph
from .adapt import adapt
from .contrast import ContrastFound, compare_contrasts, scores_of_some
from .pick_record import PickSettings, typical_contrast
from .predict import Picker, working_factor
from .size import SIDE, WHOLE, ScaleCandidates, Size, find_size

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
    """The settings with what some of the micrographs tell.

    Parameters
    ----------
    picker : with the model's own calibration, which it has again afterwards.
    card : the model's.
    """
    typical = settings.contrast or typical_contrast(card)
    other = "bright" if typical == "dark" else "dark"
    sized = {typical: _sized(settings, paths, picker, typical)}
    asked = _Asked(paths, picker, card, sized)
    if not asked.clearly(typical):
        sized[other] = _sized(settings, paths, picker, other)
    sized = {c: s for c, s in sized.items() if s.scale is not None}
    if not settings.contrast_open:
        _compare_stated(typical, asked, notes)
        sized.pop(other, None)
    if not sized:
        return settings
    contrast, assumed = typical, settings.assumed
    if settings.contrast_open:
        found = asked.contrast()
        print(found.sentence())
        notes += [] if found.clear and found.contrast == typical else [found.sentence()]
        contrast, assumed = found.contrast, not found.clear
    contrast = contrast if contrast in sized else next(iter(sized))  # the usual one, in which nothing was found
    mine = dataclasses.replace(sized[contrast], contrast=contrast, assumed=assumed)
    if settings.size_open and not mine.size:
        notes.append(UNSURE)
        print(UNSURE)
    if mine.size and settings.size_open:
        _say_size(Size(**mine.size), settings.particle_diameter, notes)
    if mine.general:
        adapted = adapt(np.concatenate([np.zeros(0), *asked.raw(contrast)]), picker.calibration)
        mine = dataclasses.replace(mine, adapted=dataclasses.asdict(adapted) if adapted else None)
    return mine


def _compare_stated(stated: str, asked: _Asked, notes: list[str]) -> None:
    """Say it where the scores are clearly those of the other contrast."""
    found = asked.contrast()
    if found.clear and found.contrast != stated:
        notes.append(
            f"The micrographs contradict the contrast {stated} (--contrast). {found.sentence()} It was used all the "
            "same; leave --contrast out to pick with what is found."
        )
        print(notes[-1])


class _Asked:
    """Raw scores of some micrographs with either sign, looked for once. sized: {contrast: PickSettings}, may grow; a
    sign without its own is looked at with the size of the other."""

    def __init__(
        self,
        paths: typing.Sequence[str],
        picker: Picker,
        card: typing.Mapping[str, typing.Any],
        sized: typing.Mapping[str, PickSettings],
    ) -> None:
        self.paths, self.picker, self.card, self.sized, self._raw = (
            paths,
            picker,
            card,
            sized,
            dict[typing.Any, typing.Any](),
        )

    def raw(self, contrast: str) -> list[np.ndarray]:
        """[(n,) raw scores of each micrograph]; [] without any size."""
        known = [s for s in (self.sized.get(contrast), *self.sized.values()) if s is not None and s.scale is not None]
        if not known:
            return []
        settings = known[0]
        key = contrast, settings.scale
        if key not in self._raw:
            self._raw[key] = _raw_scores(settings, self.paths, self.picker, contrast)
        return self._raw[key]

    def contrast(self) -> ContrastFound:
        """Which sign of protein the micrographs show."""
        scores = {c: [calibrate(part, self.picker.calibration) for part in self.raw(c)] for c in ("dark", "bright")}
        return compare_contrasts(scores, typical_contrast(self.card))

    def clearly(self, typical: str) -> bool:
        """Whether the usual contrast is clear from its own size alone."""
        found = self.contrast()
        return found.clear and found.contrast == typical


def _sized(settings: PickSettings, paths: typing.Sequence[str], picker: Picker, contrast: str) -> PickSettings:
    """PickSettings with the size found for a contrast, or as they are."""
    size = _size(settings, paths, picker, contrast) if settings.size_open else None
    return dataclasses.replace(settings, size=dataclasses.asdict(size)) if size else settings


def _size(settings: typing.Any, paths: typing.Sequence[str], picker: Picker, contrast: str) -> Size | None:
    def look(image: np.ndarray, diameter: float, whole: bool, opposite: bool) -> ScaleCandidates:
        factor = working_factor(picker.method, settings.pixel_size, diameter)
        image = _middle(image, int((WHOLE if whole else SIDE) / factor))
        wide = picker.method.working_diameter
        try:
            prepared = prepare_micrograph(image, factor, wide, (contrast == "dark") != opposite)
        except ValueError:  # constant, or not-a-number: nothing is seen there; picking reports the micrograph
            return ScaleCandidates(np.zeros(0), np.zeros(0), 1.0)
        yx, scores, sizes = picker.sized_candidates(prepared, settings.distance_part * wide)
        area, heights = float(prepared.valid.sum()) * (settings.pixel_size / factor) ** 2, None
        if whole and not opposite:
            bands = particle_bands(prepared.image, prepared.valid, wide).numpy()
            heights = bands[tuple(np.clip(np.rint(yx).astype(int), 0, np.array(bands.shape) - 1).T)]
        return ScaleCandidates(scores, diameter * sizes, area, heights)

    return find_size(look, paths, settings.pixel_size, settings.particle_diameter)


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle (side, side) of an image."""
    starts = [max(0, (n - side) // 2) for n in image.shape]
    return image[starts[0] : starts[0] + side, starts[1] : starts[1] + side]


def _raw_scores(settings: PickSettings, paths: typing.Sequence[str], picker: Picker, contrast: str) -> list[np.ndarray]:
    own, typical = picker.calibration, picker.contrast
    settings.tell(picker)
    scale = typing.cast("float", settings.scale)  # nobody asks for scores without any size
    picker.calibration, picker.contrast = (1.0, 0.0), contrast
    try:
        return scores_of_some(
            lambda image, _: picker.candidates(image, settings.pixel_size, scale, settings.distance), paths, (contrast,)
        )[contrast]
    finally:
        picker.calibration, picker.contrast, picker.typical_size = own, typical, None


def _say_size(size: Size, stated: float | None, notes: list[str]) -> None:
    print(size.sentence(stated))
    if stated and size.contradicts(stated):
        notes.append(size.sentence(stated))
    if size.others:
        notes.append(
            f"There seem to be particles of several sizes: {size.diameter:.0f} Å and about "
            f"{', '.join(f'{d:.0f} Å' for d in size.others)}. Those of {size.diameter:.0f} Å are picked; pick the "
            "others in a separate run, with --particle-diameter."
        )
