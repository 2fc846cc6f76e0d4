# SPDX-License-Identifier: GPL-3.0-or-later
"""Probabilities are calibrated, the unknown class takes the part of the known ones that was asked for, and metrics are
those computed by hand."""

import numpy as np
import pytest
import torch

from cryodl.tomograms.classifiers.confusion import against_ground_truth, check_ground_truth
from cryodl.tomograms.classifiers.likelihood import class_statistics, confidences, held_out_statistics
from cryodl.tomograms.classifiers.method import Prediction
from cryodl.tomograms.classifiers.rejection import (
    MAXIMUM,
    default_fraction,
    fit_feature_statistics,
    fit_temperature,
    kept_confidences,
    threshold,
    typicality,
)
from cryodl.tomograms.classifiers.train import card_warnings, interval, validated


def test_the_temperature_makes_overconfident_logits_true():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (4000, 3))
    chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=p) for p in chance])
    assert fit_temperature(torch.from_numpy(5 * logits), labels) == pytest.approx(5, rel=0.1)


def test_about_the_asked_part_of_known_ones_is_unknown():
    rng = np.random.default_rng(1)
    known = kept_confidences(rng.normal(size=400))
    new = rng.normal(size=20000)
    for fraction in (0.02, 0.1, 0.5):
        # over many sets of 400 exactly the fraction; of one of them its standard deviation is sqrt(f (1 - f) / 400)
        spread = (fraction * (1 - fraction) / 400) ** 0.5
        assert (new <= threshold(known, fraction)).mean() == pytest.approx(fraction, abs=3 * spread)


def test_none_is_unknown_without_enough_to_compare_with():
    assert threshold([1.0, 2.0, 3.0], 0.0) == float("-inf") and threshold([1.0, 2.0, 3.0], 0.2) == float("-inf")
    assert threshold([1.0, 2.0, 3.0], 0.25) == 1.0 and threshold([1.0, 2.0, 3.0], 0.9) == 3.0


def test_without_a_number_two_per_cent_are_unknown_or_what_so_few_can_tell_and_none_of_very_few():
    assert [default_fraction(n) for n in (2000, 49, 24, 19, 18, 0)] == [0.02, 0.02, 1 / 25, 0.05, 0, 0]


def test_confidences_of_those_that_taught_what_is_usual_are_as_low_as_those_of_new_ones():
    rng, parts = np.random.default_rng(2), []
    for _ in range(60):  # five classes, ten validation subtomograms of each, as many as people have
        labels = torch.arange(5).repeat(10)
        means = torch.from_numpy(rng.uniform(-50, 50, (5, 2)))
        drawn = lambda: tuple((means[labels] + torch.from_numpy(rng.standard_t(5, (50, 2)))).unbind(1))
        seen, new = drawn(), drawn()
        usual = class_statistics(*seen, labels, 5)
        known = [confidences(*seen, held_out_statistics(*seen, labels)), confidences(*seen, usual[labels])]
        minimum = [threshold(kept_confidences(values), 0.04) for values in known]
        parts.append([(confidences(*new, usual[labels]).numpy() <= value).mean() for value in minimum])
    held_out, as_they_are = np.mean(parts, axis=0)
    assert held_out < 0.05 and as_they_are > 0.07  # of 0.04 that were asked for


def test_the_only_one_of_its_class_is_judged_by_itself():
    values, labels = torch.tensor([1.0, 5.0, 7.0]), torch.tensor([0, 1, 1])
    assert held_out_statistics(values, values, labels)[:, 0].tolist() == [1.0, 7.0, 5.0]


def test_every_class_with_few_to_validate_with_is_named():
    metrics = dict(confusion=[[12, 0, 0], [0, 3, 1], [0, 0, 9]], number=25, interval=[0.8, 1.0], accuracy=0.96)
    (said,) = card_warnings(dict(validation=metrics, classes=["one", "two", "three"]))
    assert "two has only 4, three has only 9 subtomograms to validate with" in said


def test_a_card_keeps_a_bounded_number_of_confidences():
    kept = kept_confidences(np.arange(50000)[::-1])
    assert len(kept) == MAXIMUM and kept == sorted(kept) and (kept[0], kept[-1]) == (0, 49999)


def test_validation_metrics_are_those_counted_by_hand():
    logits = torch.tensor([[4.0, 0, 0], [0, 4, 0], [0, 4, 0], [0, 0, 4]])
    _, metrics = validated(Prediction(logits, torch.tensor([3.0, 1, 2, 0])), np.array([0, 1, 2, 2]))
    assert metrics["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 1, 1]] and metrics["accuracy"] == 0.75
    assert metrics["interval"] == pytest.approx([0.3006, 0.9544], abs=1e-3)  # Wilson's of 3 in 4
    _, right = validated(Prediction(logits[[0, 1, 3]], torch.zeros(3)), np.arange(3))
    assert right["accuracy"] == 1 and right["interval"] == pytest.approx([3 / (3 + 1.96**2), 1], abs=1e-4)
    assert interval(1.0, 30)[0] == pytest.approx(0.886, abs=1e-3) and interval(0.0, 30)[1] == pytest.approx(
        0.114, abs=1e-3
    )
    assert metrics["unknown_confidence"] == [0, 1, 2, 3] and metrics["number"] == 4


def test_a_large_class_that_alone_is_right_does_not_decide_the_mean_of_the_classes():
    logits = torch.eye(2)[torch.zeros(10, dtype=torch.int64)]
    _, metrics = validated(Prediction(logits, torch.zeros(10)), np.array([0] * 8 + [1] * 2))
    assert metrics["accuracy"] == 0.8 and metrics["balanced_accuracy"] == 0.5


def test_the_confusion_matrix_has_a_row_for_others_and_a_column_for_unknown():
    class Set:
        path, classes = "s.star", np.array([2, 2, 5, 9, 0])

    card = dict(classes=["a", "b"], class_numbers=[2, 5])
    matrix, rows, accuracy = against_ground_truth(Set, card, np.array([2, 0, 2, 0, 5]))
    assert matrix.tolist() == [[1, 0, 1], [1, 0, 0], [0, 1, 1]] and rows == ["a", "b", "others"]
    assert accuracy == pytest.approx(1 / 3)
    Set.classes = np.array([1, 1, 1, 1, 1])
    with pytest.raises(ValueError, match="None of the classes of s.star .*: 1. is one of the model's: 2, 5"):
        check_ground_truth(Set, card)


def test_what_lies_off_the_learnt_features_is_far():
    rng = torch.Generator().manual_seed(0)
    means = torch.tensor([[5.0, 0, 0, 0, 0, 0], [0, 5.0, 0, 0, 0, 0]])
    labels = torch.arange(400) % 2
    scale = torch.tensor([2.0, 0.5, 0.1, 0.1, 0.1, 0.1])
    features = means[labels] + scale * torch.randn(400, 6, generator=rng)
    known = fit_feature_statistics(features, labels)
    near = typicality(
        torch.stack(
            [means[0], means[0] + torch.tensor([4.0, 0, 0, 0, 0, 0]), means[0] + torch.tensor([0, 0, 0, 4.0, 0, 0])]
        ),
        known,
    )
    # along the widest axis 4 is two standard deviations, across it forty
    assert near[0] > -0.1 and near[1] == pytest.approx(-4, rel=0.3) and near[2] == pytest.approx(-1600, rel=0.3)
    inside = -typicality(features, known).mean()
    assert inside == pytest.approx(6, rel=0.1)  # the mean squared distance is the number of features


def test_few_subtomograms_with_many_features_can_be_learnt():
    features = torch.relu(torch.randn(6, 1024, generator=torch.Generator().manual_seed(1)))
    known = fit_feature_statistics(features, torch.tensor([0, 0, 0, 1, 1, 1]))
    assert all(torch.isfinite(value).all() for value in known.values())
    assert typicality(features, known).min() > typicality(10 * features, known).max()
