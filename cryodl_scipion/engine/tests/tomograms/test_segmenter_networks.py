# SPDX-License-Identifier: GPL-3.0-or-later
"""Every registered segmenter: geometry, reach, the slabs that it answers; and the published one, counted by hand."""

import numpy as np
import pytest
import torch
from segmenting_data import write_segmenter
from torch import nn

from cryodl.contract import SEGMENTER_NETWORKS
from cryodl.tomograms.segmenters import load_segmenter, segmenter_method
from cryodl.tomograms.segmenters.eman2 import EPOCHS
from cryodl.tomograms.segmenters.method import masked_bce_and_dice, soft_dice

each_network = pytest.mark.parametrize("name", SEGMENTER_NETWORKS)


def build(name, seed=0):
    torch.manual_seed(seed)
    method = segmenter_method(name)
    return method, method.build().eval()


@each_network
def test_method_says_all_that_others_ask_for(name):
    method, _ = build(name)
    assert method.name == name and isinstance(method.weak, str)
    assert method.context * 2 + method.slices_out == method.slices_in
    assert method.overlap % method.granularity == 0 and method.crop % method.granularity == 0 and method.crop >= 64
    assert 100 <= method.default_steps(110) <= 500 and method.default_steps(480) >= method.default_steps(110)


@each_network
def test_the_network_answers_for_the_slices_in_the_middle_at_its_stride(name):
    method, network = build(name)
    side = 2 * method.granularity + 32 - 32 % method.granularity
    with torch.no_grad():
        out = network(torch.randn(2, method.slices_in, side, side + method.granularity))
    assert out.shape == (2, method.slices_out, side // method.stride, (side + method.granularity) // method.stride)


@each_network
def test_nothing_farther_away_than_the_overlap_matters(name):
    method, network = build(name)
    side = 2 * method.overlap + 2 * method.granularity
    centre, reach = side // 2, 0
    for offset in range(0, method.granularity, max(method.stride, 2)):
        x = torch.randn(1, method.slices_in, side, side, requires_grad=True)
        position = (centre + offset) // method.stride
        (gradient,) = torch.autograd.grad(network(x)[0, :, position, position].sum(), x)
        seen = gradient.abs().sum((0, 1)).nonzero()
        first, last = position * method.stride, (position + 1) * method.stride - 1
        reach = max(reach, first - int(seen.min()), int(seen.max()) - last)
    assert method.overlap - method.granularity < reach <= method.overlap


def test_an_unknown_network_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match="'vnet' is unknown; choose one of: unet, unet2d, unet3d, eman2"):
        segmenter_method("vnet")


@each_network
def test_a_slab_is_answered_as_its_windows_are(name, tmp_path):
    segmenter = load_segmenter(write_segmenter(tmp_path / "model", name), torch.device("cpu"))
    count, c = segmenter.slices_out + 2, segmenter.context
    slab = torch.randn(count + 2 * c, 21, 30, generator=torch.Generator().manual_seed(1))
    scores = segmenter.scores(slab)
    assert scores.shape == (count, 21, 30) and scores.dtype == torch.float32
    assert 0 <= float(scores.min()) < float(scores.max()) <= 1
    part = segmenter.scores(slab[segmenter.slices_out :])  # a slab that begins with the second window
    assert torch.equal(part, scores[segmenter.slices_out :])
    if not c:
        assert torch.allclose(segmenter.scores(slab[:1])[0], scores[0], atol=0.02)


@each_network
def test_inference_is_the_trained_network_in_other_arithmetic(name, tmp_path):
    segmenter = load_segmenter(write_segmenter(tmp_path / "model", name), torch.device("cpu"))
    method, network = build(name)
    network.load_state_dict(load_weights(tmp_path / "model"))
    slab = torch.randn(method.slices_in, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        raw = network(slab[None])
    if method.stride > 1:
        raw = nn.functional.interpolate(raw, scale_factor=2.0, mode="bilinear")
    slope, offset = segmenter.card["calibration"]
    assert torch.allclose(segmenter.scores(slab), (slope * raw[0] + offset).sigmoid(), atol=0.05)


def load_weights(folder):
    from cryodl.io.model import read_model

    return read_model(folder, "segmenter")[1]


def test_a_slab_without_context_is_refused(tmp_path):
    segmenter = load_segmenter(write_segmenter(tmp_path / "model"), torch.device("cpu"))
    with pytest.raises(ValueError, match="slab of 4 slices has none with a context of 2"):
        segmenter.scores(torch.zeros(4, 16, 16))


def test_grey_values_are_normalised_by_the_whole_tomogram_and_gold_is_cut():
    from cryodl.tomograms.segmenters.working_scale import GreyValues

    slab = torch.tensor([[[5.0, 7.0, -1000.0]]])
    assert GreyValues(5.0, 2.0).normalised(slab).tolist() == [[[0.0, 1.0, -8.0]]]
    assert slab[0, 0, 2] == -1000  # the caller's


def test_weights_of_another_network_are_refused(tmp_path):
    write_segmenter(tmp_path / "model", "unet")
    card = (tmp_path / "model/card.json").read_text().replace('"network": "unet"', '"network": "unet2d"')
    (tmp_path / "model/card.json").write_text(card)
    with pytest.raises(ValueError, match="The weights of model do not fit the network unet2d"):
        load_segmenter(tmp_path / "model", torch.device("cpu"))


# ----- as published
def test_eman2_has_the_layers_and_weights_counted_by_hand():
    _, network = build("eman2")
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size) for m in layers] == [
        (1, 40, (15, 15)),
        (40, 40, (15, 15)),
        (40, 1, (15, 15)),
    ]
    by_hand = (15 * 15 * 1 * 40 + 40) + (15 * 15 * 40 * 40 + 40) + (15 * 15 * 40 * 1 + 1)
    assert sum(p.numel() for p in network.parameters()) == by_hand == 9040 + 360040 + 9001


def test_eman2_pools_once_by_two_and_has_a_linear_last_layer():
    _, network = build("eman2")
    with torch.no_grad():
        out = network(torch.randn(1, 1, 64, 64))
    assert out.shape == (1, 1, 32, 32) and float(out.min()) < 0
    with torch.no_grad():
        for layer in network.layers[:2]:
            layer.weight.zero_()
            layer.bias.fill_(-1.0)
        assert torch.equal(network(torch.randn(1, 1, 8, 8)), torch.zeros(1, 1, 4, 4))  # ReLU after both


def test_eman2_learns_as_published():
    method, network = build("eman2")
    optimizer = method.optimizer(network)
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["momentum"] == 0
    assert method.learning_rate == 0.01 and method.batch_size == 20 and method.crop == 64
    assert method.decay**16 == pytest.approx(0.9**20)  # 16 validations stand for 20 epochs
    assert method.default_steps(110) == EPOCHS * 11  # 10 x 10 turned copies and 100 tiles, 20 at a time
    size = sum(layer.weight.abs().sum() for layer in network.layers)
    assert method.penalty(network).item() == pytest.approx(1e-6 * size.item())


def test_the_loss_of_eman2_is_the_logarithm_of_the_squared_error_with_scores_cut_at_one():
    output = torch.tensor([[3.0, 0.5, -1.0, 9.0]])
    target, weight = torch.tensor([[1.0, 1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    assert float(build("eman2")[0].loss(output, target, weight)) == pytest.approx(np.log((0 + 0.25 + 1) / 3), abs=1e-5)


# ----- our loss
def test_what_is_not_annotated_costs_nothing():
    output, target = torch.randn(1, 1, 4, 4), (torch.rand(1, 1, 4, 4) > 0.5).float()
    labelled = torch.ones(1, 1, 4, 4)
    labelled[..., 2:] = 0
    other = output.clone()
    other[..., 2:] += 50.0
    assert torch.equal(masked_bce_and_dice(output, target, labelled), masked_bce_and_dice(other, target, labelled))
    assert masked_bce_and_dice(output, target, torch.zeros_like(labelled)).isfinite()


def test_soft_dice_of_a_known_case():
    scores, target = torch.tensor([1.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert float(soft_dice(scores, target, torch.ones(4))) == pytest.approx((2 * 1 + 1) / (2 + 2 + 1))
