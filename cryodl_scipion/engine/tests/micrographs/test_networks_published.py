# SPDX-License-Identifier: GPL-3.0-or-later
"""The five published networks have the layers, sizes and numbers of weights that their papers give."""

import pytest
import torch
from torch import nn

from cryodl.micrographs.pickers import picker_method


def weights(network):
    return sum(p.numel() for p in network.parameters())


def sides(network, image, kinds=(nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
    """(layer, channels, height) after each convolution and pooling, in the order of computation."""
    seen, hooks = [], []
    for layer in network.modules():
        if isinstance(layer, kinds):
            hooks.append(layer.register_forward_hook(lambda m, _, out: seen.append((m, out.shape[1], out.shape[2]))))
    with torch.no_grad():
        network.eval()(image)
    for hook in hooks:
        hook.remove()
    return seen


def test_deeppicker_shrinks_its_window_as_published():
    network = picker_method("deeppicker").build()
    seen = sides(network, torch.zeros(1, 1, 64, 64))
    assert [s for _, _, s in seen] == [56, 28, 24, 12, 10, 5, 4, 2]
    assert [(m.out_channels, m.kernel_size[0]) for m, *_ in seen[::2]] == [(8, 9), (16, 5), (32, 3), (64, 2)]
    assert network(torch.zeros(3, 1, 64, 64)).shape == (3, 2)


def test_deeppicker_has_the_weights_counted_by_hand():
    convolutions = (9 * 9 * 1 * 8 + 8) + (5 * 5 * 8 * 16 + 16) + (3 * 3 * 16 * 32 + 32) + (2 * 2 * 32 * 64 + 64)
    connected = (64 * 2 * 2) * 256 + 256 + 256 * 2 + 2
    assert convolutions == 656 + 3216 + 4640 + 8256 and connected == 65792 + 514
    assert weights(picker_method("deeppicker").build()) == convolutions + connected == 83074


def test_deeppicker_learns_as_published():
    method = picker_method("deeppicker")
    network = method.build()
    optimizer = method.optimizer(network)
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["momentum"] == 0.9
    assert method.learning_rate == 0.01 and method.decay == 0.95 and method.far == 0.6 * method.window
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.5]


def test_the_loss_of_deeppicker_is_the_cross_entropy_of_a_softmax_over_two_outputs():
    output, ground_truth = torch.randn(16, 2, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 2
    known = torch.stack([torch.ones(16), torch.zeros(16)], 1)
    loss = picker_method("deeppicker").loss(output, ground_truth[:, None].float(), known)
    assert torch.allclose(loss, nn.functional.cross_entropy(output, ground_truth), atol=1e-6)
    scores = picker_method("deeppicker").scores(output[..., None, None])
    assert torch.allclose(scores.flatten(), output.softmax(1)[:, 1], atol=1e-6)


def test_deepem_is_three_convolutions_with_sigmoids_and_averages():
    network = picker_method("deepem").build()
    assert [type(m) for m in network][:9] == [nn.Conv2d, nn.Sigmoid, nn.AvgPool2d] * 3
    assert [s for _, _, s in sides(network, torch.zeros(1, 1, 64, 64))] == [56, 28, 24, 12, 8, 4]
    by_hand = (9 * 9 * 6 + 6) + (5 * 5 * 6 * 12 + 12) + (5 * 5 * 12 * 12 + 12) + (12 * 4 * 4 + 1)
    assert weights(network) == by_hand == 492 + 1812 + 3612 + 193


def test_the_loss_of_deepem_is_half_the_mean_squared_error():
    method, output = picker_method("deepem"), torch.tensor([[0.0], [2.0], [-1.0]])
    target, weight = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([[1.0, 0.0]] * 3)
    y = output.sigmoid()
    expected = ((1 - y[0]) ** 2 + (1 - y[1]) ** 2 + y[2] ** 2) / (2 * 3)
    assert torch.allclose(method.loss(output, target, weight), expected[0])


def test_topaz_has_the_layers_of_its_paper():
    network = picker_method("topaz").build()
    convolutions = [m for m in network if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in convolutions] == [
        (32, 7, 2),
        (64, 5, 2),
        (128, 5, 1),
        (1, 1, 1),
    ]
    assert [type(m) for m in network] == [nn.Conv2d, nn.BatchNorm2d, nn.PReLU] * 3 + [nn.Conv2d]
    by_hand = (7 * 7 * 32 + 2 * 32 + 1) + (5 * 5 * 32 * 64 + 2 * 64 + 1) + (5 * 5 * 64 * 128 + 2 * 128 + 1) + (128 + 1)
    assert weights(network) == by_hand == 258148
    # each answer sees 7 + 2 * 4 + 4 * 4 = 31 px
    assert network(torch.zeros(2, 1, 31, 31)).shape == (2, 1, 1, 1)
    with pytest.raises(RuntimeError):
        network(torch.zeros(2, 1, 30, 30))


def test_eman2_is_two_networks_of_large_kernels():
    network = picker_method("eman2").build()
    seen = sides(network.background, torch.zeros(1, 1, 64, 64))
    assert [(c, s) for _, c, s in seen] == [(40, 64), (40, 32), (40, 32), (1, 32)]
    assert all(m.kernel_size == (15, 15) for m, *_ in seen if isinstance(m, nn.Conv2d))
    one = (15 * 15 * 40 + 40) + (15 * 15 * 40 * 40 + 40) + (15 * 15 * 40 + 1)
    assert weights(network.background) == weights(network.contamination) == one == 378081
    assert weights(network) == 2 * one


def test_cryolo_has_the_sixteen_convolutions_of_its_paper():
    network = picker_method("cryolo").build()
    seen = sides(network, torch.zeros(1, 1, 32, 48))
    convolutions = [(m, c) for m, c, _ in seen if isinstance(m, nn.Conv2d)]
    assert [c for _, c in convolutions] == [
        32,
        64,
        128,
        64,
        128,
        256,
        128,
        256,
        512,
        256,
        512,
        256,
        512,
        1024,
        512,
        1024,
        5,
    ]
    assert [n for n, (m, _) in enumerate(convolutions, 1) if m.kernel_size == (1, 1)] == [4, 7, 10, 12, 15, 17]
    order = [isinstance(m, nn.MaxPool2d) for m, *_ in seen]
    before = [sum(not p for p in order[:i]) for i, pool in enumerate(order) if pool]
    assert before == [1, 2, 5, 8] and seen[-1][2] == 2
    assert [m.negative_slope for m in network if isinstance(m, nn.LeakyReLU)] == [0.1] * 16
    assert [m.p for m in network if isinstance(m, nn.Dropout)] == [0.2]


def test_cryolo_has_the_weights_counted_by_hand():
    squares = (
        1 * 32
        + 32 * 64
        + 64 * 128
        + 64 * 128
        + 128 * 256
        + 128 * 256
        + 256 * 512
        + 256 * 512
        + 256 * 512
        + 512 * 1024
        + 512 * 1024
    )  # the 3x3 convolutions
    points = 128 * 64 + 256 * 128 + 512 * 256 + 512 * 256 + 1024 * 512  # the 1x1 ones
    channels = 32 + 64 + 128 + 64 + 128 + 256 + 128 + 256 + 512 + 256 + 512 + 256 + 512 + 1024 + 512 + 1024
    head = 1024 * 5 + 5
    assert weights(picker_method("cryolo").build()) == 9 * squares + points + 2 * channels + head
