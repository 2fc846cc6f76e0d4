# SPDX-License-Identifier: GPL-3.0-or-later
"""Likelihood of each composition for a particle's raw image, marginal over orientation and shift.

For each composition the image is compared with CTF x projection in noise of the measured spectrum, over the same
orientations and shifts around the best candidates, so that what is wrong with the grid is wrong for all alike. How
strongly images show the structures is one number for all compositions: with one for each, a composition that lacks a
part could not be told from a weaker image of the whole. It comes from the set by expectation-maximisation (Sigworth
1998; Scheres 2012 for particles). Only a few neighbourhoods are compared. Where the right one is not among them, the
evidence is too sure: calibration.py learns what it is worth."""

import dataclasses
import typing

import numpy as np
import torch

from ...core import healpix_grid, projections
from ...core.half_transforms import HalfDisc
from ...likelihood.observed import Observed
from ...likelihood.reference import Reference

KEPT = 6  # orientations whose neighbourhoods are searched finer
FINEST_PART = 0.6  # of the resolution: distance at the particle's rim between the last step's neighbouring orientations
MAX_LEVELS = 5
FINEST_SHIFT = 0.25  # px
ELEMENTS = 1.5e6  # coefficients of projections that are held at a time


@dataclasses.dataclass(frozen=True)
class Level:
    """One refinement step. rotations: (r, 3, 3) tensor of small rotations. shifts: (t, 2) px, tensor. disc: HalfDisc;
    positions: its coefficients among those of the finest disc. references: of the compositions, on this disc."""

    rotations: torch.Tensor
    shifts: torch.Tensor
    disc: HalfDisc
    positions: torch.Tensor
    references: list[Reference]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What the images of m particles say. logs: (m, c) log-likelihood of each composition over that of noise alone.
    match, power: (m, c) posterior means of the agreement of image and projection and of the projection's power,
    which give the strength: match / (2 power). matrices: (m, 3, 3), shifts_yx: (m, 2) px of the best orientation."""

    logs: torch.Tensor
    match: torch.Tensor
    power: torch.Tensor
    matrices: torch.Tensor
    shifts_yx: torch.Tensor

    @classmethod
    def joined(cls, parts: "typing.Sequence[Evidence]") -> "Evidence":
        """One Evidence of several, in their order."""
        return cls(*(torch.cat([getattr(p, f.name) for p in parts]) for f in dataclasses.fields(cls)))


class Comparison:
    """Compositions that images are compared with.

    projectors: one of each composition, in one frame. disc: HalfDisc of the images, up to the finest detail that is
    compared. gain: called with a number of rings, the factors (rings,) of the rings' amplitudes. step: degrees between
    the candidates' orientations. diameter_px: of the whole."""

    def __init__(
        self,
        projectors: typing.Sequence[projections.Projector],
        disc: HalfDisc,
        gain: typing.Callable[[int], torch.Tensor],
        step: float,
        diameter_px: float,
    ) -> None:
        self.disc, self.kinds = disc, len(projectors)
        finest = [Reference(projector, disc) for projector in projectors]
        self.levels = [
            Level(rotations, shifts, level, positions, [one.with_gain(gain(level.rings), level) for one in finest])
            for rotations, shifts, level, positions in _levels(disc, step, diameter_px)
        ]

    def evidence(
        self, observed: Observed, matrices: torch.Tensor, shifts_yx: torch.Tensor, amplitude: float
    ) -> Evidence:
        """Evidence of the images of some particles.

        observed: Observed (m). matrices: (m, k, 3, 3) candidates, image to density. shifts_yx: (t, 2) px, those of all
        candidates to begin with. amplitude: what all projections are multiplied with."""
        turned = max(len(level.rotations) for level in self.levels)
        step = max(1, int(ELEMENTS / (max(matrices.shape[1], KEPT) * turned * self.kinds * len(self.disc))))
        slices = [slice(start, start + step) for start in range(0, len(observed), step)]
        return Evidence.joined([self._evidence(observed[s], matrices[s], shifts_yx, amplitude) for s in slices])

    def _evidence(self, observed: Observed, matrices: torch.Tensor, shifts: torch.Tensor, amplitude: float) -> Evidence:
        first = self.levels[0]
        none = torch.zeros(*matrices.shape[:2], 2, device=self.disc.device)
        match, power = self._compare(_seen(observed, first), first, matrices[:, :, None], none, shifts)
        shifts = shifts[(amplitude * match - amplitude**2 * power[..., None]).amax(3)[:, :, 0].argmax(-1)]
        for level in self.levels:
            finer = matrices[:, :, None] @ level.rotations
            match, power = self._compare(_seen(observed, level), level, finer, shifts, level.shifts)
            logs = amplitude * match - amplitude**2 * power[..., None]  # m, k, r, c, t
            matrices, shifts = self._best(logs, finer, shifts, level)
        whole = torch.logsumexp(logs, dim=(1, 2, 4))  # m, c
        weight = torch.exp(logs - whole[:, None, None, :, None])
        return Evidence(
            whole.double(),
            (weight * match).sum((1, 2, 4)),
            (weight * power[..., None]).sum((1, 2, 4)),
            matrices[:, 0],
            shifts[:, 0],
        )

    def _compare(
        self, observed: Observed, level: Level, matrices: torch.Tensor, centres: torch.Tensor, shifts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Agreements (m, k, r, c, t) and powers (m, k, r, c) of unit strength, of matrices (m, k, r, 3, 3) moved by
        centres (m, k, 2) plus shifts (t, 2)."""
        m, k, r = matrices.shape[:3]
        views = torch.stack([reference.at(matrices) for reference in level.references], dim=3)  # m, k, r, c, d
        back = level.disc.ramp(-centres.reshape(-1, 2)).reshape(m, k, 1, -1) * level.disc.ramp(-shifts)
        moved = torch.view_as_real(observed.match[:, None, None] * back).flatten(-2)  # m, k, t, 2d
        flat = torch.view_as_real(views).flatten(-2).reshape(m, k, -1, moved.shape[-1])
        match = (flat @ moved.transpose(-1, -2)).reshape(m, k, r, self.kinds, len(shifts))
        return match, (views.abs().square() * observed.weight[:, None, None, None]).sum(-1)

    def _best(
        self, logs: torch.Tensor, matrices: torch.Tensor, shifts: torch.Tensor, level: Level
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The KEPT best orientations (m, k', 3, 3), whatever the composition, and the best shift of each."""
        m, k, r = logs.shape[:3]
        position = torch.logsumexp(logs, dim=(3, 4)).reshape(m, -1).topk(min(KEPT, k * r), dim=1).indices
        shift = torch.logsumexp(logs, dim=3).argmax(-1).reshape(m, -1)
        moved = shifts[:, :, None] + level.shifts[shift.reshape(m, k, r)]
        rows = torch.arange(m, device=position.device)[:, None]
        return matrices.reshape(m, -1, 3, 3)[rows, position], moved.reshape(m, -1, 2)[rows, position]


def _seen(observed: Observed, level: Level) -> Observed:
    return Observed(observed.match[:, level.positions], observed.weight[:, level.positions], level.disc)


def _levels(disc: HalfDisc, step: float, diameter_px: float) -> typing.Iterator[typing.Any]:
    """What each Level has but for its references: steps halved down to what the resolution can tell apart at the
    particle's rim. Coarse steps compare coarse detail only."""
    finest = np.degrees(FINEST_PART * (disc.box / disc.radius) / (diameter_px / 2))
    count = int(np.clip(np.ceil(np.log2(step / finest)), 1, MAX_LEVELS))
    for number in range(1, count + 1):
        here = step / 2**number
        # the frequency at which neighbours of this step differ at the rim by the same part of a period as those of the
        # last
        radius = FINEST_PART * disc.box / (np.radians(here) * diameter_px / 2)
        level_disc = disc if number == count else HalfDisc(disc.box, min(disc.radius, max(radius, 4)), disc.device)
        positions = (disc.square <= level_disc.radius**2).nonzero()[:, 0]
        shift = max(1 / 2**number, FINEST_SHIFT)
        tensors = (
            torch.as_tensor(a, dtype=torch.float32, device=disc.device)
            for a in (
                healpix_grid.ball_of_rotations(1.5 * here, here),
                healpix_grid.ball_of_points(2 * shift, shift, 2),
            )
        )
        yield (*tensors, level_disc, positions)


def fitted_amplitude(evidence: Evidence) -> float:
    """The strength that explains the images best, given their Evidence (one step of expectation-maximisation)."""
    # compositions count as equally frequent: their true parts change it by less than a thousandth
    weight = torch.softmax(evidence.logs, 1)
    return float((weight * evidence.match).sum() / (2 * (weight * evidence.power).sum()).clamp(min=1e-30))
