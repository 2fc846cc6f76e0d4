# SPDX-License-Identifier: GPL-3.0-or-later
"""Every registered picker network: geometry, reach, and agreement of the fast and the exact arithmetic."""

import numpy as np
import pytest
import torch
from synthetic import DIAMETER, PIXEL_SIZE, blob_micrograph

from cryodl.contract import PICKER_NETWORKS
from cryodl.learning.inference import for_inference
from cryodl.micrographs.normalize import prepare_micrograph
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.predict import Picker

each_network = pytest.mark.parametrize("name", PICKER_NETWORKS)
WHOLE_IMAGE = ("unet", "cryolo", "eman2")  # the others classify windows


def build(name, seed=0):
    torch.manual_seed(seed)
    method = picker_method(name)
    network = method.build()
    with torch.no_grad():  # away from the start "no particle anywhere", where all is flat
        [p for n, p in network.named_parameters() if n.endswith("bias")][-1].zero_()
    return method, network.eval()


def build_dense(name, seed=0):
    method, network = build(name, seed)
    return method, method.dense(network).eval()


@each_network
def test_method_says_all_that_others_ask_for(name):
    method, network = build_dense(name)
    assert method.name == name and method.working_diameter > 8 and isinstance(method.weak, str)
    assert network.multiple % network.stride == 0 and network.receptive_radius > 0 and method.bytes_per_pixel > 20
    for labels in ("complete", "boxes", "sparse"):
        assert method.crop_side(labels) % network.stride == 0 or method.crop_side(labels) == method.window
        assert 100 <= method.default_steps(100, labels) <= 1000 and method.batch_factor(labels) >= 1


@each_network
def test_output_covers_the_input_at_the_stride(name):
    _, network = build_dense(name)
    with torch.no_grad():
        out = network(torch.zeros(2, 1, 4 * network.multiple, 7 * network.multiple))
    assert out.shape[0] == 2
    assert out.shape[2:] == (4 * network.multiple // network.stride, 7 * network.multiple // network.stride)


@each_network
def test_scores_are_one_map_of_chances(name):
    method, network = build_dense(name)
    with torch.no_grad():
        out = network(torch.randn(1, 1, 6 * network.multiple, 8 * network.multiple))
    scores = method.scores(out)
    assert scores.shape == (1, 1) + out.shape[2:] and scores.min() >= 0 and scores.max() <= 1
    assert torch.equal(method.scores(out.bfloat16()).isfinite(), torch.ones_like(scores, dtype=torch.bool))


@each_network
def test_each_output_looks_no_further_than_the_receptive_radius(name):
    """Measured by gradients at outputs of every phase of the grid: nothing beyond, so tiles with that overlap agree."""
    _, network = build_dense(name)
    radius, multiple, stride = network.receptive_radius, network.multiple, network.stride
    half = -(-(radius + multiple) // multiple) * multiple
    image = torch.randn(1, 1, 2 * half + multiple, 2 * half + multiple, requires_grad=True)
    out, reach = network(image)[0].abs().sum(0), 0.0
    for phase in range(multiple // stride):
        cell = half // stride + phase
        (gradient,) = torch.autograd.grad(out[cell, cell], image, retain_graph=True)
        seen = gradient[0, 0].nonzero().float()
        reach = max(reach, float((seen - (cell * stride + (stride - 1) / 2)).abs().max()))
    assert 0.5 * radius < reach <= radius


@each_network
def test_a_shifted_input_gives_the_shifted_output(name):
    _, network = build_dense(name)
    multiple, stride = network.multiple, network.stride
    inner = 4 * multiple
    side = inner + 2 * (-(-network.receptive_radius // multiple) + 1) * multiple
    image = torch.zeros(1, 1, side + multiple, side + 2 * multiple)
    image[..., side // 2 - 9 : side // 2 + 9, side // 2 - 5 : side // 2 + 5] = torch.randn(18, 10)
    moved = image.roll((multiple, 2 * multiple), (2, 3))
    with torch.no_grad():
        out, out_moved = network(image), network(moved)
    shifted = out.roll((multiple // stride, 2 * multiple // stride), (2, 3))
    middle = slice(side // 2 // stride, side // 2 // stride + multiple // stride)
    assert torch.allclose(shifted[..., middle, middle], out_moved[..., middle, middle], atol=1e-4)


@each_network
def test_bfloat16_and_channels_last_agree_with_float32(name, monkeypatch):
    method, network = build(name)
    image, _ = blob_micrograph((260, 310))
    prepared = prepare_micrograph(image, method.working_diameter * PIXEL_SIZE / DIAMETER, method.working_diameter)
    maps = []
    for dtype in (torch.float32, torch.bfloat16):
        monkeypatch.setattr("cryodl.micrographs.tiled.fast_dtype", lambda device: dtype)
        maps.append(Picker(method, network, torch.device("cpu")).score_map(prepared))
    difference = (maps[0] - maps[1]).abs()
    assert float(difference.max()) < 0.05 and float(difference.mean()) < 0.005


@each_network
def test_the_network_prepared_for_inference_answers_the_same_and_is_a_copy(name):
    """Batch norm with made-up statistics, so that folding it into the convolutions matters."""
    method, network = build(name)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    dense = method.dense(network).eval()
    image = torch.randn(1, 1, 6 * dense.multiple, 5 * dense.multiple)
    with torch.no_grad():
        plain = dense(image)
        prepared = for_inference(dense, torch.device("cpu"), torch.float32)
        folded = prepared(image.contiguous(memory_format=torch.channels_last))
    assert float(plain.std()) > 0 and torch.allclose(plain, folded, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in prepared.modules())


@pytest.mark.parametrize("name", WHOLE_IMAGE)
def test_an_untrained_network_says_no_particle(name):
    """Training starts from 'none', since centres of particles are rare."""
    torch.manual_seed(0)
    network = picker_method(name).build().eval()
    with torch.no_grad():
        raw = picker_method(name).scores(network(torch.randn(1, 1, 8 * network.multiple, 8 * network.multiple)))
    assert float(raw.mean()) < 0.1 and raw.min() >= 0 and raw.max() <= 1


@each_network
def test_the_same_seed_gives_the_same_network(name):
    first, second = (build(name, seed=5)[1].state_dict() for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert sum(v.numel() for v in first.values()) > 1000 and not np.isnan(float(first[list(first)[0]].sum()))


def test_a_general_network_tells_scores_and_sizes():
    network = picker_method("unet").build_general()
    assert network.head.weight.shape[0] == 2 and picker_method("unet").build().head.weight.shape[0] == 1
