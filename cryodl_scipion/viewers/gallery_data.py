# SPDX-License-Identifier: GPL-3.0-or-later
"""Particles for a gallery: where their images are, raw and denoised, their scores and their groups. No windows here."""

import os
import re
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from pwem.objects import SetOfParticles

from ..convert.particles.denoised import RAW_IMAGE
from .particle_images import lowPass, readParticle, shrunk

# Columns of the engine that say how sure an orientation is, in words.
SCORES = {
    "cryodlScore": "Score",
    "cryodlMargin": "Margin to the runner-up",
    "rlnMaxValueProbDistribution": "Probability of the orientation",
}
RAW, DENOISED, GROUND_TRUTH = "raw", "denoised", "ground truth"
# Attributes of items that a gallery is sorted by, the largest value first.
_LABELS = dict(
    {"_" + name: label for name, label in SCORES.items()}, _cryodlDenoisedStrength="Strength of the denoised image"
)
_PROBABILITY = re.compile(r"_cryodlProbability(\d+)$")
_OTHERS_SIDE = 512  # px; larger images are averaged for the window


class Gallery:
    """names: {kind: [image names]}, kinds in the order in which they stand side by side. ids: (n,) of the particles.

    pixelSize: Å/px. metrics: {label: (n,) numbers}. groups: (n,) int or None; groupNames: of the groups 1, 2, ...
    """

    # Words of the window: what an item is, what its group is, and what the filter is for ('' for no filter).
    ITEM, GROUP, FILTER = "Particle", "Composition", "Low-pass filter of raw images (Å, 0: none)"
    WORDS = {
        RAW: "raw (the data)",
        DENOISED: "denoised (the denoiser's prediction)",
        GROUND_TRUTH: "ground truth (no noise, no CTF)",
    }

    # Whether the first row is at the bottom, as of tomograms and maps (engine/cryodl/contract/frames.py).
    UPWARDS = False

    def __init__(
        self,
        names: Dict[str, List[str]],
        ids: Any,
        pixelSize: Any,
        metrics: Optional[Dict[str, np.ndarray]] = None,
        groups: Optional[np.ndarray] = None,
        groupNames: Sequence[str] = (),
    ) -> None:
        self.names, self.ids, self.pixelSize = names, np.asarray(ids), pixelSize
        self.metrics, self.groups, self.groupNames = metrics or {}, groups, list(groupNames)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def ofSet(cls, particles: SetOfParticles, groupNames: Any = (), ground_truth: Any = None) -> Any:
        """Of a SetOfParticles; its items are asked in one query, since a set may have a million.

        groupNames: names of classes 1, 2, ..., if the items' classes are to be told apart. ground_truth: SetOfParticles
        with the same ids, clean images to stand beside. Raises ValueError for an empty set.
        """
        first = particles.getFirstItem()
        if first is None:
            raise ValueError("The set of particles is empty.")
        known = [name for name, _ in first.getAttributes()]
        # what says most comes first: it is what a window sorts by
        named = sorted(known, key=lambda name: list(_LABELS).index(name) if name in _LABELS else len(_LABELS))
        metrics = {name: label for name, label in ((n, _labelOf(n, groupNames)) for n in named) if label}
        wanted = ["id", "_filename"] + list(metrics) + [n for n in (RAW_IMAGE, "_classId") if n in known]
        rows = _rows(particles, wanted)
        images = _imageNames(rows)
        names = {RAW: [row[RAW_IMAGE] for row in rows], DENOISED: images} if RAW_IMAGE in known else {RAW: images}
        if ground_truth is not None:
            names[GROUND_TRUTH] = _imageNames(_rows(ground_truth, ["id", "_filename"]))
        return cls(
            names,
            [row["id"] for row in rows],
            particles.getSamplingRate(),
            {label: np.array([row[n] for row in rows], float) for n, label in metrics.items()},
            np.array([row["_classId"] or 0 for row in rows], int) if groupNames else None,
            groupNames,
        )

    def order(self, figure: Any = None, group: int = 0) -> np.ndarray:
        """Positions of the particles, best first. figure: label, None for the set's order. group: 0 for all."""
        chosen = np.arange(len(self)) if not group else np.flatnonzero(self.groups == group)
        if figure is None:
            return chosen
        return chosen[np.argsort(-np.nan_to_num(self.metrics[figure][chosen], nan=-np.inf), kind="stable")]

    def pictures(self, position: int, resolution: Optional[float] = None, side: float = _OTHERS_SIDE) -> Any:
        """As images, with the row first that is drawn on top."""
        found = self.images(position, resolution, side)
        return [image[::-1] for image in found] if self.UPWARDS else found

    def images(self, position: Any, resolution: Any = None, side: Any = _OTHERS_SIDE) -> Any:
        """The images of one particle, in the order of the kinds; the raw one filtered to `resolution` Å if given."""
        found = [readParticle(names[position]) for names in self.names.values()]
        found[0] = lowPass(found[0], resolution, self.pixelSize)
        return [shrunk(image, side) for image in found]

    def lines(self, position: int) -> List[str]:
        """What is known of one particle, one line each."""
        lines = [f"{self.ITEM} {self.ids[position]}"]
        lines += self._positions(position)
        lines += [f"{label}: {values[position]:.4g}" for label, values in self.metrics.items()]
        if self.groups is not None and 0 < self.groups[position] <= len(self.groupNames):
            lines.append(f"{self.GROUP}: {self.groupNames[self.groups[position] - 1]}")
        return lines

    def _positions(self, position: int) -> List[str]:
        return [f"{kind.capitalize()} image: {placeOf(names[position])}" for kind, names in self.names.items()]

    def caption(self, position: Any, figure: Any) -> str:
        """'12   0.83': id, and the figure if there is one."""
        return f"{self.ids[position]}" + ("" if figure is None else f"   {shortNumber(self.metrics[figure][position])}")


def _rows(particles: SetOfParticles, names: Sequence[str]) -> List[Any]:
    """[{attribute: value}] of all items, by id; MAX is the number of the image in its file."""
    return sorted(particles.aggregate(["MAX"], "_index", names), key=lambda row: row["id"])


def _imageNames(rows: Any) -> List[str]:
    return [f"{row['MAX'] or 1:06d}@{row['_filename']}" for row in rows]


def placeOf(name: str) -> str:
    """'12 of particles.mrcs' of '000012@Runs/.../particles.mrcs': folders of runs say nothing to a user."""
    number, at, path = name.rpartition("@")
    return f"{int(number)} of {os.path.basename(path)}" if at else os.path.basename(path)


def shortNumber(value: float) -> str:
    """Three digits, or as many as stand before the point: '0.83', '2830'; never '2.83e+03'."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def pageOf(order: Any, page: int, size: int) -> Any:
    """Part of `order` on a page (0, 1, ...), and the number of pages, at least 1. Past the end comes the last one."""
    pages = max(1, -(-len(order) // size))
    page = min(max(0, page), pages - 1)
    return order[page * size : (page + 1) * size], pages


def _labelOf(attribute: str, groupNames: Sequence[str]) -> Optional[str]:
    """What an attribute is called in a gallery, None if it is no figure."""
    match = _PROBABILITY.match(attribute)
    if not match:
        return _LABELS.get(attribute)
    number = int(match.group(1))
    return f"Probability of {groupNames[number - 1] if number <= len(groupNames) else f'composition {number}'}"
