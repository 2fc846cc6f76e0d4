# SPDX-License-Identifier: GPL-3.0-or-later
"""latent-volumes: maps at points of a latent space, of the particles near to them."""

import json
import subprocess
import sys
import weakref
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import torch
from heterogeneity_data import command, moving_particles
from scipy.ndimage import gaussian_filter, rotate
from synthetic import environment, write_mrc

from cryodl.core.fourier import fsc
from cryodl.io.particle_sets import StackWriter, read_particles, write_particles_star
from cryodl.particles.heterogeneity import focus, paths
from cryodl.particles.heterogeneity.coefficients import particle_views
from cryodl.particles.heterogeneity.focus import Halves, crossed, follow_domain
from cryodl.particles.heterogeneity.paths import near_points, trajectory


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Folder with particles whose latent coordinate is the true one."""
    folder = tmp_path_factory.mktemp("volumes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        moving_particles()
        particles = read_particles("p.star")
        columns = {"cryodlLatent1": particles.columns["cryodlTrueLatent"]}
        columns["rlnMaxValueProbDistribution"] = columns["cryodlScore"] = [1.0] * len(particles)  # of its angles
        columns["cryodlLatent2"] = np.random.default_rng(0).standard_normal(len(particles))
        write_particles_star("latent.star", particles, columns)
        yield folder


@pytest.fixture
def here(known, monkeypatch):
    monkeypatch.chdir(known)
    return known


def test_a_trajectory_stays_where_the_particles_are():
    angle = np.random.default_rng(0).uniform(0, np.pi, 2000)  # a half circle, whose ends lie apart along axis 1
    latent = np.stack([np.cos(angle), np.sin(angle)], 1) + 0.03 * np.random.default_rng(1).standard_normal((2000, 2))
    points = trajectory(latent, 7)
    radius = np.linalg.norm(points, axis=1)
    assert points.shape == (7, 2) and np.all(np.abs(radius - 1) < 0.12)
    along = np.arctan2(points[:, 1], points[:, 0])
    assert np.all(np.diff(along) < 0) or np.all(np.diff(along) > 0)


def test_maps_are_wide_where_the_space_is_empty():
    latent = np.concatenate([np.linspace(0, 1, 100), np.linspace(5, 10, 20)])[:, None]
    weights = near_points(latent, np.array([[0.5], [7.5]]), 15)
    reach = [latent[w > np.exp(-0.5)].max() - latent[w > np.exp(-0.5)].min() for w in weights.T]
    assert weights.shape == (120, 2) and reach[1] > 5 * reach[0]
    assert [(w >= np.exp(-0.5) - 1e-6).sum() for w in weights.T] == pytest.approx([15, 15], abs=1)


def test_the_sums_of_maps_that_are_made_are_gone_before_those_of_the_next(here, monkeypatch):
    particles, made, held, real = read_particles("latent.star").subset(slice(0, 8)), [], [], paths._sums

    def counted(*options):
        held.append(sum(one() is not None for one in made))
        found = real(*options)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(paths, "_sums", counted)
    monkeypatch.setattr(paths, "maps_at_once", lambda *_: 1)
    given = particles, particle_views(particles), np.arange(8) % 2 + 1, np.ones((8, 3), np.float32)
    assert len(list(paths.weighted_maps(*given, 28, "bright"))) == 3
    assert held == [0, 1] * 3  # that of the first half


def test_the_maps_at_the_ends_show_the_two_ends_of_the_motion(here, tmp_path):
    result = command("latent-volumes", particles="latent.star", maps=3, threads=1, output=tmp_path / "movie")
    made = result.outputs
    assert result.summary[0].startswith("3 maps of 400 particles, with half-maps") and "3 maps" in result.methods[0]
    said = json.loads(Path(made["record"]).read_text())
    assert [entry["map"] for entry in said["volumes"]] == ["map_01.mrc", "map_02.mrc", "map_03.mrc"]
    assert len(made["volumes"]) == 3 and made["coordinates"][0] < made["coordinates"][2]
    ends = [mrcfile.read(f"p_state{number:03d}.mrc") for number in (1, 7)]
    first, last = (mrcfile.read(made["volumes"][number]) for number in (0, 2))
    assert abs(np.corrcoef((last - first).ravel(), (ends[1] - ends[0]).ravel())[0, 1]) > 0.5
    halves = [mrcfile.read(made["volumes"][0].replace(".mrc", f"_half{half}.mrc")) for half in (1, 2)]
    assert halves[0].shape == (32, 32, 32) and np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1] > 0.2


def test_faint_dark_particles_give_maps_of_bright_protein_and_noise_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moving_particles(count=60, snr=0.05)
    particles = read_particles("p.star")
    images = dict(dark=-particles.images(slice(None)), noise=torch.randn((60, 32, 32), generator=torch.manual_seed(2)))
    for name, values in images.items():
        with StackWriter(f"{name}.mrcs", 60, 32, 5.0) as stack:
            stack.add(values)
        names = [f"{n:06d}@{name}.mrcs" for n in range(1, 61)]
        latent = particles.columns["cryodlTrueLatent"]
        write_particles_star(f"{name}.star", particles, {"rlnImageName": names, "cryodlLatent1": latent})
        result = command("latent-volumes", particles=f"{name}.star", maps=2, per_map=60, threads=1, output=name)
        said = any("contrast could not be determined" in warning for warning in result.warnings)
        assert said == (name == "noise") == (result.outputs["resolutions"] == [0, 0])
    shown, truth = (mrcfile.read(path).ravel() for path in ("dark/map_01.mrc", "p_map.mrc"))
    assert np.corrcoef(shown, truth)[0, 1] > 0.2


def test_the_moving_domain_is_better_at_its_own_orientations(here, tmp_path):
    """The domain rotates by 60 degrees in all; its ground truth is that of the middle state."""
    ground_truth, zyx = mrcfile.read("p_state004.mrc").copy(), np.indices((32,) * 3) - 16.0
    inside = (abs(zyx[2] - 4.2) < 2.8) & (abs(zyx[1] - 1.2) < 3.0) & (abs(zyx[0] - 3.3) < 5)
    mask = np.clip(1.3 * gaussian_filter(inside.astype(np.float32), 0.7), 0, 1)
    write_mrc(tmp_path / "mask.mrc", mask, 5.0)
    made = command(
        "latent-volumes",
        particles="latent.star",
        maps=5,
        domain=tmp_path / "mask.mrc",
        threads=1,
        output=tmp_path / "m",
    ).outputs
    said = json.loads(Path(made["record"]).read_text())["domain"]
    rotations = said["rotations_degrees"]
    assert rotations[2] == 0 and 15 < rotations[0] < 36 and 15 < rotations[4] < 36 and min(said["correlations"]) > 0.9

    def shells(path):
        return fsc(*(torch.tensor(v * mask) for v in (mrcfile.read(path), ground_truth)))[6:12]

    consensus = command("reconstruct", particles="latent.star", threads=1, output=tmp_path / "before.mrc").outputs
    before, after = shells(consensus["map"]), shells(made["domain"])
    assert float((after - before).mean()) > 0.01 and float((after - before).min()) > -0.02
    columns = read_particles(made["particles"]).columns
    assert columns["cryodlLatent1"][7] is not None and not {"rlnMaxValueProbDistribution", "cryodlScore"} & {*columns}
    found = np.array(said["fsc_before"])[6:12]  # without the truth: against the sharper half
    assert float((np.array(said["fsc_after"])[6:12] - found).mean()) > 0.05
    assert np.abs(found - before.square().numpy()).mean() < 0.25, (found, before)


def noisy(volume, level, seed):
    """A map and half-maps with noise."""
    draw = lambda k: volume + level * np.random.default_rng(seed + k).standard_normal(volume.shape)
    first, second = draw(0), draw(1)
    return Halves((first + second) / 2, first, second)


def test_a_smeared_map_is_measured_against_the_sharp_one_whichever_it_is():
    zyx = np.indices((32,) * 3) - 16.0
    sharp = sum(np.exp(-((zyx - np.array(p)[:, None, None, None]) ** 2).sum(0) / 3) for p in np.eye(3) * 6)
    smeared = gaussian_filter(sharp, (0, 2, 0))
    one, other = noisy(sharp, 0.005, 0), noisy(smeared, 0.005, 2)
    truth = fsc(torch.tensor(smeared), torch.tensor(sharp)).numpy()[1:9] ** 2
    for number, found in ((0, crossed(other, one)), (1, crossed(one, other))):
        assert np.abs(found[number][1:9] - truth).max() < 0.1 and found[1 - number][1:9].min() > 0.9
    assert other.curve()[1:9].min() > 0.9  # half-maps alone do not show it
    assert np.abs(np.subtract(*crossed(one, noisy(sharp, 0.005, 4)))[1:9]).max() < 0.05


@pytest.mark.parametrize("voxels, error", [(12000, 1), (1500, 2)])
def test_density_beside_the_domain_that_stays_does_not_hold_it_back(voxels, error, monkeypatch):
    """An arm rotates by 20 degrees to each side, beside a block that fills a tenth of the mask. Where it is a few
    coarse voxels, the last bit of a sum decides on up to a degree, and so the processor."""
    zyx = np.indices((32,) * 3) - 16.0
    shape = lambda *widths: (
        np.abs(zyx - np.array([0, 0, 3.0])[:, None, None, None]) < np.array(widths)[:, None, None, None]
    ).all(0)
    domain, block = gaussian_filter(shape(2, 7, 2).astype(float), 1), (np.abs(zyx[0]) < 3) * (zyx[2] < 0)
    rotated = [rotate(domain, angle, (1, 2), reshape=False, order=1) for angle in (-20, -10, 0, 10, 20)]
    mask = np.clip(2 * gaussian_filter(shape(4, 9, 5).astype(float), 1), 0, 1)
    monkeypatch.setattr(focus, "MAX_VOXELS", voxels)  # fewer: at coarser voxels
    found = follow_domain([one + block for one in rotated], mask)
    degrees = np.degrees(np.linalg.norm(found.rotations, axis=1))
    assert degrees == pytest.approx([20, 10, 0, 10, 20], abs=error)


def test_a_domain_of_a_few_voxels_is_named(here, tmp_path):
    point = np.zeros((32, 32, 32), np.float32)
    point[16, 16, 16] = 1
    write_mrc(tmp_path / "mask.mrc", point, 5.0)
    said = command(
        "latent-volumes",
        2,
        particles="latent.star",
        maps=2,
        domain=tmp_path / "mask.mrc",
        threads=1,
        output=tmp_path / "m",
    )
    assert "1 voxels above 0.5" in said and not (tmp_path / "m").exists()


@pytest.mark.parametrize("slices, held", [(32, "100.0%"), (1, "0.0%")])
def test_a_domain_of_the_whole_molecule_or_beside_it_is_refused(here, tmp_path, slices, held):
    write_mrc(tmp_path / "mask.mrc", np.repeat(np.arange(32) < slices, 32**2).reshape(32, 32, 32) * np.float32(1), 5.0)
    given = dict(particles="latent.star", maps=2, domain=tmp_path / "mask.mrc", threads=1, output=tmp_path / "m")
    said = command("latent-volumes", 2, **given)
    assert f"(--domain) holds {held} of the power" in said and "0.5% to 90%" in said and not (tmp_path / "m").exists()


def test_a_tight_mask_of_a_small_domain_is_taken(here, tmp_path):
    power = mrcfile.read("p_state004.mrc") ** 2  # the middle one
    smooth, apart = gaussian_filter(power, 1), lambda place: ((np.indices(power.shape).T - place).T ** 2).sum(0)
    tip = np.unravel_index((apart(np.full(3, 16)) * (smooth > 0.05 * smooth.max())).argmax(), power.shape)
    ball = apart(np.array(tip)) <= 2.5**2
    held = (ball * power).sum() / power.sum()
    write_mrc(tmp_path / "mask.mrc", ball.astype(np.float32), 5.0)
    given = dict(particles="latent.star", maps=2, domain=tmp_path / "mask.mrc", threads=1, output=tmp_path / "m")
    assert held < 0.04 and command("latent-volumes", **given).outputs["domain"]


def test_maps_are_made_at_the_points_that_are_asked_for(here, tmp_path):
    made = command(
        "latent-volumes",
        particles="latent.star",
        axes="1,2",
        points="0:0.5,0.3:-1",
        per_map=60,
        threads=1,
        output=tmp_path / "some",
    ).outputs
    assert made["coordinates"] == [[0.0, 0.5], [0.3, -1.0]]
    assert all(entry["particles"] > 60 for entry in json.loads(Path(made["record"]).read_text())["volumes"])


def test_resolutions_that_are_alike_are_said_once(here, tmp_path):
    twice = dict(axes="1,2", points="0:0.5,0:0.5", per_map=60, threads=1, output=tmp_path / "alike")
    said = command("latent-volumes", particles="latent.star", **twice).summary[1]
    assert said.startswith("Resolutions (FSC 0.143): ") and " to " not in said


def test_a_map_at_a_point_is_the_same_however_many_points_are_asked_for(here, tmp_path):
    ask = lambda name, points: (
        command(
            "latent-volumes", particles="latent.star", axes="1,2", points=points, threads=1, output=tmp_path / name
        ).outputs
    )
    alone, among = ask("alone", "0:0.5"), ask("among", ",".join(["0:0.5"] + ["10:0"] * 15))
    assert np.allclose(mrcfile.read(alone["volumes"][0]), mrcfile.read(among["volumes"][0]), atol=1e-4)


def peak_kb(*words):
    """The largest memory, kB, of a process of its own that runs a command."""
    code = (
        f"from cryodl.running.cli import main\nassert main({list(map(str, words))}) == 0\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def test_a_map_of_large_images_takes_18_bytes_for_each_place_of_its_transform(here, tmp_path):
    """Twice as wide as the images; with whole transforms, as they were added before, it took 100 bytes."""
    few, peaks = read_particles("latent.star").subset(np.arange(4)), []
    for box in (32, 96):
        with StackWriter(tmp_path / "p.mrcs", 4, box, 160 / box) as stack:
            stack.add(torch.randn((4, box, box), generator=torch.manual_seed(0)))
        names = {"rlnImageName": [f"{number}@{tmp_path}/p.mrcs" for number in range(1, 5)]}
        write_particles_star(tmp_path / "p.star", few, names, pixel_size=160 / box, box=box)
        ask = ("--particles", tmp_path / "p.star", "--points", 0, "--per-map", 4, "--threads", 1)
        peaks.append(peak_kb("latent-volumes", *ask, "--output", tmp_path / str(box)))
    assert (peaks[1] - peaks[0]) * 1024 < 35 * (2 * 96) ** 3


@pytest.mark.parametrize(
    "name, options",
    [
        ("latent-volumes", dict(particles="latent.star")),
        ("fit-heterogeneity", dict(particles="p.star", reference="p_map.mrc")),
    ],
)
def test_maps_that_do_not_fit_into_memory_are_refused_first(here, tmp_path, monkeypatch, name, options):
    monkeypatch.setattr("cryodl.io.memory.available_memory", lambda: 5e6)
    said = command(name, 2, **options, maps=2, threads=1, output=tmp_path / "none")
    assert "A map of 32 px needs 0.00" in said and "Extract with larger pixels" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(axes="x"), ["--axes", "'x'"]),
        (dict(axes="9"), ["no column cryodlLatent9"]),
        (dict(points="1:2"), ["--points", "1 coordinate"]),
        (dict(per_map=4000), ["--per-map", "400"]),
        (dict(particles="p.star"), ["no column cryodlLatent1"]),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(here, options, words, tmp_path):
    options = dict(dict(particles="latent.star", output=tmp_path / "none", threads=1), **options)
    message = command("latent-volumes", 2, **options)
    assert all(word in message for word in words)
    assert not (tmp_path / "none").exists()
