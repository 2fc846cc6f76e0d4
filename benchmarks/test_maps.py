# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks of map improvement on a small helix, with a network of random weights: PYTHON -m pytest benchmarks"""

import gzip
import sys

import map_cases
import map_nucleic
import map_pictures
import map_real
import map_realism
import map_simulated
import map_speed
import map_tables
import maps
import numpy as np
import pytest
from common import ROOT
from parts import Bench, engine_path

engine_path()
sys.path.append(str(ROOT / "cryodl_scipion" / "engine" / "tests"))
from map_data import helix  # noqa: E402


@pytest.fixture
def bench(tmp_path):
    """A data folder with one molecule, 1HEL, and one real map of it."""
    folder = tmp_path / "structures"
    for name in ("complexes", "small", "maps"):
        (folder / name).mkdir(parents=True)
    packed = folder / "small" / "1HEL.pdb.gz"
    packed.write_bytes(gzip.compress(helix(tmp_path / "helix.pdb", 16).read_bytes()))
    bench = Bench(
        maps.read_options(
            [
                "--output",
                str(tmp_path / "out"),
                "--molecules",
                "1HEL",
                "--resolutions",
                "4",
                "--real-maps",
                "EMD-30342_7CEC_chainA",
            ]
        ),
        tmp_path,
    )
    bench.options.model = str(map_speed.untrained(bench, "fast"))
    return bench


def comparison(given, sharpened, improved, q=(0.4, 0.5, 0.65)):
    figures = lambda value, score: dict(fsc05=value, unmasked=value + 1, times_mask=value + 0.1, q=score)
    return dict(
        input=figures(given, q[0]),
        sharpened=figures(sharpened, q[1]),
        improved=figures(improved, q[2]),
        cpu=60.0,
        wall=60.0,
        cost=dict(cpu=30.0),
    )


def test_a_network_that_only_drops_what_is_negative_has_nearly_the_figures_of_the_input(bench):
    found = map_simulated.measure(bench, "1HEL", 4.0)
    assert found["improved"]["fsc05"] == pytest.approx(found["input"]["fsc05"], abs=0.5)
    assert found["sharpened"]["q"] >= found["input"]["q"] - 0.02 and found["cpu"] > 0 and found["atoms"] == 80
    bench.figures[map_simulated.key("untrained-fast", "1HEL", 4.0)] = found
    assert "1HEL at 4 Å" in map_simulated.tables(bench) and "| mean | 1 |" in map_simulated.tables(bench)


def test_what_is_simulated_from_a_real_piece_has_faults_inside_of_the_molecule(bench):
    name = "EMD-30342_7CEC_chainA"
    structure = map_cases.simulate(bench, "1HEL", 4.0, bench.data / "structures" / "maps" / "sim")
    structure.rename(structure.with_name(f"{name}.model.pdb"))
    whole = (structure.parent / "sim_full.mrc").read_bytes()
    (structure.parent / f"{name}.mrc.gz").write_bytes(gzip.compress(whole))
    found = map_realism.measure(bench, name)
    usual, without = (found[kind] for kind in map_realism.VARIANTS)
    assert all(-1 <= value <= 1 for part in found.values() for value in part["fsc"])
    assert usual["fsc"][0] > 0.5 and without["fsc"][0] > usual["fsc"][0]  # solvent is what is seen at 15 Å
    bench.figures[map_realism.key(name)] = found
    assert "| mean | real |" in map_realism.tables(bench)


def test_the_best_sharpening_undoes_a_known_blur(bench, tmp_path):
    import dataclasses

    from cryodl.maps.measures.shells import sharpened

    structure = map_cases.simulate(bench, "1HEL", 3.0, tmp_path / "sim" / "map", "--flexibility", "0")
    case = map_cases.case_of(tmp_path / "sim" / "map_truth.mrc", structure, 3.0)
    blurred = sharpened(case.volume.data, case.volume.voxels_zyx, -150.0, 3.0).astype(np.float32)
    _, mild, _ = map_cases.best_sharpening(case)
    _, strong, _ = map_cases.best_sharpening(
        dataclasses.replace(case, volume=dataclasses.replace(case.volume, data=blurred))
    )
    assert strong - mild == pytest.approx(150, abs=60)


def test_real_maps_are_found_and_measured(bench, tmp_path):
    structure = map_cases.simulate(bench, "1HEL", 4.0, tmp_path / "sim" / "map")
    name = bench.options.real_maps[0]
    for source, target in ((tmp_path / "sim" / "map_full.mrc", f"{name}.mrc.gz"), (structure, f"{name}.model.pdb.gz")):
        (tmp_path / "structures" / "maps" / target).write_bytes(gzip.compress(source.read_bytes()))
    found = map_real.measure(bench, name)
    assert found["input"]["fsc05"] < 6 and set(found["improved"]) == set(map_cases.MEASURES)


def test_floors_say_where_they_are_not_reached():
    groups = {"3 Å": [comparison(4.0, 4.0, 4.2)], "6 Å": [comparison(7.0, 7.0, 6.5)]}
    every = [f for part in groups.values() for f in part]
    lines = map_tables.floors(every, groups)
    assert "**Not reached**" in lines[0] and "3 Å (+0.20 Å)" in lines[0] and "6 Å" not in lines[0]
    assert all(line.startswith("- Reached") for line in (lines[1], lines[3]))
    poor = [comparison(4.0, 4.0, 3.9, (0.4, 0.5, 0.55))]
    assert "**Not reached**" in map_tables.floors(poor, {"3 Å": poor})[3]


def test_real_maps_may_lose_a_little_but_not_more():
    found = {"a": comparison(4.0, 4.0, 3.0), "b": comparison(4.0, 4.0, 4.31)}
    better, worst = map_tables.real_floors(found)
    assert better.startswith("- Reached") and worst.startswith("- **Not reached**") and "+0.31 Å at worst, b" in worst
    assert map_tables.worst(found)[0] == "b"


def test_a_curve_that_is_never_above_a_half_counts_and_is_said():
    found = comparison(4.0, 4.0, 4.0)
    found["input"]["fsc05"] = None
    assert map_tables.mean([found], "input", "fsc05") == map_cases.NOT_REACHED
    assert "1 curves" in map_tables.not_reached([found])[0]


def test_times_are_extrapolated_by_the_number_of_boxes():
    first, second = (dict(cpu=2 + 0.1 * n, wall=3 + 0.2 * n, boxes=n) for n in (8, 64))
    assert np.allclose(map_speed.line(first, second), [(2, 0.1), (3, 0.2)])
    assert (map_speed.boxes(200), map_speed.boxes(48)) == (1000, 27)  # 200 and 48 px in steps of 21


def test_what_was_not_measured_is_said_in_every_table(bench):
    for module, _ in maps.PARTS.values():
        assert "ot measured" in module.tables(bench)


def test_a_mirrored_model_fits_the_mirrored_map(bench, tmp_path):
    import map_controls

    from cryodl.maps.measures.volume import read_volume, write_volume

    structure = map_cases.simulate(bench, "1HEL", 4.0, tmp_path / "sim" / "map")
    right = map_cases.case_of(tmp_path / "sim" / "map_full.mrc", structure, 4.0)
    volume = read_volume(tmp_path / "sim" / "map_full.mrc")
    write_volume(tmp_path / "mirror.mrc", volume.data[:, :, ::-1], volume)
    wrong = map_cases.case_of(tmp_path / "mirror.mrc", map_controls.mirrored(structure, volume), 4.0)
    scores = [map_cases.measured(case.volume.data, case) for case in (right, wrong)]
    assert scores[0]["fsc05"] == pytest.approx(scores[1]["fsc05"], abs=0.01)
    assert scores[0]["q"] == pytest.approx(scores[1]["q"], abs=0.03)


def test_slices_are_drawn_with_their_curves(bench, tmp_path, monkeypatch):
    structure = map_cases.simulate(bench, "1HEL", 4.0, tmp_path / "sim" / "map")
    monkeypatch.setattr(map_pictures, "SIMULATED", "1HEL")
    monkeypatch.setattr(map_pictures, "files", lambda bench, name: (tmp_path / "sim" / "map_full.mrc", structure))
    bench.options.images = str(tmp_path)
    assert len(map_pictures.draw(bench)) == 2 and (tmp_path / map_pictures.FILE).stat().st_size > 10000


def test_a_sphere_of_whole_residues_is_cut_out_where_protein_and_nucleic_acid_meet(tmp_path):
    import gemmi

    from cryodl.maps.measures.atoms import read_atoms

    structure = gemmi.Structure()
    model = gemmi.Model("1")
    for name, residue, first, count in (
        ("A", "ALA", 0, 1000),
        ("B", "DA", 700, 400),
    ):  # both along x; they share 700 to 999
        chain = gemmi.Chain(name)
        for n in range(count):
            group = gemmi.Residue()
            group.name, group.seqid = residue, gemmi.SeqId(n + 1, " ")
            for k, letter in enumerate("ABCDE"):
                atom = gemmi.Atom()
                atom.name, atom.element = f"C{letter}", gemmi.Element("C")
                atom.pos = gemmi.Position(first + n, 3 * (name == "B"), k)
                group.add_atom(atom)
            chain.add_residue(group)
        model.add_chain(chain)
    structure.add_model(model)
    structure.setup_entities()
    structure.make_mmcif_document().write_file(str(tmp_path / "all.cif"))
    atoms = read_atoms(map_nucleic.cut_out(tmp_path / "all.cif", tmp_path / "part.cif"))
    nucleic = map_nucleic.is_nucleic(atoms)
    assert len(atoms) % 5 == 0 and abs(nucleic.sum() - (~nucleic).sum()) <= 15
    assert 1.9 * map_nucleic.RADIUS < np.ptp(atoms.xyz[:, 0]) <= 2 * map_nucleic.RADIUS
    assert 695 < atoms.xyz[:, 0].min() and atoms.xyz[:, 0].max() < 1005


def test_a_map_that_loses_at_its_nucleic_acid_alone_is_said():
    measured = lambda fsc, q, own, own_q: dict(fsc05=fsc, q=q, nucleic_fsc05=own, nucleic_q=own_q)
    better = dict(
        input=measured(4.0, 0.5, 4.1, 0.5), improved=measured(3.8, 0.55, 4.15, 0.49), cpu=6.0, unchanged=False
    )
    worse = dict(better, improved=measured(3.8, 0.55, 4.25, 0.49))
    assert map_nucleic.losses(better) == pytest.approx((0.05, 0.01))
    lines = list(map_nucleic.floors({("x", 4.0): better, ("y", 5.0): worse}))
    assert lines[0].startswith("- Worse: y at 5 Å (+0.15 Å, -0.010") and len(lines) == 2
    protein = dict(input=dict(fsc05=None, q=0.2), improved=dict(fsc05=19.0, q=0.25))
    assert map_nucleic.losses(protein) == pytest.approx((-1.0, -0.05))
