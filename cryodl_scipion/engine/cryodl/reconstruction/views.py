# SPDX-License-Identifier: GPL-3.0-or-later
"""What views show of a molecule: missing directions, what a tilted specimen would add, resolution by direction."""

import dataclasses
import typing

import numpy as np
import torch
from scipy.spatial import cKDTree

from ..core.fourier import THRESHOLDS, resolution_at, rings
from ..core.healpix_grid import healpix
from ..core.symmetry import operations

SIDES = 12  # of the HEALPix grid of views: 4.9 degrees apart
WEDGE, WIDE = 5.0, 10.0  # degrees: views so near to the plane across a direction show it; of the one seen least
MISSING = 0.15  # of what even views would give: directions seen less are missing
TILTS = (20, 30, 40)  # degrees
FEWEST = 100  # views: fewer leave directions out by chance
SMALLEST = 10.0  # degrees: half angle of a missing cone that is worth a word
RING = 3.0  # degrees: width of the rings about an axis by which its cone is measured
CONE = 20.0  # degrees: half angle of the cones in which half-maps are compared
AXES = 4  # SIDES of the grid of their axes
SMOOTH = 3  # shells: in a cone the inner ones hold few coefficients
ENOUGH = 100  # coefficients, where the FSC falls: fewer agree by more than 0.1 by chance alone


class SeenDirectionsDict(typing.TypedDict):
    """Outputs of commands that say which views there are."""

    missing_cone: float | None
    tilted_cones: list[float] | None
    views: list[list[float]]


@dataclasses.dataclass(frozen=True)
class SeenDirections:
    """least: how often the direction seen least is seen, over what even views would give. cone: half angle of the
    largest cone of directions that are missing, degrees; 0 if none is, None of fewer than FEWEST views. tilted: {tilt
    of the specimen: cone that it would leave}. views: [rot, tilt in degrees, views there over what even ones give]."""

    least: float
    cone: float | None
    tilted: dict[int, float]
    views: list[list[float]]

    def outputs(self) -> SeenDirectionsDict:
        """What the outputs of commands say of it."""
        tilted = [round(cone, 1) for cone in self.tilted.values()] or None
        return SeenDirectionsDict(missing_cone=self.cone and round(self.cone, 1), tilted_cones=tilted, views=self.views)

    def doubts(self) -> list[str]:
        """A sentence on what is missing and what would help; none where nothing is."""
        if self.cone is None or self.cone < SMALLEST:
            return []
        return [
            f"Views are missing: a cone of {self.cone:.0f}° about one direction is hardly seen (less than "
            f"{100 * MISSING:.0f} % of what even views show), and the map is smeared along it; {self.advice()}."
        ]

    def advice(self) -> str:
        """What a tilt would leave."""
        return "images of a tilted specimen would leave a cone of " + ", ".join(
            f"{cone:.0f}° at {tilt}°" if cone else f"none at {tilt}°" for tilt, cone in self.tilted.items()
        )


def views_of(matrices: np.ndarray, symmetry: str) -> SeenDirections:
    """The SeenDirections of orientations (n, 3, 3), from image to density, under a point group."""
    grid = healpix(SIDES)
    seen = np.einsum("sij,nj->sni", operations(symmetry), matrices[:, :, 2]).reshape(-1, 3)
    counts = np.bincount(cKDTree(grid).query(seen)[1], minlength=len(grid)) / len(seen)
    cosines, axes = (grid @ grid.T).astype(np.float32), healpix(AXES)
    dense = np.bincount(cKDTree(axes).query(seen)[1], minlength=len(axes)) * len(axes) / len(seen)
    views = [[*_angles(axis), round(float(times), 3)] for axis, times in zip(axes, dense)]
    least = float(_coverage(cosines, counts, WIDE).min())
    if len(seen) < FEWEST:
        return SeenDirections(least, None, {}, views)
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    # with the specimen tilted each view goes to a ring around it, since particles lie at any angle in the plane
    bands = (np.exp(-(((angles - tilt) / RING) ** 2)) for tilt in TILTS)  # one at a time: each has 12 MB
    tilted = {
        tilt: _cone(angles, _coverage(cosines, ring @ (counts / ring.sum(0)))) for tilt, ring in zip(TILTS, bands)
    }
    return SeenDirections(least, _cone(angles, _coverage(cosines, counts)), tilted, views)


def _angles(axis: np.ndarray) -> list[float]:
    """[rot, tilt] of a direction, degrees."""
    return np.degrees([np.arctan2(axis[1], axis[0]), np.arccos(axis[2])]).round(2).tolist()


def _coverage(cosines: np.ndarray, counts: np.ndarray, wedge: float = WEDGE) -> np.ndarray:
    """(d,) how often each direction is seen, over what even views would give: a view shows the directions across it."""
    across = np.abs(cosines) < np.sin(np.radians(wedge))
    return np.asarray((across.astype(np.float32) @ counts.astype(np.float32)) / across.mean(1))  # not in float64


def _cone(angles: np.ndarray, shown: np.ndarray) -> float:
    """Half angle in degrees of the largest cone, about any axis, whose rings are all seen too little."""
    bands = (np.minimum(angles, 180 - angles) / RING).astype(np.uint8)  # an axis has two ends
    widest = 0.0
    for band in bands[: len(bands) // 2][shown[: len(bands) // 2] < MISSING]:
        means = np.bincount(band, shown) / np.bincount(band)
        if first := int(np.argmax(means >= MISSING)):  # no set of views misses all directions
            part = (MISSING - means[first - 1]) / (means[first] - means[first - 1])
            widest = max(widest, RING * (first - 0.5 + part))
    return widest


def resolutions(half1: torch.Tensor, half2: torch.Tensor, pixel_size: float) -> list[list[float | None]]:
    """[rot, tilt in degrees, Å where the FSC of the half-maps within a cone about this axis falls below 0.143; None if
    nothing is resolved there, or too coarsely to tell it from chance], for axes over one half of the sphere.

    half1, half2: (box, box, box), masked by the caller. pixel_size: Å/px. Source: Tan et al. (2017), Addressing
    preferred specimen orientation in single-particle cryo-EM through tilting."""
    box, shell = len(half1), rings(half1.shape)
    inside = (shell > 0) & (shell <= box // 2)
    first, second = (torch.fft.rfftn(half)[inside] for half in (half1, half2))
    xyz = torch.stack(torch.meshgrid(*[torch.fft.fftfreq(box)] * 2, torch.fft.rfftfreq(box), indexing="ij")[::-1])
    xyz, shell = xyz[:, inside], shell[inside]
    xyz = xyz / xyz.norm(dim=0)
    parts = torch.stack([(first * second.conj()).real, first.abs().square(), second.abs().square()]).double()
    sums = lambda chosen: torch.zeros(3, box // 2 + 1).double().index_add(1, shell[chosen], parts[:, chosen])
    power = sums(slice(None))[1:].sum(0).clamp(min=1e-300)  # so that a shell does not drown the next when smoothed
    found = []
    for axis in healpix(AXES)[: 6 * AXES**2]:
        near = torch.nonzero((torch.as_tensor(axis, dtype=xyz.dtype) @ xyz).abs() > np.cos(np.radians(CONE)))[:, 0]
        shared, one, other = torch.nn.functional.avg_pool1d(sums(near) / power, SMOOTH, 1, SMOOTH // 2)
        at = resolution_at(shared / (one * other).sqrt().clamp(min=1e-300), THRESHOLDS[1], pixel_size, box)
        few = at is not None and ((shell[near] - box * pixel_size / at).abs() <= SMOOTH / 2).sum() < ENOUGH
        found.append([*_angles(axis), None if few else at])
    return found
