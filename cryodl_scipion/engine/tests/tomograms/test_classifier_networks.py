# SPDX-License-Identifier: GPL-3.0-or-later
"""The published 3-D networks have the layers, sizes and numbers of weights that they should."""

import numpy as np
import pytest
import torch
from torch import nn

from cryodl.contract.networks import CLASSIFIER_NETWORKS
from cryodl.tomograms.classifiers import classifier_method
from cryodl.tomograms.classifiers.published import EPOCHS, MIN_STEPS

PUBLISHED = ("dsrf3d", "rb3d", "cb3d")
CLASSES = 6


def convolution(inputs, outputs, side=3):
    return side**3 * inputs * outputs + outputs


def hidden(inputs, outputs):
    return inputs * outputs + outputs


# By hand, for 40 voxels and 6 classes. DSRF3D-v2: 40 > 20 > 10 > 5 voxels, 128 channels. RB3D: 40 > 20 voxels, 32
# channels. CB3D: z 40 > 40 > 20 > 10 > 5 > 2 and y, x 40 > 20 > 10 > 5 > 2 (> 4 by zeros) > 2 voxels, 512 channels.
EXPECTED = {
    "dsrf3d": sum(convolution(a, b) for a, b in ((1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)))
    + hidden(128 * 5**3, 1024)
    + hidden(1024, 1024)
    + hidden(1024, CLASSES),
    "rb3d": convolution(1, 32)
    + 4 * (convolution(32, 16) + convolution(32, 16, 1) + convolution(16, 32) + convolution(32, 16, 1))
    + hidden(32 * 20**3, 1024)
    + hidden(1024, 1024)
    + hidden(1024, CLASSES),
    "cb3d": sum(
        convolution(a, b)
        for a, b in ((1, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512))
    )
    + hidden(512 * 2**3, 4096)
    + hidden(4096, 4096)
    + hidden(4096, CLASSES),
}


def built(name, box=40):
    with torch.device("meta"):  # shapes without numbers
        return classifier_method(name).build(CLASSES, box)


def kinds(network, kind):
    return [layer for layer in network.modules() if isinstance(layer, kind)]


def test_the_registry_holds_the_networks_of_the_contract():
    assert [classifier_method(name).name for name in CLASSIFIER_NETWORKS] == list(CLASSIFIER_NETWORKS)
    with pytest.raises(ValueError, match="'unet' is unknown; choose one of: likelihood, dsrf3d, rb3d, cb3d"):
        classifier_method("unet")


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_network_has_the_weights_of_the_paper(name):
    network = built(name)
    assert sum(p.numel() for p in network.parameters()) == EXPECTED[name]
    assert network(torch.empty(2, 1, 40, 40, 40, device="meta")).shape == (2, CLASSES)


@pytest.mark.parametrize(
    "name, convolutions, pools, dropouts",
    [
        ("dsrf3d", 6, [2, 2, 2], [0.7, 0.7]),
        ("rb3d", 17, [2], [0.7] * 4 + [0.5, 0.5]),
        ("cb3d", 8, [(1, 2, 2), 2, 2, 2, 2], [0.5, 0.5]),
    ],
)
def test_each_network_has_the_layers_of_the_paper(name, convolutions, pools, dropouts):
    network = built(name)
    assert len(kinds(network, nn.Conv3d)) == convolutions and len(kinds(network, nn.Linear)) == 3
    assert [layer.kernel_size for layer in kinds(network, nn.MaxPool3d)] == pools
    assert [layer.p for layer in kinds(network, nn.Dropout)] == dropouts


def test_a_residual_blocks_two_ways_are_put_side_by_side():
    from cryodl.tomograms.classifiers.rb3d import Block

    block = Block().eval()
    volumes = torch.randn(2, 32, 4, 4, 4)
    out = block(volumes)
    assert out.shape == volumes.shape and out.min() >= 0
    assert torch.equal(out[:, :16], torch.relu(block.short[0](volumes)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_training_settings(name):
    method = classifier_method(name)
    optimizer = method.optimizer(nn.Linear(2, 2))
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.Adam) and group["lr"] == 3e-4 and method.batch_size == 32
    assert method.box == 40 and method.default_steps(10) == MIN_STEPS
    assert method.default_steps(32000) == EPOCHS * 1000


def test_weights_start_as_keras_starts_them():
    torch.manual_seed(0)
    network = classifier_method("dsrf3d").build(CLASSES, 16)
    second = kinds(network, nn.Conv3d)[1]
    limit = (6 / (27 * 32 + 27 * 32)) ** 0.5  # Glorot and Bengio 2010, eq. 16
    assert float(second.weight.detach().abs().max()) == pytest.approx(limit, rel=0.01) and not second.bias.any()


@pytest.mark.parametrize(
    "box, pixel_size, diameter, resolution, expected, voxels",
    [
        (40, 10.0, 320, None, 10.0, 40),  # as the paper
        (80, 5.0, 320, None, 10.0, 40),  # the particle needs the width: larger voxels
        (80, 5.0, 100, None, 5.0, 40),  # a small particle in a large box: the middle, in full detail
        (24, 10.0, 200, None, 10.0, 40),  # zeros around
        (40, 10.0, 320, 30.0, 15.0, 32),  # nothing finer is wanted: 27 voxels hold it
        (40, 12.0, 384, 40.0, 20.0, 24),
        (40, 12.0, 384, 400.0, 200.0, 16),
    ],
)  # fewer could not be pooled
def test_the_network_sees_the_whole_particle(box, pixel_size, diameter, resolution, expected, voxels):
    from types import SimpleNamespace

    subtomograms = SimpleNamespace(box=box, pixel_size=pixel_size)
    found, side = classifier_method("dsrf3d").grid(subtomograms, diameter, resolution)
    assert side == voxels and found == pytest.approx(expected)
    assert side * found >= min(box * pixel_size, 1.5 * diameter) - 1e-6


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_network_has_smaller_boxes(name):
    for box in range(classifier_method(name).smallest, 40, 8):
        assert built(name, box)(torch.empty(2, 1, box, box, box, device="meta")).shape == (2, CLASSES)


def test_no_convolution_is_left_with_a_single_voxel():
    """Kernels of 3 on less than 2 voxels: taps that see padding only, the gradients of which torch got wrong."""
    for name in PUBLISHED:
        method, sides = classifier_method(name), []
        network = built(name, method.smallest)
        for layer in kinds(network, nn.Conv3d):
            layer.register_forward_hook(lambda layer, volumes, _: sides.append(min(volumes[0].shape[2:])))
        network(torch.empty(2, 1, *[method.smallest] * 3, device="meta"))
        assert min(sides) >= 2


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_network_learns_from_a_gradient_that_reaches_all_of_its_weights(name):
    torch.manual_seed(0)
    network = classifier_method(name).build(3, 16)
    loss = nn.functional.cross_entropy(network(torch.randn(2, 1, 16, 16, 16)), torch.tensor([0, 2]))
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    assert np.isclose(loss.item(), np.log(3), atol=0.5)  # knows nothing yet
