# SPDX-License-Identifier: GPL-3.0-or-later
"""Reference bias: how much of a map's FSC comes from the reference that gave the particles their angles. Its controls,
and whose they are: oriented noise, and the particles with noise in place of fine detail."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..contract import resolution_in_words, say_if
from ..core.fourier import resolution_at
from ..io.messages import Line
from ..io.particle_sets import ParticleSet, read_particles
from ..io.particles import BEYOND, COMPARED, DIGEST, NOISE, REFERENCE, SUBSTITUTED, control_name

SAME_PIXEL = 1e-3  # relative difference of pixel sizes that are the same


def control_of(particles: ParticleSet, wanted: str | None, kind: str = NOISE) -> tuple[ParticleSet | None, list[str]]:
    """The control that belongs to particles: oriented noise, or themselves with noise in place of fine detail.

    wanted: a STAR file; the one beside the particles if None. kind: NOISE or SUBSTITUTED, of io.reference_columns.
    Returns control: none if there is none, if it was oriented by another reference or with other detail, or if the
    particles' angles come from no reference. sentences: for the user."""
    if not shared_value(particles, REFERENCE):
        return None, say_if(
            wanted,
            f"The control {wanted} was not used: {particles.path} does not state the reference of its angles "
            f"({REFERENCE}).",
        )
    path = Path(wanted or control_name(str(particles.path), kind))
    if wanted is None and not path.exists():
        return None, []
    control = read_particles(path, need=("angles",))
    wrong = _difference(particles, control, kind)
    if not wrong:
        return control, []
    return None, [
        f"{path} is not the control of {particles.path}, and was not used: {wrong}. Use the NAME{kind}.star that "
        f"assign-orientations wrote with these particles, beside them{', or --noise-control' if kind == NOISE else ''}."
    ]


def _difference(particles: ParticleSet, noise: ParticleSet, kind: str) -> str:
    """How a control differs from one of particles, or '': oriented noise, or themselves with noise as fine detail."""
    for name, what in ((REFERENCE, "reference"), (DIGEST, "reference's content (SHA-256)"), (COMPARED, "detail in Å")):
        theirs, its = (shared_value(one, name) for one in (particles, noise))
        if name == REFERENCE and not its:
            return "it does not state the reference of its angles"
        if theirs and its and theirs != its and not _same_number(theirs, its):
            return f"the {what} of its angles is {its}, that of the particles' is {theirs}"
    if noise.box != particles.box or abs(noise.pixel_size / particles.pixel_size - 1) > SAME_PIXEL:
        return (
            f"its images are {noise.box} px x {noise.pixel_size:g} Å, the particles' {particles.box} px x "
            f"{particles.pixel_size:g} Å"
        )
    if kind == SUBSTITUTED and not shared_value(noise, BEYOND):
        return f"it does not state beyond which resolution it has noise ({BEYOND})"
    if kind == SUBSTITUTED and len(noise) != len(particles):
        return f"it has {len(noise)} particles, not {len(particles)}"
    return ""


def shared_value(particles: ParticleSet, name: str) -> str:
    """The value of a column that all particles share, or all values of sets that were joined. '' if there is none."""
    return ", ".join(dict.fromkeys(v for v in particles.columns.get(name, []) if v not in ("", "None")))


def finest(particles: ParticleSet, name: str) -> float:
    """The resolution in Å that a column states; the finest one of sets that were joined."""
    return min(map(float, shared_value(particles, name).split(", ")))


def _same_number(one: str, two: str) -> bool:
    try:
        return abs(float(one) - float(two)) < 1e-3
    except ValueError:
        return False


FIRST_SHELLS = 3  # that agree in maps of noise, or do not, by chance, since they have few voxels
LIKE_NOISE = 1.2  # times the map's resolution: if noise reaches that, the map is not told from noise


@dataclasses.dataclass(frozen=True)
class ReferenceTest:
    """What of a map's FSC its reference may have caused.

    name: of the reference. search_resolution: Å, resolution limit of the search that gave the orientations. noise:
    (d // 2 + 1,) FSC that as many images of noise would have, or None; noise_resolution: Å where it falls below 0.143,
    whatever it is in the first shells; corrected_resolution: Å where the map's FSC less the noise's does, see own_part;
    both None if that is in the first shells, or not known. beyond: mean FSC finer than search_resolution, or None."""

    name: str
    search_resolution: float | None
    noise: torch.Tensor | None
    noise_resolution: float | None
    corrected_resolution: float | None
    beyond: float | None

    def like_noise(self, resolution: float | None) -> bool:
        """Whether a map of that resolution (Å, or None) has next to nothing more than noise."""
        if self.noise is None or resolution is None or self.corrected_resolution is not None:
            return False
        return self.noise_resolution is None or self.noise_resolution < LIKE_NOISE * resolution

    def sentences(self, resolution: float | None) -> list[str]:
        """What the user is told of a map of that resolution (Å, or None)."""
        said = [
            f"The angles were assigned with the reference {self.name}, which both halves share: the FSC includes "
            "reference bias and does not prove the map's detail."
        ]
        if self.noise is None:
            said.append(
                "There is no noise control beside the particles (NAME_noise.star of assign-orientations): how much "
                "of the FSC is reference bias is not known."
            )
        elif self.noise_resolution is None:
            said.append(Line("As many images of noise, oriented by the same reference, resolve nothing at FSC 0.143."))
        else:
            said.append(
                f"As many images of noise, oriented by the same reference, reach {self.noise_resolution:.1f} Å "
                "at FSC 0.143."
            )
            if resolution is not None and self.noise_resolution < LIKE_NOISE * resolution:
                said.append(
                    "By its FSC the map cannot be distinguished from a map of noise: it may show only the reference."
                )
            reached = resolution_in_words(self.corrected_resolution, "nothing is resolved")
            said.append(f"Corrected for the FSC of noise: {reached}.")
        if self.beyond is not None:
            said.append(
                f"Detail finer than {self.search_resolution:.1f} Å was not compared with the reference: the mean "
                f"FSC there is {self.beyond:.3f}, which comes from the particles alone."
            )
        return said


def tested(
    particles: ParticleSet, curve: torch.Tensor, noise_curve: torch.Tensor | None, noise_count: int
) -> ReferenceTest:
    """The ReferenceTest of a map. curve: (d // 2 + 1,), FSC of its halves. noise_curve: (d // 2 + 1,), FSC of the
    halves of a map of noise. noise_count: images of noise."""
    box, pixel_size = particles.box, particles.pixel_size
    compared = finest(particles, COMPARED) if shared_value(particles, COMPARED) else None
    first = len(curve) if compared is None else int(np.ceil(box * pixel_size / compared * 1.02)) + 1
    noise = reached = own = None
    if noise_curve is not None:
        more = len(particles) / noise_count
        noise, smooth = (fsc_of_more_images(one, more) for one in (noise_curve, _smooth(noise_curve)))
        smooth[:FIRST_SHELLS] = 1.0
        reached, own = (resolution_at(one, 0.143, pixel_size, box) for one in (smooth, own_part(curve, noise)))
    coarsest = box * pixel_size / FIRST_SHELLS
    return ReferenceTest(
        shared_value(particles, REFERENCE),
        compared,
        noise,
        reached if reached and reached <= coarsest else None,
        own if own and own <= coarsest else None,
        float(curve[first:].mean()) if first < len(curve) - 1 else None,
    )


def _smooth(curve: torch.Tensor) -> torch.Tensor:
    """Mean of each shell and its neighbours by their voxels: one map of noise shows much chance."""
    voxels = torch.arange(len(curve), dtype=curve.dtype, device=curve.device).square()
    return (F.avg_pool1d((voxels * curve)[None], 3, 1, 1) / F.avg_pool1d(voxels[None], 3, 1, 1))[0]


def fsc_of_more_images(curve: torch.Tensor, factor: float) -> torch.Tensor:
    """FSC of `factor` times as many images: what both halves share grows with their number, F / (1 - F)."""
    fraction = curve.clamp(0, 1 - 1e-4)
    fraction = factor * fraction / (1 - fraction)
    return fraction / (1 + fraction)


def own_part(curve: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The FSC that is left when the part is taken off which noise has as well: (F - N) / (1 - N). Source: Chen et al.
    2013, Ultramicroscopy 135, 24-35, there of noise in place of high frequencies alone. Particles that show the
    reference are drawn to it less than noise is, so that more may be the particles' own."""
    fraction = noise.clamp(0, 1 - 1e-4)
    return (curve - fraction) / (1 - fraction)


@dataclasses.dataclass(frozen=True)
class SubstitutionTest:
    """beyond: Å, finer detail is noise in the control. fsc: (d // 2 + 1,) of the control's halves. mean, own: mean FSC
    of the control and of the map beyond. resolution: Å where the map's FSC, less what the control has beyond, falls
    below 0.143, or None."""

    beyond: float
    fsc: torch.Tensor
    mean: float
    own: float
    resolution: float | None

    def sentence(self) -> str:
        """What the user is told."""
        reached = "nothing is resolved" if self.resolution is None else f"{self.resolution:.1f} Å are reached"
        return (
            f"With detail finer than {self.beyond:.1f} Å replaced by noise, the same images, oriented in the same "
            f"way, have a mean FSC of {self.mean:.3f} there, which is reference bias; the map has {self.own:.3f}. "
            f"Corrected for it, {reached}."
        )


def substitution_test(
    curve: torch.Tensor, control: torch.Tensor, beyond: float, pixel_size: float, box: int
) -> SubstitutionTest:
    """The SubstitutionTest of a map. curve: (d // 2 + 1,), FSC of the map's halves. control: (d // 2 + 1,), that of as
    many particles with noise in place of detail finer than `beyond`. beyond: Å. pixel_size: Å/px. box: px. Source: Chen
    et al. 2013, Ultramicroscopy 135, 24-35."""
    # a shell of which a part is left holds signal; the images are compared in shells one apart
    first = int(np.ceil(box * pixel_size / beyond)) + 1
    own = torch.cat([curve[:first], own_part(curve[first:], control[first:])])
    mean = lambda values: float(values[first:].mean()) if first < len(values) else 0.0
    return SubstitutionTest(beyond, control, mean(control), mean(curve), resolution_at(own, 0.143, pixel_size, box))
