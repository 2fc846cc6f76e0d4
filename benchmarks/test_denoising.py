# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of the benchmarks of denoising, on made-up particles and without the engine's commands."""

import denoising
import denoising_integrity
import denoising_speed
import numpy as np
import pytest
from denoising_frc import cells, key
from denoising_sets import Sets, mass, noise_set, write_model
from parts import Bench, engine_path
from relion import write_star

engine_path()


@pytest.fixture
def denoisers(tmp_path):
    return Bench(denoising.read_options(["--output", str(tmp_path / "out")]), tmp_path)


def _figures(denoised=0.3, steps=100):
    return dict(
        mean_frc=dict(raw=0.1, wiener=0.2, denoised=denoised),
        half=dict(raw=30.0, wiener=30.0, denoised=None),
        map=dict(raw=20.0, denoised=15.0),
        noise=0.05,
        unrelated=0.04,
        count=200,
        training=dict(cpu=50.0, wall=60.0, memory=900.0, steps=steps),
    )


def _sphere_particles(folder, count=40):
    """particles.star of noisy particles of a ball with a small one at its side; models with and without it."""
    import gemmi

    from cryodl.core.optics import Optics
    from cryodl.core.projections import random_angles
    from cryodl.io.particle_sets import StackWriter
    from cryodl.simulate.particle_images import load_projector, particle_images

    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    rng = np.random.default_rng(0)
    for name, centre, radius, atoms in (("A", (0, 0, 0), 25, 600), ("K", (32, 0, 0), 8, 120)):
        chain = gemmi.Chain(name)
        for number in range(atoms):
            residue, atom = gemmi.Residue(), gemmi.Atom()
            residue.name, residue.seqid = "ALA", gemmi.SeqId(number + 1, " ")
            atom.name, atom.element = "CA", gemmi.Element("C")
            direction = rng.standard_normal(3)
            direction *= radius * rng.random() ** (1 / 3) / np.linalg.norm(direction)
            atom.pos = gemmi.Position(*(direction + centre))
            residue.add_atom(atom)
            chain.add_residue(residue)
        structure[0].add_chain(chain)
    write_model(structure, lambda chain, residue: True, folder / "whole.cif")
    write_model(structure, lambda chain, residue: chain.name == "A", folder / "part.cif")
    optics = [Optics(*values) for values in [(15000.0, 15000.0, 0.0, 300.0, 2.7, 0.1)] * count]
    projector = load_projector(folder / "whole.cif", 4.0, 32)[0]
    angles = random_angles(count, rng)
    clean = projector.project(angles)
    with StackWriter(folder / "particles.mrcs", count, 32, 4.0) as stack:
        stack.add(particle_images(clean * 0.5, optics, 4.0, rng))
    write_star(
        folder / "particles.star",
        {
            "optics": (
                [
                    "OpticsGroupName",
                    "OpticsGroup",
                    "ImagePixelSize",
                    "ImageSize",
                    "ImageDimensionality",
                    "Voltage",
                    "SphericalAberration",
                    "AmplitudeContrast",
                ],
                ["one 1 4.0 32 2 300 2.7 0.1"],
            ),
            "particles": (
                [
                    "ImageName",
                    "OpticsGroup",
                    "AngleRot",
                    "AngleTilt",
                    "AnglePsi",
                    "OriginXAngst",
                    "OriginYAngst",
                    "DefocusU",
                    "DefocusV",
                    "DefocusAngle",
                ],
                [
                    f"{i}@particles.mrcs 1 {a[0]:.4f} {a[1]:.4f} {a[2]:.4f} 0 0 15000 15000 0"
                    for i, a in enumerate(angles, 1)
                ],
            ),
        },
    )
    return folder / "particles.star"


def test_half_of_the_particles_lose_their_partner_and_nothing_else(tmp_path):
    import torch

    from cryodl.io.particle_sets import read_particles
    from cryodl.simulate.particle_images import load_projector

    star = _sphere_particles(tmp_path)
    mixed, present, share = denoising_integrity.mixed_set(
        star, [tmp_path / "whole.cif", tmp_path / "part.cif"], tmp_path / "mixed.star"
    )
    before, after = read_particles(star), read_particles(mixed)
    rows = np.arange(40)
    change = after.images(rows) - before.images(rows)
    assert share == pytest.approx(120 / 720, abs=0.02) and present.sum() == 20
    assert change[present].abs().max() < 1e-6 and change[~present].square().mean((1, 2)).min() > 0
    whole = load_projector(tmp_path / "whole.cif", 4.0, 32)[0].project(before.angles)
    seen = torch.fft.irfft2(torch.fft.rfft2(whole) * before.ctf(rows), s=(32, 32))
    assert torch.corrcoef(torch.stack([change[~present].flatten(), seen[~present].flatten()]))[0, 1] < -0.2


def test_noise_sets_keep_angles_and_ctf_but_not_the_images(tmp_path):
    from cryodl.io.particle_sets import read_particles

    star = _sphere_particles(tmp_path)
    noise = read_particles(noise_set(star, tmp_path / "noise" / "noise.star"))
    kept = read_particles(star)
    images = noise.images(np.arange(40))
    assert np.allclose(noise.angles, kept.angles) and (noise.ctf([3]) == kept.ctf([3])).all()
    assert float(images.std()) == pytest.approx(1, abs=0.02)
    assert abs(float((images * kept.images(np.arange(40))).mean())) < 0.03


def test_models_are_written_without_the_partner(tmp_path):
    import gemmi

    _sphere_particles(tmp_path, 2)
    whole, part = (gemmi.read_structure(str(tmp_path / f"{name}.cif"))[0] for name in ("whole", "part"))
    assert [chain.name for chain in whole] == ["A", "K"] and [chain.name for chain in part] == ["A"]
    assert mass(part) == pytest.approx(mass(whole) * 600 / 720)


def test_rates_of_scores_are_the_hand_computed_ones():
    ground_truth = np.array([True, True, False, False])
    assert denoising_integrity.rates(np.array([2.0, 0.5, 1.0, -1.0]), ground_truth) == dict(auc=0.75, accuracy=0.75)


def test_a_regression_finds_what_is_there_and_nothing_in_noise():
    rng = np.random.default_rng(1)
    ground_truth = rng.random(400) < 0.5
    values = rng.standard_normal((400, 6))
    assert (
        abs(
            denoising_integrity.rates(denoising_integrity.cross_validated(values, ground_truth), ground_truth)["auc"]
            - 0.5
        )
        < 0.1
    )
    values[:, 2] += 4 * ground_truth
    assert (
        denoising_integrity.rates(denoising_integrity.cross_validated(values, ground_truth), ground_truth)["accuracy"]
        > 0.95
    )


def test_radial_profiles_of_rings_are_their_values():
    axis = np.arange(16) - 8
    image = np.rint(np.hypot(axis[:, None], axis))
    assert denoising_integrity.radial_profile(image[None])[0].tolist() == pytest.approx(list(range(8)))


def test_cells_of_a_denoiser_name_ratio_control_and_what_is_not_resolved():
    assert cells(_figures()) == [
        "200",
        "30.0 / 30.0 / none",
        "0.100 / 0.200 / 0.300",
        "1.50",
        "+0.010",
        "20.0 / 15.0",
        "50 (100 steps)",
    ]
    assert cells(None) == [None] * 7


def test_training_reaches_the_floor_at_its_share_of_the_steps(denoisers):
    name = key("beta-galactosidase", "swinconv", 0.05)
    assert denoising_speed.reaches_floor(denoisers, "swinconv") is None
    denoisers.figures = {name: _figures()}
    model = Sets(denoisers).root / "models" / "beta-galactosidase-swinconv-0.05"
    model.mkdir(parents=True)
    model.with_suffix(model.suffix + ".json").write_text("{}")
    (model / "metrics.csv").write_text("step,validation_frc\n25,0.29\n50,0.31\n100,0.35\n")
    assert denoising_speed.reaches_floor(denoisers, "swinconv") == 25.0  # half of the 50 CPU s


def test_sites_of_clean_images_are_told_whatever_overlaps_them():
    import torch
    from kinesin_sites import site_scores

    rng = np.random.default_rng(2)
    tubes, kinesins = (torch.from_numpy(rng.normal(size=shape)).float() for shape in ((5, 32, 32), (5, 9, 32, 32)))
    present = rng.random((5, 9)) < 0.5
    images = tubes + (kinesins * torch.from_numpy(present)[:, :, None, None]).sum(1)
    scores = site_scores(3 * images, tubes, kinesins, None, None)
    assert ((scores > 0.5) == present).all()


def test_a_template_is_found_again_in_its_own_projection():
    import torch
    from template_matching import TemplateProjection

    from cryodl.core.frc import frc, mean_frc
    from cryodl.core.projections import Projector, random_angles

    rng = np.random.default_rng(3)
    density = torch.zeros(32, 32, 32)
    for position in rng.integers(9, 23, (12, 3)):
        density[tuple(position)] = 1
    projector = Projector(torch.nn.functional.avg_pool3d(density[None, None], 3, 1, 1)[0, 0])
    views = projector.project(random_angles(3, rng), rng.integers(-2, 3, (3, 2)).astype(float))
    shown = TemplateProjection([projector], 32, 6.0).denoise(views, torch.ones(3, 32, 17), 6.0)
    assert float(mean_frc(frc(shown, views)).min()) > 0.8


def test_tables_of_denoising_say_what_was_not_measured(denoisers):
    for module, _ in denoising.PARTS.values():
        assert "not measured" in module.tables(denoisers)
