# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner of benchmarks, and their own arithmetic on made-up data."""

import dataclasses
import gzip
import json
import re

import bench
import classes2d
import gemmi
import heterogeneity
import maps
import mrcfile
import numpy as np
import picking_real
import picking_simulated
import pytest
import run
import torch
from map_data import helix
from recipes import complexes, other_particles, particles
from recipes import maps as map_recipes
from template_matching import TemplateProjection

from cryodl.core.fourier import frc, mean_frc
from cryodl.core.projections import Projector, random_angles
from cryodl.io import coordinates, particle_sets
from cryodl.maps.measures.shells import sharpened
from cryodl.maps.measures.volume import read_volume, write_volume

SCIPION = {"protocol_kills", "races", "slurm", "week"}  # of modules that Scipion's Python loads


# ----- the runner and what it wrote
@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A benchmark of two cases, of which the second fails; and a function that runs it."""
    calls = []

    def measure_sum(run, number, more=1):
        calls.append((number, more))
        if number == 2:
            raise RuntimeError("no such number")
        return dict(sum=number + more + 0.1234567)

    one = bench.Benchmark(
        measure_sum, dict(number=[1, 2]), {"sums": bench.columns({"n": "number", "sum": "sum:.2f"})}, dict(more=5), {}
    )
    monkeypatch.setattr(run, "load", lambda name: one)
    output = tmp_path / "sums.json"
    start = lambda *words: run.main(["sums", "--work", str(tmp_path), "--output", str(output), *words])
    return calls, start, lambda: json.loads(output.read_text())


def test_a_case_is_measured_once_and_a_failure_is_said_and_tried_again(counted, capsys):
    calls, start, record = counted
    assert start() and start() and calls == [(1, 1), (2, 1), (2, 1)]
    assert "not measured: no such number" in capsys.readouterr().out
    found = record()
    assert found["rows"] == [dict(number=1, sum=2.1235)] and found["tables"] == {"sums": [["n", "sum"], ["1", "2.12"]]}
    assert len(found["measured"]) == 1 and "run.py" in found["command"]


def test_settings_and_cases_are_chosen_and_a_quick_run_takes_the_first(counted):
    calls, start, record = counted
    assert not start("--only", "number=1", "--set", "more=7") and calls == [(1, 7)]
    assert not start("--quick") and calls[1:] == [(1, 5)] and record()["rows"][0]["sum"] == 6.1235


def test_what_an_older_commit_made_is_not_measured_as_of_a_later_one(tmp_path, monkeypatch):
    made = lambda run: run.kept("picks", lambda path: path.write_text(commits[0])).read_text()
    one = bench.Benchmark(lambda run, number: dict(made=made(run)), dict(number=[1, 2]), {}, {}, {})
    monkeypatch.setattr(run, "load", lambda name: one)
    monkeypatch.setattr(run, "commit", lambda: commits[0])
    output, commits = tmp_path / "picks.json", ["older"]
    words = ["picks", "--work", str(tmp_path), "--output", str(output)]
    run.main([*words, "--only", "number=1"])
    commits[0] = "later"
    run.main(words)
    found = json.loads(output.read_text())
    assert list(found["measured"]) == [row["made"] for row in found["rows"]] == ["older", "later"]


def test_every_table_is_that_of_its_rows_and_every_file_of_figures_has_its_benchmark():
    known, tables = run.names(), {}
    for path in sorted(run.FIGURES.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        for name, made in record.get("tables", {}).items():
            assert name not in tables, f"{name} is in {path.name} and {tables[name]}"
            tables[name] = path.name
            assert record["measured"] and made[0]
        if "rows" in record:
            assert path.stem in known
            assert record["command"].split(" --set ")[0] == f"PYTHON benchmarks/run.py {path.stem}"
            if path.stem not in SCIPION and "note" not in record:
                one = run.load(path.stem)
                assert run.tables_of(one, record["rows"]) == record["tables"], path.name
                assert all(run.tables_of(one, [r]) for r in record["rows"] if one.tables and r.get("complex") != "all")


def test_every_benchmark_that_a_page_names_is_there():
    pages = [*(bench.ROOT / "docs").glob("*.md"), *bench.ROOT.glob("*.md")]
    found = {n for page in pages for n in re.findall(r"benchmarks/run\.py ((?:[a-z_0-9]+ ?)+)", page.read_text())}
    assert len(found) > 30 and {n for words in found for n in words.split()} <= set(run.names())


def test_windows_react_within_a_fifth_of_a_second():
    rows = json.loads((run.FIGURES / "measured_once.json").read_text())["tables"]["windows"][1:]
    assert len(rows) == 13 and all(int(cpu_ms) < 200 for _, cpu_ms, _ in rows)


# ----- picking
@pytest.fixture
def real(tmp_path):
    """Three micrographs of 300 px with 12 marks each; one to train on, two to test."""
    for part in ("micrographs", "coords"):
        (tmp_path / part).mkdir()
    for index in range(3):
        lattice = [(y, x) for y in range(60, 260, 50) for x in range(70, 260, 60)]
        yx = np.random.default_rng(index).permutation(lattice)[:12]
        mrcfile.write(tmp_path / "micrographs" / f"m{index}.mrc", np.zeros((300, 300), np.float32))
        coordinates.write_coordinates(tmp_path / "coords" / f"m{index}.star", yx, np.ones(12))
    return bench.RealSet("dots", tmp_path, 2.0, 20.0, 25.0, 1)


def test_labels_are_drawn_from_the_training_micrographs_alone(real, tmp_path):
    chosen = coordinates.read_coordinates(picking_real.labels_of(real, "5 positives", 0, tmp_path / "labels"))
    truth = coordinates.read_coordinates(real.ground_truth)["m0"][0].tolist()
    assert list(chosen) == ["m0"] and len(chosen["m0"][0]) == 5
    assert all(place in truth for place in chosen["m0"][0].tolist()) and picking_real.expected_particles(real) == 12


def test_half_of_the_labels_are_on_no_particle_or_missing(real, tmp_path):
    truth = coordinates.read_coordinates(real.ground_truth)["m0"][0]
    wrong = coordinates.read_coordinates(picking_real.labels_of(real, "50 % wrong", 0, tmp_path / "wrong"))["m0"][0]
    distance = np.linalg.norm(wrong[:, None] - truth, axis=2).min(1)
    assert len(wrong) == 24 and (distance < 1e-6).sum() == 12 and (distance > 15 - 1e-6).sum() == 12
    missing = coordinates.read_coordinates(picking_real.labels_of(real, "50 % missing", 3, tmp_path / "missing"))["m0"][
        0
    ]
    assert 0 < len(missing) < 12 and all(place in truth.tolist() for place in missing.tolist())


def test_picks_are_matched_with_the_particles_of_all_micrographs(tmp_path):
    coordinates.write_coordinates(tmp_path / "a.star", [[10.0, 10.0], [90.0, 90.0]], [0.9, 0.8])
    found = picking_simulated.matched(tmp_path, dict(a=np.array([[11.0, 10.0]]), b=np.array([[5.0, 5.0]])), 4)
    assert (found.precision, found.recall) == (0.5, 0.5)


# ----- particles
def test_the_column_of_the_first_latent_coordinate_is_of_no_other_one(tmp_path, monkeypatch):
    columns = dict(cryodlTrueLatent=range(5), cryodlLatent1=[1, 0, 2, 4, 3], cryodlLatent2=range(5))
    said = dict(p_value=0.1, variability=0.1, verdict="no motion", latent=2)
    monkeypatch.setattr(heterogeneity, "simulated", lambda *given, **more: tmp_path / "p.star")
    monkeypatch.setattr(heterogeneity, "fitted", lambda *given, **more: (said, columns, 1.0))
    found = heterogeneity.heterogeneity(bench.Run(tmp_path), "hinge 2CG9 SNR 0.02", "linear")
    assert found["spearman"] == pytest.approx(0.8)  # 1 - 6 * 4 / (5 * 24)


def blobs(*positions):
    """An image of balls at (y, x) from the middle."""
    axis = torch.arange(classes2d.BOX).float() - classes2d.BOX // 2
    return sum(torch.exp(-((axis[:, None] - y) ** 2 + (axis[None] - x) ** 2) / 20) for y, x in positions)


def test_a_turned_copy_is_the_same_view_and_another_shape_is_not():
    first, rotated, other = blobs((0, 10), (8, -6)), blobs((10, 0), (-6, -8)), blobs((0, 0), (0, 16), (12, 0))
    assert classes2d.distinct(torch.stack([first, rotated, other])) == 2


def test_purity_counts_the_commonest_molecule_and_explained_falls_with_mixed_views(monkeypatch):
    images = torch.stack([blobs((0, 10)), blobs((0, 10)), blobs((0, -10)), blobs((10, 0))])
    images = images / images.square().sum((1, 2), keepdim=True).sqrt()
    monkeypatch.setattr(classes2d, "clean_aligned", lambda ground_truth, psi, shifts: images)
    truth = dict(molecule=np.array([0, 0, 0, 1]))
    found = classes2d.measures(np.array([1, 1, 2, 2]), np.zeros(4), np.zeros((4, 2)), truth)
    assert found["purity"] == 0.75 and found["filled"] == 2
    assert found["explained"] == pytest.approx(0.75, abs=0.02)  # 1 of like images, 0.5 of two that do not overlap


def balls(count, box=24):
    """Maps of a ball that goes along x."""
    z, y, x = np.indices((box,) * 3) - box / 2
    return np.stack([np.exp(-(z**2 + y**2 + (x - s) ** 2) / 8) for s in np.linspace(-4, 4, count)]).astype(np.float32)


def test_the_area_is_half_for_equal_maps_whatever_their_scale_and_none_for_noise():
    one, other = np.random.default_rng(0).standard_normal((2, 32, 32, 32))
    assert heterogeneity.area(one, 3 * one) == pytest.approx(0.5, abs=1e-4)
    assert abs(heterogeneity.area(one, other)) < 0.05
    found = balls(3)
    mask = heterogeneity.molecule_mask(found)
    assert heterogeneity.areas(found, found, mask) == pytest.approx((0.5, 0.5), abs=1e-3)
    assert heterogeneity.areas(found[[0]], found[[2]], mask)[0] < 0.4
    assert mask[found.max(0) > 0.3].min() > 0.9 and mask[0, 0, 0] < 0.01  # every map's molecule, not the corners


def test_neighbours_of_true_coordinates_are_those_of_the_truth_and_of_random_ones_by_chance():
    states, rng = np.random.default_rng(0).integers(0, 21, 2000), np.random.default_rng(1)
    distances = heterogeneity.true_distances(balls(21))
    shared = lambda latent: heterogeneity.shared_neighbours(latent, states, distances)
    assert shared(states[:, None] + 0.01 * rng.standard_normal((2000, 1))) == 1
    assert shared(rng.standard_normal((2000, 2))) < 0.12  # one state and the next


def test_particles_are_of_as_many_states_as_there_are_and_a_coordinates_sign_does_not_matter():
    states, true = np.repeat(range(10), 50), np.arange(50)
    assert sorted(states[heterogeneity.chosen_particles(states, 10)]) == list(range(10))
    assert np.bincount(states[heterogeneity.chosen_particles(states, 25)]).tolist().count(3) == 5
    latent = np.stack([np.random.default_rng(0).standard_normal(50), -(true**3)], axis=1)
    assert heterogeneity.rank_correlation(latent, true) == pytest.approx(1)


def test_noise_sets_keep_angles_and_ctf_but_not_the_images(tmp_path):
    body = np.random.default_rng(0).normal(0, 12, (200, 3)), np.full(200, 6.0)
    star = particles.make_of(body, tmp_path / "set", 0.5, 40, box=32, pixel_size=4.0)
    noise, kept = (
        particle_sets.read_particles(complexes.noise_set(star, tmp_path / "noise" / "noise.star")),
        particle_sets.read_particles(star),
    )
    images = noise.images(np.arange(40))
    assert np.allclose(noise.angles, kept.angles) and (noise.ctf([3]) == kept.ctf([3])).all()
    assert float(images.std()) == pytest.approx(1, abs=0.02)
    assert abs(float((images * kept.images(np.arange(40))).mean())) < 0.03


def test_models_are_written_without_the_partner(tmp_path):
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    for name, atoms in (("A", 6), ("K", 2)):
        chain = gemmi.Chain(name)
        for number in range(atoms):
            residue, atom = gemmi.Residue(), gemmi.Atom()
            residue.name, residue.seqid, atom.name = "ALA", gemmi.SeqId(number + 1, " "), "CA"
            atom.element, atom.pos = gemmi.Element("C"), gemmi.Position(4 * number, 0, 0)
            residue.add_atom(atom)
            chain.add_residue(residue)
        structure[0].add_chain(chain)
    complexes.write_model(structure, lambda chain: chain.name == "A", tmp_path / "part.cif")
    part = gemmi.read_structure(str(tmp_path / "part.cif"))[0]
    assert [chain.name for chain in part] == ["A"] and part.count_atom_sites() == 6


def test_a_template_is_found_again_in_its_own_projection():
    rng, density = np.random.default_rng(3), torch.zeros(32, 32, 32)
    for position in rng.integers(9, 23, (12, 3)):
        density[tuple(position)] = 1
    projector = Projector(torch.nn.functional.avg_pool3d(density[None, None], 3, 1, 1)[0, 0])
    views = projector.project(random_angles(3, rng), rng.integers(-2, 3, (3, 2)).astype(float))
    shown = TemplateProjection([projector], 32, 6.0).denoise(views, torch.ones(3, 32, 17), 6.0)
    assert float(mean_frc(frc(shown, views)).min()) > 0.8


# ----- maps
@pytest.fixture
def molecule(tmp_path, monkeypatch):
    """A data folder with one molecule, 1HEL: a helix; a folder to work in."""
    folder = tmp_path / "data" / "structures" / "small"
    folder.mkdir(parents=True)
    (folder / "1HEL.pdb.gz").write_bytes(gzip.compress(helix(tmp_path / "helix.pdb", 16).read_bytes()))
    monkeypatch.setenv("CRYODL_DATA", str(tmp_path / "data"))
    return bench.Run(tmp_path / "work")


def test_a_network_that_only_drops_what_is_negative_has_nearly_the_figures_of_the_input(molecule):
    found = maps.map_simulated(molecule, "1HEL", 4.0, map_recipes.untrained(molecule, "fast"))
    assert found["improved"]["fsc05"] == pytest.approx(found["input"]["fsc05"], abs=0.5)
    assert found["sharpened"]["q"] >= found["input"]["q"] - 0.02 and found["atoms"] == 80
    found["input"]["fsc05"] = None  # a curve that is never above a half counts
    assert maps.simulated_table([dict(found, resolution=4.0)])[1][:3] == ["4 Å", "1", f"{maps.NOT_REACHED:.2f}"]


def test_the_best_sharpening_undoes_a_known_blur_and_a_mirrored_model_fits_the_mirrored_map(molecule, tmp_path):
    structure = map_recipes.simulate("1HEL", 3.0, tmp_path / "sim" / "map", "--flexibility", "0")
    case = map_recipes.case_of(tmp_path / "sim" / "map_truth.mrc", structure, 3.0)
    data = sharpened(case.volume.data, case.volume.voxels_zyx, -150.0, 3.0).astype(np.float32)
    _, mild, _ = map_recipes.best_sharpening(case)
    blurred = dataclasses.replace(case, volume=dataclasses.replace(case.volume, data=data))
    assert map_recipes.best_sharpening(blurred)[1] - mild == pytest.approx(150, abs=60)
    volume = read_volume(tmp_path / "sim" / "map_truth.mrc")
    write_volume(tmp_path / "mirror.mrc", volume.data[:, :, ::-1], volume)
    wrong = map_recipes.case_of(tmp_path / "mirror.mrc", map_recipes.mirrored(structure, volume), 3.0)
    scores = [map_recipes.measured(one.volume.data, one) for one in (case, wrong)]
    assert scores[0]["fsc05"] == pytest.approx(scores[1]["fsc05"], abs=0.01)
    assert scores[0]["q"] == pytest.approx(scores[1]["q"], abs=0.03)


def test_copies_keep_the_place_of_the_molecule_and_a_worse_map_is_spoilt(molecule):
    volumes, atoms, resolution = maps.source_of("1HEL 4")
    assert resolution == 4.0 and len(volumes) == 15
    q = {name: maps.before_and_after([volumes[name]], atoms)[0]["q"] for name in ("as it is", "boxed", "masked")}
    assert q["boxed"] == pytest.approx(q["as it is"], abs=0.02) and q["masked"] == pytest.approx(q["boxed"], abs=0.05)
    row = lambda fsc05, q: dict(before=dict(fsc05=4.0, q=0.4), after=dict(fsc05=fsc05, q=q))
    assert [maps.spoilt(row(*after)) for after in ((4.04, 0.39), (4.06, 0.5), (3.5, 0.37))] == [False, True, True]


def test_times_are_extrapolated_by_the_number_of_boxes():
    row = lambda side, n: dict(
        network="swinconv", side=side, threads=1, filled=0, step=21, cpu=2 + n, wall=3 + 2 * n, memory=1
    )
    assert (maps.boxes(200), maps.boxes(48)) == (1000, 27)  # 200 and 48 px in steps of 21
    last = maps.speed_table([row(48, 27), row(72, 64)])[-1]
    assert last[1:] == ["200^3", "1", "extrapolated", "1000", "1002", "2003", "-"]


def test_particles_show_the_biological_assembly_as_the_program_builds_it(tmp_path):
    """GroEL's file (1OEL) holds seven of its fourteen chains; that of 3WIP names its waters in the assembly."""
    molecule = helix(tmp_path / "helix.pdb", 16)
    structure = gemmi.read_structure(str(molecule))
    water = structure[0][0].add_residue(structure[0][0][0])
    water.name, water.seqid = "HOH", gemmi.SeqId("99")
    structure.setup_entities()
    generator = gemmi.Assembly.Gen()
    generator.subchains = [one.subchain_id() for one in structure[0].subchains()]
    for away in (0.0, 30.0):
        operator = gemmi.Assembly.Operator()
        operator.transform = gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(away, 0, 0))
        generator.operators.append(operator)
    assembly = gemmi.Assembly("1")
    assembly.generators.append(generator)
    structure.assemblies.append(assembly)
    structure.make_mmcif_document().write_file(str(tmp_path / "two.cif"))
    one, two = (other_particles.atoms_of(path)[0] for path in (molecule, tmp_path / "two.cif"))
    assert len(two) == 2 * len(one) and np.ptp(two[:, 0]) == pytest.approx(np.ptp(one[:, 0]) + 30, abs=0.01)
