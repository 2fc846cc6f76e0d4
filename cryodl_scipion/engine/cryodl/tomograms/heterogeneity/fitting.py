# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fit: from aligned subtomograms to latent coordinates, volumes and a verdict. Inputs of a heterogeneity fit
of subtomograms, and their checks. Averages of subtomograms by their place in a latent space, with half-maps."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ...contract import SUBTOMOGRAMS_PER_DIMENSION, FitHeterogeneityConfig
from ...core.frc import fsc, resolution_at
from ...io.messages import doing
from ...io.mrc import write_halves
from ...io.subtomograms import SubtomogramSet, read_subtomograms
from ...latent import masks
from ...latent.components import COARSE, Setting, mean_of, refine_views
from ...latent.masks import copy_notes, read_focus_mask, symmetry_notes
from ...latent.record import MapWriter, Outcome, Start, fit_linear, linear_motion
from ...reconstruction.halves import same_images, soft_sphere, split_halves
from ..classifiers.prepare import find_subtomogram_contrast, resolution_notes, subtomogram_diameter
from ..subtomograms.averages import half_averages
from .coefficients import FIRST_SPREAD, load_subtomogram_coefficients, subtomogram_views

PIXELS = 4.0  # in the finest detail, where none is asked for
LARGEST = 24  # waves per box: the finest detail that is ever used
MINIMUM = 4  # waves per box: the coarsest that tells shapes apart


@dataclasses.dataclass
class SubtomogramInputs:
    """subtomograms : SubtomogramSet. radius : waves per box. box : side of the working volumes, px. diameter : Å.
    contrast : 'bright' or 'dark'. notes : sentences for the user. seed : of all that is drawn."""

    subtomograms: SubtomogramSet
    radius: float
    box: int
    diameter: float
    contrast: str
    notes: list[str]
    seed: int = 0

    @property
    def voxel(self) -> float:
        """Å of the working volumes."""
        return self.subtomograms.box * self.subtomograms.pixel_size / self.box


def load_subtomogram_inputs(config: FitHeterogeneityConfig, seed: int = 0) -> SubtomogramInputs:
    """The SubtomogramInputs of a config. Raises FileNotFoundError for a mask that is not there, and ValueError for one
    that is no map, for subtomograms that are not aligned, of several sizes or too few for the latent space, and for
    copies of one volume in both halves."""
    found = read_subtomograms(config.particles, ("angles",), config.tilt_min, config.tilt_max)
    if not np.any(found.angles):
        raise ValueError(
            f"All angles of {found.path} are zero, so the subtomograms are not aligned. Align them first, with "
            "cryodl cluster-subtomograms --align search --classes 1 or another program."
        )
    needed = SUBTOMOGRAMS_PER_DIMENSION * config.latent
    if len(found) < needed:
        raise ValueError(
            f"{found.path} has {len(found)} subtomograms; {config.latent} latent dimensions (--latent) need at least "
            f"{needed}. Give more subtomograms or fewer dimensions."
        )
    if len(found) < config.clusters:
        raise ValueError(
            f"{found.path} has {len(found)} subtomograms for {config.clusters} clusters (--clusters). Choose "
            f"{len(found)} clusters or fewer."
        )
    diameter = subtomogram_diameter(found, config.particle_diameter)
    resolution_notes(found, diameter, config.resolution)  # refuses one that is too coarse; too fine ones are said below
    notes = copy_notes(found, "subtomograms", "volume")
    width = found.box * found.pixel_size
    asked = width / (config.resolution or PIXELS * found.pixel_size)
    radius = max(MINIMUM, min(asked, found.box / 2 - 2, LARGEST))
    if abs(asked - radius) > 0.5:
        limit = f"1/{LARGEST} of the box size" if radius == LARGEST else "the pixel size"
        if radius > asked:
            limit = f"1/{MINIMUM} of the box size"
        notes.append(
            f"Subtomograms are compared to {width / radius:.1f} Å, not to {width / asked:.1f} Å: the limit is {limit}."
        )
    box = 2 * int(np.ceil(radius)) + 4
    if config.mask is not None:
        read_focus_mask(config.mask, width / box, box)  # a file that is no mask is an error before the work
    contrast, said, warning = find_subtomogram_contrast(found, diameter, config.contrast)
    if said:
        print(said)
    notes += [warning] if warning else []
    return SubtomogramInputs(found, radius, box, diameter, contrast, notes, seed)


NEGLIGIBLE = 1e-3  # weight below which a subtomogram is left out of an average


def average_writer(inputs: SubtomogramInputs, outcome: Outcome, folder: Path) -> MapWriter:
    """A function that writes an average and its half-maps for each column of weights."""
    found, setting = inputs.subtomograms, outcome.setting
    mask = soft_sphere(found.box, min(1.1 * inputs.diameter / found.pixel_size, 0.9 * found.box))

    def write(names: typing.Sequence[str], weights: np.ndarray, words: str) -> list[dict[str, typing.Any]]:
        return [one(name, weight) for name, weight in zip(names, weights.T)]

    def one(name: str, weight: np.ndarray) -> dict[str, typing.Any]:
        rows = np.nonzero(weight > NEGLIGIBLE)[0]
        averages = half_averages(
            found,
            rows,
            setting.views.angles()[rows],
            setting.views.shifts[rows] * (inputs.voxel / found.pixel_size),
            contrast=inputs.contrast,
            shares=weight[rows],
            halves=setting.halves[rows],
        )
        write_halves(folder / name, averages, found.pixel_size)
        resolution = resolution_at(fsc(averages[1] * mask, averages[2] * mask), 0.143, found.pixel_size, found.box)
        return dict(map=name, particles=float(weight.sum()), resolution=resolution)

    return write


SHELLS = slice(2, 7)  # in which halves of the same molecule agree, whatever their resolution
AGREE = 0.3  # mean FSC below which the subtomograms show nothing in common
BODY = 0.1  # of the mean volume's highest density that is the molecule
TOLERANCE = 0.0002  # of the molecule's power: errors of wedge, CTF and alignment cause some variability, too


def fit_subtomograms(
    config: FitHeterogeneityConfig, inputs: SubtomogramInputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Outcome:
    """Fit a latent space. folder: for the coefficients, which are removed by the caller. say: called with sentences.
    Raises ValueError for subtomograms that are constant or not finite, and a mask outside of the molecule."""
    found, views = inputs.subtomograms, subtomogram_views(inputs.subtomograms, inputs.voxel)
    doing("reading the subtomograms")
    coefficients = load_subtomogram_coefficients(
        found, inputs.radius, inputs.box, inputs.diameter, inputs.contrast, folder
    )
    halves, image = split_halves(found, inputs.seed), same_images(found)
    sphere = soft_sphere(inputs.box, min(1.1 * inputs.diameter / inputs.voxel, masks.WIDEST * inputs.box)).numpy()
    setting = Setting(coefficients, views, halves, sphere, inputs.box, say, image)
    coarse = min(COARSE, inputs.radius)
    doing("the mean volume")
    mean, curve = mean_of(setting, coarse, FIRST_SPREAD)
    together, notes, sigmas = float(np.mean(curve[SHELLS])), list[str](), FIRST_SPREAD
    if together < AGREE:
        notes.append(
            f"{config.particles}: at their orientations the two halves of the subtomograms have nothing in common "
            f"(FSC {together:.2f} at low resolution). They are noise, or their orientations are wrong."
        )
    else:
        doing("refining the orientations")
        mean, sigmas = refine_views(setting, mean, coarse, sigmas)
        if len(np.unique(image)) == len(image):  # not expanded
            notes += symmetry_notes(torch.from_numpy(mean), f"The mean of {config.particles}", "subtomograms")
    if config.mask is not None:
        density = np.maximum(mean - BODY * mean.max(), 0)
        setting.mask = setting.mask * masks.checked_mask(config.mask, inputs.voxel, density, config.particles)
    elif together >= AGREE:
        setting.mask = setting.mask * masks.molecule_mask(mean, inputs.voxel)
    rng = np.random.default_rng(inputs.seed)
    start = Start(setting, mean, curve, sigmas, inputs.radius, inputs.contrast, rng, notes, together >= AGREE)
    return fit_linear(start, linear_motion(start, TOLERANCE), config.latent)
