# SPDX-License-Identifier: GPL-3.0-or-later
"""One training step of a denoiser, on pairs of which everything is known."""

import numpy as np
import pytest
import torch
from denoiser_task_data import task_of

from cryodl.learning.processes import accelerator_for


def weights(network):
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])


def test_a_few_steps_bring_the_output_nearer_to_the_truth():
    task, accelerator = task_of("swinconv", batch_size=8), accelerator_for(torch.device("cpu"))
    with torch.no_grad():
        before = task.validate()
    for step in range(30):
        task.progress = 1.0
        task.networks.train()
        task.train_step(task.batch(np.random.default_rng(step)), accelerator)
    task.networks.eval()
    with torch.no_grad():
        after = task.validate()
    assert after["metric"] > before["metric"] and after["loss"] < before["loss"]
    assert after["frc_raw"] == before["frc_raw"] < 0  # the CTF turns the raw image's sign


@pytest.mark.parametrize("name, adversarial", [("cgan", None), ("swinconv", 3.0)])
def test_with_a_discriminator_both_networks_learn(name, adversarial):
    task = task_of(name, adversarial=adversarial, batch_size=2)
    before = {key: weights(network) for key, network in task.networks.items()}
    losses = task.train_step(task.batch(np.random.default_rng(0)), accelerator_for(torch.device("cpu")))
    assert set(losses) == {"loss", "verdict", "discriminator"} and all(torch.isfinite(v) for v in losses.values())
    assert all(not torch.equal(before[key], weights(network)) for key, network in task.networks.items())
    assert all(p.requires_grad for p in task.networks["discriminator"].parameters())


def test_without_a_weight_there_is_no_discriminator():
    assert set(task_of("swinconv").networks) == {"denoiser"}
    alone = task_of("cgan", adversarial=0.0)
    assert set(alone.networks) == set(alone.optimizers) == {"denoiser"}
    assert task_of("cgan").batch_size == 1 and task_of("swinconv").batch_size == 16


def test_the_discriminators_verdict_reaches_the_network():
    """With a huge weight it alone decides: the network must then move, though the distance has no say."""
    task = task_of("swinconv", adversarial=1000.0, batch_size=2)
    task.distance = lambda output, target: 0.0 * output.mean()
    before = weights(task.networks["denoiser"])
    task.train_step(task.batch(np.random.default_rng(0)), accelerator_for(torch.device("cpu")))
    assert not torch.equal(before, weights(task.networks["denoiser"]))


def test_some_images_are_blank_with_nothing_to_be_found():
    task = task_of("swinconv", batch_size=400)
    task.progress = 1.0
    noisy, _, target = task.batch(np.random.default_rng(0))
    empty = target.abs().amax((1, 2, 3)) == 0
    assert 10 < int(empty.sum()) < 45  # 1 in 16
    middle = noisy[:, 0, 12:20, 12:20].mean((1, 2))
    assert middle[~empty].max() < 0 and abs(float(middle[empty].mean())) < 0.1  # dots are dark through this CTF
    assert not task_of("cgan").method.blanks


def test_the_signal_is_stronger_at_first_and_as_measured_in_the_end():
    task = task_of("swinconv", batch_size=200)

    def strength(progress):
        task.progress = progress
        noisy, _, target = task.batch(np.random.default_rng(5))
        particle = target.abs().amax((1, 2, 3)) > 0
        return float(-(noisy * target)[particle].sum() / target[particle].square().sum())

    plain = strength(1.0)
    assert plain == pytest.approx(0.3, rel=0.05) and strength(task.method.boosted) == plain
    # factors are spread evenly in their logarithm: their mean is (k - 1) / ln k
    assert strength(0.0) == pytest.approx(0.3 * 4 / np.log(5), rel=0.1)
    assert plain < strength(0.3) < strength(0.0)


def test_the_same_rng_gives_the_same_batch():
    task = task_of("swinconv", batch_size=8)
    for a, b in zip(*(task.batch(np.random.default_rng(3)) for _ in range(2))):
        assert torch.equal(a, b)
