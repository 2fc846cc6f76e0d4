# SPDX-License-Identifier: GPL-3.0-or-later
"""The picks of a run: <micrograph>.star each, and what they and the candidates' scores let expect. Candidates outside
of carbon, ice crystals, dirt and aggregates."""

import dataclasses
import math
import typing
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...contract import PickConfig, PickOutputs, counted, say_if, score_text, some_names
from ...core.geometry import map_positions, values_at
from ...io.coordinates import write_coordinates
from ...io.files import read_kept
from ..assess.assessment import Areas
from ..byhand.questions import Answered
from .adaptation import HIGHEST, SAME, Adapted
from .pick_record import AVOIDED, CANDIDATES, PickSettings
from .size import ONE_HEIGHT, ONE_KIND, Size
from .thresholds import SURE, Expectation, expected_counts, threshold_of

HEAD = "cryodl: picks of {} with a score of at least {}"
_BESIDE_CARBON = 0.25  # diameters from the found edge: the film's rim is rough, and the arc through it is smooth


def avoided_areas(found: Areas, shape: tuple[int, ...], pixel_size: float, diameter: float, avoid: str) -> Areas:
    """What is to be avoided on a micrograph: contaminated and carbon. found: of areas_of, with dark protein. shape: (h,
    w) px of the micrograph. pixel_size, diameter: Å/px, and Å of a particle. avoid: one of contract.AVOIDABLE but
    "nothing"."""
    carbon = np.zeros_like(found.carbon)
    if avoid != "contamination" and found.carbon.any():
        diameter_px = diameter / pixel_size * found.image.shape[0] / shape[0]
        carbon = ndimage.binary_dilation(found.carbon, iterations=max(1, round(_BESIDE_CARBON * diameter_px)))
    return dataclasses.replace(found, carbon=carbon)


def outside_areas(areas: Areas, yx: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(n,) bool: which positions are neither contaminated nor on carbon. yx: (n, 2) px of a micrograph of `shape`."""
    mask = areas.contaminated | areas.carbon
    return ~values_at(mask, map_positions(yx, shape, mask.shape))


UNTOLD = (
    "Precision and recall of the picks are not stated: particles are few, hardly differ from the background, or stand "
    "out as differently as dirt; there may be none. Check the picks, or train on your own labels."
)
# Mean F1 of models that learnt from few boxes; by 50 corrections of EMPIAR-10947 565 to 917 are expected, 469 marked.
BY_BOXES = 0.55
# How far the truth may lie below and above what is stated. Of 37 simulated sets of three other generators precision
# lies 0.15 below at most in 35, recall and F1 within in 36; by people's marks precision is 0.19 lower on EMPIAR-10028.
# Particles that overlap are missed; fragments and lumps as wide are picked.
WITHIN = dict(precision=(0.2, 0.1), recall=(0.19, 0.09), f1=(0.09, 0.09))
WORDS = dict(precision="precision", recall="recall", f1="F1")
WIDE = (
    "Precision and recall of the picks are not stated: their widths or heights vary, or were not measured, and "
    "fragments or lumps of dirt may be among them. Look at the pictures, or answer the questions."
)
OWN_PICKS = (
    "Precision and recall of the picks are not stated: a model that learnt from its own picks agrees with them too "
    "well. See what `pick` states with the first model."
)
FEW_LABELS = (
    "Precision and recall of the picks are not stated: by the scores of a model that learnt from a few boxes they "
    "would be too high. Check the picks."
)


def other_thresholds(folder: Path, names: typing.Collection[str], threshold: float) -> list[str]:
    """[sentence] if a folder has picks of other micrographs than these with another threshold."""
    heads = {
        path.stem: path.read_text("utf-8", "replace").partition("\n")[0]
        for path in sorted(folder.glob("*.star"))
        if path.is_file() and path.stem not in names
    }
    ours = lambda name, value: f"# {HEAD.format(name, value)}"
    left = [n for n, head in heads.items() if head.startswith(ours(n, "")) and head != ours(n, score_text(threshold))]
    return say_if(
        left, f"Picks of {some_names(left)} in {folder} have another threshold. Give all micrographs to pick alike."
    )


class Picks:
    """Writes the picks of one micrograph after the other, and sums up what was written and what is expected. config:
    PickConfig. model: its folder. card: the model's. settings: PickSettings. answered: what answers to questions make
    of its scores."""

    def __init__(
        self,
        config: PickConfig,
        model: Path,
        card: typing.Mapping[str, typing.Any],
        settings: PickSettings,
        answered: Answered | None = None,
    ) -> None:
        self.folder, self.model, self.card = Path(config.output), str(model), card
        self.given, self.rule, self.answered = config.threshold, config.threshold_rule, answered
        self.avoid = config.avoid
        self.guess, self.guessed = config.expected_particles, False
        self.counts, self.thresholds, self.expected = dict[str, int](), dict[str, float](), Expectation()
        self.take_threshold(settings)

    def take_threshold(self, settings: PickSettings) -> None:
        """The model's threshold and its uncertainty, or those of its scores on these micrographs."""
        known = settings.adapted or dict(
            threshold=self.card["threshold"], uncertainty=self.card.get("threshold_uncertainty")
        )
        self.model_threshold = known["threshold"]
        size = Size(**settings.size) if settings.size else None
        # what learnt from boxes expected 0.74 to 0.93 where 0.48 to 0.63 was true; from own unsure picks 0.67, and 0.24
        self.adapted = Adapted(**settings.adapted) if settings.adapted else None
        told = BY_BOXES if self.card.get("labels") == "boxes" else 1.0
        self.f1, told = (self.adapted.f1, self.adapted.expected_f1) if self.adapted else (told, told)
        # scores promise too much, or too little: then those on either side of the threshold are less doubtful
        self.part = min(1.0, self.f1 / max(told, 0.01))
        self.doubt = told / self.f1 * (1 - self.f1) / (1 - told) if self.f1 > told > 0 else 1.0
        self.trusted = not (size and size.dirty) and (
            self.adapted.agreement >= SAME
            if self.adapted  # of a general model, unless candidates are too few
            else not settings.general and self.card.get("clear", self.card.get("labels") != "boxes")
        )
        self.uncertainty = known["uncertainty"] if self.given is None and self.rule == "model" else None
        if self.trusted and (self.adapted or self.card.get("clear")) and self.model_threshold < SURE:
            self.model_threshold, self.uncertainty = SURE, None
        self.own = self.model_threshold  # candidates between the two are not what was picked
        if self.answered:
            self.model_threshold, self.trusted, self.uncertainty = self.answered.threshold, False, None
        alike = size is not None and size.spread <= ONE_KIND and size.uneven <= ONE_HEIGHT
        self.stated = self.trusted and (alike or not self.adapted)
        by_number = self.adapted.by_number if self.adapted and not self.stated else ()
        self.guessed = self.guess is not None and bool(by_number)
        if self.guess is not None and self.guessed:
            self.model_threshold, self.uncertainty = by_number[max(0, min(round(self.guess), len(by_number)) - 1)], None

    def write(self, name: str, yx: np.ndarray, scores: np.ndarray) -> None:
        """Write <name>.star: the candidates whose score reaches the threshold. yx: (n, 2) px; scores: (n,)."""
        threshold = threshold_of(self.rule, scores, self.model_threshold) if self.given is None else self.given
        keep = scores >= threshold
        write_coordinates(
            self.folder / f"{name}.star", yx[keep], scores[keep], HEAD.format(name, score_text(threshold))
        )
        self.counts[name], self.thresholds[name] = int(keep.sum()), threshold
        true = np.where(scores >= self.own, 1 - self.doubt * (1 - scores), self.doubt * scores)
        self.expected += dataclasses.replace(
            expected_counts(scores, threshold), particles=float(true.sum()), true_picks=float(true[keep].sum())
        )

    def rule_in_words(self) -> str:
        """How the threshold is chosen."""
        if self.given is None and self.rule != "model":
            return "a threshold for each micrograph " + (
                "with the largest expected F1"
                if self.rule == "f1"
                else "that keeps as many picks as particles are expected"
            )
        chosen = f" ± {self.uncertainty:.2g} (the model's)" if self.uncertainty else ""
        if self.answered and self.given is None:
            chosen = f" (chosen by {counted(len(self.answered.asked.told), 'answer')})"
        if self.guessed:
            chosen = f" (that of {self.guess:g} expected particles per micrograph)"
        return f"threshold {score_text(self.model_threshold if self.given is None else self.given)}{chosen}"

    def outputs(self, order: typing.Sequence[str], settings: PickSettings, pictures: dict[str, str]) -> PickOutputs:
        """Outputs of the command. order: all micrographs' names. settings: that hold, with the contrast."""
        names = [n for n in order if n in self.counts]
        candidates = {n: self.folder / CANDIDATES / f"{n}.star" for n in names}
        ranked = sorted(self.thresholds.values())
        number = self.expected.particles
        expected = {name: value * self.part for name, value in self.expected.metrics().items()}
        expected["f1"] = min(HIGHEST, expected["f1"])
        # particles beside areas to avoid are partly hidden by these, and lost as well: their part of the field
        avoided = [f for f in (self.folder / AVOIDED).glob("*.json") if f.stem in self.counts]
        letters = "".join(row for file in avoided for row in read_kept(file)["areas"])
        hidden = sum(map(letters.count, "12")) / max(1, len(letters)) * number
        if self.adapted:
            expected |= {f"{name}_low": max(0.0, value - WITHIN[name][0]) for name, value in expected.items()} | {
                f"{name}_high": min(1.0, value + WITHIN[name][1]) for name, value in expected.items()
            }
        return PickOutputs(
            folder=str(self.folder),
            picks=sum(self.counts.values()),
            threshold=ranked[len(ranked) // 2] if ranked else self.model_threshold,
            threshold_uncertainty=self.uncertainty,
            thresholds={n: self.thresholds[n] for n in names},
            counts={n: self.counts[n] for n in names},
            coordinates={n: str(self.folder / f"{n}.star") for n in names},
            # none where no particles of any size were found
            candidates={n: str(path) for n, path in candidates.items() if path.exists()},
            # of the scores, and of what these promise too much on the micrographs that were asked
            expected_particles=dict(
                number=number, deviation=math.hypot(self.expected.deviation, (1 - self.f1) * number, hidden)
            ),
            expected=expected if self.stated and "clear" not in self.card and any(self.counts.values()) else None,
            model=self.model,
            contrast=str(settings.contrast),
            particle_diameter=settings.particle_diameter or settings.scale,
            picked_diameter=settings.scale,
            size=settings.size,
            pictures=pictures,
            pixel_size=settings.pixel_size,
            state=self._state(settings),
        )

    def _state(self, settings: PickSettings) -> str | None:
        """PickOutputs.state: 'unsure' where the scores of a general model, or of one that learnt from its
        picks, do not tell particles from the rest; None for another model, whose scores nobody looks at."""
        if not any(self.counts.values()) and not (settings.general and settings.size):
            return "nothing found"
        if not settings.general and "clear" not in self.card:
            return None
        return "answered" if self.answered else "clear" if self.trusted and any(self.counts.values()) else "unsure"

    def in_words(self, made: PickOutputs) -> str:
        """What was written, and what the scores let expect of it."""
        written = (
            f"{counted(made.picks, 'pick')} in {counted(len(self.counts), 'micrograph')}: "
            f"{self.folder}/<micrograph>.star. "
        )
        if not made.picks:
            return written.rstrip()
        if self.answered and (told := self.answered.asked.estimate(made.threshold)):
            return f"{written}By the answers the threshold is {made.threshold:.2f}. {told.in_words()}"
        if not made.expected:
            return written + (
                (WIDE if self.adapted else OWN_PICKS) if made.state == "clear" else UNTOLD if made.state else FEW_LABELS
            )
        found, number = made.expected, made.expected_particles
        stated = ", ".join(
            f"{word} {found[name]:.2f}" + (f" ({low:.2f} to {found[f'{name}_high']:.2f})" if low is not None else "")
            for name, word in WORDS.items()
            for low in [found.get(f"{name}_low")]
        )
        return (
            f"{written}Expected particles: {number['number']:.0f} ± {number['deviation']:.0f}"
            f"{'' if self.avoid == 'nothing' else ' outside the areas to avoid'}; expected of the picks: {stated}"
            f"{'; 90 % intervals, if all particles of this size are of one kind' if self.adapted else ''}"
        )
