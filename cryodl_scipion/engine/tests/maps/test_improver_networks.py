# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of map improvers, and their losses."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from cryodl.contract import IMPROVER_NETWORKS
from cryodl.maps.improvers import improver_method
from cryodl.maps.improvers.method import FilterResponseNorm, VolumeAttention, VolumeSwinConvBlock
from cryodl.maps.improvers.pairs import BOX
from cryodl.maps.improvers.train import distance, shell_loss, ssim_loss
from cryodl.maps.measures.shells import shell_correlation


def test_the_published_network_has_the_parameters_counted_by_hand():
    """Dim 32, two blocks at seven stages, window 3, heads of 16. A block of 2h channels: two 1x1x1 convolutions 8h² +
    4h, two 3x3x3 ones of h channels 54h², filter response norm 3h, two layer norms 4h, attention 4h² + 4h and 5³ biases
    for each of h / 16 heads, perceptron 8h² + 5h: 74h² + 20h + 125 h / 16."""
    block = lambda h: 74 * h * h + 20 * h + 125 * h // 16
    stages = 2 * (2 * block(16) + 2 * block(32) + 2 * block(64) + block(128))
    scales = 2 * 8 * (32 * 64 + 64 * 128 + 128 * 256)  # 2x2x2 strided and transposed, without bias
    expected = stages + scales + 2 * 27 * 32
    assert sum(p.numel() for p in improver_method("swinconv").build().parameters()) == expected == 4725564


@pytest.mark.parametrize("name", IMPROVER_NETWORKS)
def test_networks_keep_the_box_and_learn(name):
    torch.manual_seed(0)
    method = improver_method(name)
    assert method.name == name
    network = method.build().eval()
    data = torch.rand(1, 1, BOX, BOX, BOX)
    output = network(data)
    assert output.shape == (1, {"fast": 2, "swinconv": 1}[name], BOX, BOX, BOX)
    output.square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", IMPROVER_NETWORKS)
def test_a_network_of_half_the_width_has_about_a_quarter_of_the_weights_and_keeps_the_box(name):
    count = lambda network: sum(p.numel() for p in network.parameters())
    whole, half = improver_method(name).build(), improver_method(name).build(width=16)
    assert 0.24 < count(half) / count(whole) < 0.27
    assert half.eval()(torch.rand(1, 1, BOX, BOX, BOX)).shape[2:] == (BOX, BOX, BOX)


def test_an_unknown_network_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="fast, swinconv"):
        improver_method("none")


def test_the_fast_network_changes_nothing_before_training():
    data = torch.rand(1, 1, BOX, BOX, BOX)
    with torch.no_grad():
        torch.testing.assert_close(improver_method("fast").build().eval()(data)[:, :1], data)


def test_filter_response_norm_makes_the_mean_square_one():
    norm = FilterResponseNorm(4)
    with torch.no_grad():
        norm.threshold.fill_(-1e9)
    x = 5 * torch.randn(2, 4, 6, 6, 6)
    torch.testing.assert_close(norm(x).square().mean((2, 3, 4)), torch.ones(2, 4), rtol=1e-3, atol=1e-3)


def test_attention_stays_within_its_window_and_shifted_windows_do_not_join_opposite_borders():
    torch.manual_seed(0)
    for shifted, mate, stranger in ((False, 2, 3), (True, 3, 8)):
        attention = VolumeAttention(16, 3, 16, shifted)
        x = torch.randn(1, 9, 9, 9, 16)
        changed = x.clone()
        changed[0, 1 + shifted, 0, 0] += 1  # unshifted windows are 0-2, 3-5, 6-8; shifted ones 1-3, 4-6, 7-8 and 0
        with torch.no_grad():
            change = (attention(changed) - attention(x)).abs().sum(-1)[0, :, 0, 0]
        assert change[mate] > 1e-5 and change[stranger] < 1e-6 and (not shifted or change[0] < 1e-6)


def test_drop_path_is_for_training_only():
    torch.manual_seed(0)
    block = VolumeSwinConvBlock(32, 3, 16, False, drop=0.5).eval()
    x = torch.randn(1, 32, 6, 6, 6)
    whole = block(x)
    torch.testing.assert_close(block(x), whole)
    block.train()
    assert any(not torch.allclose(block(x), whole) for _ in range(8))


def test_ssim_loss_by_hand():
    x = torch.tensor([[[[[1.0, 3.0]]]]])
    assert float(ssim_loss(x, x)) == pytest.approx(0, abs=1e-6)
    assert float(ssim_loss(x, -x)) == pytest.approx(2, abs=1e-3)  # covariance -1, variances 1
    assert float(ssim_loss(x, 3 * x)) == pytest.approx(1 - 6 / 10, abs=1e-3)
    assert float(distance(x, x + 1)) == pytest.approx(0.5)


def test_the_loss_of_shells_is_the_fsc_whatever_filter_was_applied():
    """Against the FSC that maps are measured by, on boxes that fade out as the loss lets them."""
    rng = np.random.default_rng(0)
    boxes = np.float32(gaussian_filter(rng.normal(size=(2, BOX, BOX, BOX)), (0, 1, 1, 1)))
    noisy = boxes + 0.1 * rng.standard_normal(boxes.shape, np.float32)
    loss = lambda x, y: float(shell_loss(torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None]))
    assert loss(boxes, boxes) == pytest.approx(0, abs=1e-4) and loss(boxes, -boxes) == pytest.approx(2, abs=1e-4)
    fade = np.sqrt(np.hanning(BOX))
    fade = fade[:, None, None] * fade[:, None] * fade
    faded = lambda x: (x - x.mean()) * fade
    expected = 1 - np.mean(
        [shell_correlation(faded(x), faded(y), np.ones(3)).value[1 : BOX // 2] for x, y in zip(noisy, boxes)]
    )
    assert 0.1 < expected < 0.9 and loss(noisy, boxes) == pytest.approx(expected, abs=0.01)
    assert loss(gaussian_filter(noisy, (0, 0.7, 0.7, 0.7)), boxes) == pytest.approx(expected, abs=0.02)


def test_the_resolution_changes_the_answer_only_once_it_was_learnt():
    network, data = improver_method("fast").build().eval(), torch.rand(2, 1, 48, 48, 48)
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    resolutions = torch.tensor([3.0, 7.0])
    with torch.no_grad():
        before = network(data)
        assert torch.equal(before, network(data, resolutions))
        network.told += 0.5
        assert torch.equal(before, network(data, torch.zeros(2)))  # not known
        assert not torch.allclose(before, network(data, resolutions))
