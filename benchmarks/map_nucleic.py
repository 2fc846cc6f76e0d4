# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated maps from 2.5 to 8 Å of molecules with nucleic acid, measured as a whole and at the nucleic acid alone.

Of a large molecule a sphere of whole residues is cut out, about the nucleotide that has the most protein and the most
nucleic acid alike around it; of a protein, about its middle. The map alone is given to the command, so that it has to
estimate the resolution: maps that it leaves as they are count 0.
"""

import functools
import os
import time

import numpy as np
from map_cases import (
    CHOOSING,
    PIXEL_SIZE,
    SEED,
    SOLVENT,
    Case,
    angstrom,
    best_sharpening,
    find_structure,
    measured,
    model_name,
    removed,
)
from map_controls import NUCLEOTIDES, learnt
from parts import engine_path, table

MOLECULES = ("1EJ9", "4V4R_30S", "1U6G")  # with all atoms; the other ribosomes at hand are traces of one atom a residue
RESOLUTIONS = (2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
RADIUS = 25.0  # Å, of the sphere that is cut out
WHOLE = 4000  # atoms: a molecule of no more is taken whole
SAMPLING = 3.0  # voxels for a resolution, and none larger than PIXEL_SIZE
WORSE, WORSE_Q = 0.1, 0.02  # Å and Q-score that no map may lose


def run(bench):
    for resolution in sorted(RESOLUTIONS, key=lambda r: abs(r - 4.5), reverse=True):
        for molecule in MOLECULES:
            bench.once(key(model_name(bench), molecule, resolution), lambda: measure(bench, molecule, resolution))


def key(model, molecule, resolution):
    return f"maps nucleic/{model}/{molecule}/{resolution:g}"


def measure(bench, molecule, resolution):
    """Comparison of one simulated map, with what the command took its resolution for, and the CPU seconds of all."""
    engine_path()
    from cryodl.contract import ImproveMapConfig, SimulateHalfMapsConfig
    from cryodl.maps.commands import improve_map, simulate_half_maps
    from cryodl.maps.measures.measure import reference_for
    from cryodl.maps.measures.volume import read_volume

    begin, wall = os.times(), time.monotonic()
    work = bench.folder(f"nucleic {molecule} {resolution:g}")
    atoms, part, *points = molecule_of(bench, molecule)
    pixel_size = round(min(PIXEL_SIZE, resolution / SAMPLING), 3)
    box = 2 * int(np.ceil((float(np.ptp(atoms.xyz, axis=0).max()) / 2 + SOLVENT) / pixel_size))
    config = SimulateHalfMapsConfig(
        str(part), resolution, str(work / "map"), pixel_size=pixel_size, box=box, seed=SEED, threads=1
    )
    path, output = simulate_half_maps.run(config).outputs.full, str(work / "improved.mrc")
    volume = read_volume(path)
    case = Case(volume, resolution, reference_for(volume, atoms), *points[:2], nucleic_of(volume, atoms, points[2]))
    said = improve_map.improve_map(
        ImproveMapConfig(path, output=output, model=bench.options.model, device="cpu", threads=1)
    ).outputs
    maps = dict(input=volume.data, sharpened=best_sharpening(case)[0], improved=read_volume(output).data)
    figures = {name: measured(data, case) for name, data in maps.items()}
    removed(work)
    return dict(
        figures,
        estimated=said.resolution,
        unchanged=bool(said.unchanged),
        pixel_size=pixel_size,
        atoms=len(atoms),
        nucleic=int(is_nucleic(atoms).sum()),
        learnt=learnt(bench, find_structure(bench, molecule).name),
        cpu=sum(end - start for end, start in zip(os.times()[:2], begin[:2])),
        wall=time.monotonic() - wall,
    )


@functools.lru_cache
def molecule_of(bench, molecule):
    """Atoms of what is cut out, its file, and ScorePoints: of all atoms, of fewer, of nucleic acid (or None)."""
    from cryodl.maps.measures.atoms import read_atoms
    from cryodl.maps.measures.qscore import score_points

    folder = bench.output / "parts"
    folder.mkdir(exist_ok=True)
    part = cut_out(find_structure(bench, molecule), folder / f"{molecule}.cif")
    atoms = read_atoms(part)
    few = np.random.default_rng(0).permutation(len(atoms))[:CHOOSING]
    rows = np.flatnonzero(is_nucleic(atoms))
    nucleic = score_points(atoms, rows) if len(rows) else None
    return atoms, part, score_points(atoms), score_points(atoms, few), nucleic


def is_nucleic(atoms):
    """(n,) bool: atoms of nucleotides."""
    return np.array([name in NUCLEOTIDES for _, _, name in atoms.residues])[atoms.residue]


def cut_out(source, path):
    """A file of the residues within RADIUS of a nucleotide, or of the middle; of a small molecule, of all of them."""
    from scipy.spatial import cKDTree

    from cryodl.maps.measures.atoms import read_structure

    structure = read_structure(source)
    while len(structure) > 1:
        del structure[-1]
    structure.remove_waters()
    structure.remove_hydrogens()
    groups = [residue for chain in structure[0] for residue in chain]
    xyz = np.array([np.mean([atom.pos.tolist() for atom in residue], axis=0) for residue in groups])
    weight = np.array([len(residue) for residue in groups])
    if weight.sum() > WHOLE:
        nucleic = np.array([residue.name in NUCLEOTIDES for residue in groups])
        centre = xyz.mean(axis=0)
        if nucleic.any():
            near = cKDTree(xyz).query_ball_point(xyz[nucleic], RADIUS)
            alike = [min(weight[k][nucleic[k]].sum(), weight[k][~nucleic[k]].sum()) for k in map(np.array, near)]
            centre = xyz[nucleic][int(np.argmax(alike))]
        far = iter(np.linalg.norm(xyz - centre, axis=1) > RADIUS)
        for chain in structure[0]:
            for k in reversed([k for k, _ in enumerate(chain) if next(far)]):
                del chain[k]
        structure.remove_empty_chains()
    structure.make_mmcif_document().write_file(str(path))
    return path


def nucleic_of(volume, atoms, points):
    """Mask and ScorePoints of the nucleic acid, None if there is none."""
    from cryodl.maps.measures.density import soft_mask

    return (soft_mask(atoms.xyz[is_nucleic(atoms)], volume, 4.0), points) if points else None


def tables(bench):
    get = lambda molecule, r: bench.figures.get(key(model_name(bench), molecule, r))
    found = {(molecule, r): get(molecule, r) for molecule in MOLECULES for r in RESOLUTIONS}
    rows = [[f"{molecule} at {r:g} Å", *cells(f)] for (molecule, r), f in found.items()]
    return "\n\n".join([table(HEAD, rows), *floors({name: f for name, f in found.items() if f})])


HEAD = [
    "map",
    "FSC 0.5: input",
    "best sharpening",
    "ours",
    "Q-score: input",
    "best sharpening",
    "ours",
    "nucleic acid, FSC 0.5: input",
    "ours",
    "Q-score: input",
    "best sharpening",
    "ours",
]


def cells(f):
    """The cells of HEAD, without the first."""
    if not f:
        return [None] * (len(HEAD) - 1)
    kinds = ("input", "sharpened", "improved")
    row = [f"{angstrom(f[kind]):.2f}" for kind in kinds] + [f"{f[kind]['q']:.3f}" for kind in kinds]
    if "nucleic_q" not in f["input"]:
        return [*row, *["-"] * 5]
    row += [f"{angstrom(f[kind], 'nucleic_fsc05'):.2f}" for kind in ("input", "improved")]
    return row + [f"{f[kind]['nucleic_q']:.3f}" for kind in kinds]


def losses(f):
    """(Å, Q-score) that a map lost, the worse of the whole and of its nucleic acid."""
    parts = [("fsc05", "q")] + [("nucleic_fsc05", "nucleic_q")] * ("nucleic_q" in f["input"])
    return (
        max(angstrom(f["improved"], fsc) - angstrom(f["input"], fsc) for fsc, _ in parts),
        max(f["input"][q] - f["improved"][q] for _, q in parts),
    )


def floors(found):
    """Lines: which maps lost more than the floors allow."""
    for (molecule, resolution), f in found.items():
        fsc, q = losses(f)
        if fsc > WORSE or q > WORSE_Q:
            yield f"- Worse: {molecule} at {resolution:g} Å ({fsc:+.2f} Å, {-q:+.3f} of Q-score)."
    if found:
        cpu = sum(f["cpu"] for f in found.values()) / 60
        yield f"- {len(found)} maps, {sum(f['unchanged'] for f in found.values())} unchanged; {cpu:.1f} CPU minutes."
