# SPDX-License-Identifier: GPL-3.0-or-later
"""fit-heterogeneity --method gaussian: Gaussians, their projections, principal motions and the deep coordinate."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from heterogeneity_data import command, moving_particles
from scipy.stats import spearmanr
from synthetic import lopsided_density

from cryodl.core.devices import choose_device
from cryodl.core.fourier import fsc
from cryodl.core.projections import random_angles, rotation_matrices
from cryodl.io.particle_sets import read_particles
from cryodl.latent import record
from cryodl.latent.cube import Cube, as_complex
from cryodl.particles.heterogeneity import gaussian_fit
from cryodl.particles.heterogeneity.decoder import Decoder, rotations
from cryodl.particles.heterogeneity.gaussian_fit import Training
from cryodl.particles.heterogeneity.gaussians import Gaussians, fit_gaussians
from cryodl.particles.heterogeneity.modes import anchor_weights, basis_of, principal_motions

FIT = dict(particles="p.star", reference="p_map.mrc", method="gaussian", latent=2, resolution=20, axes=0, threads=1)


def few_gaussians(patch):
    patch.setattr(gaussian_fit, "GAUSSIANS", 60)
    patch.setattr(gaussian_fit, "ANCHORS", 8)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """Folder with a set of moving particles and its fit."""
    folder = tmp_path_factory.mktemp("gaussian")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(gaussian_fit, "ROUNDS", 3)
        few_gaussians(patch)
        moving_particles()
        command("fit-heterogeneity", **FIT, output="fit")
        yield folder


@pytest.fixture
def here(moving, monkeypatch):
    monkeypatch.chdir(moving)
    monkeypatch.setattr(gaussian_fit, "ROUNDS", 3)
    few_gaussians(monkeypatch)
    return moving


def some_gaussians(count=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=generator)
    return Gaussians(10 * draw(count, 3) - 5, 1 + draw(count), 1.2 + draw(count))


def test_copies_of_an_image_are_not_held_out_from_each_other():
    image = np.repeat(np.arange(40), 3)
    setting = SimpleNamespace(image=image, rows=lambda: np.arange(120))
    training = Training(SimpleNamespace(setting=setting, device="cpu"), torch.nn.Linear(1, 1), None)
    assert training.held.sum() == 12 and not set(image[training.held]) & set(image[~training.held])


def test_projected_gaussians_are_slices_of_the_rendered_volume():
    gaussians, angles = some_gaussians(), random_angles(4, np.random.default_rng(0))
    y, x = (part.ravel() for part in np.meshgrid(np.arange(-8, 9), np.arange(0, 9), indexing="ij"))
    matrices = rotation_matrices(angles)
    positions = [torch.as_tensor(v) for v in (matrices.astype(np.float32), y, x)]
    many = Gaussians(*(v.expand(4, *v.shape) for v in (gaussians.centres, gaussians.amplitudes, gaussians.widths)))
    found = many.project(*positions, 32).numpy()
    cube = Cube(32, 12)
    matrix = cube.interpolation(matrices, np.stack([x, y]).astype(np.float32))
    expected = as_complex(matrix @ cube.table(gaussians.render(32).numpy())).reshape(4, -1)
    assert np.linalg.norm(found - expected) < 0.03 * np.linalg.norm(expected)


def test_projections_are_differentiable_by_every_parameter():
    start = some_gaussians(3)
    values = [v.double().requires_grad_() for v in (start.centres, start.amplitudes, start.widths)]
    matrices = torch.as_tensor(rotation_matrices(random_angles(1, np.random.default_rng(1))))
    y, x = torch.tensor([0, -2, 3]), torch.tensor([1, 2, 0])

    def shown(*parts):
        return torch.view_as_real(Gaussians(*(p[None] for p in parts)).project(matrices, y, x, 24))

    assert torch.autograd.gradcheck(shown, values)


def test_fitted_gaussians_agree_with_the_map_to_its_finest_detail():
    density = lopsided_density(32).astype(np.float32)
    found = fit_gaussians(density, 80, 0)
    curve = fsc(found.render(32), torch.from_numpy(density))
    assert len(found) <= 80 and float(found.widths.min()) >= 0.7
    assert float(curve[:8].min()) > 0.9


def test_the_decoder_begins_with_the_given_changes_and_a_rotation_is_one():
    gaussians = some_gaussians(40)
    basis = basis_of(gaussians, gaussians.centres[:3].clone(), 24, 8.0)
    factors = np.zeros((12, 1))
    factors[[0, 4, 8], 0] = 2.0  # every anchor: two voxels along x
    decoder = Decoder(basis, factors, 8.0)
    with torch.no_grad():
        decoder.carried.weight[:, :32] = 0  # the network's own part
        moved = decoder(torch.tensor([[0.0], [0.5]]))
    assert torch.allclose(moved.centres[0], gaussians.centres, atol=1e-5)
    assert torch.allclose(moved.centres[1] - gaussians.centres, torch.tensor([1.0, 0, 0]), atol=1e-4)
    assert torch.allclose(anchor_weights(gaussians.centres, basis.anchors).sum(1), torch.ones(40))
    rotated = rotations(torch.tensor([[0.0, 0.0, np.pi / 2]]))[0] @ torch.tensor([1.0, 0.0, 0.0])
    assert torch.allclose(rotated, torch.tensor([0.0, 1.0, 0.0]), atol=1e-5)


def test_principal_motions_are_those_that_the_gradients_were_made_of():
    from cryodl.particles.heterogeneity.modes import Gradients

    rng, true = np.random.default_rng(0), np.array([2.0, -1.0, 0.5, 0.0, 0.0, 1.0])
    coordinate, design = rng.standard_normal(400), rng.standard_normal((400, 20, 6))
    data = (design @ true) * coordinate[:, None] + rng.standard_normal((400, 20))
    match, gram = np.einsum("ndp,nd->np", design, data), design.transpose(0, 2, 1) @ design
    found = principal_motions(
        Gradients(np.arange(400), match.astype(np.float32), gram.astype(np.float32)), np.arange(400), np.eye(6), 1
    )[:, 0]
    found *= np.sign(found[0])
    assert np.linalg.norm(found - true * coordinate.std()) < 0.15 * np.linalg.norm(true)


def test_motion_is_found_and_the_deep_coordinate_follows_it(here):
    said = json.loads(Path("fit/heterogeneity.json").read_text())
    assert said["verdict"] == "motion" and said["p_value"] < 0.05 and said["method"] == "gaussian"
    assert said["held_out_gain"] > 0 and min(said["gaussians_fsc"][:5]) > 0.9
    given, found = read_particles("p.star"), read_particles("fit/particles.star")
    latent = np.array(found.columns["cryodlLatent1"], float)
    assert abs(spearmanr(latent, np.array(given.columns["cryodlTrueLatent"], float))[0]) > 0.9
    assert "cryodlLatent2" in found.columns and not Path("fit/gaussians.safetensors").exists()


def test_a_stopped_training_continues_to_the_same_coordinates(here, monkeypatch):
    whole, rounds = gaussian_fit.Training.maximise, []

    def stopped(self, posterior):
        if len(rounds) == 2:
            raise KeyboardInterrupt
        rounds.append(1)
        whole(self, posterior)

    monkeypatch.setattr(gaussian_fit.Training, "maximise", stopped)
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        command("fit-heterogeneity", **FIT, output="again")
    monkeypatch.setattr(gaussian_fit.Training, "maximise", whole)
    command("fit-heterogeneity", **FIT, output="again")
    first, second = (read_particles(f"{name}/particles.star").columns["cryodlLatent1"] for name in ("fit", "again"))
    assert np.allclose(np.array(first, float), np.array(second, float), rtol=1e-3, atol=1e-4)


def test_auto_takes_the_gaussians_where_only_they_find_the_motion(here, monkeypatch, tmp_path):
    found = record.find_motion

    def blind_to_volumes(setting, *rest):
        """As if the noise were too strong for the linear test."""
        return dataclasses.replace(found(setting, *rest), p_value=0.4)

    monkeypatch.setattr(record, "find_motion", blind_to_volumes)
    monkeypatch.setattr(gaussian_fit, "ROUNDS", 1)
    made = command("fit-heterogeneity", **dict(FIT, method="auto"), output=tmp_path / "fit").outputs
    said = json.loads((tmp_path / "fit/heterogeneity.json").read_text())
    assert made["verdict"] == "motion" and made["method"] == said["method"] == "gaussian"
    assert said["tests"]["linear"]["p_value"] == 0.4
    assert made["p_value"] == pytest.approx(2 * said["tests"]["gaussian"]["p_value"]) and made["p_value"] < 0.05


def test_auto_is_linear_where_too_few_gaussians_may_move_and_says_so(here, monkeypatch, tmp_path):
    monkeypatch.setattr(gaussian_fit, "MINIMUM", 10**6)
    monkeypatch.setattr(record.Motion, "verdict", "no motion")
    made = command("fit-heterogeneity", **dict(FIT, method="auto"), output=tmp_path / "fit")
    words = "Only the method linear was tested for motion. The mask around the molecule contains"
    assert made.outputs["method"] == "linear" and any(note.startswith(words) for note in made.warnings)


def test_a_rigid_molecule_shows_no_motion(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    moving_particles(domain="B", hinge_range=0, hinge_states=2, count=300)
    made = command("fit-heterogeneity", **FIT, output="fit").outputs
    assert made["verdict"] == "no motion" and made["p_value"] > 0.05


def test_a_gpu_that_is_absent_is_named_before_the_fit(here, tmp_path):
    if choose_device("auto").type == "cpu":
        message = command("fit-heterogeneity", 2, **FIT, device="0", output=tmp_path / "fit")
        assert "GPU 0 was asked for" in message
