# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of the benchmarks with their models: simulated or real, improved by the command, and measured all alike."""

import dataclasses
import functools
import shutil
from pathlib import Path

import numpy as np
from common import cryodl
from parts import engine_path

SEED = 20  # of the simulated maps; training has others
PIXEL_SIZE = 1.2  # Å/px
SOLVENT = 8.0  # Å on each side: as far as the mask reaches
SCORED, CHOOSING = 5000, 1500  # atoms, drawn at random, that Q-scores are taken of; fewer to choose a sharpening by
NOT_REACHED = 20.0  # Å, what a curve counts that is below 0.5 from the first shell on
STEP, FARTHEST, FINE = 50.0, 400.0, 25.0  # Å², of the B-factors that are tried
MEASURES = ("fsc05", "unmasked", "times_mask", "q")


@dataclasses.dataclass(frozen=True)
class Case:
    """A map and all that it is compared with. volume: maps.volume.Volume. resolution: Å, as stated. reference:
    maps.measure.MapReference with the one mask. points, few: maps.qscore.ScorePoints of many and of fewer atoms.
    nucleic: mask and ScorePoints of the atoms of nucleic acid alone, None where they are not measured."""

    volume: object
    resolution: float
    reference: object
    points: object
    few: object
    nucleic: tuple | None = None


def case_of(map_path, structure, resolution):
    """The Case of a map and its model's file."""
    engine_path()
    from cryodl.maps.measures.measure import reference_for
    from cryodl.maps.measures.volume import read_volume

    volume = read_volume(map_path)
    atoms, points, few = _scored(str(structure))
    return Case(volume, resolution, reference_for(volume, atoms), points, few)


@functools.lru_cache(maxsize=1)
def _scored(structure):
    """Atoms of a file, and ScorePoints of SCORED and CHOOSING of them: the same in every map of the molecule."""
    from cryodl.maps.measures.atoms import read_atoms
    from cryodl.maps.measures.qscore import score_points

    atoms = read_atoms(structure)
    rows = np.random.default_rng(0).permutation(len(atoms))
    return atoms, score_points(atoms, rows[:SCORED]), score_points(atoms, rows[:CHOOSING])


def measured(data, case):
    """Figures of one (z, y, x) map of a Case: fsc05 in the mask, unmasked of the whole box, times_mask (the whole box
    of the map times the mask), all Å at 0.5 of the FSC with the model, or null; q: mean Q-score of the atoms. Of the
    nucleic acid, if the Case has some, nucleic_fsc05 in its own mask and nucleic_q."""
    from cryodl.maps.measures.qscore import q_scores
    from cryodl.maps.measures.shells import shell_correlation

    mask, density, voxels = case.reference.mask, case.reference.density, case.volume.voxels_zyx
    fsc = lambda first, second: shell_correlation(first, second, voxels).resolution(0.5)
    q = lambda points: float(q_scores(dataclasses.replace(case.volume, data=data), case.reference.atoms, points).mean())
    found = dict(
        fsc05=fsc(data * mask, density * mask),
        unmasked=fsc(data, density),
        times_mask=fsc(data * mask, density),
        q=q(case.points),
    )
    if case.nucleic:
        mask, points = case.nucleic
        found.update(nucleic_fsc05=fsc(data * mask, density * mask), nucleic_q=q(points))
    return found


def best_sharpening(case):
    """The map sharpened or blurred by the B-factor whose Q-score is highest, that factor, and Guinier's estimate, Å².

    From the estimate, steps of STEP in both directions for as long as the score rises, then one of FINE; with and
    without a low-pass filter at the resolution; not sharpened at all is tried too. The peer gets its best: with the
    model at hand, which a user has not.
    """
    import scipy.fft

    from cryodl.maps.measures.qscore import q_scores
    from cryodl.maps.measures.shells import guinier_b_factor, volume_frequencies

    volume, shape, voxels = case.volume, case.volume.data.shape, case.volume.voxels_zyx
    limit = 1 / max(case.resolution, 2.1 * float(voxels.max()))
    guinier = guinier_b_factor(volume.data * case.reference.mask, voxels, 1 / limit) or 0.0
    s, spectrum = volume_frequencies(shape, voxels), scipy.fft.rfftn(volume.data)

    def sharpened(b_factor, filtered):
        gain = np.exp(b_factor * np.minimum(s, 1.05 * limit) ** 2 / 4)
        if filtered:  # a cosine about the resolution, as maps.shells.sharpened has it
            gain = gain * (0.5 + 0.5 * np.cos(np.pi * np.clip((s - 0.95 * limit) / (0.1 * limit), 0, 1)))
        return scipy.fft.irfftn(spectrum * gain, s=shape).astype(np.float32)

    @functools.cache
    def score(b_factor, filtered=False):
        data = dataclasses.replace(volume, data=sharpened(b_factor, filtered))
        return float(q_scores(data, case.reference.atoms, case.few).mean())

    best = max((guinier + STEP * k for k in range(-2, 3)), key=score)
    for step in (STEP, -STEP):
        while abs(best + step - guinier) <= FARTHEST and score(best + step) > score(best):
            best += step
    tried = [(0.0, False), *[(best + d, f) for d in (-FINE, 0.0, FINE) for f in (False, True)]]
    best, filtered = max(tried, key=lambda pair: score(*pair))
    return sharpened(best, filtered), best, guinier


def compared(bench, case, map_path, work, model=None):
    """The input, the best sharpening and the improved map of a Case, measured alike; with the cost of improving.

    Also the input with its negative values cut off, which is a part of what the network does."""
    from cryodl.maps.measures.volume import read_volume

    data, b_factor, guinier = best_sharpening(case)
    improved, cost = improve(bench, map_path, work / "improved.mrc", model)
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


def improve(bench, map_path, output, model=None, *options, threads=1):
    """Path of the map that `improve-map` writes, and dict: cpu, wall (s), memory (MB)."""
    _, cpu, wall, memory = cryodl(
        "improve-map",
        "--map",
        map_path,
        "--output",
        output,
        "--model",
        model or bench.options.model,
        "--device",
        "cpu",
        "--threads",
        threads,
        *options,
    )
    return output, dict(cpu=cpu, wall=wall, memory=memory)


def model_name(bench):
    """What figures of the tested model are filed under."""
    return Path(bench.options.model).name


def find_structure(bench, name):
    """File of a structure of the data folder by its name."""
    for folder in ("complexes", "small"):
        for path in sorted((bench.data / "structures" / folder).glob(f"{name}.*")):
            return path
    raise ValueError(f"There is no structure {name} in {bench.data / 'structures'} (complexes or small).")


def simulate(bench, name, resolution, prefix, *options):
    """Simulated maps of a molecule, PREFIX_full.mrc and others. Returns the model's file in their frame."""
    engine_path()
    from cryodl.maps.measures.atoms import read_atoms

    source = find_structure(bench, name)
    width = float(np.ptp(read_atoms(source).xyz, axis=0).max())
    prefix.parent.mkdir(parents=True, exist_ok=True)
    box = 2 * int(np.ceil((width / 2 + SOLVENT) / PIXEL_SIZE))
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
        box,
        "--seed",
        SEED,
        "--threads",
        1,
        *options,
    )
    return next(prefix.parent.glob(f"{prefix.name}_model.*"))


def angstrom(figures, name="fsc05"):
    """A resolution for means: a map that reaches none counts NOT_REACHED."""
    return figures[name] or NOT_REACHED


def removed(folder):
    """Maps are large: what was measured goes."""
    shutil.rmtree(folder, ignore_errors=True)
