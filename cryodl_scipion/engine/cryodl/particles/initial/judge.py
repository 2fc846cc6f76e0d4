# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether starts from nothing have found the same map in both halves of the particles, and what speaks against it.

The limits stand between what sets of one molecule and bad sets reach: benchmarks/initial_map.py. That of a second map
is no limit of ours: it is worth it, or not.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ...core.frc import fsc, resolution_at
from ...core.healpix_grid import healpix
from ...reconstruction.halves import wiener_constants

AGREEMENT = 0.93  # correlation of maps that are taken to be the same
EVIDENCE = 1.0  # mean logarithmic likelihood ratio to noise
EMPTY = 0.1  # part of the particles that noise explains better than the map
COVERED = 0.15  # of what even views would give: coverage of the direction that is seen least
WEDGE = 10.0  # degrees: views so near to the plane across a direction show it
SIDES = 4  # of the HEALPix grid of directions whose coverage is measured


@dataclasses.dataclass(frozen=True)
class Judgement:
    """agreement: correlation of the best maps of both halves. starts: of each start's map with the best of the first
    half. evidence: mean logarithmic likelihood ratio of the particles to noise. empty: part of them that noise explains
    better. coverage: of the direction seen least, 1 for even views. second: mean gain in logarithmic evidence of
    held-out particles by a second map, see mixture.py; None where it was not asked for."""

    agreement: float
    starts: list[float]
    evidence: float
    empty: float
    coverage: float
    second: float | None = None

    def doubts(self) -> list[str]:
        """Why the map is not to be believed: clauses; empty if it is."""
        found = []
        if self.evidence < EVIDENCE:
            found.append(
                f"the particles show hardly more than noise (mean logarithm of the likelihood ratio "
                f"{self.evidence:.1f}, at least {EVIDENCE:g} is expected)"
            )
        if self.coverage < COVERED:
            found.append(
                f"views are missing: of one direction only {100 * self.coverage:.0f} % is seen of what even views show "
                f"(at least {100 * COVERED:.0f} % is expected)"
            )
        if self.empty > EMPTY:
            found.append(
                f"{100 * self.empty:.0f} % of the particles are junk: noise explains them better than the map does (at "
                f"most {100 * EMPTY:.0f} % are expected)"
            )
        if self.agreement < AGREEMENT:
            found.append(
                f"the maps of the two halves of the particles do not agree (correlation {self.agreement:.2f}, at least "
                f"{AGREEMENT:g} is expected): several molecules may be mixed, or the particles may be too few"
            )
        if self.second is not None and self.second > 0:
            found.append(
                f"a second map explains particles better that neither was made from (logarithm of the likelihood ratio "
                f"{self.second:.2f} for each particle, at most 0 is expected of one molecule): several molecules or "
                "states seem to be mixed"
            )
        return found


def coverage(matrices: torch.Tensor) -> float:
    """How well the direction seen least is covered by views, over what even views would give.

    matrices: (n, 3, 3) from image to density. A view shows the directions across it.
    """
    across = np.abs(matrices[:, :, 2].cpu().double().numpy() @ healpix(SIDES).T)
    wedge = np.sin(np.radians(WEDGE))
    return float((across < wedge).mean(0).min() / wedge)


def filtered_mean(halves: tuple[torch.Tensor, torch.Tensor], mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of two half-maps, each shell weighted by what the halves share, and their Fourier shell correlation."""
    curve = fsc(halves[0] * mask, halves[1] * mask).cpu()
    weights = 1 / (1 + wiener_constants(curve))
    mean = torch.fft.rfftn((halves[0] + halves[1]) / 2)
    axis = torch.fft.fftfreq(len(mask), 1 / len(mask), device=mask.device)
    square = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis[: len(mask) // 2 + 1].abs() ** 2
    shell = square.sqrt().round().long().clamp(max=len(weights) - 1)
    return torch.fft.irfftn(mean * weights.to(mask.device)[shell], s=mask.shape), curve


def reached(curve: torch.Tensor, width: float, radius: float) -> float | None:
    """Å at which the halves' FSC falls below 0.143, not finer than what was compared; None if nothing is resolved.

    radius: waves per box, finest detail compared.
    """
    box = 2 * (len(curve) - 1)
    found = resolution_at(curve, 0.143, width / box, box)
    return None if found is None else max(found, width / radius)


def enlarged(density: torch.Tensor, box: int) -> torch.Tensor:
    """A small map on the grid of the images, (box, box, box); its projections stay the same."""
    side = len(density)
    transform = torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(density)))
    kept = min(side, box)
    inside = slice(side // 2 - kept // 2, side // 2 - kept // 2 + kept)
    placed = torch.zeros((box,) * 3, dtype=transform.dtype, device=density.device)
    there = slice(box // 2 - kept // 2, box // 2 - kept // 2 + kept)
    placed[there, there, there] = transform[inside, inside, inside]
    return torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(placed)).real)
