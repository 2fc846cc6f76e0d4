# SPDX-License-Identifier: GPL-3.0-or-later
"""What the model makes of what it should not invent: noise, nucleic acid, detergent, a map of the wrong hand.

All maps are simulated at RESOLUTION. Contrast: standard deviation of the improved map over that of the map before,
in the named position, in units of that of the protein. FSC, correlation and Q-score are with the density that is truly
there: of the wrong hand, with the mirrored model.
"""

import dataclasses
import json

import map_control_tables
import numpy as np
from common import cryodl
from map_cases import case_of, find_structure, improve, measured, model_name, removed, simulate
from parts import engine_path

RESOLUTION = 4.0
PROTEIN, MEMBRANE = "1U6G", "5GJV"  # left out of the training with what is similar
NEAR, AWAY = 2.0, 8.0  # Å from the atoms: what belongs to them, and what is solvent
SURE = 0.5  # confidence above which a voxel counts as density
NUCLEOTIDES = {"A", "C", "G", "U", "DA", "DC", "DG", "DT"}
NOISE_SIDE = 96  # px of the noise that is improved


def run(bench):
    engine_path()
    cases = {"protein": _protein, "noise": _noise, "wrong hand": _mirror, "detergent": _detergent, "half-maps": _halves}
    for name, measure in cases.items():
        bench.once(key(bench, name), lambda: measure(bench))
    for molecule in bench.options.nucleic:
        bench.once(key(bench, f"nucleic {molecule}"), lambda: _nucleic(bench, molecule))


def key(bench, name):
    return f"maps controls/{model_name(bench)}/{name}"


def _maps(bench, molecule, word, *options):
    """Working folder with simulated maps (PREFIX map), and their model."""
    work = bench.folder(f"controls {word}")
    return work, simulate(bench, molecule, RESOLUTION, work / "map", *options)


def _improved(bench, path):
    """Data of the improved map and of its confidence."""
    from cryodl.maps.measures.volume import read_volume

    # noise alone has no resolution to be estimated, and would be left as it is
    output, _ = improve(bench, path, path.with_name("improved.mrc"), None, "--resolution", RESOLUTION)
    return (read_volume(p).data for p in (output, output.with_name("improved_confidence.mrc")))


def _position(before, after, confidence, where):
    """Figures of a position: where is a (z, y, x) bool array."""
    return dict(
        contrast=float(after[where].std() / before[where].std()),
        confidence=float(confidence[where].mean()),
        sure=float((confidence[where] > SURE).mean()),
        voxels=int(where.sum()),
    )


def _against_ground_truth(case, before, after):
    """Measures of both maps, and their correlations with the model's density in the mask."""
    inside = case.reference.mask > 0.5
    ground_truth = case.reference.density[inside]
    return dict(
        before=dict(measured(before, case), correlation=float(np.corrcoef(before[inside], ground_truth)[0, 1])),
        after=dict(measured(after, case), correlation=float(np.corrcoef(after[inside], ground_truth)[0, 1])),
    )


def _near(xyz, case):
    """Bool array: within NEAR Å of positions (n, 3)."""
    from cryodl.maps.measures.density import soft_mask

    return soft_mask(xyz, case.volume, NEAR, 1e-3) > 0.5


def _solvent(case):
    from cryodl.maps.measures.density import soft_mask

    return soft_mask(case.reference.atoms.xyz, case.volume, AWAY, 1e-3) == 0


def _protein(bench):
    """The protein and its solvent; and the confidence at the atoms that the improved map shows worst and best."""
    from scipy.ndimage import map_coordinates

    from cryodl.maps.measures.qscore import q_scores

    work, structure = _maps(bench, PROTEIN, "protein")
    case = case_of(work / "map_full.mrc", structure, RESOLUTION)
    after, confidence = _improved(bench, work / "map_full.mrc")
    atoms, before = case.reference.atoms, case.volume.data
    scores = q_scores(dataclasses.replace(case.volume, data=after), atoms)
    at_atoms = map_coordinates(confidence, case.volume.positions(atoms.xyz).T, order=1)
    order = np.argsort(scores)
    tenth = len(order) // 10
    mean = lambda rows: dict(q=float(scores[rows].mean()), confidence=float(at_atoms[rows].mean()))
    removed(work)
    return dict(
        protein=_position(before, after, confidence, _near(case.reference.atoms.xyz, case)),
        solvent=_position(before, after, confidence, _solvent(case)),
        **_against_ground_truth(case, before, after),
        worst_atoms=mean(order[:tenth]),
        best_atoms=mean(order[-tenth:]),
    )


def _noise(bench):
    """The noise of the same maps alone, sharpened as the map with the protein is."""
    from cryodl.maps.measures.shells import guinier_b_factor, sharpened
    from cryodl.maps.measures.volume import read_volume, write_volume

    work, structure = _maps(bench, PROTEIN, "noise")
    half1, half2 = (read_volume(work / f"map_half{k}.mrc") for k in (1, 2))
    voxels = half1.voxels_zyx
    case = case_of(work / "map_full.mrc", structure, RESOLUTION)
    b_factor = guinier_b_factor(0.5 * (half1.data + half2.data) * case.reference.mask, voxels, RESOLUTION) or 0.0
    middle = tuple(slice((n - min(n, NOISE_SIDE)) // 2, (n + min(n, NOISE_SIDE)) // 2) for n in half1.data.shape)
    noise = sharpened(0.5 * (half1.data - half2.data), voxels, max(0.0, b_factor), RESOLUTION)
    noise = noise[middle].astype(np.float32)
    write_volume(work / "noise.mrc", noise, dataclasses.replace(half1, data=noise, header=None))
    after, confidence = _improved(bench, work / "noise.mrc")
    removed(work)
    return dict(noise=_position(noise, after, confidence, np.ones(noise.shape, bool)))


def _mirror(bench):
    """Map and model mirrored at a plane through the box."""
    from cryodl.maps.measures.volume import read_volume, write_volume

    work, structure = _maps(bench, PROTEIN, "mirror")
    volume = read_volume(work / "map_full.mrc")
    write_volume(work / "mirror.mrc", volume.data[:, :, ::-1], volume)
    case = case_of(work / "mirror.mrc", mirrored(structure, volume), RESOLUTION)
    after, confidence = _improved(bench, work / "mirror.mrc")
    removed(work)
    return dict(
        protein=_position(case.volume.data, after, confidence, _near(case.reference.atoms.xyz, case)),
        **_against_ground_truth(case, case.volume.data, after),
    )


def mirrored(structure, volume):
    """File of a model mirrored as the map is whose x axis is turned round."""
    import gemmi

    centre = float(volume.origin_zyx[2] + volume.voxels_zyx[2] * (volume.data.shape[2] - 1) / 2)
    model = gemmi.read_structure(str(structure))
    for found in model[0].all():
        found.atom.pos = gemmi.Position(2 * centre - found.atom.pos.x, found.atom.pos.y, found.atom.pos.z)
    path = structure.with_name("mirrored.pdb")
    model.write_pdb(str(path))
    return path


def _detergent(bench):
    """The belt: dense by the raw map, and away from the atoms."""
    from cryodl.maps.measures.density import dense_mask
    from cryodl.maps.measures.volume import read_volume

    work, structure = _maps(bench, MEMBRANE, "detergent", "--detergent")
    case = case_of(work / "map_full.mrc", structure, RESOLUTION)
    raw = sum(read_volume(work / f"map_half{k}.mrc").data for k in (1, 2))
    dense = dense_mask(raw, case.volume.voxels_zyx) > 0.99
    after, confidence = _improved(bench, work / "map_full.mrc")
    removed(work)
    positions = {"protein": _near(case.reference.atoms.xyz, case), "detergent": dense & _solvent(case)}
    return dict(
        {name: _position(case.volume.data, after, confidence, where) for name, where in positions.items()},
        **_against_ground_truth(case, case.volume.data, after),
    )


def _nucleic(bench, molecule):
    """A molecule with RNA or DNA: the atoms that are no amino acids'."""
    from cryodl.maps.measures.qscore import q_scores

    work, structure = _maps(bench, molecule, f"nucleic {molecule}")
    case = case_of(work / "map_full.mrc", structure, RESOLUTION)
    after, confidence = _improved(bench, work / "map_full.mrc")
    atoms, volume = case.reference.atoms, case.volume
    nucleic = np.array([name in NUCLEOTIDES for _, _, name in atoms.residues])[atoms.residue]
    score = lambda data: float(q_scores(dataclasses.replace(volume, data=data), atoms)[nucleic].mean())
    removed(work)
    return dict(
        nucleic=_position(volume.data, after, confidence, _near(atoms.xyz[nucleic], case)),
        **_against_ground_truth(case, volume.data, after),
        q_before=score(volume.data),
        q_after=score(after),
        atoms=int(nucleic.sum()),
        learnt=learnt(bench, find_structure(bench, molecule).name),
    )


def learnt(bench, name):
    """Whether the model's training saw a structure: 'learnt from', 'validated on', 'never seen' or 'not known'."""
    from cryodl.io.model import find_model

    training = json.loads((find_model(bench.options.model) / "card.json").read_text()).get("training", {})
    if not training.get("molecules"):
        return "not known"
    return (
        "learnt from"
        if name in training["molecules"]
        else "validated on"
        if name in training["validation_molecules"]
        else "never seen"
    )


def _halves(bench):
    """The half-map test of evaluate-map: {raw, improved, crossed: Å}."""
    work, structure = _maps(bench, PROTEIN, "half-maps")
    out, cpu, _, _ = cryodl(
        "evaluate-map",
        "--map",
        work / "map_full.mrc",
        "--structure",
        structure,
        "--half-maps",
        work / "map_half1.mrc",
        work / "map_half2.mrc",
        "--improver",
        bench.options.model,
        "--json",
        "--threads",
        1,
    )
    removed(work)
    return dict(json.loads(out)["half_map_test"], cpu=cpu)


def tables(bench):
    get = lambda name: bench.figures.get(key(bench, name)) or {}
    found = {name: get(name) for name in ("protein", "noise", "wrong hand", "detergent", "half-maps")}
    nucleic = {molecule: get(f"nucleic {molecule}") for molecule in bench.options.nucleic}
    return map_control_tables.tables(found, nucleic, SURE)
