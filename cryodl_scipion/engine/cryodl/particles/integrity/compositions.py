# SPDX-License-Identifier: GPL-3.0-or-later
"""The compositions of a complex as densities in one frame, and the check that they are in one.
Particles simulated from the compositions with the user's CTFs and noise, to calibrate the probabilities."""

import dataclasses
import itertools
import os
import typing

import numpy as np
import torch
from scipy.ndimage import center_of_mass, shift
from scipy.spatial.transform import Rotation

from ...contract.reading import reader
from ...core import fourier, projections, volumes
from ...core.symmetry import SIMILAR, largest_symmetry, operations, symmetry_correlation
from ...io.structures import is_model, load_density, mass_and_centre, read_structure
from ...simulate.micrographs import particle_diameter
from ..orientations.simulated_set import SimulatedSet, noise_alike
from .candidates import Given, Searched


def simulated(
    candidates: Searched | Given,
    projectors: typing.Sequence[projections.Projector],
    kinds: np.ndarray,
    amplitudes: np.ndarray,
    wobble: float = 0.0,
    seed: int = 0,
) -> SimulatedSet:
    """Simulated particles of known composition.

    candidates: see candidates.py. projectors: of the compositions. kinds: (n,) which composition each has. amplitudes:
    (n,) factors of their projections. They have the angles and shifts of the particles where these are given, else
    random ones. wobble: degrees about each axis, standard deviation of the given angles from the true ones."""
    rng = np.random.default_rng(seed)
    source, count = candidates.source, len(kinds)
    base = source.particles.subset(rng.integers(len(source.particles), size=count))
    if candidates.spread:
        shifts = rng.normal(scale=candidates.spread, size=(count, 2))
        base = dataclasses.replace(base, angles=projections.random_angles(count, rng), shifts_yx=shifts)
    angles, shifts = base.poses(np.arange(count))
    if wobble:
        turn = Rotation.from_rotvec(rng.normal(scale=wobble, size=(count, 3)), degrees=True)
        angles = projections.euler_angles(projections.rotation_matrices(angles) @ turn.as_matrix())
    views = torch.empty((count, base.box, base.box))
    for kind, projector in enumerate(projectors):
        mine = np.nonzero(kinds == kind)[0]
        views[mine] = projector.project(angles[mine], shifts[mine], base.box).cpu()
    transfer = base.ctf(slice(None)).abs() if source.ctf_state == "flipped" else base.ctf(slice(None))
    gain = fourier.on_grid(candidates.gain(base.box // 2 + 1).cpu(), base.box)
    clean = fourier.filtered(views * torch.as_tensor(amplitudes).float()[:, None, None], transfer * gain)
    return SimulatedSet.of(base, clean + noise_alike(source, transfer, rng), source.contrast)


MIN_OVERLAP = 0.6  # of the smaller one's body, below which two compositions are not in one frame
CLEARLY_BETTER = 0.15  # overlap that a shift must gain to be the reason
COARSE = 48  # px: side of the cubes that are shifted over each other
MIN_COMMON = 30  # residues of models by which their frames are compared
SAME_SCALE = 0.05  # relative difference of two densities' strengths that is said
LARGEST_DISTANCE = 5.0  # Å, root mean square, of common residues beyond what remains when they are superposed


def load_compositions(
    paths: typing.Sequence[str], pixel_size: float, box: int, resolution: float | None = None
) -> typing.Any:
    """Densities of several structures in one frame.

    paths: maps, whose boxes' middles coincide, or atomic models, whose coordinates are in one frame: the centre of mass
    of the heaviest goes to the middle. pixel_size: Å/px, box: px, of the images. resolution: Å, of the blur given to
    atoms. Returns a list of (box,) * 3 tensors, the diameter in Å of the largest, and sentences for the user. Raises
    ValueError if maps and models are mixed, a structure does not fit into the box, two are the same, or they are not in
    one frame."""
    models = [is_model(path) for path in paths]
    if any(models) != all(models):
        raise ValueError(
            f"{paths[models.index(True)]} is an atomic model and {paths[models.index(False)]} is a map: it cannot be "
            "checked whether they share a coordinate frame. Give all compositions (--structures) as models, or all "
            "as maps."
        )
    centre = None
    if all(models):
        for pair in itertools.combinations(paths, 2):
            check_common_residues(*pair)
        centre = max(map(mass_and_centre, paths), key=lambda found: found[0])[1]
    densities = [load_density(path, pixel_size, resolution, centre) for path in paths]
    diameters = [particle_diameter(density, pixel_size) for density in densities]
    side = max(density.shape[-1] for density in densities)
    check_one_frame([volumes.cube_crop(density, side) for density in densities], paths, pixel_size)
    largest = int(np.argmax(diameters))
    if diameters[largest] > (box - 2) * pixel_size:
        raise ValueError(
            f"{paths[largest]} is {diameters[largest]:.0f} Å wide, but the images are {box} px x "
            f"{pixel_size:g} Å/px = {box * pixel_size:.0f} Å. A box of 1.5 times the particle's diameter "
            "is usual."
        )
    densities, notes = one_scale([volumes.cube_crop(density, box) for density in densities], paths)
    return densities, diameters[largest], notes


def ambiguous_symmetry(densities: typing.Sequence[torch.Tensor]) -> str:
    """The largest symmetry that one of several (d, d, d) densities has about an axis through its centre of mass, and
    what others have or lack has not; 'C1' without one."""
    middle = lambda volume: shift(volume, np.array(volume.shape) // 2 - center_of_mass(volume), order=1)
    groups = [largest_symmetry(torch.from_numpy(middle(density.clamp(min=0).numpy()))) for density in densities]
    group = max(groups, key=lambda name: len(operations(name)))
    same = min(symmetry_correlation(density - densities[0], group) for density in densities[1:])
    return group if same < SIMILAR else "C1"


def one_scale(
    densities: typing.Sequence[torch.Tensor], names: typing.Sequence[str]
) -> tuple[list[torch.Tensor], list[str]]:
    """The densities with the strength of the first where they share their body (an image does not show in what unit a
    map is), and sentences about those that were changed."""
    scaled, notes, first = [densities[0]], [], densities[0]
    for density, name in zip(densities[1:], names[1:]):
        common = (_body(first) * _body(density)) > 0
        ratio = float((first[common] / density[common]).median()) if common.any() else 1.0
        scaled.append(density * ratio)
        if abs(ratio - 1) > SAME_SCALE:
            notes.append(f"{name} was multiplied by {ratio:.3g}, to match {names[0]} where both have density.")
    return scaled, notes


def check_common_residues(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> None:
    """Raises ValueError if residues of one chain, number and name of two models lie apart, but could be superposed."""
    import gemmi

    one, two = read_residues(first), read_residues(second)
    common = sorted(set(one) & set(two))
    if len(common) < MIN_COMMON:
        return
    here = np.array([one[key] for key in common]), np.array([two[key] for key in common])
    distance = float(np.sqrt(((here[0] - here[1]) ** 2).sum(1).mean()))
    fixed, movable = ([gemmi.Position(*xyz) for xyz in side] for side in here)
    best = gemmi.superpose_positions(fixed, movable)
    if distance > best.rmsd + LARGEST_DISTANCE:
        rotation = np.degrees(np.arccos(np.clip((np.trace(np.array(best.transform.mat.tolist())) - 1) / 2, -1, 1)))
        shift = " ".join(f"{v:+.0f}" for v in here[0].mean(0) - here[1].mean(0))
        raise ValueError(
            f"{first} and {second} are not in the same coordinate frame: their {len(common)} common residues are "
            f"{distance:.0f} Å apart, but only {best.rmsd:.1f} Å if {second} is shifted by {shift} Å along x y z and "
            f"rotated by {rotation:.0f}°. Superpose it onto {first} first (in ChimeraX: matchmaker, then save the "
            "model relative to the other), and give that file."
        )


@reader
def read_residues(path: str | os.PathLike[str]) -> dict[tuple[str, str, str], list[float]]:
    """{(chain, number, name): xyz} of the middle atoms of a model's residues: C alpha, or P of nucleotides."""
    return {
        (chain.name, str(residue.seqid), residue.name): atom.pos.tolist()
        for chain in read_structure(path)[0]
        for residue in chain
        for atom in residue
        if atom.name in ("CA", "P") and atom.element.name in ("C", "P")
    }


def check_one_frame(densities: typing.Sequence[torch.Tensor], names: typing.Sequence[str], pixel_size: float) -> None:
    """Raises ValueError if two of several (d, d, d) densities hardly overlap, or are the same, naming an offset."""
    for (one, first), (two, second) in itertools.combinations(zip(densities, names), 2):
        here, best, offset = overlaps(one, two)
        if here < MIN_OVERLAP:
            xyz = " ".join(f"{v * pixel_size:+.0f}" for v in offset[::-1])
            other = ", have different scales, or be different molecules" * (best <= here + CLEARLY_BETTER)
            raise ValueError(
                f"{first} and {second} are not in the same coordinate frame: only {100 * here:.0f} % of the smaller "
                f"one lie within the other. Shifted by {xyz} Å along x y z they overlap by {100 * best:.0f} %, and may "
                f"be rotated{other}. Superpose their common chains first; give both as models, or as maps of one box."
            )
        if float((one - two).abs().sum()) < 1e-3 * float(one.abs().sum()):
            raise ValueError(f"{first} and {second} are the same density. Give different compositions.")


def overlaps(one: torch.Tensor, two: torch.Tensor) -> tuple[float, float, np.ndarray]:
    """How much of the smaller of two (d, d, d) densities lies within the other's volume, as they are and at best, and
    the shift (3,) zyx in voxels of the second for it. Both are taken as bodies: 1 where there is density, else 0."""
    factor = max(1, one.shape[-1] // COARSE)
    bodies = [_body(torch.nn.functional.avg_pool3d(d[None, None].float(), factor)[0, 0]) for d in (one, two)]
    smaller, side = min(float(b.sum()) for b in bodies), 2 * bodies[0].shape[-1]
    first, second = (torch.fft.rfftn(b, s=(side,) * 3) for b in bodies)
    common = torch.fft.irfftn(first * second.conj(), s=(side,) * 3) / smaller
    position = np.array(np.unravel_index(int(common.argmax()), common.shape))
    return float(common[0, 0, 0]), float(common.max()), (position - side * (position > side // 2)) * factor


def _body(density: torch.Tensor) -> torch.Tensor:
    """1 where 95 % of the positive density lies."""
    values = density.clamp(min=0).flatten().sort(descending=True).values
    last = int(torch.searchsorted(values.cumsum(0), 0.95 * values.sum()))
    return (density >= values[min(last, len(values) - 1)].clamp(min=1e-12)).float()
