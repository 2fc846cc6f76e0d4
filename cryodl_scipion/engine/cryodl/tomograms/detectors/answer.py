# SPDX-License-Identifier: GPL-3.0-or-later
"""Detections of a tomogram: rows of a STAR file, and sentences about their number."""

import dataclasses
import typing

import numpy as np

from ...contract import counted, score_text
from ...io.particles import ANGLES
from ...io.tomogram_coordinates import coordinate_columns


@dataclasses.dataclass(frozen=True)
class SpeciesFound:
    """Detections of one species in one tomogram. name: of the species. zyx: (n, 3) px of the tomogram. scores: (n,).
    angles: (n, 3) rot, tilt, psi in degrees, or None. threshold: minimum score. expected_false: detections that noise
    alone gives, scaled to the tomogram; None without a control. diameter: Å. rivals: (m,) scores of places where a
    decoy of the template fits best; None without decoys."""

    name: str
    zyx: np.ndarray
    scores: np.ndarray
    angles: np.ndarray | None
    threshold: float
    expected_false: float | None
    diameter: float
    rivals: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.zyx)

    def inside(self, shape: typing.Sequence[int], border: float) -> "SpeciesFound":
        """Those at least so many px from the first and last voxels of a tomogram."""
        keep = ((self.zyx >= border) & (self.zyx <= np.array(shape) - 1 - border)).all(axis=1)
        angles = None if self.angles is None else self.angles[keep]
        return dataclasses.replace(self, zyx=self.zyx[keep], scores=self.scores[keep], angles=angles)


def detection_columns(
    name: str, found: typing.Sequence[SpeciesFound], shape: typing.Sequence[int], pixel_size: float
) -> dict[str, list[typing.Any]]:
    """{column: values} of all species of a tomogram: RELION 5's columns, score, species and its number from 1."""
    zyx = np.concatenate([one.zyx.reshape(-1, 3) for one in found])
    columns: dict[str, typing.Any] = dict(coordinate_columns(name, zyx, shape, pixel_size))
    if all(one.angles is not None for one in found):
        angles = np.concatenate([one.angles for one in found if one.angles is not None]).reshape(-1, 3)
        columns.update(dict(zip(ANGLES, angles.T)))
    columns["rlnClassNumber"] = [number for number, one in enumerate(found, 1) for _ in range(len(one))]
    columns["cryodlSpecies"] = [one.name for one in found for _ in range(len(one))]
    columns["cryodlScore"] = np.concatenate([one.scores for one in found])
    return {key: list(values) for key, values in columns.items()}


def detections_in_words(
    name: str,
    counts: typing.Mapping[str, int],
    thresholds: typing.Mapping[str, float],
    expected: typing.Mapping[str, float],
    what: str,
) -> typing.Iterator[str]:
    """Sentences about the detections in a tomogram, one for each species. expected: false ones; empty without a
    control. what: these are."""
    for species, count in counts.items():
        false = expected.get(species)
        number = "" if false is None else f"{false:.2g}" if false < 10 else f"{false:.0f}"
        control = "no control" if false is None else f"{number if false >= 0.1 else 'less than 0.1'} expected {what}"
        found = f"{counted(count, 'detection')} of {species} from score {score_text(thresholds[species])}"
        yield f"{name}: {found if count else f'no detections of {species}'}, {control}."
