# SPDX-License-Identifier: GPL-3.0-or-later
"""The general micrograph denoiser: how one is trained, what the shipped one does, and what it does not invent."""

import json

import mrcfile
import numpy as np
import pytest
import torch
from synthetic import blob_micrograph, correlation, write_mrc
from test_denoise_micrographs import denoise, oracle

from cryodl.contract import Failure, Result
from cryodl.io.model import find_model, read_model
from cryodl.micrographs.denoise.run import MicrographDenoiser
from cryodl.running.cli import main
from cryodl.simulate.denoising_scenes import denoising_scene
from cryodl.simulate.pool import EXTENT_PX, procedural_assemblies

NAME = "general_denoiser"


def train(folder, *more):
    """Exit code of a training without structures, 2 steps long."""
    arguments = ["--procedural", 2, "--simulated", 2, "--steps", 2, "--device", "cpu", "--threads", 1]
    results = ["--output", folder / "model", "--result", folder / "result.json"]
    return main(["train-micrograph-denoiser", *map(str, [*arguments, *results, *more])])


def shipped():
    """The shipped model, ready to denoise."""
    return MicrographDenoiser(*read_model(find_model(NAME, "micrograph_denoiser")), torch.device("cpu"))


def test_a_scene_is_its_signal_and_noise_that_does_not_depend_on_it():
    member = procedural_assemblies(1, 0)[0]
    scenes = [denoising_scene(member, member.extent / EXTENT_PX, (), np.random.default_rng(3), 192) for _ in range(2)]
    assert torch.equal(scenes[0].image, scenes[1].image)  # the same seed, the same scene
    scene = scenes[0]
    noise = scene.image - scene.signal
    assert 0.5 < float(noise.std()) < 3 and abs(correlation(noise.numpy(), scene.signal.numpy())) < 0.1


def test_training_writes_a_model_that_denoises_and_leaves_nothing_behind(tmp_path):
    assert train(tmp_path) == 0
    card = json.loads((tmp_path / "model/card.json").read_text())
    assert card["kind"] == "micrograph_denoiser" and card["method"] == "simulated"
    assert {"correlation", "wiener_correlation"} <= set(card["validation"])
    assert not list(tmp_path.glob("**/scenes")) and not list(tmp_path.glob("*.partial"))
    outputs = Result.read(tmp_path / "result.json").outputs
    assert (outputs.model, outputs.structures) == (str(tmp_path / "model"), 0)
    empty, full = (blob_micrograph((256, 320), 0, 45, contrast=c)[0] for c in (0, 0.8))
    noise = np.random.default_rng(0).standard_normal(full.shape)
    (tmp_path / "mics").mkdir()
    write_mrc(tmp_path / "mics/mic0.mrc", (100 + 5 * (full - empty + noise)).astype(np.float32))
    assert denoise(tmp_path, "--model", tmp_path / "model") == 0
    assert mrcfile.read(tmp_path / "out/mic0.mrc").shape == full.shape


def test_a_name_that_is_no_structure_is_not_left_out_in_silence(tmp_path):
    assert train(tmp_path, "--leave-out", "nobody") != 0
    assert "--leave-out" in Failure.read(tmp_path / "failure.json").message


def test_the_shipped_model_is_nearer_to_the_ground_truth_than_any_linear_filter_without_training():
    """Blobs that no generator of scenes made; the best radial filter is told the ground truth's spectrum."""
    denoiser = shipped()
    for seed in range(2):
        empty, full = (blob_micrograph((400, 420), 20 * seed, 85, contrast=c)[0] for c in (0, 1.0))
        ground_truth = full - empty
        raw = (100 + 5 * (ground_truth + np.random.default_rng(seed).standard_normal(ground_truth.shape))).astype(
            np.float32
        )
        denoised = denoiser.denoise([raw], 4.0)
        assert correlation(denoised, ground_truth) > max(
            oracle(raw, ground_truth) + 0.05, 1.5 * correlation(raw, ground_truth)
        )
        assert denoised[ground_truth < 0.5 * ground_truth.min()].mean() < denoised.mean()  # protein stays dark


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_the_shipped_model_draws_next_to_nothing_into_noise(smooth):
    """White noise, and noise of a falling spectrum: what is left of it, in units of its standard deviation."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(4).standard_normal((512, 512)).astype(np.float32)
    noise = gaussian_filter(noise, smooth) if smooth else noise
    left = shipped().denoise([noise / noise.std()], 4.0)
    left = (left - gaussian_filter(left, 60))[32:-32, 32:-32]
    assert left.std() < 0.03
    assert (np.abs(left) > 0.2).mean() < 0.001


def test_even_and_odd_frames_are_joined(tmp_path):
    """A general model takes all of the dose at once: halves give what their mean gives."""
    rng = np.random.default_rng(5)
    halves = [rng.standard_normal((256, 256)).astype(np.float32) for _ in range(2)]
    denoiser = shipped()
    np.testing.assert_allclose(
        denoiser.denoise(halves, 4.0), denoiser.denoise([np.mean(halves, axis=0)], 4.0), atol=1e-5
    )


def test_the_resolution_of_a_general_model_is_the_users_choice(tmp_path, capsys):
    (tmp_path / "mics").mkdir()
    rng = np.random.default_rng(6)
    write_mrc(tmp_path / "mics/mic0.mrc", rng.standard_normal((512, 512)).astype(np.float32))
    assert denoise(tmp_path, "--model", NAME, "--resolution", 12) == 0
    assert Result.read(tmp_path / "result.json").outputs.resolution == 12
    power = np.abs(np.fft.rfft2(mrcfile.read(tmp_path / "out/mic0.mrc"))) ** 2
    radius = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512)[None]) / 4  # 1/Å
    assert power[radius > 1.1 / 8.5].sum() < 1e-3 * power[(radius > 0) & (radius < 1 / 12)].sum()
    assert denoise(tmp_path, "--model", NAME, "--resolution", 8) != 0
    assert "--resolution" in Failure.read(tmp_path / "failure.json").message
    capsys.readouterr()
    assert denoise(tmp_path, "--model", NAME, "--output", tmp_path / "coarse", pixel_size=9) == 0
    assert "it was not tried" in " ".join(Result.read(tmp_path / "result.json").warnings)
