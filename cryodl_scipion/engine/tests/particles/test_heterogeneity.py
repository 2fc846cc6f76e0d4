# SPDX-License-Identifier: GPL-3.0-or-later
"""fit-heterogeneity and select-latent: motion where there is some, none where there is none."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import mrcfile
import numpy as np
import pytest
import torch
from heterogeneity_data import command, moving_particles, write_atoms
from particle_data import simulate_particles
from scipy.spatial.transform import Rotation
from scipy.stats import spearmanr
from synthetic import environment, lopsided_density, write_mrc

from cryodl.contract import FitHeterogeneityConfig
from cryodl.core.projections import Projector, random_angles, rotation_matrices
from cryodl.io.particle_sets import read_particles, write_particles_star
from cryodl.latent import motion
from cryodl.latent.components import CHANGE, Setting, shell_power, solve_components
from cryodl.latent.cube import Cube, as_complex, resized_volume
from cryodl.latent.motion import _swing, _turned, _with_changes, expected_power
from cryodl.latent.record import path_weights
from cryodl.particles.heterogeneity import fitting, inputs
from cryodl.particles.heterogeneity.coefficients import load_coefficients, particle_views

FIT = dict(particles="p.star", reference="p_map.mrc", latent=2, resolution=18, maps=2, threads=1)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Folder with a set of moving particles and its fit."""
    folder = tmp_path_factory.mktemp("moving")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        moving_particles()
        given = read_particles("p.star")
        write_particles_star("p.star", given, {"cryodlLatent7": [0.5] * len(given)})  # of an earlier fit
        command("fit-heterogeneity", **FIT, output="fit")
        yield folder


@pytest.fixture
def here(moving, monkeypatch):
    monkeypatch.chdir(moving)
    return moving


def test_slices_of_a_cube_are_the_transforms_of_projections():
    density = torch.tensor(lopsided_density(32)).float()
    angles = random_angles(5, np.random.default_rng(0))
    views = torch.fft.ifftshift(Projector(density).project(angles), dim=(-2, -1))
    y, x = (part.ravel() for part in np.meshgrid(np.arange(-8, 9), np.arange(0, 9), indexing="ij"))
    expected = torch.fft.rfft2(views)[:, y % 32, x].numpy()
    cube = Cube(32, 12)
    matrix = cube.interpolation(rotation_matrices(angles), np.stack([x, y]).astype(np.float32))
    found = as_complex(matrix @ cube.table(density.numpy())).reshape(5, -1)
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)
    smooth, fine = resized_volume(density.numpy(), 32), Cube(32, 15)
    assert np.allclose(fine.volume(fine.table(smooth)), smooth, atol=0.05 * float(density.max()))


def test_a_volume_is_resized_without_a_padded_cube_in_memory():
    """To 160 px: 200 MB instead of 320."""
    code = (
        "import numpy as np; from cryodl.latent.cube import resized_volume\n"
        "peak = lambda: next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "before = peak(); resized_volume(np.ones((20,) * 3, np.float32), 160); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert int(done.stdout) < 260e3, done.stderr


def test_a_change_in_a_small_region_is_not_damped_by_the_noise_of_the_whole_box():
    rng, box = np.random.default_rng(0), 24
    cube = Cube(box, 9.0)
    z, y, x = np.indices((box,) * 3) - box // 2
    mask = (np.sqrt(z**2 + y**2 + x**2) < 10).astype(np.float32)
    region = (np.sqrt((z - 4) ** 2 + y**2 + x**2) < 3.5).astype(np.float32)
    change, mean = (rng.standard_normal((box,) * 3).astype(np.float32) * part for part in (region, mask))
    mean *= (shell_power(change[None], cube).mean() / shell_power(mean[None], cube).mean() / CHANGE) ** 0.5
    signal = cube.table(change)
    deviation = 10 * (signal**2).mean() ** 0.5
    weight, match = np.zeros((len(signal), 3)), np.zeros((len(signal), 2, 2))
    weight[:, [0, 2]] = 1 / deviation**2
    match[:, 1] = (signal + deviation * rng.standard_normal(signal.shape)) / deviation**2
    true, errors = cube.volume(signal) * region, []
    for focus in (region, 1.0):
        prior = expected_power(SimpleNamespace(changing=mask * focus), mean, cube, 1)
        found = solve_components(SimpleNamespace(match=match, weight=weight), cube, prior)[1] * region
        errors.append(((found - true) ** 2).sum() / (true**2).sum())
    assert errors[0] < 0.2
    assert errors[0] < 0.5 * errors[1]


def test_the_errors_of_a_view_are_the_derivatives_of_what_it_shows(here, tmp_path):
    particles = read_particles("p.star")
    coefficients = load_coefficients(particles, 8, 20, "bright", tmp_path)
    cube, rows, count = Cube(20, 8), np.arange(3), coefficients.count(8)
    volume = resized_volume(mrcfile.read("p_map.mrc"), 20)
    table = np.concatenate([cube.table(volume), cube.gradient_tables(volume)], axis=1)

    def shown(step):
        views = particle_views(particles)
        views.move(rows, step)
        seen = coefficients.look(views, rows, cube, table, count)
        rotations = views.shifts[rows] @ coefficients.frequencies[:, :count]
        moved = np.exp(-2j * np.pi / 32 * rotations)
        return seen.transfer * views.contrast[rows, None] * seen.slices * moved, seen, rotations

    start, seen, rotations = shown(np.zeros((3, 9)))
    for number in range(9):
        step = np.zeros((3, 9))
        step[:, number] = 0.004
        change = (shown(step)[0] - start) / 0.004
        expected = seen.errors[..., number] * np.exp(-2j * np.pi / 32 * rotations)
        alike = (change * expected.conj()).sum().real / np.linalg.norm(change) / np.linalg.norm(expected)
        assert alike > 0.98 and np.linalg.norm(change) == pytest.approx(np.linalg.norm(expected), rel=0.05), number


def test_every_image_has_the_wavelength_of_its_own_optics_group(here, tmp_path):
    particles = read_particles("p.star")
    optics = [dataclasses.replace(o, voltage_kv=(300, 200)[row % 2]) for row, o in enumerate(particles.optics)]
    mixed = dataclasses.replace(particles, optics=np.array(optics, dtype=object)).subset(np.arange(20))
    coefficients = load_coefficients(mixed, 8, 20, "bright", tmp_path)
    assert np.allclose(coefficients.wavelength[:4], [0.01969, 0.02508, 0.01969, 0.02508], atol=1e-5)
    views, cube, rows, count = particle_views(mixed), Cube(20, 8), np.arange(20), coefficients.count(8)
    volume = resized_volume(mrcfile.read("p_map.mrc"), 20)
    table = np.concatenate([cube.table(volume), cube.gradient_tables(volume)], axis=1)
    views.move(rows, np.tile([0.0] * 6 + [0.3, 0, 0], (20, 1)))
    found = coefficients.look(views, rows, cube, table, count).transfer
    moved = [dataclasses.replace(o, defocus_u=o.defocus_u + 300, defocus_v=o.defocus_v + 300) for o in mixed.optics]
    (tmp_path / "moved").mkdir()
    changed = dataclasses.replace(mixed, optics=np.array(moved, dtype=object))
    expected = load_coefficients(changed, 8, 20, "bright", tmp_path / "moved").read(rows, count)[1]
    assert np.allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_motion_is_found_and_the_first_coordinate_follows_it(here):
    said = json.loads(Path("fit/heterogeneity.json").read_text())
    assert said["verdict"] == "motion" and said["p_value"] < 0.05 and said["variability"] > 0.005
    # the linear test found it, so no other was made; corrected for two tests all the same
    assert said["method"] == "linear" and list(said["tests"]) == ["linear"]
    assert said["p_value"] == pytest.approx(2 * said["tests"]["linear"]["p_value"])
    given, found = read_particles("p.star"), read_particles("fit/particles.star")
    assert [n.split("@")[0] for n in found.names] == [n.split("@")[0] for n in given.names]
    latent = np.array(found.columns["cryodlLatent1"], float)
    assert abs(spearmanr(latent, np.array(given.columns["cryodlTrueLatent"], float))[0]) > 0.9
    assert set(found.columns["cryodlCluster"]) == {"1", "2", "3", "4"} and "cryodlLatent2" in found.columns
    assert "cryodlLatent7" not in found.columns  # and what else the file says of the particles stays


def test_maps_along_the_axis_are_nearer_to_the_ends_of_the_motion_than_the_mean(here):
    ends = [mrcfile.read(f"p_state{number:03d}.mrc") for number in (1, 7)]
    difference = ends[1] - ends[0]
    first, last = (mrcfile.read(f"fit/path_1_{number:02d}.mrc") for number in (1, 2))
    moved = last - first
    assert abs(np.corrcoef(moved.ravel(), difference.ravel())[0, 1]) > 0.4
    for half in (1, 2):
        assert mrcfile.read(f"fit/path_1_01_half{half}.mrc").shape == (32, 32, 32)


def test_a_rigid_molecule_with_wrong_defocus_and_orientations_shows_no_motion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moving_particles(domain="B", hinge_range=0, hinge_states=2, count=300)
    particles, rng = read_particles("p.star"), np.random.default_rng(3)
    wrong = {f"rlnDefocus{axis}": np.array(particles.columns[f"rlnDefocus{axis}"], float) + 500 for axis in "UV"}
    wrong.update(
        {
            name: np.array(particles.columns[name], float) + rng.normal(0, 1.5, 300)
            for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
        }
    )
    write_particles_star("wrong.star", particles, wrong)
    result = command("fit-heterogeneity", **dict(FIT, particles="wrong.star", axes=0), output="fit")
    made = result.outputs
    assert made["verdict"] == "no motion" and made["p_value"] > 0.05 and made["paths"] == []
    assert "swing of" in result.summary[1] and "of a ninth of the mass" in result.summary[1]
    said = json.loads(Path("fit/heterogeneity.json").read_text())
    smallest = min(said["tests"][method]["p_value"] for method in ("linear", "gaussian"))
    assert said["method"] == "linear" and said["p_value"] == pytest.approx(min(1, 2 * smallest))
    assert said["swing"]["seen"] != 10  # 300 wrong images do not show that much


def rotated(particles, degrees):
    """Angles of particles that are turned by so many degrees about random axes."""
    axes = np.random.default_rng(3).standard_normal((len(particles), 3))
    turns = Rotation.from_rotvec(np.radians(degrees) * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    angles = (Rotation.from_euler("ZYZ", particles.angles, degrees=True) * turns).as_euler("ZYZ", degrees=True)
    return dict(zip(("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"), angles.T))


def test_detail_that_wrong_orientations_have_smeared_is_no_motion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, rod = np.random.default_rng(1), [(0, 0, z) for z in (-55, -30, 0, 30, 55)]
    balls = [*rod, (16, 0, -45), (-8, 14, -10), (0, -16, 25), (-15, -6, 48)]
    write_atoms("rod.pdb", dict(A=np.concatenate([5 * rng.standard_normal((60, 3)) + ball for ball in balls])))
    simulate_particles("p.star", structure="rod.pdb", pixel_size=6, box=32, count=600, snr=1, seed=1)
    particles = read_particles("p.star")
    write_particles_star("wrong.star", particles, rotated(particles, 9))
    monkeypatch.setattr(inputs, "at_own_views", lambda *others: (1.0, None))
    names = dict(particles="wrong.star", reference="p_map.mrc", output="fit", latent=2, method="gaussian")
    config = FitHeterogeneityConfig(**names)
    tested = lambda: fitting._tested(config, inputs.load_inputs(config), tmp_path, print)
    found = tested()
    assert found.motion.p_value > 0.2 and "Orientations are about 7° off, or more" in found.start.notes[-1]
    monkeypatch.setattr(motion, "turns_of_detail", lambda mean, width: np.zeros((3, *mean.shape), np.float32))
    assert tested().motion.p_value < 1e-3


def test_turns_of_the_detail_are_what_a_smeared_map_lacks():
    sharp, width = resized_volume(lopsided_density(32).astype(np.float32), 32), 0.05
    turns = Rotation.from_rotvec(width * np.random.default_rng(0).standard_normal((60, 3)))
    smeared = np.mean([_turned(sharp, vector) for vector in turns.as_rotvec()], 0)
    step = np.array([0, 0, 0.05])
    slope = lambda volume: (_turned(volume, step) - _turned(volume, -step)) / 0.1
    lacking, known = slope(sharp) - slope(smeared), motion.turns_of_detail(smeared, width)
    assert np.corrcoef(lacking.ravel(), known[2].ravel())[0, 1] > 0.7
    assert np.linalg.norm(lacking - known[2]) < 0.75 * np.linalg.norm(lacking)
    assert np.abs(motion.turns_of_detail(smeared, 0.0)).max() < 1e-3 * np.abs(known).max()


def test_noise_shows_no_motion_and_this_is_said(here, tmp_path, capsys):
    particles = read_particles("p.star")
    with mrcfile.new(tmp_path / "noise.mrcs") as mrc:
        mrc.set_data(np.random.default_rng(0).standard_normal((400, 32, 32)).astype(np.float32))
    write_particles_star(str(tmp_path / "noise.star"), particles, stack=str(tmp_path / "noise.mrcs"))
    given = dict(FIT, particles=tmp_path / "noise.star", axes=0, particle_diameter=90)
    made = command("fit-heterogeneity", **given, output=tmp_path / "fit")
    assert any("is for subtomograms" in warning for warning in made.warnings)
    assert made.outputs["verdict"] == "no motion" and "nothing in common" in " ".join(made.warnings)
    assert "no motion by this test alone: p = " in capsys.readouterr().out
    assert made.summary[0].startswith("No motion found (p = ") and "maps show noise" in made.summary[1]
    assert "swing" not in json.loads((tmp_path / "fit/heterogeneity.json").read_text())  # noise has no parts
    assert "(no motion)" in made.methods[0] and "principal components" in made.methods[0]
    assert "rigid molecule, corrected for the number of tests," in made.methods[0]


def test_planted_changes_are_what_the_views_would_show_of_them(here, tmp_path):
    particles, box = read_particles("p.star"), 20
    coefficients, rows = load_coefficients(particles, 8, 20, "bright", tmp_path), np.arange(40)
    coefficients.scale[:] = 3.0
    views, count, cube = particle_views(particles), coefficients.count(8), Cube(box, 8)
    views.contrast[:] = 1.5
    mean = resized_volume(mrcfile.read("p_map.mrc"), box)
    changes = np.stack([_swing(mean)(angle) for angle in (-20.0, 20.0)])
    assert abs(changes.sum((1, 2, 3))).max() < 0.01 * mean.sum() and abs(_swing(mean)(0.0)).max() < 1e-3 * mean.max()
    setting = Setting(coefficients, views, np.ones(400), 1.0, box, print, np.arange(400))
    planted, tables = _with_changes(setting, changes, 8).coefficients, []
    for volume in changes:
        tables.append(np.concatenate([cube.table(volume), cube.gradient_tables(volume)], axis=1))
    looks = [coefficients.look(views, rows, cube, table, count) for table in tables]
    added = planted.look(views, rows, cube, tables[0], count).data - looks[0].data
    errors = np.stack([np.linalg.norm(added - 1.5 * one.transfer * one.slices, axis=1) for one in looks])
    assert np.allclose(errors.min(0), 0, atol=1e-3 * np.linalg.norm(added, axis=1).mean())
    assert 10 < errors.argmin(0).sum() < 30  # either in half of the images


@pytest.mark.parametrize(
    "smallest, words",
    [
        (5, "A swing of 10° of a ninth of the mass would have been seen."),
        (30, "A swing of 40°"),
        (50, "not even one of 40°: this set cannot tell"),
    ],
)
def test_the_smallest_swing_that_is_found_is_named(smallest, words, monkeypatch):
    told = list[str]()
    monkeypatch.setattr(motion, "_swing", lambda mean: lambda degrees: np.full((8, 8, 8), degrees))
    monkeypatch.setattr(motion, "_with_changes", lambda setting, changes, radius: np.ptp(changes))
    monkeypatch.setattr(motion, "find_motion", lambda swing, *others: SimpleNamespace(p_value=float(swing < smallest)))
    found = motion.seen_swing(SimpleNamespace(changing=1.0, focus=1.0, say=told.append), np.ones((8, 8, 8)), 8, 0.001)
    assert words in found["sentence"] and len(told) == 2
    assert "one of 20° could have been missed" in found["sentence"] or smallest != 30


def test_weights_of_a_path_rest_on_equally_many_particles():
    positions, weights = path_weights(np.random.default_rng(0).exponential(size=1000), 5)
    assert np.all(np.diff(positions) > 0)
    assert weights.sum(0)[1:4] == pytest.approx(weights.sum(0)[2], rel=0.2)


def test_a_region_and_clusters_are_selected_with_all_of_their_columns(here, tmp_path):
    found = read_particles("fit/particles.star")
    latent, cluster = (np.array(found.columns[n], float) for n in ("cryodlLatent1", "cryodlCluster"))
    made = command(
        "select-latent",
        particles="fit/particles.star",
        region="1:0:1000",
        clusters="1,2",
        output=tmp_path / "some.star",
    ).outputs
    expected = (latent >= 0) & (cluster <= 2)
    assert made["count"] == expected.sum() and made["input_count"] == 400
    some = read_particles(tmp_path / "some.star")
    assert some.columns["cryodlLatent1"] == [v for v, e in zip(found.columns["cryodlLatent1"], expected) if e]


def test_coordinates_of_a_fit_without_motion_are_said_to_be_noise(here, tmp_path):
    given = dict(particles=tmp_path / "p.star", region="1:0:9")
    select = lambda name: command("select-latent", **given, output=tmp_path / name)
    write_particles_star(tmp_path / "p.star", read_particles("fit/particles.star"))
    assert not select("a.star").warnings
    (tmp_path / "heterogeneity.json").write_text('{"verdict": "no motion"}')
    maps = command("latent-volumes", particles=tmp_path / "p.star", maps=2, output=tmp_path / "maps", threads=1)
    for made in (select("b.star"), maps):
        assert any("heterogeneity.json says that no motion was found" in warning for warning in made.warnings)
    for damaged in ('{"verdict": "no m', "[1, 2]", '"no motion"', "null"):
        (tmp_path / "heterogeneity.json").write_text(damaged)
        words = command("select-latent", 2, **given, output=tmp_path / "c.star")
        assert "/heterogeneity.json is damaged" in words and "Remove the folder" not in words  # the fit is in it


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(region="1:2"), ["--region", "'1:2'", "AXIS:LOW:HIGH"]),
        (dict(region="9:0:1"), ["no column cryodlLatent9"]),
        (dict(region="1:900:901"), ["No particle", "wider"]),
        (dict(clusters="a"), ["--clusters", "whole numbers"]),
        (dict(clusters="1,99"), ["No particle", "in cluster 99 (--clusters)", "its clusters are 1, 2"]),
    ],
)
def test_a_selection_that_is_none_is_one_sentence(here, options, words, tmp_path):
    message = command("select-latent", 2, particles="fit/particles.star", output=tmp_path / "some.star", **options)
    assert all(word in message for word in words)


def test_bad_input_is_one_sentence_before_the_fit(here, tmp_path):
    def message(**options):
        return command("fit-heterogeneity", 2, **dict(FIT, output=tmp_path / "fit", **options))

    particles = read_particles("p.star")
    assert "need at least 500" in message(latent=5)
    assert "is 200.0 Å; for images 160 Å wide give 40 or less" in message(resolution=200)
    assert "Axes with maps (--axes) is 3, but the latent space has 2" in message(latent=2, axes=3)
    for gone, words in (("rlnAngleRot", "without angles"), ("rlnDefocusU", "without a CTF")):
        columns = {name: values for name, values in particles.columns.items() if name != gone}
        from dataclasses import replace

        write_particles_star(str(tmp_path / f"{gone}.star"), replace(particles, columns=columns))
        assert words in message(particles=tmp_path / f"{gone}.star")
    z, y, x = np.indices((32, 32, 32)) - 16.0
    blobs = [(6, 5, -7), (-7, 4, 5), (3, -8, 2), (-5, -4, -6)]  # another molecule
    other = sum(np.exp(-((z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2) / 5) for a, b, c in blobs)
    write_mrc(tmp_path / "other.mrc", other.astype(np.float32), 5.0)
    assert "are not aligned to" in message(reference=tmp_path / "other.mrc")
    corner = np.zeros((32, 32, 32), np.float32)
    corner[1:5, 1:5, 1:5] = 1
    write_mrc(tmp_path / "mask.mrc", corner, 5.0)
    assert "lies outside the molecule" in message(mask=tmp_path / "mask.mrc")
    assert not (tmp_path / "fit").exists()


def test_images_that_are_not_finite_or_constant_are_left_out_and_named(here, tmp_path):
    images = mrcfile.read("p.mrcs").copy()
    images[300, 3, 3], images[100] = np.nan, 7
    with mrcfile.new(tmp_path / "nan.mrcs") as mrc:
        mrc.set_data(images)
    write_particles_star(str(tmp_path / "nan.star"), read_particles("p.star"), stack=str(tmp_path / "nan.mrcs"))
    told = []
    config = FitHeterogeneityConfig(
        particles=str(tmp_path / "nan.star"), reference=FIT["reference"], output=str(tmp_path / "fit"), latent=1
    )
    found = inputs.load_inputs(config, skip=lambda name, path, reason, noun: told.append(reason)).particles
    assert len(found) == len(images) - 2 and not {100, 300} & set(found.numbers.tolist())
    assert ["image 101 has" in told[0], "image 301 has" in told[1], len(told)] == [True, True, 2]


def test_a_symmetric_reference_is_named(tmp_path):
    from cryodl.latent.masks import symmetry_notes

    z, y, x = np.indices((32, 32, 32)) - 16
    ring = sum(
        np.exp(-(z**2 + (y - 8 * np.sin(a)) ** 2 + (x - 8 * np.cos(a)) ** 2) / 12) for a in np.radians([0, 120, 240])
    )
    assert "(D3)" in symmetry_notes(torch.tensor(ring), "ring.mrc")[0]
    assert symmetry_notes(torch.tensor(lopsided_density(32)), "map.mrc") == []
