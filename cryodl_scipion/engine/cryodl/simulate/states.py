# SPDX-License-Identifier: GPL-3.0-or-later
"""States of a molecule to simulate mixtures from: several structures, chains left out, a domain rotated about a
hinge.

A domain of an atomic model, and its rotation about a hinge.
The ground truth of a simulated mixture in files: maps of its states, and columns of its particles."""

import dataclasses
import re
import typing

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ..contract import SimulateParticlesConfig, reader
from ..core.fourier import circle
from ..core.optics import Optics, ctf_of_optics
from ..core.projections import Projector, projection_memory
from ..core.volumes import cube_crop
from ..io.mrc import write_map
from ..io.structures import available_memory, density_of_atoms, is_model, mass_and_centre, read_structure
from . import micrographs, particle_images

CONTACT = 8.0  # Å between atoms of the domain and of the rest that make the hinge


def selected(model: "AtomModel", words: str, option: str) -> np.ndarray:
    """(n,) bool: atoms of a states.AtomModel that a selection names. words: chains and ranges of residues, with commas
    or spaces: 'B', 'A:100-250', 'A:1-99,C'. option: the option that holds the words, for messages. Raises ValueError: a
    word is no selection, it selects no atom, or all atoms are selected."""
    chosen = np.zeros(len(model.xyz), bool)
    for word in words.replace(",", " ").split():
        found = re.fullmatch(r"([^:]+)(?::(-?\d+)-(-?\d+))?", word)
        if not found:
            raise ValueError(f"{option} has {word!r}; a chain (B) or residues of one (A:100-250) are expected.")
        atoms = model.chain == found[1]
        if found[2]:
            atoms &= (model.residue >= int(found[2])) & (model.residue <= int(found[3]))
        if not atoms.any():
            raise ValueError(
                f"{option} names {word!r}, but {model.path} has no such atoms. Its chains are "
                f"{', '.join(dict.fromkeys(model.chain.tolist()))}."
            )
        chosen |= atoms
    if chosen.all() or not chosen.any():
        raise ValueError(
            f"{option} selects {'every' if chosen.any() else 'no'} atom of {model.path}; select a part of the molecule."
        )
    return chosen


def hinge_of(model: "AtomModel", domain: np.ndarray, words: str | None) -> tuple[np.ndarray, np.ndarray]:
    """A point on the hinge and its direction.

    domain: (n,) bool, atoms that move. words: direction 'x,y,z'. None: at right angles to the line from the hinge to
    the domain's centre, and to the line from the molecule's centre to the hinge. Returns point, axis: (3,) Å, xyz;
    `axis` of length 1. The point is the mean of the domain's atoms that touch the rest; else the nearest 20."""
    distance = cKDTree(model.xyz[~domain]).query(model.xyz[domain])[0]
    point = model.xyz[domain][distance <= max(CONTACT, np.sort(distance)[min(19, len(distance) - 1)])].mean(axis=0)
    if words:
        axis = _direction(words)
    else:
        arm, body = model.xyz[domain].mean(axis=0) - point, point - model.xyz[~domain].mean(axis=0)
        axis = np.cross(arm, body)
        if np.linalg.norm(axis) < 1e-3 * np.linalg.norm(arm) * np.linalg.norm(body):  # on one line
            axis = np.cross(arm, np.eye(3)[np.argmin(np.abs(arm))])
    return point, axis / np.linalg.norm(axis)


def _direction(words: str) -> np.ndarray:
    axis = _numbers(words)
    if axis.shape != (3,) or not np.linalg.norm(axis) > 0:
        raise ValueError(
            f"Hinge axis (--hinge-axis) is {words!r}; a direction of three numbers such as 0,0,1 is expected."
        )
    return axis


def _numbers(words: str) -> np.ndarray:
    """Numbers with commas or spaces between them; none if a word is no number."""
    try:
        return np.array([float(word) for word in words.replace(",", " ").split()])
    except ValueError:
        return np.zeros(0)


def hinged(xyz: np.ndarray, domain: np.ndarray, point: np.ndarray, axis: np.ndarray, degrees: float) -> np.ndarray:
    """(n, 3) Å: positions with those of the domain rotated about the hinge."""
    rotation, moved = Rotation.from_rotvec(np.radians(degrees) * axis), xyz.copy()
    moved[domain] = rotation.apply(xyz[domain] - point) + point
    return moved


STATE, LATENT = "cryodlTrueState", "cryodlTrueLatent"  # 1-based; degrees of a hinge


def write_states(config: SimulateParticlesConfig, states: "States", scale: float) -> list[str]:
    """Write the maps of all states beside the STAR file, none of a single one. scale: factor of the densities. Returns
    paths."""
    stem = config.output[: -len(".star")]
    paths = [f"{stem}_state{k:03d}.mrc" for k in range(1, len(states) + 1)] if len(states) > 1 else []
    for path, density in zip(paths, states.densities):
        write_map(path, scale * density, config.pixel_size)
    return paths


def state_columns(states: "States", numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the particle table; none of a single state. numbers: (n,), state of each particle, 0-based. Returns
    (n,) each."""
    if len(states) == 1:
        return {}
    columns = {STATE: numbers + 1}
    if np.ptp(states.coordinates) > 0:
        columns[LATENT] = states.coordinates[numbers]
    return columns


KEPT_BYTES = 0.25  # of the free memory, that the transforms of the states may take


@dataclasses.dataclass(frozen=True)
class AtomModel:
    """Atoms of a model as deposited. xyz: (n, 3) Å. weight: (n,) atomic number x occupancy. chain: (n,) names. residue:
    (n,) numbers."""

    path: str
    xyz: np.ndarray
    weight: np.ndarray
    chain: np.ndarray
    residue: np.ndarray


@dataclasses.dataclass(frozen=True)
class States:
    """The states of a mixture, in one frame.

    densities: (box, box, box) tensors. coordinates: (n,) degrees of the hinge, 0 without one. probabilities: (n,),
    their sum is 1. diameter: Å, of the largest. notes: sentences for the user."""

    densities: tuple[torch.Tensor, ...]
    coordinates: np.ndarray
    probabilities: np.ndarray
    diameter: float
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.densities)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count,) int, the state of each particle."""
        return rng.choice(len(self), size=count, p=self.probabilities)

    def mean(self) -> torch.Tensor:
        """(box, box, box): the mean over all particles."""
        parts = (share * one for share, one in zip(self.probabilities.tolist(), self.densities))
        return sum(parts, torch.zeros_like(self.densities[0]))


class Ensemble:
    """Projections of particles of several states. of: (n,), state of each particle that `project` is asked for; all of
    state 0 if None."""

    def __init__(self, states: States, device: torch.device, of: np.ndarray | None = None) -> None:
        self.states, self.device, self.numbers = states, device, of
        self.side = states.densities[0].shape[-1]
        self._projectors: dict[int, Projector] = {}
        self._maximum = max(1, int(KEPT_BYTES * available_memory() / projection_memory(self.side)))

    def of(self, numbers: np.ndarray) -> "Ensemble":
        """The same states for particles of the states `numbers`, (n,)."""
        other = object.__new__(Ensemble)
        other.__dict__.update(self.__dict__, numbers=np.asarray(numbers))
        return other

    def project(self, angles: np.ndarray, shifts_yx: np.ndarray | None = None, box: int | None = None) -> torch.Tensor:
        """(n, box, box) projections; see projections.Projector.project."""
        numbers = np.zeros(len(angles), int) if self.numbers is None else self.numbers
        box = box or self.side
        images = torch.empty((len(angles), box, box), device=self.device)
        for number in np.unique(numbers):
            rows = np.nonzero(numbers == number)[0]
            shifts = None if shifts_yx is None else shifts_yx[rows]
            if number not in self._projectors:
                while len(self._projectors) >= self._maximum:
                    self._projectors.pop(next(iter(self._projectors)))
                self._projectors[number] = Projector(self.states.densities[number].to(self.device))
            images[torch.from_numpy(rows)] = self._projectors[number].project(angles[rows], shifts, box)
        return images


def signal_scale(
    projector: Ensemble,
    angles: np.ndarray,
    optics: typing.Sequence[Optics],
    pixel_size: float,
    snr: float,
    diameter_px: float | None = None,
) -> float:
    """Number to multiply a structure with, so that its images have an SNR in noise of variance 1.

    The SNR is the variance of the images without noise, with their CTF, over the variance of the noise; the mean over
    the sample.

    angles: (n, 3), rot, tilt, psi in degrees, of a sample of the particles. pixel_size: Å/px. snr: variance ratio.
    diameter_px: px, of the circle within which the images' variance is measured; the whole box if None."""
    views = projector.project(angles)
    seen = torch.fft.irfft2(
        torch.fft.rfft2(views) * ctf_of_optics(optics, projector.side, pixel_size, views.device), s=views.shape[-2:]
    )
    measured = seen.flatten(1) if diameter_px is None else seen[:, circle(projector.side, diameter_px, views.device)]
    return float((snr / measured.var(dim=1).mean()) ** 0.5)


def load_states(config: SimulateParticlesConfig) -> States:
    """The States of a config. Raises ValueError: that names the file or the option that is wrong."""
    if config.domain or config.missing_chains:
        states = _states_of_model(config)
    else:
        states = [(*particle_images.load_cube(config.structure, config.pixel_size, config.box), 0.0)]
        for path in config.structures:
            middle = _shared_middle(config.structure, path, states[0][1])
            states.append((*particle_images.load_cube(path, config.pixel_size, config.box, centre=middle), 0.0))
    densities, diameters, notes, coordinates = zip(*states)
    return States(
        densities,
        np.array(coordinates),
        _probabilities(config.weights, len(states)),
        max(diameters),
        tuple(dict.fromkeys(note for some in notes for note in some)),
    )


def _shared_middle(first: str, other: str, diameter: float) -> np.ndarray | None:
    """(3,) xyz in Å of the first model's middle if another's lies within it: both are in one frame. None: each has its
    own. diameter: Å, of the first."""
    if not is_model(first) or not is_model(other):
        return None
    middle, its = (mass_and_centre(path)[1] for path in (first, other))
    return middle if np.linalg.norm(its - middle) < diameter / 2 else None


def _probabilities(words: str | None, count: int) -> np.ndarray:
    """(count,) from the option --weights; equal without it."""
    weights = _numbers(words) if words else np.ones(count)
    if len(weights) != count or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            f"Weights (--weights) is {words!r}; {count} states need {count} numbers, none negative, such "
            f"as {' '.join('1' * count)}."
        )
    return weights / weights.sum()


def _states_of_model(config: SimulateParticlesConfig) -> list[tuple[torch.Tensor, float, list[str], float]]:
    """[(density, diameter, notes, coordinate)] of an atomic model that is moved or cut."""
    model = read_atom_model(config.structure)
    centre = np.average(model.xyz, axis=0, weights=model.weight)
    if config.missing_chains:
        gone = selected(model, config.missing_chains, "--missing-chains")
        return [
            _density(config, model.xyz - centre, model.weight * kept, 0.0) for kept in (np.ones(len(gone)), 1.0 - gone)
        ]
    domain = selected(model, config.domain or "", "--domain")
    point, axis = hinge_of(model, domain, config.hinge_axis)
    return [
        _density(config, hinged(model.xyz, domain, point, axis, angle) - centre, model.weight, float(angle))
        for angle in np.linspace(-config.hinge_range / 2, config.hinge_range / 2, config.hinge_states)
    ]


def _density(
    config: SimulateParticlesConfig, xyz: np.ndarray, weight: np.ndarray, coordinate: float
) -> tuple[torch.Tensor, float, list[str], float]:
    here = weight > 0
    density = density_of_atoms(xyz[here], weight[here], config.pixel_size, 2 * config.pixel_size, config.structure)
    diameter = micrographs.particle_diameter(density, config.pixel_size)
    if diameter > (config.box - 2) * config.pixel_size:
        raise ValueError(
            f"{config.structure} is {diameter:.0f} Å wide in one of its states, but the images are "
            f"{config.box} px x {config.pixel_size:g} Å/px = {config.box * config.pixel_size:.0f} Å. "
            "Choose a larger --box or a smaller --hinge-range."
        )
    return cube_crop(density, config.box), diameter, [], coordinate


@reader
def read_atom_model(path: str) -> AtomModel:
    """Atoms of the first model of a file, as deposited (no assembly), without waters. Raises ValueError: the file is a
    map, cannot be read, or holds no atoms."""
    if not is_model(path):
        raise ValueError(
            f"{path} is a map; chains and domains (--missing-chains, --domain) need an atomic model (.pdb, .cif)."
        )
    found = read_structure(path)[0]
    found.remove_waters()
    rows = [(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ, a.residue.seqid.num) for a in found.all()]
    values = np.array(rows, float).reshape(-1, 5)
    if not len(values) or not values[:, 3].sum() > 0:
        raise ValueError(f"{path} contains no atoms.")
    chains = np.array([a.chain.name for a in found.all()])
    return AtomModel(str(path), values[:, :3], values[:, 3], chains, values[:, 4].astype(int))
