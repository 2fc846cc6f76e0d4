# SPDX-License-Identifier: GPL-3.0-or-later
"""The structures that particles are compared with, from a folder or a list of files."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import torch

from ...io.files import expand_paths
from ...simulate.micrographs import particle_diameter
from ...simulate.structures import MODEL_SUFFIXES, load_density, structure_names

if typing.TYPE_CHECKING:
    from ...io.particle_sets import ParticleSet
    from ...runner import Run

SUFFIXES = (*MODEL_SUFFIXES, ".mrc", ".map")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A structure. density: (d, d, d) tensor, at the pixel size that was asked for. diameter: Å."""

    name: str
    path: str
    density: torch.Tensor
    diameter: float


def structure_files(given: typing.Sequence[str]) -> list[str]:
    """Files of structures: those that lie in folders, and those that are named.

    Raises
    ------
    FileNotFoundError
        For what does not exist.
    ValueError
        If no structure is there.
    """
    found: list[str] = []
    for word in given:
        inside = sorted(map(str, Path(word).iterdir())) if Path(word).is_dir() else expand_paths([word])
        found += [path for path in inside if path.lower().removesuffix(".gz").endswith(SUFFIXES)]
    if not found:
        raise ValueError(
            f"{', '.join(given)} (--structures) has no structure: no file ends in {', '.join(SUFFIXES)} (or with .gz "
            "behind it). Give a folder of atomic models or maps, or the files."
        )
    return list(dict.fromkeys(found))


def read_candidates(
    paths: typing.Sequence[str], particles: ParticleSet, pixel_size: float, run: Run
) -> list[Candidate]:
    """The structures that can be read and fit into the particles' box; the others are skipped, and named.

    Parameters
    ----------
    paths : sequence of str
        Of files.
    particles : ParticleSet
        Whose box they must fit into.
    pixel_size : float, Å/px
        Of the densities.
    run : Run
        That counts what is skipped.
    """
    width, found = particles.box * particles.pixel_size, []
    for name, path in run.items(list(zip(_names(paths), paths)), "structure"):
        with run.item(name, path):
            density = load_density(path, pixel_size)
            diameter = particle_diameter(density, pixel_size)
            if diameter > width:
                raise ValueError(
                    f"{path} is {diameter:.0f} Å wide, but the images are only {width:.0f} Å wide ({particles.box} px "
                    f"x {particles.pixel_size:g} Å): they cannot show the whole of it."
                )
            found.append(Candidate(name, path, density, diameter))
    run.require_some(paths, "structure", "compared")
    return found


def _names(paths: typing.Sequence[str]) -> list[str]:
    """Names of files without endings; where two would be alike, with them."""
    short = [structure_names([path])[0] for path in paths]
    long = [name if short.count(name) == 1 else Path(path).name for name, path in zip(short, paths)]
    return [name if long.count(name) == 1 else path for name, path in zip(long, paths)]
