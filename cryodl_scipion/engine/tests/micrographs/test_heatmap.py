# SPDX-License-Identifier: GPL-3.0-or-later
"""What the network learns: the spot of a label lies where the label is, and only known positions count."""

import numpy as np
import pytest
import torch

from cryodl.core.geometry import map_positions
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.heatmap import HeatmapPicker

NOTHING = torch.zeros(0, 2)


class Method(HeatmapPicker):
    working_diameter, build = 24.0, None  # what it learns is asked, not the network


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_the_spot_lies_on_the_label_in_the_geometry_of_the_grid(stride):
    """frames.py decides where a cell lies, geometry.py computes it; the target must agree with both."""
    label = np.array([[37.0, 52.5]])
    target, weight = Method().target(torch.tensor(label), NOTHING, (96 // stride, 128 // stride), stride, True)
    cells = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in target.shape), indexing="ij"), -1)
    mean = (cells * target[..., None]).sum((0, 1)) / target.sum()
    expected = map_positions(label, (96, 128), (96 // stride, 128 // stride))[0]
    assert np.allclose(mean, expected, atol=0.05) and torch.equal(weight, torch.ones_like(target))


def test_a_label_on_the_centre_of_a_cell_gives_exactly_one():
    target, _ = Method().target(torch.tensor([[20.5, 30.5]]), NOTHING, (40, 40), 2, True)
    assert float(target[10, 15]) == 1.0 and float(target.max()) == 1.0 and int(target.argmax()) == 10 * 40 + 15


def test_of_two_near_labels_each_place_takes_the_nearer():
    labels = torch.tensor([[20.5, 30.5], [20.5, 44.5]])
    both, _ = Method().target(labels, NOTHING, (40, 40), 2, True)
    single = [Method().target(labels[i : i + 1], NOTHING, (40, 40), 2, True)[0] for i in (0, 1)]
    assert torch.allclose(both, torch.maximum(*single))


def test_without_dense_labels_only_circles_around_labels_count():
    positives, negatives = torch.tensor([[30.0, 30.0]]), torch.tensor([[60.0, 90.0]])
    target, weight = Method().target(positives, negatives, (48, 64), 2, False)
    assert set(weight.unique().tolist()) == {0.0, 1.0}
    assert weight[15, 15] == 1 and weight[30, 45] == 1 and weight[5, 60] == 0 and weight[30, 15] == 0
    assert target[30, 45] < 1e-3 and target[15, 15] > 0.9
    rows, columns = weight.nonzero().T
    distance = torch.minimum(
        torch.hypot(rows * 2 + 0.5 - 30.0, columns * 2 + 0.5 - 30.0),
        torch.hypot(rows * 2 + 0.5 - 60.0, columns * 2 + 0.5 - 90.0),
    )
    assert float(distance.max()) < 24.0  # never further than a diameter


def test_no_label_is_all_background_or_all_unknown():
    for dense, expected in ((True, 1.0), (False, 0.0)):
        target, weight = Method().target(NOTHING, NOTHING, (10, 12), 2, dense)
        assert float(target.max()) < 1e-6 and torch.equal(weight, torch.full((10, 12), expected))


def test_the_loss_is_zero_for_a_perfect_answer_and_grows_with_the_error():
    target = torch.zeros(1, 1, 20, 20)
    target[0, 0, 10, 10] = 1.0
    weight = torch.ones_like(target)
    losses = [float(Method().loss((target * 2 - 1) * sureness, target, weight)) for sureness in (12, 3, 0, -3)]
    assert losses[0] < 0.01 and losses == sorted(losses)


def test_places_without_weight_do_not_teach():
    logits = torch.randn(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target, weight = torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20)
    target[..., 5, 5] = weight[..., 5, 5] = 1.0
    Method().loss(logits, target, weight).backward()
    assert logits.grad.nonzero()[:, 2:].tolist() == [[5, 5]] and float(logits.grad[0, 0, 5, 5]) < 0


def test_scores_are_chances():
    scores = Method().scores(torch.tensor([-100.0, 0.0, 100.0], dtype=torch.bfloat16).reshape(1, 1, 1, 3))
    assert scores.dtype == torch.float32 and torch.allclose(scores.ravel(), torch.tensor([0.0, 0.5, 1.0]))


def test_where_labels_are_sparse_each_position_is_known_or_unlabelled_and_counts_once():
    image, rng, labelled = torch.zeros(400, 400), np.random.default_rng(0), 0.0
    item = LabelledImage("m", image, image == 0, np.array([[200.0, 200.0]]), np.zeros((0, 2)), labels="sparse")
    for _ in range(12):
        _, target, (known, unlabelled) = Method().example(item, rng)
        assert float((known + unlabelled).max()) == 1 and float((known * unlabelled).max()) == 0
        assert float((target[0] * unlabelled).max()) < 0.5, "no spot of a label is unlabelled"
        labelled += float(known.sum())
    assert labelled > 0


@pytest.mark.parametrize("known", [True, False])
def test_where_the_size_is_known_each_place_learns_its_logarithm(known):
    image = torch.zeros(400, 400)
    item = LabelledImage(
        "m", image, image == 0, np.array([[200.0, 200.0]]), np.zeros((0, 2)), size=1.5, teaches_size=known
    )
    _, target, _ = Method().example(item, np.random.default_rng(0))
    assert len(target) == 2 and float(target[1].nan_to_num(0).std()) < 1e-6
    # crops change their size by a twelfth at most
    assert torch.isfinite(target[1]).all() == known and (
        not known or abs(float(target[1].exp().mean()) / 1.5 - 1) < 0.1
    )
