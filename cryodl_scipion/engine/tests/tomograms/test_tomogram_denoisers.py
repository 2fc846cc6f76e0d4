# SPDX-License-Identifier: GPL-3.0-or-later
"""What a tomogram denoiser is made of: spectra, wedges, examples, tiles, and the controls that tell invention."""

import numpy as np
import pytest
import torch
from synthetic import write_mrc

from cryodl.contract import network_names
from cryodl.core.fourier import curve_on_grid, frequencies
from cryodl.core.volumes import rotated_wedge, wedge
from cryodl.io.tomograms import Tomogram
from cryodl.io.volume_writer import VolumeWriter
from cryodl.learning.networks import ConvBlock, folded, unfolded
from cryodl.learning.task import method_of
from cryodl.tomograms.denoisers.controls import _signal_correlations, control_in_words, control_metrics
from cryodl.tomograms.denoisers.examples import ROTATIONS, Region, Tilts, draw, filled, inputs_of, rotated_subvolume
from cryodl.tomograms.denoisers.predict import TomogramDenoiser, tile_plan
from cryodl.tomograms.denoisers.spectra import BINS, Powers, measure_powers, scale_of_halves
from cryodl.tomograms.denoisers.unet import DenoisingUNet3D

SIDE = 64


def smooth(seed, cutoff=0.1, side=SIDE):
    """A Gaussian field without frequencies above the cutoff, of variance 1."""
    field = torch.randn(side, side, side, generator=torch.Generator().manual_seed(seed))
    field = torch.fft.irfftn(torch.fft.rfftn(field) * (curve_on_grid(np.arange(BINS) / BINS / 2, (side,) * 3) < cutoff))
    return field / field.std()


def soft(seed, side):
    """A Gaussian field whose spectrum falls as that of a tomogram does, without an edge."""
    field = torch.fft.rfftn(torch.randn(side, side, side, generator=torch.Generator().manual_seed(seed)))
    field = torch.fft.irfftn(field * torch.exp(-((curve_on_grid(np.arange(BINS) / BINS / 2, (side,) * 3) / 0.08) ** 2)))
    return field / field.std()


def noise(seed, side=SIDE):
    return torch.randn(side, side, side, generator=torch.Generator().manual_seed(seed))


def halves(strength=0.5, seed=0):
    signal = strength * smooth(seed)
    return signal, (signal + noise(seed + 50), signal + noise(seed + 51))


def test_the_gain_is_that_of_a_wiener_filter_and_nothing_beyond_the_signal():
    signal, pair = halves()
    scale, powers = scale_of_halves([pair])
    fsc, inside = powers.fsc, slice(2, 5)
    power = (
        float(signal.square().mean())
        * signal.numel()
        / float((curve_on_grid(np.arange(BINS), (SIDE,) * 3) < 6.4).sum())
    )
    expected = power / 2 / (power / 2 + 1)  # about half of the places of the whole grid are on that of rfftn
    assert np.allclose(scale.gain[inside], expected, atol=0.05) and np.allclose(fsc[inside], expected, atol=0.05)
    assert np.abs(scale.gain[12:]).max() < 0.05
    assert scale.width == pytest.approx((1 + 0.25) ** 0.5, rel=0.02)


@pytest.mark.parametrize("rotation", [ROTATIONS[k] for k in (0, 7, 19, 30, 47)])
def test_a_turned_wedge_is_where_the_turned_tomogram_was_measured(rotation):
    measured = torch.fft.irfftn(torch.fft.rfftn(noise(1, 16)) * wedge(16, -40, 55))
    power = torch.fft.rfftn(rotated_subvolume(measured, rotation)).abs()
    mask = rotated_wedge(16, -40, 55, *rotation)
    inside = torch.ones_like(mask, dtype=torch.bool)
    inside[8] = inside[:, 8] = inside[..., 8] = False  # the highest frequency stands for both signs
    assert power[(mask == 0) & inside].max() < 1e-3 and power[(mask == 1) & inside].min() > 1e-3


def test_a_filled_cube_keeps_what_was_measured():
    tilts, volume, answer = Tilts(-60, 60), noise(2, 32), noise(3, 32)
    volume = torch.fft.irfftn(torch.fft.rfftn(volume) * tilts.measured(32))
    result, mask = torch.fft.rfftn(filled(volume, answer, tilts)), tilts.measured(32) == 1
    assert torch.allclose(result[mask], torch.fft.rfftn(volume)[mask], atol=1e-2)
    assert torch.allclose(result[~mask], torch.fft.rfftn(answer)[~mask], atol=1e-2)


def test_an_example_asks_for_nothing_that_no_tilt_has_measured():
    _, pair = halves()
    scale, _ = scale_of_halves([pair])
    region = Region(torch.stack([scale.normalised(x) for x in pair]), scale)
    for seed in range(4):
        example = draw(region, 32, np.random.default_rng(seed), Tilts(-60, 60))
        assert example.seen.shape == (2, 32, 32, 32) and example.hidden.shape == (1, 32, 32, 32)
        # what the input lacks and the target has lies in the weights of the loss
        assert bool((example.weight[example.unseen > 0] > 0).all())
        assert float((example.weight == 0).float().mean()) == pytest.approx(1 / 3, abs=0.08)


@pytest.mark.parametrize("name", network_names("tomogram_denoiser"))
def test_an_untrained_network_is_the_wiener_filter(name):
    _, pair = halves()
    scale, _ = scale_of_halves([pair])
    method = method_of("tomogram_denoiser", name)
    denoiser = TomogramDenoiser(dict(network=name, name="m"), method.build().state_dict(), torch.device("cpu"))
    expected = torch.fft.irfftn(torch.fft.rfftn(pair[0] - scale.middle) * curve_on_grid(scale.gain, (SIDE,) * 3))
    assert torch.allclose(denoiser.answer(pair[0], scale), expected + scale.middle, atol=1e-4)


def test_folding_is_undone_and_keeps_neighbours_together():
    x = torch.arange(2 * 4**3, dtype=torch.float32).reshape(1, 2, 4, 4, 4)
    assert torch.equal(unfolded(folded(x, 2), 2), x)
    assert folded(x, 2)[0, :8, 0, 0, 0].tolist() == x[0, 0, :2, :2, :2].flatten().tolist()


def test_blocks_cover_a_tomogram_once_and_leave_no_seam(tmp_path):
    signal = soft(4, 72)[:40, :, :60]
    path = write_mrc(str(tmp_path / "t.mrc"), (signal + noise(9, 72)[:40, :, :60]).numpy())
    method = DenoisingUNet3D()
    torch.manual_seed(1)
    network = method.build()
    torch.nn.init.normal_(network.head.weight, std=0.01)
    denoiser = TomogramDenoiser(dict(network="unet3d", name="m"), network.state_dict(), torch.device("cpu"))
    signal = soft(5, SIDE)
    volume, (scale, _) = Tomogram(path), scale_of_halves([(signal + noise(50), signal + noise(51))])
    results = []
    for memory in (1.0, 0.006):
        result = np.full(volume.shape, np.nan, np.float32)
        for (z, y, x), (block,) in denoiser.blocks([volume], scale, memory):
            position = result[z : z + block.shape[0], y : y + block.shape[1], x : x + block.shape[2]]
            assert np.isnan(position).all()
            position[:] = block
        assert np.isfinite(result).all()
        results.append(result)
    assert np.std(results[0] - results[1]) < 0.03 * results[0].std()
    inside = (slice(8, -8),) * 3  # at the border of the tomogram a filter's tails depend on what it goes around to
    assert np.abs(results[0] - results[1])[inside].max() < 0.1 * results[0].std()


def test_a_large_tomogram_is_cut_into_tiles_of_the_memory():
    spans = tile_plan((512, 2048, 2048), 25e6, DenoisingUNet3D())
    tile = np.prod([max(b - a for a, b, _, _ in axis) for axis in spans])
    computed = np.prod([sum(b - a for a, b, _, _ in axis) for axis in spans])
    assert tile <= 25e6 and computed < 1.6 * 512 * 2048 * 2048


def test_the_estimated_correlation_with_the_signal_is_the_true_one():
    signal, pair = halves(strength=0.4)
    scale, _ = scale_of_halves([pair])
    wiener = lambda x: scale.restored(inputs_of(scale.normalised(x), scale)[1])
    metrics = control_metrics(wiener, [pair], scale, 10.0)
    correlation = lambda x: float(np.corrcoef(ball(x).flatten(), ball(signal).flatten())[0, 1])
    ball = lambda x: torch.fft.irfftn(
        torch.fft.rfftn(x) * (curve_on_grid(np.arange(BINS), (SIDE,) * 3) < BINS - 1)
    ).numpy()
    clean = (wiener(pair[0]) + wiener(pair[1])) / 2
    assert metrics["signal_correlation_before"] == pytest.approx(correlation((pair[0] + pair[1]) / 2), abs=0.04)
    assert metrics["signal_correlation_after"] == pytest.approx(correlation(clean), abs=0.06)
    assert 0 < metrics["signal_correlation_error"] < 0.1
    assert metrics["noise_left"] == pytest.approx(metrics["wiener_noise_left"], abs=0.02)


def test_detail_beyond_much_noise_counts_in_the_estimated_correlation():
    bins = np.arange(BINS)
    count, noise = 6000.0 * (bins + 0.5) ** 2, np.ones(BINS)
    signal = np.exp(-bins / 2) + 0.4 * np.exp(-(((bins - 20) / 4) ** 2))  # coarse, and a lattice's
    gain = 2 * signal / (2 * signal + noise)
    powers = lambda first, second, cross, times: Powers(
        *(x * times * count for x in (first, second, cross)), times * count
    )
    half, mean = signal + noise, signal + noise / 2
    known = _signal_correlations(
        powers(half, half, signal, 1),
        powers(gain**2 * half, half, gain * signal, 2),
        powers(mean, gain**2 * mean, 0, 1),
    )
    total = lambda curve: float((curve * count).sum())
    true = total(gain * signal) / (total(signal) * total(gain**2 * mean)) ** 0.5
    assert known["signal_correlation_before"] == pytest.approx((total(signal) / total(mean)) ** 0.5, abs=0.01)
    assert known["signal_correlation_after"] == pytest.approx(true, abs=0.01)


def test_no_correlation_is_estimated_where_the_halves_share_nothing():
    _, pair = halves(strength=0.4)
    scale, _ = scale_of_halves([pair])
    metrics = control_metrics(lambda x: 0.1 * x, [(noise(5), noise(6))], scale, 10.0)
    assert metrics["signal_correlation_before"] is None and metrics["signal_correlation_after"] is None
    assert "share too little to estimate" in control_in_words("tomo", metrics)
    worse = dict(metrics, signal_correlation_before=0.75, signal_correlation_after=0.58, signal_correlation_error=0.0)
    assert "the halves may share noise" in control_in_words("tomo", worse)
    assert "may share" not in control_in_words("tomo", dict(worse, signal_correlation_after=0.9))


def test_noise_alone_hardly_ever_has_an_estimated_correlation():
    generator, stated = torch.Generator().manual_seed(0), 0
    low_pass = torch.exp(-((frequencies((32,) * 3) / 0.08) ** 2) / 2)
    denoise = lambda x: torch.fft.irfftn(torch.fft.rfftn(x) * low_pass, s=x.shape)
    for _ in range(40):
        pairs = [torch.randn(2, 32, 32, 32, generator=generator).unbind() for _ in range(4)]
        clean = [tuple(map(denoise, pair)) for pair in pairs]
        known = _signal_correlations(
            measure_powers(pairs),
            measure_powers([(c[k], x[1 - k]) for c, x in zip(clean, pairs) for k in (0, 1)]),
            measure_powers([(sum(x) / 2, sum(c) / 2) for c, x in zip(clean, pairs)]),
        )
        stated += known["signal_correlation_after"] is not None
    assert stated <= 2


def test_a_denoiser_that_invents_a_texture_is_found_by_noise_alone():
    _, pair = halves(strength=0.4)
    scale, _ = scale_of_halves([pair])
    wiener = lambda x: scale.restored(inputs_of(scale.normalised(x), scale)[1])
    invented = 3 * float(wiener(pair[0]).std()) * smooth(77)
    honest = control_metrics(wiener, [pair], scale, 10.0)
    liar = control_metrics(lambda x: wiener(x) + invented, [pair], scale, 10.0)
    assert liar["noise_left"] > 0.9 and liar["noise_left"] > honest["noise_left"] + 0.2
    assert liar["signal_correlation_after"] < honest["signal_correlation_after"] - 0.2


def test_a_volume_of_which_a_block_is_missing_gets_no_name(tmp_path):
    path, block = tmp_path / "v.mrc", np.ones((2, 2, 3), np.float32)
    with pytest.raises(RuntimeError, match="Only 0 of 2 slices"), VolumeWriter(path, (2, 4, 3), 1.0, "f4") as volume:
        volume.write_block((0, 0, 0), block)
    assert not path.exists()
    with VolumeWriter(path, (2, 4, 3), 1.0, "f4") as volume:
        volume.write_block((0, 0, 0), block)
        volume.write_block((0, 2, 0), 2 * block[..., :1])
        volume.write_block((0, 2, 1), 3 * block[..., :2])
    assert Tomogram(path).raw()[1].tolist() == [[1, 1, 1], [1, 1, 1], [2, 3, 3], [2, 3, 3]]


def test_gradients_where_two_slices_are_left_are_those_of_float32():
    """torch 2.13 on CPUs makes them of memory that nobody wrote where a convolution of bfloat16 has two slices."""
    torch.manual_seed(0)
    block, x = ConvBlock(16, 16, 3), torch.randn(4, 16, 2, 2, 2)

    def gradient(narrow):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            answer = block(x)
        for size in (10**3, 10**4, 10**5, 10**6):
            torch.full((size,), float("nan"))  # left in memory
        answer.float().square().sum().backward()
        return block.second[0].weight.grad.clone()

    exact = gradient(False)
    assert all((gradient(True) - exact).norm() < 0.05 * exact.norm() for _ in range(5))
