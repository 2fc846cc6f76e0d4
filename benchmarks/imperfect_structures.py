# SPDX-License-Identifier: GPL-3.0-or-later
"""Orientations and denoised images where the given structure is not the one that the particles show.

    PYTHON benchmarks/imperfect_structures.py [--count N] [--snr S] [--molecules NAME ...] [--output FOLDER]
                                              [--figures FILE]

Particles of made_particles.py (64 px, coloured noise, SNR over the whole box). Given is a map in the frame of the true
atoms, cut sharply at 8 Å unless stated otherwise: of the true structure, of the true one at 10 and 15 Å, of one that
lacks some chains, and of a homologue, superposed on the true one. Measured for each: percent of particles within 15
degrees of the truth by `cryodl assign-orientations`, the mean stated probability, the mean of cryodlExplained, FSC =
0.5 of the map of `cryodl reconstruct` with the true structure; then of `posterior`, trained with the given map and the
particles as oriented by it: the mean FRC of its images with the true projections, and with those of the given map. The
Wiener filter and the raw images stand beside it. A stopped run goes on where it was. FILE (JSON) gets the figures.
"""

import argparse
import dataclasses
import json
import sys
import typing
from pathlib import Path

import mrcfile
import numpy as np
from common import ROOT, cryodl, data_folder
from made_particles import make_of
from map_sizes import map_of, read_structure
from orientation_floors import RIGHT, probabilities, searched
from scipy.spatial.transform import Rotation

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
SEED, BOX, RESOLUTION = 4, 64, 8.0  # Å
MATCHED = 5.0  # Å: atoms of two chains this near after superposition count as the same
MINIMUM_RESIDUES = 80  # of chains that a superposition begins with


@dataclasses.dataclass(frozen=True)
class Molecule:
    """file: what the particles show. lacks: chains that the incomplete structure has not. homologue: file."""

    file: str
    pixel_size: float
    lacks: str
    homologue: str = ""


MOLECULES = {
    "30S subunit, T. thermophilus": Molecule("4V4R_30S.pdb.gz", 4.2, "EFG", "2YKR_30S.pdb.gz"),
    "nucleosome with Chd1": Molecule("5O9G.pdb.gz", 3.5, "W", "5X0Y.pdb.gz"),
    "RNA polymerase II": Molecule("1WCM.pdb.gz", 3.5, "DG"),
    "insulin receptor with Fabs": Molecule("4ZXB.cif.gz", 3.5, "AB"),
}


class Atoms(typing.NamedTuple):
    """xyz: (n, 3) Å. weight: (n,) atomic numbers. chain: (n,) names. marks: (n,) whether it is a CA or P atom."""

    xyz: np.ndarray
    weight: np.ndarray
    chain: np.ndarray
    marks: np.ndarray


def atoms_of(model):
    """Atoms of a gemmi model."""
    found = [
        (*a.atom.pos.tolist(), a.atom.element.atomic_number * a.atom.occ, a.chain.name, a.atom.name in ("CA", "P"))
        for a in model.all()
    ]
    columns = list(zip(*found))
    return Atoms(np.array(columns[:3], float).T, np.array(columns[3]), np.array(columns[4]), np.array(columns[5]))


def polymers(model):
    """[(chain, type)] of a model's protein and nucleic acid; a chain that holds both is split."""
    import gemmi

    found = []
    for chain in model:
        for atom, kinds in (
            ("CA", (gemmi.PolymerType.PeptideL,)),
            ("P", (gemmi.PolymerType.Rna, gemmi.PolymerType.Dna)),
        ):
            part = gemmi.Chain(chain.name)
            for residue in chain:
                if atom in residue:
                    part.add_residue(residue)
            if len(part) >= MINIMUM_RESIDUES:
                kind = kinds[0] if len(kinds) == 1 or "O2'" in part[len(part) // 2] else kinds[1]
                found.append((part, kind))
    return found


def superposed(moving, fixed):
    """(n, 3) atoms of a model moved onto another: chains aligned by sequence, then all CA and P atoms by their nearest
    neighbours. Also the number of atoms within MATCHED and their RMSD, Å."""
    import gemmi
    from scipy.spatial import cKDTree

    moved, still, best = atoms_of(moving), atoms_of(fixed), (0, 0.0, None)
    tree = cKDTree(still.xyz[still.marks])
    for first, kind in polymers(fixed):
        for second, other_kind in polymers(moving):
            if kind != other_kind:
                continue
            start = gemmi.calculate_superposition(first.whole(), second.whole(), kind, gemmi.SupSelect.CaP)
            rotation, shift = np.array(start.transform.mat.tolist()), np.array(start.transform.vec.tolist())
            for _ in range(20):
                points = moved.xyz[moved.marks] @ rotation.T + shift
                distance, number = tree.query(points)
                near = distance < MATCHED
                if near.sum() < MINIMUM_RESIDUES:
                    break
                rotation, shift = rigid_fit(moved.xyz[moved.marks][near], tree.data[number[near]])
            if near.sum() > best[0]:
                best = int(near.sum()), float(np.sqrt((distance[near] ** 2).mean())), moved.xyz @ rotation.T + shift
    count, rmsd, xyz = best
    if xyz is None:
        raise ValueError("No two chains of these structures fit.")
    return xyz, count, rmsd


def rigid_fit(moving, fixed):
    """(3, 3) rotation and (3,) shift that bring points onto others, least squares."""
    middles = moving.mean(0), fixed.mean(0)
    rotation = Rotation.align_vectors(fixed - middles[1], moving - middles[0])[0].as_matrix()
    return rotation, middles[1] - rotation @ middles[0]


def structures_of(molecule, folder):
    """The true body, and {what is given: (body, resolution in Å, note)}; bodies are (xyz, weight) in one frame."""
    true_model = read_structure(folder / molecule.file)[0]
    atoms = atoms_of(true_model)
    centre = np.average(atoms.xyz, axis=0, weights=atoms.weight)
    whole = atoms.xyz - centre, atoms.weight
    given = {
        "true structure": (whole, RESOLUTION, ""),
        "true structure, 10 Å": (whole, 10.0, ""),
        "true structure, 15 Å": (whole, 15.0, ""),
    }
    if molecule.lacks:
        kept = ~np.isin(atoms.chain, list(molecule.lacks))
        part = 100 * (1 - atoms.weight[kept].sum() / atoms.weight.sum())
        note = f"{part:.0f} % of the mass missing"
        given["incomplete"] = (whole[0][kept], whole[1][kept]), RESOLUTION, note
    if molecule.homologue:
        other = read_structure(folder / molecule.homologue)[0]
        xyz, count, rmsd = superposed(other, true_model)
        name = molecule.homologue.split(".")[0]
        note = f"{name}: {count} of {atoms.marks.sum()} residues within {MATCHED:g} Å, RMSD {rmsd:.1f} Å"
        given["homologue"] = (xyz - centre, atoms_of(other).weight), RESOLUTION, note
    return whole, given


def measure(name, what, body, given, resolution, note, options):
    """Figures of one given structure; those of an earlier run in this folder are taken as they are."""
    from cryodl.core.symmetry import angular_distance
    from cryodl.io.particle_sets import read_particles
    from cryodl.io.star import read_tables

    molecule = MOLECULES[name]
    particles = options.output / molecule.file.split(".")[0] / f"{options.snr:g}-{options.count}"
    folder = particles / what.replace(",", "").replace(" ", "-")
    done = folder / "row.json"
    if done.exists():
        return json.loads(done.read_text())
    star, structure = particles / "particles.star", folder / "given.mrc"
    if not star.exists():
        make_of(body, particles, options.snr, options.count, SEED, BOX, molecule.pixel_size)
    folder.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(structure, map_of(*given, resolution, resolution / 3, "sharp", None), overwrite=True) as mrc:
        mrc.voxel_size = resolution / 3
    found = folder / "found.star"
    angles, _, seconds, _ = searched(star, structure, found)
    error = angular_distance(read_particles(star).angles, angles, "C1")
    row = dict(
        molecule=name,
        given=what,
        note=note,
        count=len(error),
        snr=options.snr,
        right=100 * float((error < RIGHT).mean()),
        stated=100 * float(probabilities(found).mean()),
        explained=100 * float(np.asarray(read_tables(found)["particles"]["cryodlExplained"], float).mean()),
        map=resolution_of_map(found, body, molecule.pixel_size, folder),
        **denoised(star, found, body, given, structure, molecule.pixel_size, folder),
        seconds=seconds,
    )
    done.write_text(json.dumps(row))
    return row


def resolution_of_map(found, body, pixel_size, folder):
    """Å: where the FSC of the particles' map with the true density falls below 0.5."""
    import torch

    from cryodl.core.frc import fsc, resolution_at

    output = folder / "map.mrc"
    cryodl("reconstruct", "--particles", found, "--output", output, "--device", "cpu", "--threads", 1)
    density = density_of(body, pixel_size)
    with mrcfile.open(output) as mrc:
        curve = fsc(torch.from_numpy(mrc.data.copy()), torch.from_numpy(density))
    return resolution_at(curve, 0.5, pixel_size, BOX)


def density_of(body, pixel_size):
    """(BOX, BOX, BOX) density of atoms, the origin at voxel BOX // 2."""
    from scipy.ndimage import gaussian_filter

    xyz, weight = body
    edges = [(np.arange(BOX + 1) - BOX // 2 - 0.5) * pixel_size] * 3
    grid, _ = np.histogramdd(xyz[:, ::-1], edges, weights=weight)
    return gaussian_filter(grid, 0.5).astype(np.float32)


def denoised(star, found, body, given, structure, pixel_size, folder):
    """Mean FRC with the true projections of raw and Wiener-filtered images and of `posterior`, and of these with the
    given structure's projections at the true angles."""
    import shutil

    import torch

    from cryodl.core.projections import Projector
    from cryodl.io.particle_sets import read_particles
    from cryodl.particles.denoisers import load_denoiser
    from cryodl.particles.denoisers.evaluate import bench_of, measure_bench

    model = folder / "model"
    shutil.rmtree(model, ignore_errors=True)
    more = ("--network", "posterior", "--device", "cpu", "--threads", 1)
    cryodl("train-denoiser", "--particles", found, "--structure", structure, "--output", model, *more)
    denoiser, particles = load_denoiser(model, torch.device("cpu")), read_particles(star)
    diameter = 2 * np.quantile(np.linalg.norm(body[0], axis=1), 0.99) / pixel_size
    means = {}
    for name, atoms in (("true", body), ("given", given)):
        projector = Projector(torch.from_numpy(density_of(atoms, pixel_size)))
        bench, _ = bench_of(particles, projector, denoiser, "bright", diameter)
        means[name] = measure_bench(bench).means()
    return dict(
        raw=means["true"]["raw"],
        wiener=means["true"]["wiener"],
        posterior=means["true"]["denoised"],
        like_given=means["given"]["denoised"],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--snr", type=float, default=0.05)
    parser.add_argument("--molecules", nargs="+", choices=MOLECULES, default=list(MOLECULES))
    parser.add_argument("--output", type=Path, default=Path("benchmark_results/imperfect_structures"))
    parser.add_argument("--figures", type=Path)
    options = parser.parse_args()
    rows = []
    for name in options.molecules:
        body, given = structures_of(MOLECULES[name], data_folder() / "structures" / "complexes")
        for what, (atoms, resolution, note) in given.items():
            rows.append(measure(name, what, body, atoms, resolution, note, options))
            print("RESULT", json.dumps(rows[-1]), flush=True)
            if options.figures:
                options.figures.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
