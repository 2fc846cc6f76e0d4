# SPDX-License-Identifier: GPL-3.0-or-later
"""Continuous heterogeneity of aligned subtomograms: cryodl.latent with missing wedges in place of projections.

Fourier coefficients of all subtomograms, in units of their noise, in files that are mapped into memory. A subtomogram
is the rotated structure wherever it was measured, plus noise. Its coefficients are weighed by what the tilt series
measured of them: the wedge of the tilts, the weights of its file (rlnCtfImage), or the sums of CTF² of RELION 4. The
noise of back-projections differs with the direction to the tilt axis: its power is a number for each shell and range of
directions. Then the checks of the inputs, the whole fit, and the averages along a latent coordinate."""

import dataclasses
import typing
from pathlib import Path

import numpy as np
import torch

from ..contract import SUBTOMOGRAMS_PER_DIMENSION, FitHeterogeneityConfig
from ..core.fourier import fsc
from ..core.half_transforms import HalfBall, HalfTransform
from ..core.projections import euler_angles
from ..io import mrc, structures
from ..io.messages import doing
from ..io.subtomograms import Skip, SubtomogramSet, read_subtomograms
from ..latent import masks
from ..latent.components import COARSE, SMALLER, Setting, mean_of, refine_views
from ..latent.cube import Observations, Views
from ..latent.record import MapWriter, Outcome, Start, fit_linear, linear_motion
from ..reconstruction.halves import resolved, soft_sphere, split_halves
from .classifiers.prepare import find_subtomogram_contrast, resolution_notes, subtomogram_diameter
from .subtomograms.averages import half_averages
from .subtomograms.observed import CHUNK_VOXELS, around_particle

# Standard deviations of the errors before they are learned: rotations about x, y and z, radians; shifts along z, y and
# x, px of the working volumes; contrast; damping by the second and fourth power of the frequency, fractions.
FIRST_SPREAD = np.array([0.035, 0.035, 0.035, 0.5, 0.5, 0.5, 0.2, 0.2, 0.2])


def subtomogram_views(subtomograms: SubtomogramSet, voxel: float) -> Views:
    """The Views that a SubtomogramSet with angles states. voxel: Å of the working volumes. The further unknowns are by
    how much the finest detail is weaker, see FIRST_SPREAD: differences of defocus and B-factor."""
    angles = typing.cast("np.ndarray", subtomograms.angles)  # it was read with them
    return Views.of(angles, subtomograms.shifts_zyx * (subtomograms.pixel_size / voxel), FIRST_SPREAD, (), 0.5)


MARGIN = 0.75  # waves per box: coefficients nearer to the border of the missing wedge are a mixture of both sides
DIRECTIONS = 4  # ranges of directions to the tilt axis, in which the noise has a power of its own
FAINTEST = 0.02  # of the largest weight, below which a coefficient was not measured


class SubtomogramCoefficients(Observations):
    """Those of subtomograms, on a half ball. Their files are the data, and the root of the weight, 0 where nothing was
    measured. A ring is a shell and range of directions to the tilt axis."""

    def transfer(self, further: np.ndarray, rows: np.ndarray, *known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As in Observations, by damping."""
        square = (self.frequencies[:, : known[0].shape[1]] ** 2).sum(0) / (self.frequencies[:, -1] ** 2).sum()
        damped = np.stack([square, square**2]).astype(np.float32)
        return known[0] * (1 - further.astype(np.float32) @ damped), -known[0][..., None] * damped.T


def load_subtomogram_coefficients(
    subtomograms: SubtomogramSet, radius: float, box: int, diameter: float, contrast: str, folder: Path
) -> SubtomogramCoefficients:
    """Read all subtomograms once and write their coefficients into `folder`. radius: highest frequency, waves per box.
    box: px of the working volumes, which have the width of the subtomograms. diameter: Å of the sphere outside of which
    the noise is measured. contrast: of protein in the files. Raises ValueError for values that are no finite
    numbers."""
    lexical = HalfBall(subtomograms.box, radius)
    ball = HalfTransform(lexical.box, radius, lexical.waves[:, torch.argsort(lexical.square, stable=True)])
    shape, kinds = (len(subtomograms), len(ball)), dict(data=np.complex64, known=np.float32)
    files = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", kind, shape) for name, kind in kinds.items()}
    zyx, edges = ball.waves.numpy(), dict[typing.Any, typing.Any]()
    part = np.abs(zyx[1]) / np.linalg.norm(zyx.astype(float), axis=0)  # of the way to the tilt axis, y
    ring = ball.ring.numpy() * DIRECTIONS + np.minimum((part * DIRECTIONS).astype(int), DIRECTIONS - 1)
    power, number = np.zeros(int(ring.max()) + 1), np.zeros(int(ring.max()) + 1)
    step = max(1, int(CHUNK_VOXELS / subtomograms.box**3))
    sign = -1.0 if contrast == "dark" else 1.0
    for rows in subtomograms.parts(step):
        volumes = subtomograms.volumes(rows)
        mean, width = around_particle(volumes, diameter / subtomograms.pixel_size)
        # divided by sums of CTF² their variance stays: the coefficients of the smallest sums dominate it
        volumes = sign * (volumes - mean) / (1 if subtomograms.multiplied else width)
        values = ball.coefficients(volumes).numpy() * (box / ball.box) ** 1.5
        weights = ball.on_grid(subtomograms.sums(rows)).numpy()
        weights = weights * (weights > FAINTEST * weights.max(1, keepdims=True))
        if subtomograms.wedged:
            for tilts in np.unique(subtomograms.tilts[rows], axis=0):
                inner = edges.setdefault(tuple(tilts), within_wedge(zyx, *tilts))
                weights[(subtomograms.tilts[rows] == tilts).all(1)] *= inner
        files["known"][rows] = np.sqrt(weights)
        files["data"][rows] = values * files["known"][rows]
        power += np.bincount(ring, (np.abs(files["data"][rows]) ** 2).sum(0), len(power)) / 2
        number += np.bincount(ring, (weights > 0).sum(0), len(power))
    scale = np.sqrt(np.maximum(power / np.maximum(number, 1), 1e-12 * power.max()))
    return SubtomogramCoefficients(box, zyx, ring, tuple(files.values()), scale)


def within_wedge(zyx: np.ndarray, tilt_min: float, tilt_max: float) -> np.ndarray:
    """(d,) bool: coefficients, x >= 0, that are measured and MARGIN away from the missing wedge's border."""
    z, _, x = zyx.astype(float)
    if tilt_max - tilt_min > 179:
        return np.ones(len(z), bool)
    tilt, radius = np.degrees(np.arctan2(z, x)), np.hypot(z, x)
    return radius * np.sin(np.radians(np.clip(np.minimum(tilt - tilt_min, tilt_max - tilt), -90, 90))) >= MARGIN


# Ranges of tilts (of 180°), of directions to the tilt axis, and of frequencies that share a gain.
TILTS, PARTS = 18, 4
SAME = 0.2  # standard deviation of how differently directions show the molecule, before it is measured


def gains_of_directions(setting: Setting, mean: np.ndarray, radius: float) -> np.ndarray:
    """(n,) how strongly directions of the tomogram show the mean volume, for each of _direction_ranges; 1 on average
    over a shell. Thicker ice and exposure weaken high tilts, the filter of a back-projection what lies across the tilt
    axis. A rigid molecule, turned in all ways, would seem to vary. mean: (box, box, box). radius: finest frequency,
    waves per box."""
    cube, found = setting.cube(radius), setting.coefficients
    table, range_ = np.concatenate([cube.table(mean), cube.gradient_tables(mean)], axis=1), _direction_ranges(found)
    range_, sums = range_[: found.count(radius)], np.zeros((2, PARTS, TILTS * DIRECTIONS))
    for rows in np.array_split(setting.rows(), max(1, len(found) // 16)):
        seen = found.look(setting.views, rows, cube, table, len(range_))
        shown = seen.transfer * seen.slices * setting.views.contrast[rows, None]
        for number, values in enumerate(((shown.conj() * seen.data).real, np.abs(shown) ** 2)):
            sums[number] += np.bincount(range_, values.sum(0), sums[0].size).reshape(sums[0].shape)
    usual = np.maximum(sums[0].sum(1) / np.maximum(sums[1].sum(1), 1e-9), 1e-3)
    return ((sums[0] / usual[:, None] + SAME**-2) / (sums[1] + SAME**-2)).ravel()


def _direction_ranges(coefficients: Observations) -> np.ndarray:
    """(d,) int: the range of frequencies, tilts and directions to the tilt axis of each coefficient."""
    z, y, x = coefficients.frequencies.astype(float)
    far = np.maximum(np.sqrt(z**2 + y**2 + x**2), 1e-6)
    tilt = np.minimum((np.degrees(np.arctan2(z, x)) + 90) / 180 * TILTS, TILTS - 1).astype(int)
    part = np.minimum(PARTS * far / far[-1], PARTS - 1).astype(int)
    return (part * TILTS + tilt) * DIRECTIONS + np.minimum(DIRECTIONS * np.abs(y) / far, DIRECTIONS - 1).astype(int)


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


def load_subtomogram_inputs(
    config: FitHeterogeneityConfig, seed: int = 0, skip: Skip | None = None
) -> SubtomogramInputs:
    """The SubtomogramInputs of a config. skip: as of read_subtomograms. Raises FileNotFoundError for a mask that is not
    there, and ValueError for one that is no map, for subtomograms that are not aligned, of several sizes or too few for
    the latent space, and for copies of one volume in both halves."""
    found = read_subtomograms(config.particles, ("angles",), config.tilt_min, config.tilt_max, skip)
    if not np.any(found.angles):
        raise ValueError(
            f"All angles of {found.path} are zero, so the subtomograms are not aligned. Align them first, with "
            "cryodl classify-subtomograms --align search --classes 1 or another program."
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
    notes, width = found.copy_notes("subtomograms", "volume"), found.box * found.pixel_size
    asked = width / (config.resolution or PIXELS * found.pixel_size)
    radius = max(MINIMUM, min(asked, found.box / 2 - 2, LARGEST))
    if abs(asked - radius) > 0.5:
        bound = MINIMUM if radius > asked else LARGEST
        limit = f"1/{bound} of the box size" if radius == bound else "the pixel size"
        notes.append(
            f"Subtomograms are compared to {width / radius:.1f} Å, not to {width / asked:.1f} Å: the limit is {limit}."
        )
    box = 2 * int(np.ceil(radius)) + 4
    if config.mask is not None:
        structures.read_focus_mask(config.mask, width / box, box)  # a file that is no mask is an error before the work
    contrast = find_subtomogram_contrast(found, diameter, config.contrast)
    return SubtomogramInputs(found, radius, box, diameter, contrast, notes, seed)


NEGLIGIBLE = 1e-3  # weight below which a subtomogram is left out of an average


def average_writer(inputs: SubtomogramInputs, outcome: Outcome, folder: Path) -> MapWriter:
    """A function that writes an average and its half-maps for each column of weights."""
    found, setting = inputs.subtomograms, outcome.setting
    diameter_px = min(1.1 * inputs.diameter / found.pixel_size, 0.9 * found.box)
    mask = soft_sphere(found.box, diameter_px)

    def write(names: typing.Sequence[str], weights: np.ndarray, words: str) -> list[dict[str, typing.Any]]:
        return [one(name, weight) for name, weight in zip(names, weights.T)]

    def one(name: str, weight: np.ndarray) -> dict[str, typing.Any]:
        rows = np.nonzero(weight > NEGLIGIBLE)[0]
        averages = half_averages(
            found,
            rows,
            euler_angles(setting.views.matrices[rows]),
            setting.views.shifts[rows] * (inputs.voxel / found.pixel_size),
            contrast=inputs.contrast,
            shares=weight[rows],
            halves=setting.halves[rows],
        )
        mrc.write_halves(folder / name, averages, found.pixel_size)
        resolution = resolved(fsc(averages[1] * mask, averages[2] * mask), diameter_px, found.pixel_size, found.box)
        return dict(map=name, particles=float(weight.sum()), resolution=resolution)

    return write


SHELLS = slice(2, 7)  # in which halves of the same molecule agree, whatever their resolution
AGREE = 0.3  # mean FSC below which the subtomograms show nothing in common
TOLERANCE = 0.0002  # of the molecule's power: errors of wedge, CTF and alignment cause some variability, too


def fit_subtomograms(
    config: FitHeterogeneityConfig, inputs: SubtomogramInputs, folder: Path, say: typing.Callable[[str], typing.Any]
) -> Outcome:
    """Fit a latent space. folder: for the coefficients, which are removed by the caller. say: called with sentences.
    Raises ValueError for a mask outside of the molecule."""
    found, views = inputs.subtomograms, subtomogram_views(inputs.subtomograms, inputs.voxel)
    doing("reading the subtomograms")
    coefficients = load_subtomogram_coefficients(
        found, inputs.radius, inputs.box, inputs.diameter, inputs.contrast, folder
    )
    halves, image = split_halves(found, inputs.seed, SMALLER), found.same_images()
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
        gain = gains_of_directions(setting, mean, coarse)[_direction_ranges(coefficients)].astype(np.float32)
        for rows in np.array_split(np.arange(len(coefficients)), max(1, len(coefficients) // 64)):
            coefficients.files[1][rows] *= gain  # of the transfer
        mean, sigmas = refine_views(setting, mean, coarse, sigmas)
        if len(np.unique(image)) == len(image):  # not expanded
            notes += masks.symmetry_notes(torch.from_numpy(mean), f"The mean of {config.particles}", "subtomograms")
    density = np.maximum(mean - masks.BODY * mean.max(), 0)
    part = None if config.mask is None else masks.checked_mask(config.mask, inputs.voxel, density, config.particles)
    setting.confine(masks.molecule_mask(mean, inputs.voxel) if together >= AGREE else 1.0, part)
    rng = np.random.default_rng(inputs.seed)
    start = Start(setting, mean, curve, sigmas, inputs.radius, inputs.contrast, rng, notes, together >= AGREE)
    return fit_linear(start, linear_motion(start, TOLERANCE), config.latent)
