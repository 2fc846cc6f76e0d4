# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps with their models, simulated or real: improved by the command, and measured all alike."""

import dataclasses
import functools

import gemmi
import numpy as np
import scipy.fft
import torch
from bench import costs, cryodl, structure_file

from cryodl.io.model import write_model
from cryodl.maps.improvers import improver_method
from cryodl.maps.measures import measure, qscore, shells
from cryodl.maps.measures.atoms import read_atoms
from cryodl.maps.measures.volume import read_volume

SEED = 20  # of the simulated maps; training has others
PIXEL_SIZE = 1.2  # Å/px
SOLVENT = 8.0  # Å on each side: as far as the mask reaches
SCORED, CHOOSING = 5000, 1500  # atoms, drawn at random, that Q-scores are taken of; fewer to choose a sharpening by
STEP, FARTHEST, FINE = 50.0, 400.0, 25.0  # Å², of the B-factors that are tried


@dataclasses.dataclass(frozen=True)
class Case:
    """A map and all that it is compared with. volume: maps.volume.Volume. resolution: Å, as stated. reference:
    maps.measure.MapReference with the one mask. points, few: maps.qscore.ScorePoints of many and of fewer atoms; rows:
    which atoms the many are."""

    volume: object
    resolution: float
    reference: object
    points: object
    few: object
    rows: object


def case_of(map_path, structure, resolution):
    volume = read_volume(map_path)
    atoms, points, few, rows = _scored(str(structure))
    return Case(volume, resolution, measure.reference_for(volume, atoms), points, few, rows)


@functools.lru_cache(maxsize=1)
def _scored(structure):
    """Atoms of a file, and ScorePoints of SCORED and CHOOSING of them: the same in every map of the molecule."""
    atoms = read_atoms(structure)
    rows = np.random.default_rng(0).permutation(len(atoms))
    return atoms, qscore.score_points(atoms, rows[:SCORED]), qscore.score_points(atoms, rows[:CHOOSING]), rows[:SCORED]


def measured(data, case):
    """Figures of one (z, y, x) map of a Case: fsc05 in the mask, unmasked of the whole box, times_mask (the whole box
    of the map times the mask), all Å at 0.5 of the FSC with the model, or null; q: mean Q-score of the atoms."""
    mask, density, voxels = case.reference.mask, case.reference.density, case.volume.voxels_zyx
    fsc = lambda first, second: shells.shell_correlation(first, second, voxels).resolution(0.5)
    q = lambda points: float(
        qscore.q_scores(dataclasses.replace(case.volume, data=data), case.reference.atoms, points).mean()
    )
    found = dict(
        fsc05=fsc(data * mask, density * mask),
        unmasked=fsc(data, density),
        times_mask=fsc(data * mask, density),
        q=q(case.points),
    )
    return found


def best_sharpening(case):
    """The map sharpened or blurred by the B-factor whose Q-score is highest, that factor, and Guinier's estimate, Å².

    From the estimate, steps of STEP in both directions for as long as the score rises, then one of FINE; with and
    without a low-pass filter at the resolution; not sharpened at all is tried too. The peer gets its best: with the
    model at hand, which a user has not.
    """
    volume, shape, voxels = case.volume, case.volume.data.shape, case.volume.voxels_zyx
    limit = 1 / max(case.resolution, 2.1 * float(voxels.max()))
    guinier = shells.guinier_b_factor(volume.data * case.reference.mask, voxels, 1 / limit) or 0.0
    s, spectrum = shells.volume_frequencies(shape, voxels), scipy.fft.rfftn(volume.data)

    def sharpened(b_factor, filtered):
        gain = np.exp(b_factor * np.minimum(s, 1.05 * limit) ** 2 / 4)
        if filtered:  # a cosine about the resolution, as maps.shells.sharpened has it
            gain = gain * (0.5 + 0.5 * np.cos(np.pi * np.clip((s - 0.95 * limit) / (0.1 * limit), 0, 1)))
        return scipy.fft.irfftn(spectrum * gain, s=shape).astype(np.float32)

    @functools.cache
    def score(b_factor, filtered=False):
        data = dataclasses.replace(volume, data=sharpened(b_factor, filtered))
        return float(qscore.q_scores(data, case.reference.atoms, case.few).mean())

    best = max((guinier + STEP * k for k in range(-2, 3)), key=score)
    for step in (STEP, -STEP):
        while abs(best + step - guinier) <= FARTHEST and score(best + step) > score(best):
            best += step
    tried = [(0.0, False), *[(best + d, f) for d in (-FINE, 0.0, FINE) for f in (False, True)]]
    best, filtered = max(tried, key=lambda pair: score(*pair))
    return sharpened(best, filtered), best, guinier


def compared(model, case, map_path, work, *options):
    """The input, the best sharpening and the improved map of a Case, measured alike; with the cost of improving.

    Also the input with its negative values cut off, which is a part of what the network does."""
    data, b_factor, guinier = best_sharpening(case)
    improved, cost = improve(model, map_path, work / "improved.mrc", "--resolution", case.resolution, *options)
    return dict(
        input=measured(case.volume.data, case),
        sharpened=measured(data, case),
        improved=measured(read_volume(improved).data, case),
        positive=measured(np.maximum(case.volume.data, 0), case),
        b_factor=b_factor,
        guinier=guinier,
        atoms=len(case.reference.atoms),
        cost=cost,
    )


def improve(model, map_path, output, *options, threads=1):
    """Path of the map that `improve-map` writes, and dict: cpu, wall (s), memory (MB)."""
    given = ("--map", map_path, "--output", output, "--model", model, "--device", "cpu", "--threads", threads)
    return output, costs(cryodl("improve-map", *given, *options))


def simulate(name, resolution, prefix, *options):
    """Simulated maps of a molecule, PREFIX_full.mrc and others. Returns the model's file in their frame."""
    source = structure_file(name)
    width = float(np.ptp(read_atoms(source).xyz, axis=0).max())
    prefix.parent.mkdir(parents=True, exist_ok=True)
    cryodl(
        "simulate-half-maps",
        "--structure",
        source,
        "--resolution",
        resolution,
        "--output",
        prefix,
        "--pixel-size",
        PIXEL_SIZE,
        "--box",
        2 * int(np.ceil((width / 2 + SOLVENT) / PIXEL_SIZE)),
        "--seed",
        SEED,
        "--threads",
        1,
        *options,
    )
    return next(prefix.parent.glob(f"{prefix.name}_model.*"))


def untrained(run, network):
    """Folder of a model with random weights: for timing only."""
    folder = run.output / "models" / f"untrained-{network}"
    if not folder.exists():
        torch.manual_seed(0)
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        card = dict(
            kind="map_improver",
            name=folder.name,
            network=network,
            working_pixel_size=1.0,
            attention=True,
            resolutions=[3.0, 6.0],
            training={},
            validation={},
        )
        write_model(partial, card, improver_method(network).build().state_dict())
        partial.rename(folder)
    return folder


def mirrored(structure, volume):
    """File of a model mirrored as the map is whose x axis is turned round."""
    centre = float(volume.origin_zyx[2] + volume.voxels_zyx[2] * (volume.data.shape[2] - 1) / 2)
    model = gemmi.read_structure(str(structure))
    for found in model[0].all():
        found.atom.pos = gemmi.Position(2 * centre - found.atom.pos.x, found.atom.pos.y, found.atom.pos.z)
    path = structure.with_name("mirrored.pdb")
    model.write_pdb(str(path))
    return path
