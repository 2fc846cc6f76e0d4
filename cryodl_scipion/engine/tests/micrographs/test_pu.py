# SPDX-License-Identifier: GPL-3.0-or-later
"""Learning from positive and unlabelled positions, against values computed by hand."""

import math

import numpy as np
import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.contract import PU_CRITERIA
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.method import CRITERIA, count_penalty, generalised_expectation, non_negative_risk
from cryodl.micrographs.pickers.train import PickerTask

SHAPE = (256, 256)
POSITIVES = np.array([[60.0, 60.0], [60.0, 180.0], [180.0, 120.0]])


def sparse(positives=POSITIVES, expected=10.0, labels="sparse"):
    image = 4 * gaussian_blobs(SHAPE, POSITIVES, 4) + 0.1 * np.random.default_rng(0).standard_normal(SHAPE)
    return LabelledImage(
        "a",
        torch.from_numpy(image.astype(np.float32)),
        torch.ones(SHAPE, dtype=torch.bool),
        positives,
        np.zeros((0, 2)),
        labels,
        expected=expected,
    )


def test_criteria_are_those_of_the_contract():
    assert tuple(CRITERIA) == PU_CRITERIA


def test_the_penalty_of_two_places_is_that_computed_by_hand():
    """Scores 0.5 and 0.5: mean 1, variance 0.5, so 0, 1, 2 particles have weights exp(-1), 1, exp(-1)."""
    normal = np.array([math.exp(-1), 1, math.exp(-1)])
    normal /= normal.sum()
    binomial = np.array([0.9**2, 2 * 0.9 * 0.1, 0.1**2])
    expected = -(normal * np.log(binomial)).sum()
    assert float(count_penalty(torch.tensor([0.5, 0.5]), 0.1)) == pytest.approx(expected, rel=1e-4)


def test_the_penalty_is_smallest_at_the_expected_number():
    numbers = np.arange(0, 40)
    penalties = [
        float(count_penalty(torch.cat([torch.full((n,), 0.99), torch.full((200 - n,), 1e-4)]), 0.1)) for n in numbers
    ]
    assert abs(numbers[int(np.argmin(penalties))] - 20) <= 1


def test_the_penalty_is_added_and_known_places_are_no_part_of_it():
    logits = torch.zeros(1, 1, 2, 2)
    unlabelled = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    target, known = 1 - unlabelled, 1 - unlabelled
    penalty = count_penalty(torch.tensor([0.5, 0.5]), 0.1)
    value = generalised_expectation(0.1, torch.tensor(2.0), logits, target, known, unlabelled)
    assert torch.allclose(value, 2.0 + penalty)
    nothing = generalised_expectation(0.1, torch.tensor(2.0), logits, target, known, torch.zeros_like(unlabelled))
    assert float(nothing) == 2.0


def test_the_non_negative_risk_is_that_computed_by_hand():
    logits = torch.tensor([[0.0], [0.0], [2.0]])  # one positive, two unlabelled
    target, known = torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[1.0], [0.0], [0.0]])
    labelled = math.log(2)
    as_negative = (math.log(2) + math.log(1 + math.exp(2))) / 2
    value = non_negative_risk(0.3, torch.tensor(labelled), logits, target, known, 1 - known)
    assert float(value) == pytest.approx(0.3 * labelled + as_negative - 0.3 * math.log(2), rel=1e-5)


def test_a_negative_risk_turns_the_step_round():
    logits = torch.tensor([[5.0], [-6.0]], requires_grad=True)  # learnt by heart: R- is smaller than possible
    target = known = torch.tensor([[1.0], [0.0]])
    value = non_negative_risk(0.3, torch.tensor(0.0), logits, target, known, 1 - known)
    value.backward()
    assert value.item() > 0 and float(logits.grad[1, 0]) < 0 < float(logits.grad[0, 0])  # the unlabelled one may rise


def test_the_prior_counts_what_is_expected_beyond_the_labels():
    """7 particles more than labelled in 256 x 256 px, each as large as the spot that stands for a particle."""
    method = picker_method("unet")
    assert method.spot_area == pytest.approx(2 * math.pi * 3.2**2)
    assert method.prior([sparse(expected=10.0)]) == pytest.approx(7 * method.spot_area / 256**2)
    assert picker_method("topaz").prior([sparse()]) == pytest.approx(7 * math.pi * 9 / 256**2)
    assert picker_method("cryolo").prior([sparse()]) == pytest.approx(7 / 16**2)
    assert method.prior([sparse(expected=None)]) == method.prior([sparse(expected=2.0)]) == 1e-4
    assert method.prior([sparse(expected=1e6)]) == 0.5


@pytest.mark.parametrize("criterion", PU_CRITERIA)
@pytest.mark.parametrize("name", ["unet", "deeppicker", "deepem", "topaz", "eman2", "cryolo"])
def test_every_network_takes_sparse_labels(name, criterion):
    torch.manual_seed(0)
    method = picker_method(name)
    crops = 8 if name == "eman2" else 4  # gradients of 15x15 kernels are slow for smaller batches on CPUs
    task = PickerTask(method, method.build(), [sparse()], [sparse()], crops, torch.device("cpu"), criterion)
    image, target, weight = task.batch(np.random.default_rng(0))
    output = task.networks["picker"](image.contiguous(memory_format=torch.channels_last))
    loss = method.loss(output.float(), target, weight)
    loss.backward()
    gradient = sum(float(p.grad.abs().sum()) for p in task.networks.parameters() if p.grad is not None)
    assert torch.isfinite(loss) and math.isfinite(gradient) and gradient > 0
    assert method.unlabelled_loss.args[0] == method.prior([sparse()])


def test_with_other_labels_there_is_no_criterion_for_unlabelled_places():
    method = picker_method("topaz")
    PickerTask(method, method.build(), [sparse(labels="complete")], [sparse(labels="complete")], 2, torch.device("cpu"))
    assert method.unlabelled_loss is None


def test_unlabelled_places_of_a_heat_map_are_all_that_no_label_covers():
    method = picker_method("unet")
    _, target, weight = method.example(sparse(), np.random.default_rng(1))
    assert weight.shape == (2, 80, 80) and target.shape == (1, 80, 80)
    assert float((weight[0] * weight[1]).max()) == 0 and float(weight[1].mean()) > 0.3
    assert float((target[0] * weight[1]).max()) < 0.01
