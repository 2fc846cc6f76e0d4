# SPDX-License-Identifier: GPL-3.0-or-later
"""The diameter that is measured of a map, against the atoms that the map was made of.

    PYTHON benchmarks/map_sizes.py [--output FOLDER] [--structures N]

Maps of 15 structures at 3, 6 and 10 Å, made here and not by the package's own simulator: atoms on a grid, a B-factor,
a cut in Fourier space. Variants: a smooth cut; a sharp cut, whose ripple fills the box; noise in the whole box; noise
within a sphere and zeros outside; a micelle; an offset; negative contrast. The diameter is twice the radius around the
box's middle within which 99 % of the mass lie.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROOT, data_folder

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
STRUCTURES = (
    "8BK7.cif.gz",
    "6VXX.pdb.gz",
    "1WCM.pdb.gz",
    "1OEL.pdb.gz",
    "3C91.pdb.gz",
    "4ZXB.cif.gz",
    "6MSM.pdb.gz",
    "1U6G.pdb.gz",
    "1IGT.pdb.gz",
    "1KX5.pdb.gz",
    "6RN3.cif.gz",
    "9BE6.cif.gz",
    "7QPD.cif.gz",
    "3SN6.pdb.gz",
    "2CG9.pdb.gz",
)
RESOLUTIONS = (3.0, 6.0, 10.0)
VARIANTS = ("smooth", "sharp", "noise", "masked noise", "micelle", "offset", "negative")
NOISE = 0.04  # standard deviation of the solvent over the map's maximum
MICELLE = 0.4  # density over the protein's


def read_structure(path):
    """gemmi's structure of a file, without waters."""
    import gemmi

    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    structure.remove_waters()
    return structure


def atoms_of(path):
    """(n, 3) xyz in Å from the centre of mass, and (n,) atomic numbers, of the first model, without waters."""
    model = read_structure(path)[0]
    found = np.array([(*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ) for a in model.all()])
    xyz, weight = found[:, :3], found[:, 3]
    return xyz - np.average(xyz, axis=0, weights=weight), weight


def micelle(xyz, spacing=2.0):
    """(n, 3) points and (n,) weights of a belt of 36 Å height and 18 Å width around the middle of the longest axis."""
    axis = np.linalg.svd(xyz - xyz.mean(0), full_matrices=False)[2][0]
    along = xyz @ axis
    radial = np.linalg.norm(xyz - along[:, None] * axis, axis=1)
    middle = np.abs(along) < 18
    radius = np.quantile(radial[middle], 0.9)
    steps = np.arange(-radius - 20, radius + 20, spacing)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    height = grid @ axis
    away = np.linalg.norm(grid - height[:, None] * axis, axis=1)
    belt = grid[(np.abs(height) < 18) & (away > radius) & (away < radius + 18)]
    density = 0.73 * 7.0 / 12  # atomic numbers per Å³ of protein, nearly
    return belt, np.full(len(belt), MICELLE * density * spacing**3)


def diameter_of(xyz, weight):
    """Å; twice the radius that holds 99 % of the mass."""
    radius = np.linalg.norm(xyz, axis=1)
    order = np.argsort(radius)
    mass = np.cumsum(weight[order])
    return 2 * radius[order][np.searchsorted(mass, 0.99 * mass[-1])]


def map_of(xyz, weight, resolution, voxel, variant, rng):
    """(n, n, n) float32 map of atoms."""
    side = 2 * int(np.ceil(0.75 * 2 * np.linalg.norm(xyz, axis=1).max() / voxel))
    grid = np.round(xyz[:, ::-1] / voxel).astype(int) + side // 2
    volume = np.zeros((side,) * 3, np.float32)
    np.add.at(volume, tuple(grid.T), weight.astype(np.float32))
    square = _squares(side, voxel)
    cut = square < 1 / resolution**2 if variant != "smooth" else np.exp(-((square * resolution**2) ** 2))
    falloff = np.exp(-(20 + 2 * resolution**2) / 4 * square) * cut
    volume = _filtered(volume, falloff)
    if "noise" in variant:
        noise = _filtered(rng.standard_normal(volume.shape, dtype=np.float32), square < 1 / resolution**2)
        volume = volume + NOISE * volume.max() / noise.std() * noise
    if variant == "masked noise":
        axis = np.arange(side) - side // 2
        volume = volume * (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < (side / 2) ** 2)
    volume = volume + (0.2 * volume.max() if variant == "offset" else 0)
    return (-volume if variant == "negative" else volume).astype(np.float32)


def _filtered(volume, factors):
    return np.fft.irfftn(np.fft.rfftn(volume) * factors, s=volume.shape, axes=(0, 1, 2)).astype(np.float32)


def _squares(side, voxel):
    whole, half = np.fft.fftfreq(side, voxel) ** 2, np.fft.rfftfreq(side, voxel) ** 2
    return whole[:, None, None] + whole[:, None] + half


def measure(path, resolution, folder):
    """[{variant, ground truth, found}] of one structure's maps, Å."""
    import mrcfile

    from cryodl.simulate.micrographs import particle_diameter
    from cryodl.simulate.structures import load_density

    xyz, weight = atoms_of(path)
    voxel, rows = max(1.5, resolution / 3), []
    for variant in VARIANTS:
        points, mass = xyz, weight
        if variant == "micelle":
            belt, its = micelle(xyz)
            points, mass = np.vstack([xyz, belt]), np.concatenate([weight, its])
        data = map_of(points, mass, resolution, voxel, variant, np.random.default_rng(5))
        file = folder / "map.mrc"
        with mrcfile.new(file, data, overwrite=True) as mrc:
            mrc.voxel_size = voxel
        row = dict(structure=path.name[:4], resolution=resolution, variant=variant, truth=diameter_of(points, mass))
        for pixel_size in (3.5, 6.0):
            row[f"found_{pixel_size:g}"] = particle_diameter(load_density(file, pixel_size), pixel_size)
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/map_sizes"))
    parser.add_argument("--structures", type=int, default=len(STRUCTURES))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in STRUCTURES[: options.structures]:
            for resolution in RESOLUTIONS:
                rows += measure(data_folder() / "structures/complexes" / name, resolution, Path(folder))
                for row in rows[-len(VARIANTS) :]:
                    print(
                        " ".join(f"{k}={v:.1f}" if isinstance(v, float) else f"{k}={v}" for k, v in row.items()),
                        flush=True,
                    )
    (options.output / "map_sizes.json").write_text(json.dumps(rows, indent=2))
    for variant in VARIANTS:
        for resolution in RESOLUTIONS:
            part = [r for r in rows if r["variant"] == variant and r["resolution"] == resolution]
            error = np.array(
                [max(abs(r["found_3.5"] / r["truth"] - 1), abs(r["found_6"] / r["truth"] - 1)) for r in part]
            )
            print(
                f"{variant:13s} {resolution:4.0f} Å: median {100 * np.median(error):.1f} %, largest "
                f"{100 * error.max():.1f} %"
            )


if __name__ == "__main__":
    main()
