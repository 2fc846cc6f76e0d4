# SPDX-License-Identifier: GPL-3.0-or-later
"""Every denoiser takes every box, and the published one has the layers, sizes and numbers of weights that it should."""

import pytest
import torch
from torch import nn

from cryodl.contract.networks import DENOISER_NETWORKS
from cryodl.learning.networks import window_side
from cryodl.particles.denoisers import denoiser_method
from cryodl.particles.denoisers.cgan import GeneratorUNet, depth
from cryodl.particles.denoisers.discriminator import Bottleneck, Convolution, PatchDiscriminator, map_side
from cryodl.particles.denoisers.method import load_network
from cryodl.particles.denoisers.swinconv import WINDOW, ImageAttention, ImageSwinConvBlock, fold_plan

LEARNT = tuple(name for name in DENOISER_NETWORKS if name != "posterior")  # by gradients


def weights(network):
    return sum(p.numel() for p in network.parameters())


def test_the_registry_holds_the_networks_of_the_contract():
    assert [denoiser_method(name).name for name in DENOISER_NETWORKS] == list(DENOISER_NETWORKS)
    assert set(LEARNT) >= {"swinconv", "cgan"}
    with pytest.raises(ValueError, match="'unet' is unknown; choose one of: .*swinconv, cgan"):
        denoiser_method("unet")


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("box", [32, 50, 64, 100, 128, 180, 256, 384, 512])
def test_every_network_takes_every_box(name, box):
    with torch.device("meta"):  # shapes without numbers
        network = denoiser_method(name).build(box)
        assert network(torch.empty(2, 1, box, box)).shape == (2, 1, box, box)


@pytest.mark.parametrize("name", LEARNT)
def test_every_network_learns_from_a_gradient_that_reaches_all_of_its_weights(name):
    torch.manual_seed(0)
    method = denoiser_method(name)
    network = method.build(32).train()
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    silent = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a window of 4 x 4 uses a part of the biases of the largest one, and a key's bias cancels in the softmax
    assert not silent


@pytest.mark.parametrize(
    "box, expected",
    [
        (32, (4, 1, 32)),
        (64, (4, 2, 64)),
        (100, (4, 2, 112)),
        (128, (4, 3, 128)),
        (256, (4, 4, 256)),
        (512, (8, 4, 512)),
    ],
)
def test_the_default_networks_grid_stays_small_and_ends_with_a_handful_of_places(box, expected):
    fold, levels, side = fold_plan(box)
    assert (fold, levels, side) == expected
    assert side // fold <= 64 and 4 <= side // fold // 2**levels < 8


def test_weights_of_another_box_are_refused():
    method = denoiser_method("swinconv")
    state = method.build(64).state_dict()
    load_network(method, 64, state, "m")
    with pytest.raises(ValueError, match="weights of m do not fit the network swinconv for a box of 32 px"):
        load_network(method, 32, state, "m")


def test_attention_stays_within_its_window_and_shifted_windows_join_neighbours():
    torch.manual_seed(0)
    for shifted, reached in ((False, {(0, 0)}), (True, {(0, 0), (0, 1), (1, 0), (1, 1)})):
        layer = ImageAttention(16, shifted)
        layer.bias.data.normal_()
        with torch.no_grad():
            x = torch.randn(1, 16, 16, 16)
            other = x.clone()
            other[0, 7, 7] += 5.0 * torch.randn(16)
            changed = (layer(x) - layer(other)).abs().amax(-1)[0] > 1e-6
        assert {(y // 8, x // 8) for y, x in changed.nonzero().tolist()} == reached


def test_windows_tile_any_grid():
    assert [window_side(n, WINDOW) for n in (4, 7, 8, 10, 12, 14, 16, 56, 64)] == [4, 7, 8, 5, 6, 7, 8, 8, 8]
    for grid in (4, 7, 10):
        assert ImageSwinConvBlock(32, True)(torch.randn(1, 32, grid, grid)).shape == (1, 32, grid, grid)


def convolutions(network):
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    layers = [m for stage in network for m in stage.children() if isinstance(m, kinds)]
    return [
        (
            next(kind for kind in kinds if isinstance(m, kind)),
            m.in_channels,
            m.out_channels,
            m.kernel_size[0],
            m.stride[0],
        )
        for m in layers
    ]


def test_the_published_generator_has_the_published_layers():
    network = GeneratorUNet(256)
    widths = (64, 128, 256, 512, 512, 512)
    assert convolutions(network.encoder) == [(nn.Conv2d, a, b, 4, 2) for a, b in zip((1, *widths), widths)]
    backwards = zip(widths[:0:-1], widths[-2::-1])
    assert convolutions(network.decoder) == [(nn.ConvTranspose2d, a, b, 4, 2) for a, b in backwards]
    assert [len(stage) for stage in network.encoder_blocks] == [3, 3, 3, 3, 2, 0]
    assert [len(stage) for stage in network.decoder_blocks] == [2, 3, 3, 3, 3]
    kernels = [m.kernel_size[0] for m in Bottleneck(512).modules() if isinstance(m, nn.Conv2d)]
    narrow = [m.out_channels for m in Bottleneck(512).modules() if isinstance(m, nn.Conv2d)]
    assert kernels == [1, 4, 1] and narrow == [128, 128, 512]
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())


@pytest.mark.parametrize("size, stride, padding, side", [(4, 1, 0, 8), (4, 2, 1, 8), (1, 1, 0, 8), (4, 2, 1, 64)])
def test_the_fast_convolution_is_the_usual_one(size, stride, padding, side):
    torch.manual_seed(0)
    fast = Convolution(256, 512, size, stride, padding, bias=False)
    usual = nn.Conv2d(256, 512, size, stride, padding, bias=False)
    usual.load_state_dict(fast.state_dict())
    x = torch.randn(2, 256, side, side)
    answers = []
    for layer in (fast, usual):
        seen = x.clone().requires_grad_()
        answer = layer(seen)
        answer.square().mean().backward()
        answers.append((answer.detach(), seen.grad, layer.weight.grad))
    for mine, known in zip(*answers):
        torch.testing.assert_close(mine, known, rtol=1e-4, atol=1e-5 * float(known.abs().max()))


def test_its_skips_are_what_was_normalised_before_elu_and_blocks_and_are_added():
    torch.manual_seed(0)
    network = GeneratorUNet(32).eval()
    seen = {}
    network.encoder[0][1].register_forward_hook(lambda m, given, out: seen.__setitem__("skip", out))
    network.decoder[-1].register_forward_hook(lambda m, given, out: seen.__setitem__("up", out))
    network.decoder_blocks[-1].register_forward_hook(lambda m, given, out: seen.__setitem__("sum", given[0]))
    with torch.no_grad():
        output = network(100 * torch.randn(3, 1, 32, 32))
    assert torch.equal(seen["sum"], nn.functional.elu(seen["skip"] + seen["up"]))
    assert 0 < output.abs().max() <= 1


def test_one_particles_answer_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    network, images = GeneratorUNet(32), torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        together, alone = network.train()(images), network.eval()(images[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_the_condition_is_an_8_bit_image_between_minus_one_and_one():
    images = torch.randn(2, 1, 32, 32) * torch.tensor([1.0, 50.0])[:, None, None, None]
    given = GeneratorUNet(32).prepare(images, None)
    assert torch.equal(given.amin((1, 2, 3)), -torch.ones(2)) and torch.equal(given.amax((1, 2, 3)), torch.ones(2))
    levels = (given + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3
    assert torch.isfinite(GeneratorUNet(32).prepare(torch.zeros(1, 1, 32, 32), None)).all()


@pytest.mark.parametrize("box, layers, smallest", [(32, 3, 4), (64, 4, 4), (128, 5, 4), (256, 6, 4), (512, 6, 8)])
def test_its_depth_follows_the_box(box, layers, smallest):
    assert depth(box) == layers and box // 2**layers == smallest


# a bottleneck block of c channels, c / 4 inside: c^2 / 4 + 16 c^2 / 16 + c^2 / 4 weights, and norms of c / 4, c / 4 and
# c channels
BLOCK = {64: 6144 + 192, 128: 24576 + 384, 256: 98304 + 768, 512: 393216 + 1536}
NORM = {c: 2 * c for c in BLOCK}


def test_the_generator_has_the_weights_counted_by_hand():
    up = {(a, b): 16 * a * b + NORM[b] for a in BLOCK for b in BLOCK}
    shared = 2 * up[512, 512] + 3 * (BLOCK[64] + BLOCK[128] + BLOCK[256] + BLOCK[512]) + 2 * BLOCK[512]
    encoder = 16 * 64 + NORM[64] + up[64, 128] + up[128, 256] + up[256, 512] + shared
    decoder = up[512, 256] + up[256, 128] + up[128, 64] + (16 * 64 + 1) + shared
    assert weights(GeneratorUNet(256)) == encoder + decoder


def test_the_discriminator_decides_on_26_by_26_patches_and_has_the_weights_counted_by_hand():
    with torch.device("meta"):
        assert PatchDiscriminator()(torch.empty(1, 1, 256, 256), torch.empty(1, 1, 256, 256)).shape == (1, 1, 26, 26)
    widths = (2, 64, 128, 256, 512, 512)
    count = sum(16 * a * b + NORM[b] for a, b in zip(widths, widths[1:]))
    count += 2 * BLOCK[64] + 2 * BLOCK[128] + 3 * BLOCK[256] + 2 * BLOCK[512] + (16 * 512 + 1)
    assert weights(PatchDiscriminator()) == count
    assert [map_side(box) for box in (64, 128, 256, 512)] == [2, 10, 26, 58]


@pytest.mark.parametrize("box", [32, 50, 64, 100])
def test_the_discriminator_judges_a_single_small_particle(box):
    torch.manual_seed(0)
    judge = PatchDiscriminator(box).train()
    logits = judge(torch.randn(1, 1, box, box), torch.randn(1, 1, box, box))
    assert logits.shape[-1] > 1 and torch.isfinite(logits).all()


def test_the_published_rates_and_batches():
    method = denoiser_method("cgan")
    generator = method.optimizer(method.build(32))
    judge = method.discriminator_optimizer(PatchDiscriminator(32))
    assert (method.batch_size, method.adversarial, method.learning_rate) == (1, 1.0, 4e-4)
    assert method.learning_rate * judge.param_groups[0]["factor"] == pytest.approx(1.5e-4)
    assert generator.defaults["betas"][0] == judge.defaults["betas"][0] == 0.5
    assert method.default_steps(1000) == 21 * 1000
