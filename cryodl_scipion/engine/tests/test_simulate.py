# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated micrographs: CTF by the written-out formula, projections as RELION's, particles where the lists say."""
import shutil
import subprocess

import mrcfile
import numpy as np
import pytest
import torch
from synthetic import lopsided_density, write_mrc

from cryodl.contract import SimulateMicrographsConfig
from cryodl.ctf import ctf_rfft
from cryodl.simulate.micrographs import (Optics, apply_ctf, particle_diameter, random_centres, random_optics,
                                         simulate_micrograph)
from cryodl.simulate.projections import project, random_angles
from cryodl.simulate.structures import load_density

OPTICS = Optics(15000.0, 14000.0, 30.0, 300.0, 2.7, 0.1)
PDB = "ATOM  {0:5d}  C   GLY A{0:4d}    {1:8.3f}{2:8.3f}{3:8.3f}  1.00  0.00           C\n"


def analytic_ctf(shape, pixel_size, u, v, angle, kv, cs_mm, contrast, phase=0.0):
    """sin of the phase, written out: wavelength with relativity, defocus by direction, x axis along columns."""
    volt = kv * 1e3
    wavelength = 12.2642596 / np.sqrt(volt * (1 + volt * 0.978466e-6))  # Å
    ky, kx = np.fft.fftfreq(shape[0], pixel_size)[:, None], np.fft.rfftfreq(shape[1], pixel_size)[None]
    k2, direction = kx ** 2 + ky ** 2, np.arctan2(ky, kx)
    defocus = 0.5 * (u + v + (u - v) * np.cos(2 * (direction - np.radians(angle))))
    chi = np.pi * wavelength * k2 * (defocus - 0.5 * cs_mm * 1e7 * wavelength ** 2 * k2)
    return np.sin(chi + np.arcsin(contrast) + np.radians(phase))


@pytest.mark.parametrize("shape", [(96, 128), (97, 65)])
@pytest.mark.parametrize("u, v, angle, kv, phase", [
    (15000, 15000, 0, 300, 0), (16000, 12000, 0, 300, 0), (16000, 12000, 35, 200, 0), (12000, 16000, 35, 300, 0),
    (12000, 16000, -50, 300, 0), (9000, 11000, 120, 300, 60), (-5000, -4000, 20, 300, 0)])
def test_ctf_equals_the_formula_also_where_u_is_smaller(shape, u, v, angle, kv, phase):
    ours = ctf_rfft(shape, 2.0, u, v, angle, kv, 2.7, 0.1, phase).numpy()
    assert ours.shape == (shape[0], shape[1] // 2 + 1)
    assert np.abs(ours - analytic_ctf(shape, 2.0, u, v, angle, kv, 2.7, 0.1, phase)).max() < 0.01


def test_ctf_begins_with_the_amplitude_contrast_and_exchanging_u_and_v_turns_it():
    ctf = ctf_rfft((64, 64), 2.0, 15000, 12000, 25, 300, 2.7, 0.1)
    assert float(ctf[0, 0]) == pytest.approx(0.1, abs=1e-5)
    exchanged = ctf_rfft((64, 64), 2.0, 12000, 15000, 25 + 90, 300, 2.7, 0.1)
    assert torch.allclose(ctf, exchanged, atol=1e-4)


def test_ctf_takes_batches_and_leaves_the_callers_values():
    defocus = torch.tensor([10000.0, 20000.0])
    batch = ctf_rfft((32, 32), 3.0, defocus, defocus - 500, 10.0, 300, 2.7, 0.1)
    single = ctf_rfft((32, 32), 3.0, 20000.0, 19500.0, 10.0, 300, 2.7, 0.1)
    assert batch.shape == (2, 32, 17) and torch.allclose(batch[1], single, atol=1e-5)
    assert defocus.tolist() == [10000.0, 20000.0]


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def test_unturned_projection_is_the_sum_along_z():
    density = torch.from_numpy(lopsided_density())
    image = project(density, [[0, 0, 0]])[0].numpy()
    truth = density.sum(0).numpy()
    assert correlation(image, truth) > 0.999
    for wrong in (truth[::-1], truth[:, ::-1], truth.T):
        assert correlation(image, wrong) < 0.9


@pytest.mark.parametrize("angles, turned", [((0, 0, 90), lambda p: np.rot90(p, 1)), ((0, 0, 180), lambda p: np.rot90(p, 2)),
                                            ((90, 0, 0), lambda p: np.rot90(p, 1))])
def test_psi_turns_the_image_in_the_plane(angles, turned):
    """An odd side turns about its centre without interpolation, so the turned array is the truth."""
    density = torch.from_numpy(lopsided_density(33))
    flat = project(density, [[0, 0, 0]])[0].numpy()
    image = project(density, [angles])[0].numpy()
    assert max(correlation(image, turned(flat)), correlation(image, turned(turned(turned(flat))))) > 0.99


@pytest.mark.skipif(not shutil.which("relion_project"), reason="relion_project is not installed")
def test_projections_equal_those_of_relion(tmp_path):
    density = lopsided_density(48)
    write_mrc(tmp_path / "map.mrc", density, 2.0)
    angles = np.array([[20.0, 40.0, 70.0], [-100.0, 110.0, 15.0], [0.0, 90.0, 0.0], [160.0, 10.0, -60.0]])
    ours = project(torch.from_numpy(density), angles).numpy()
    rights, wrongs = [], []
    for row, image in zip(angles, ours):
        subprocess.run(["relion_project", "--i", "map.mrc", "--o", "out.mrc", "--angpix", "2", "--rot", str(row[0]),
                        "--tilt", str(row[1]), "--psi", str(row[2])], cwd=tmp_path, check=True, capture_output=True)
        with mrcfile.open(tmp_path / "out.mrc") as mrc:
            theirs = np.squeeze(mrc.data)
        rights.append(correlation(image, theirs))
        wrongs.append(max(correlation(image, wrong) for wrong in (theirs[::-1], theirs[:, ::-1], theirs.T)))
    assert min(rights) > 0.99 and min(r - w for r, w in zip(rights, wrongs)) > 0.005 and min(wrongs) < 0.9


def test_shifts_move_the_particle_that_way():
    density = torch.from_numpy(lopsided_density())
    still, moved = project(density, [[10, 20, 30]] * 2, shifts_yx=[[0, 0], [3.0, -2.0]])
    assert torch.allclose(still.roll((3, -2), (0, 1))[6:-6, 6:-6], moved[6:-6, 6:-6], atol=0.02 * float(still.max()))


def test_angles_cover_the_sphere():
    angles = random_angles(20000, np.random.default_rng(0))
    assert abs(np.cos(np.radians(angles[:, 1])).mean()) < 0.02 and angles[:, 1].min() >= 0 and angles[:, 1].max() <= 180
    assert np.abs(angles[:, [0, 2]]).max() <= 180 and abs(np.cos(np.radians(angles[:, 1])).var() - 1 / 3) < 0.01


def test_centres_keep_distance_and_margin():
    centres = random_centres((300, 400), 30, 40, 25, np.random.default_rng(0))
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)[~np.eye(len(centres), dtype=bool)]
    assert len(centres) >= 20 and gaps.min() >= 40
    assert (centres >= 25).all() and (centres <= np.array([299, 399]) - 25).all()


def simulated(snr=0.5, seed=0, count=25, shape=(400, 520)):
    density = torch.from_numpy(lopsided_density())
    diameter = particle_diameter(density, 4.0) / 4.0
    return simulate_micrograph(density, 4.0, shape, count, snr, OPTICS, np.random.default_rng(seed), diameter), diameter


def test_particles_lie_where_the_coordinates_say():
    """Nearly noiseless and without CTF tails: the mean of boxes at the coordinates has its mass in the middle."""
    micrograph, _ = simulated(snr=1e6)
    boxes = []
    for y, x in np.rint(micrograph.centres_yx).astype(int):
        box = -micrograph.image[y - 14:y + 15, x - 14:x + 15]
        if box.shape == (29, 29):
            boxes.append(box - box.median())
    mean = torch.stack(boxes).mean(0).clamp(min=0) ** 2
    grid = torch.arange(29.0) - 14
    assert len(boxes) > 15
    assert abs(float((mean.sum(1) * grid).sum() / mean.sum())) < 0.5
    assert abs(float((mean.sum(0) * grid).sum() / mean.sum())) < 0.5
    assert int(mean.argmax()) // 29 in range(12, 17) and int(mean.argmax()) % 29 in range(12, 17)


@pytest.mark.parametrize("snr", [0.05, 0.5])
def test_signal_to_noise_is_what_was_asked_for(snr):
    micrograph, diameter = simulated(snr)
    clean = (simulated(1e8)[0].image.double() - simulated(1e8)[0].image.double().mean())
    yy, xx = np.mgrid[:400, :520]
    inside = np.zeros((400, 520), bool)
    for y, x in micrograph.centres_yx:
        inside |= (yy - y) ** 2 + (xx - x) ** 2 < (diameter / 2) ** 2
    inside = torch.from_numpy(inside)
    # both have the same seed, so the same particles: fit the clean image into the noisy one, the rest is noise
    image = micrograph.image.double() - micrograph.image.double().mean()
    gain = (image * clean).sum() / (clean ** 2).sum()
    noise = (image - gain * clean).var()
    assert float((gain * clean)[inside].square().mean() / noise) == pytest.approx(snr, rel=0.1)
    assert float(noise) == pytest.approx(1.0, rel=0.05)


def test_protein_is_dark_and_the_seed_repeats():
    micrograph, _ = simulated(snr=5)
    places = np.rint(micrograph.centres_yx).astype(int)
    assert float(micrograph.image[places[:, 0], places[:, 1]].mean()) < float(micrograph.image.mean()) - 0.5
    assert torch.equal(micrograph.image, simulated(snr=5)[0].image)
    assert not torch.equal(micrograph.image, simulated(snr=5, seed=1)[0].image)


def test_a_micrograph_without_particles_is_noise():
    micrograph, _ = simulated(count=0)
    assert len(micrograph.centres_yx) == len(micrograph.angles) == 0
    assert float(micrograph.image.std()) == pytest.approx(1.0, rel=0.02)


def test_the_ctf_is_applied_as_given():
    image = torch.zeros(64, 64)
    image[20, 30] = 1.0
    transfer = torch.fft.rfft2(apply_ctf(image, 4.0, OPTICS)) / torch.fft.rfft2(image)
    expected = analytic_ctf((64, 64), 4.0, 15000, 14000, 30, 300, 2.7, 0.1)
    assert np.abs(transfer.real.numpy() - expected)[1:-1, 1:-1].max() < 0.02


def test_optics_stay_in_their_ranges():
    config = SimulateMicrographsConfig("a", 2.0, 1, "o", defocus_min=9000, defocus_max=12000, astigmatism=400)
    for seed in range(50):
        o = random_optics(config, np.random.default_rng(seed))
        assert 9000 <= (o.defocus_u + o.defocus_v) / 2 <= 12000 and 0 <= o.defocus_u - o.defocus_v <= 400
        assert 0 <= o.defocus_angle <= 180 and o.voltage_kv == 300


def test_the_diameter_of_a_ball_is_found():
    zz, yy, xx = np.mgrid[:40, :40, :40] - 20
    ball = torch.from_numpy((zz ** 2 + yy ** 2 + xx ** 2 <= 12 ** 2).astype(np.float32))
    assert particle_diameter(ball, 3.0) == pytest.approx(2 * 12 * 3.0, rel=0.12)


def centre_of_mass(density):
    grid = torch.arange(float(density.shape[0])) - density.shape[0] // 2
    return [float((density.sum(tuple(a for a in range(3) if a != axis)) * grid).sum() / density.sum()) for axis in range(3)]


def test_an_atomic_model_has_its_mass_in_the_middle_and_its_axes_in_order(tmp_path):
    """Three atoms far from the origin, unlike along x, y and z."""
    atoms = [(100.0, 200.0, 300.0), (130.0, 200.0, 300.0), (100.0, 212.0, 300.0), (100.0, 200.0, 306.0)]
    (tmp_path / "a.pdb").write_text("".join(PDB.format(i + 1, *xyz) for i, xyz in enumerate(atoms)) + "END\n")
    density = load_density(tmp_path / "a.pdb", 2.0)
    assert density.ndim == 3 and len(set(density.shape)) == 1 and density.shape[0] % 2 == 0 and density.min() >= 0
    assert np.abs(centre_of_mass(density)).max() < 0.05
    grid = (torch.arange(density.shape[0]) - density.shape[0] // 2) * 2.0
    spread = [float((density.sum(tuple(a for a in range(3) if a != axis)) * grid ** 2).sum() / density.sum())
              for axis in range(3)]
    assert spread[2] > spread[1] > spread[0]  # zyx: x is the longest


def test_water_is_left_out_and_broken_models_are_named(tmp_path):
    water = PDB.format(1, 10.0, 10.0, 10.0).replace("GLY", "HOH").replace("C   HOH", "O   HOH")
    (tmp_path / "water.pdb").write_text(water.replace("ATOM  ", "HETATM") + "END\n")
    (tmp_path / "bad.cif").write_text("hello")
    for name in ("water.pdb", "bad.cif"):
        with pytest.raises(ValueError, match=name):
            load_density(tmp_path / name, 2.0)
    with pytest.raises(FileNotFoundError, match="gone.pdb does not exist"):
        load_density(tmp_path / "gone.pdb", 2.0)


def test_a_map_with_exchanged_axes_is_the_same_map(tmp_path):
    density = lopsided_density(32)
    write_mrc(tmp_path / "plain.mrc", density, 3.0)
    write_mrc(tmp_path / "exchanged.mrc", np.ascontiguousarray(density.transpose(1, 2, 0)), 3.0)
    with mrcfile.open(tmp_path / "exchanged.mrc", mode="r+") as mrc:  # axis 0 of the array is y, 1 is x, 2 is z
        mrc.header.maps, mrc.header.mapr, mrc.header.mapc = 2, 1, 3
    plain, exchanged = (load_density(tmp_path / f"{n}.mrc", 3.0) for n in ("plain", "exchanged"))
    assert torch.allclose(plain, torch.from_numpy(density).clamp(min=0), atol=1e-5)
    assert torch.allclose(plain, exchanged, atol=1e-5)


def test_a_map_with_exchanged_axes_and_unlike_sides_keeps_its_voxels(tmp_path):
    """xyz sides of 20, 16 and 12 voxels of 2 Å; stored with z fastest."""
    density = np.zeros((12, 16, 20), np.float32)
    density[4, 9, 15] = 1.0
    write_mrc(tmp_path / "plain.mrc", density, 2.0)
    write_mrc(tmp_path / "exchanged.mrc", np.ascontiguousarray(density.transpose(2, 1, 0)), 2.0)
    with mrcfile.open(tmp_path / "exchanged.mrc", mode="r+") as mrc:
        mrc.header.maps, mrc.header.mapr, mrc.header.mapc = 1, 2, 3
        mrc.header.mx, mrc.header.my, mrc.header.mz = 20, 16, 12
        mrc.header.cella = (40.0, 32.0, 24.0)
    plain, exchanged = (load_density(tmp_path / f"{n}.mrc", 2.0) for n in ("plain", "exchanged"))
    assert plain.shape == exchanged.shape == (20, 20, 20) and torch.equal(plain, exchanged)


def test_a_map_is_resampled_to_the_pixel_size_about_its_middle(tmp_path):
    write_mrc(tmp_path / "a.mrc", lopsided_density(32), 3.0)
    fine = load_density(tmp_path / "a.mrc", 1.5)
    coarse = load_density(tmp_path / "a.mrc", 6.0)
    assert fine.shape == (64,) * 3 and coarse.shape == (16,) * 3
    half = torch.nn.functional.avg_pool3d(fine[None, None], 4)[0, 0]
    assert correlation(half, coarse) > 0.95


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("data, words", [(np.zeros((8, 8), np.float32), "three axes"), (None, "not a readable map")])
def test_what_is_no_map_is_named(tmp_path, data, words):
    if data is None:
        (tmp_path / "bad.mrc").write_bytes(b"hello" * 300)
    else:
        write_mrc(tmp_path / "bad.mrc", data)
    with pytest.raises(ValueError, match=f"bad.mrc.*{words}"):
        load_density(tmp_path / "bad.mrc", 2.0)


def test_a_map_without_voxel_size_is_refused(tmp_path):
    write_mrc(tmp_path / "a.mrc", lopsided_density(16), 0.0)
    with pytest.raises(ValueError, match="a.mrc has the voxel size .* must be positive"):
        load_density(tmp_path / "a.mrc", 2.0)
