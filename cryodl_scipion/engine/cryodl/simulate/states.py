# SPDX-License-Identifier: GPL-3.0-or-later
"""States of a molecule to simulate mixtures from: several structures, chains left out, a domain rotated about a
hinge."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ..contract import SimulateParticlesConfig
from ..contract.reading import reader
from ..core.projections import Projector, projection_memory
from .hinge import hinge_of, hinged, selected
from .micrographs import particle_diameter
from .particle_images import fit_cube, load_cube
from .structures import available_memory, density_of_atoms, is_model

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
    their sum is 1. diameter: Å, of the largest. notes: sentences for the user.
    """

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
        mean = torch.zeros_like(self.densities[0])
        for probability, density in zip(self.probabilities, self.densities):
            mean = mean + float(probability) * density
        return mean


class Ensemble:
    """Projections of particles of several states.

    Parameters
    ----------
    of : ndarray, (n,), optional
        State of each particle that `project` is asked for; all of state 0 if None.
    """

    def __init__(self, states: States, device: torch.device, of: np.ndarray | None = None) -> None:
        self.states, self.device, self.numbers = states, device, of
        self.side = states.densities[0].shape[-1]
        self._projectors: dict[int, Projector] = {}
        self._maximum = max(1, int(KEPT_BYTES * available_memory() / projection_memory(self.side)))

    def of(self, numbers: np.ndarray) -> Ensemble:
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
            images[torch.from_numpy(rows)] = self._projector(int(number)).project(angles[rows], shifts, box)
        return images

    def _projector(self, number: int) -> Projector:
        if number not in self._projectors:
            while len(self._projectors) >= self._maximum:
                self._projectors.pop(next(iter(self._projectors)))
            self._projectors[number] = Projector(self.states.densities[number].to(self.device))
        return self._projectors[number]


def load_states(config: SimulateParticlesConfig) -> States:
    """The States of a config.

    Raises
    ------
    ValueError
        That names the file or the option that is wrong.
    """
    if config.domain or config.missing_chains:
        states = _states_of_model(config)
    else:
        states = [
            (*load_cube(path, config.pixel_size, config.box), 0.0) for path in (config.structure, *config.structures)
        ]
    densities, diameters, notes, coordinates = zip(*states)
    return States(
        densities,
        np.array(coordinates),
        _probabilities(config.weights, len(states)),
        max(diameters),
        tuple(dict.fromkeys(note for some in notes for note in some)),
    )


def _probabilities(words: str | None, count: int) -> np.ndarray:
    """(count,) from the option --weights; equal without it."""
    try:
        weights = np.array([float(word) for word in words.replace(",", " ").split()]) if words else np.ones(count)
    except ValueError:
        weights = np.zeros(0)
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
    angles = np.linspace(-config.hinge_range / 2, config.hinge_range / 2, config.hinge_states)
    return [
        _density(config, hinged(model.xyz, domain, point, axis, angle) - centre, model.weight, float(angle))
        for angle in angles
    ]


def _density(
    config: SimulateParticlesConfig, xyz: np.ndarray, weight: np.ndarray, coordinate: float
) -> tuple[torch.Tensor, float, list[str], float]:
    here = weight > 0
    density = density_of_atoms(xyz[here], weight[here], config.pixel_size, 2 * config.pixel_size, config.structure)
    diameter = particle_diameter(density, config.pixel_size)
    if diameter > (config.box - 2) * config.pixel_size:
        raise ValueError(
            f"{config.structure} is {diameter:.0f} Å wide in one of its states, but the images are "
            f"{config.box} px x {config.pixel_size:g} Å/px = {config.box * config.pixel_size:.0f} Å. "
            "Choose a larger --box or a smaller --hinge-range."
        )
    return fit_cube(density, config.box), diameter, [], coordinate


@reader
def read_atom_model(path: str) -> AtomModel:
    """Atoms of the first model of a file, as deposited (no assembly), without waters.

    Raises
    ------
    ValueError
        The file is a map, cannot be read, or holds no atoms.
    """
    import gemmi

    if not is_model(path):
        raise ValueError(
            f"{path} is a map; chains and domains (--missing-chains, --domain) need an atomic model (.pdb, .cif)."
        )
    try:
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        found = structure[0]
        found.remove_waters()
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(f"{path} is not a readable atomic model: {error}.") from None
    rows = [(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ, a.residue.seqid.num) for a in found.all()]
    values = np.array(rows, float).reshape(-1, 5)
    if not len(values) or not values[:, 3].sum() > 0:
        raise ValueError(f"{path} contains no atoms.")
    chains = np.array([a.chain.name for a in found.all()])
    return AtomModel(str(path), values[:, :3], values[:, 3], chains, values[:, 4].astype(int))
