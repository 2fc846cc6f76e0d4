# SPDX-License-Identifier: GPL-3.0-or-later
"""A patch classifier in one pass gives the scores of the window at every position, with the same weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.patch import DenseClassifier


def sliding(network, image, window, stride):
    """(1, c, h/stride, w/stride): the network run on every window, one by one."""
    before = (window - stride) // 2
    padded = F.pad(image, (before, window - stride - before, before, window - stride - before))
    rows, columns = (n // stride for n in image.shape[-2:])
    out = [
        [
            network(padded[..., y * stride : y * stride + window, x * stride : x * stride + window]).flatten(1)
            for x in range(columns)
        ]
        for y in range(rows)
    ]
    return torch.stack([torch.stack(row, -1) for row in out], -2)


def awkward_norms(network):
    """Batch norm with made-up statistics, so that it is not the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


@pytest.mark.parametrize("name", ["deeppicker", "deepem", "topaz"])
@pytest.mark.parametrize("shape", [(44, 76), (96, 64), (4, 8)])
def test_one_pass_equals_every_window_one_by_one(name, shape):
    torch.manual_seed(0)
    method = picker_method(name)
    network = awkward_norms(method.build())
    image = torch.randn(1, 1, *shape)
    with torch.no_grad():
        one_by_one = sliding(network, image, method.window, method.stride)
        whole = method.dense(network).eval()(image)
    assert whole.shape == one_by_one.shape == (1, one_by_one.shape[1], shape[0] // 4, shape[1] // 4)
    spread = float(one_by_one.std())
    assert spread > 1e-5 and torch.allclose(whole, one_by_one, atol=0.01 * spread, rtol=0)


NETWORKS = {
    "pools": (
        20,
        lambda: [
            nn.Conv2d(1, 3, 3),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(3, 4, 3),
            nn.AvgPool2d(2),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(4 * 3 * 3, 5),
        ],
    ),
    "steps": (
        21,
        lambda: [nn.Conv2d(1, 3, 5, 2), nn.PReLU(3), nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 4)],
    ),
    "two linear layers": (
        16,
        lambda: [
            nn.Conv2d(1, 2, 3),
            nn.PReLU(),
            nn.AvgPool2d(3, 2),
            nn.MaxPool2d(2),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(2 * 3 * 3, 6),
            nn.ReLU(),
            nn.Linear(6, 1),
        ],
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("stride", [2, 4])
def test_other_layers_and_strides(kind, stride):
    torch.manual_seed(1)
    window, layers = NETWORKS[kind]
    network = awkward_norms(nn.Sequential(*layers()))
    image = torch.randn(1, 1, 24, 32)
    with torch.no_grad():
        whole = DenseClassifier(network, window, stride).eval()(image)
        one_by_one = sliding(network, image, window, stride)
    assert whole.shape == one_by_one.shape and torch.allclose(whole, one_by_one, atol=1e-5)


@pytest.mark.parametrize("name", ["deeppicker", "deepem", "topaz"])
def test_the_weights_are_shared_not_copied(name):
    method = picker_method(name)
    network = method.build().eval()
    dense = method.dense(network).eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before = dense(image)
        for parameter in network.parameters():
            parameter.mul_(1.5)
        after = dense(image)
    own = {p.data_ptr() for p in network.parameters()}
    assert not torch.allclose(before, after) and {p.data_ptr() for p in dense.parameters()} == own
