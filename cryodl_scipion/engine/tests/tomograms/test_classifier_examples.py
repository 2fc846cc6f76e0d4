# SPDX-License-Identifier: GPL-3.0-or-later
"""Labelled subtomograms: classes that cannot be learnt are refused, and tomograms are kept apart where they can be."""

from types import SimpleNamespace

import numpy as np
import pytest

from cryodl.tomograms.classifiers.examples import FOLDS, folds, labelled, split


class Stub(SimpleNamespace):
    """As much of a SubtomogramSet as is needed."""

    def __len__(self):
        return len(self.classes)

    def subset(self, rows):
        return stub(self.classes[rows], tuple(np.array(self.names)[rows]))


def stub(classes, names=None):
    names = names or tuple(f"{n}.mrc" for n in range(len(classes)))
    files = np.array([name.rpartition("@")[2] for name in names], object)
    numbers = np.array([int(name.rpartition("@")[0] or 1) - 1 for name in names])
    return Stub(path="s.star", classes=np.array(classes), names=names, files=files, numbers=numbers)


def test_classes_get_labels_in_the_order_of_their_numbers():
    found, labels, numbers, names, notes = labelled(stub([7, 2, 7, 2, 0]), ("small", "large"))
    assert labels.tolist() == [1, 0, 1, 0] and numbers == (2, 7) and names == ("small", "large")
    assert len(found) == 4 and "1 of 5 subtomograms of s.star have no class" in notes[0]
    assert labelled(stub([1, 3, 1, 3]))[3] == ("class 1", "class 3")


@pytest.mark.parametrize(
    "classes, names, words",
    [
        ([1, 1, 1], (), "only the class 1 .* at least two are needed"),
        ([0, 0], (), "no class .* at least two are needed"),
        ([1, 1, 2], (), "1 subtomogram of class 2 .* each class needs at least 2"),
        ([1, 1, -1, 2, 2], (), "a class .* of -1"),
        ([1, 1, 2, 2], ("a",), "1 names of classes .*: a; s.star has 2 classes: 1, 2"),
        ([1, 1, 2, 2], ("a", "a"), "must be different"),
        ([1, 1, 2, 2], ("a", "unknown"), "not 'unknown'"),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused(classes, names, words):
    with pytest.raises(ValueError, match=words):
        labelled(stub(classes), names)


def test_a_subtomogram_that_is_listed_twice_is_named():
    with pytest.raises(ValueError, match="s.star lists 1 subtomograms .* such as b.mrc, 2 times"):
        labelled(stub([1, 2, 1, 2, 1], ("a.mrc", "b.mrc", "c.mrc", "d.mrc", "b.mrc")))
    with pytest.raises(ValueError, match="such as 1@a.mrcs, 2 times"):  # spelt in two ways
        labelled(stub([1, 2, 1, 2], ("1@a.mrcs", "2@a.mrcs", "000001@a.mrcs", "3@a.mrcs")))
    assert len(labelled(stub([1, 2, 1, 2, 0], ("a.mrc", "b.mrc", "c.mrc", "d.mrc", "b.mrc")))[0]) == 4  # 0: not learnt


def test_whole_tomograms_validate_if_every_class_stays_in_both_parts():
    tomograms, labels = tuple("abcde" * 8), np.arange(40) % 2
    training, validation, how = split(SimpleNamespace(path="s.star", tomograms=tomograms), labels, 0.2, 0)
    assert len({tomograms[i] for i in validation}) == 1 and len(validation) == 8 and "by tomogram" in how
    assert not {tomograms[i] for i in validation} & {tomograms[i] for i in training}


def test_otherwise_a_part_of_each_class_validates():
    tomograms, labels = ("a",) * 30 + ("b",) * 10, np.repeat([0, 1], [30, 10])  # a tomogram has one class
    training, validation, how = split(SimpleNamespace(path="s.star", tomograms=tomograms), labels, 0.2, 0)
    assert np.bincount(labels[validation]).tolist() == [6, 2] and "would leave a class out" in how
    assert sorted([*training, *validation]) == list(range(40))
    two = split(SimpleNamespace(path="s.star", tomograms=("",) * 4), np.array([0, 0, 1, 1]), 0.05, 0)
    assert np.bincount(np.array([0, 0, 1, 1])[two[0]]).tolist() == [1, 1]


def test_the_same_seed_divides_in_the_same_way():
    one = SimpleNamespace(path="s.star", tomograms=("",) * 50)
    parts = [split(one, np.arange(50) % 3, 0.2, seed)[1].tolist() for seed in (4, 4, 5)]
    assert parts[0] == parts[1] != parts[2]


def test_few_subtomograms_are_validated_in_turn_and_many_are_not():
    labels = np.repeat([0, 1, 2], [13, 6, 3])
    few = SimpleNamespace(labels=labels, validation=np.array([0, 13, 19]), names="abc")
    parts = folds(few, 0)
    assert sorted(np.concatenate(parts)) == list(range(22)) and len(parts) == FOLDS
    for rows in parts:
        assert (np.bincount(np.delete(labels, rows), minlength=3) >= 2).all()  # every class is learnt in every part
    many = SimpleNamespace(labels=np.repeat([0, 1], 60), validation=np.arange(48, 72), names="ab")
    assert folds(many, 0) == []
