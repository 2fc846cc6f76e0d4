# SPDX-License-Identifier: GPL-3.0-or-later
"""Aligned subtomograms compared with the missing wedge made up for, and grouped."""

import csv
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from subtomogram_data import simulated_set, subtomograms, write_set

from cryodl.contract import AllSkipped, ClassifySubtomogramsConfig
from cryodl.io.star import read_tables, write_tables
from cryodl.io.subtomograms import read_subtomograms
from cryodl.tomograms.commands.classify_subtomograms import classify_subtomograms
from cryodl.tomograms.subtomograms.averages import aligned
from cryodl.tomograms.subtomograms.clustering import (
    EmbeddingTask,
    alignment_of,
    embedded,
    group_p_value,
    groups,
    pairwise_similarities,
    principal_components,
)
from cryodl.tomograms.subtomograms.observed import frame_of, particle_sphere


def turned_back(path):
    """Set and ObservedSubtomograms in the structure's frame."""
    one = read_subtomograms(path)
    frame = frame_of(one, 150.0, 40.0)
    return one, aligned(one, slice(None), frame, one.angles, one.shifts_zyx)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Two structures with tilts of +-30 degrees: what is missing differs more than what is there."""
    path = simulated_set(tmp_path_factory.mktemp("narrow"), ["bar", "ring", "corner"], 14, snr=2.0, tilts=(-30.0, 30.0))
    return (path, *turned_back(path))


def all_measured(observed):
    """The same as if what was not measured had been measured as zero."""
    return dataclasses.replace(observed, weights=torch.ones_like(observed.weights))


def test_copies_with_other_wedges_are_alike_only_where_both_were_measured(tmp_path):
    _, observed = turned_back(simulated_set(tmp_path, ["corner"], 6, snr=1e4, tilts=(-30.0, 30.0)))
    apart = ~torch.eye(6, dtype=torch.bool)
    compensated, naive = (pairwise_similarities(one)[apart] for one in (observed, all_measured(observed)))
    assert compensated.min() > 0.8 and compensated.mean() > naive.mean() + 0.2


def test_similarity_is_that_of_the_definition(narrow):
    observed = narrow[2]
    seen = observed.weights[0] * observed.weights[5]
    a, b = (observed.values[row] for row in (0, 5))
    expected = (seen * (a * b.conj()).real).sum() / ((seen * a.abs() ** 2).sum() * (seen * b.abs() ** 2).sum()).sqrt()
    found = pairwise_similarities(observed)
    assert float(found[0, 5]) == pytest.approx(float(expected), abs=1e-4)
    assert torch.allclose(found.diagonal(), torch.ones(len(found)), atol=1e-4)


@pytest.mark.parametrize("embedding", ["similarity", "pca"])
def test_compensated_groups_are_nearer_to_the_truth(narrow, embedding):
    _, one, observed = narrow
    score = {}
    for compensate, seen in ((True, observed), (False, all_measured(observed))):
        positions = (
            embedded(pairwise_similarities(seen), 3) if embedding == "similarity" else principal_components(seen, 3, 0)
        )
        score[compensate] = adjusted_rand_score(one.classes, groups(positions.numpy(), 3))
    assert score[True] > 0.95 > score[False] + 0.1


def test_components_are_found_though_half_of_the_values_is_missing():
    from cryodl.core.half_transforms import HalfBall
    from cryodl.tomograms.subtomograms.observed import ObservedSubtomograms

    generator = torch.Generator().manual_seed(0)
    ball = HalfBall(16, 4)
    axis, positions = torch.randn(len(ball), generator=generator), torch.randn(40, generator=generator)
    values = torch.complex(positions[:, None] * axis, torch.zeros(40, len(ball)))
    weights = (torch.rand(values.shape, generator=generator) > 0.5).float()
    found = principal_components(ObservedSubtomograms(values * weights, weights, ball), 2)
    assert abs(float(torch.corrcoef(torch.stack([found[:, 0], positions]))[0, 1])) > 0.99


def test_groups_are_numbered_by_size():
    positions = np.concatenate([np.full((3, 2), 5.0), np.full((9, 2), -5.0)])
    assert groups(positions + np.random.default_rng(0).normal(0, 0.1, positions.shape), 2).tolist() == [2] * 3 + [1] * 9


def test_the_autoencoder_is_not_asked_for_what_was_not_measured(narrow):
    observed = narrow[2]
    task, rows = EmbeddingTask(observed, 3), torch.arange(4)
    network = task.networks["autoencoder"]
    with torch.no_grad():
        volumes = task.ball.back(task.values[rows])
        found = task.ball.coefficients(network.decode(network.encoder(volumes[:, None]))[:, 0])
        measured = (found - task.values[rows]).abs().square()[task.weights[rows] > 0]
        assert float(task.loss(rows)) == pytest.approx(float(measured.mean()), rel=1e-4)
    assert (task.weights[rows] == 0).any()
    assert torch.allclose(task.ball.coefficients(volumes), task.values[rows], atol=1e-4)


def test_a_missing_subtomogram_is_left_out_and_none_is_an_error(tmp_path):
    volumes, classes, angles, shifts = subtomograms(["bar", "ring"], 8)
    path = write_set(tmp_path, volumes, classes, angles, shifts)
    (tmp_path / "sub" / "00003.mrc").unlink()
    config = ClassifySubtomogramsConfig(subtomograms=path, output=str(tmp_path / "out.star"), classes=2)
    result = classify_subtomograms(config)
    assert [one.item for one in result.skipped] == ["sub/00003.mrc"] and "00003.mrc" in result.skipped[0].reason
    assert "1 subtomogram was skipped, for the reasons above." in result.warnings
    assert [Path(name).name for name in read_subtomograms(tmp_path / "out.star").names] == [
        f"{n:05d}.mrc" for n in range(1, 17) if n != 3
    ]
    for file in (tmp_path / "sub").glob("*.mrc"):
        file.write_bytes(b"")
    with pytest.raises(AllSkipped, match="Of 16 subtomograms .*00001.mrc"):
        classify_subtomograms(dataclasses.replace(config, output=str(tmp_path / "none.star")))


def test_the_command_leaves_classes_averages_and_embedding(narrow, tmp_path):
    path, one, _ = narrow
    output = tmp_path / "out.star"
    result = classify_subtomograms(
        ClassifySubtomogramsConfig(subtomograms=path, output=str(output), classes=3, particle_diameter=150.0)
    )
    found = read_subtomograms(output)
    assert adjusted_rand_score(one.classes, found.classes) > 0.95
    assert result.outputs["counts"] == {"1": 14, "2": 14, "3": 14} and result.outputs["aligned"] == "given"
    with open(result.outputs["embedding"], newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["class"]) for row in rows] == found.classes.tolist() and "component8" in rows[0]
    for made in [*result.outputs["averages"].values(), *result.outputs["pictures"]]:
        assert (tmp_path / made).stat().st_size > 1000
    assert not (tmp_path / "out.star.partial").exists()


def test_one_masked_subtomogram_spoils_no_classes(tmp_path):
    """Divided by the deviation of what is around the particle, it outweighed all others: classes of 39 and 1."""
    volumes, classes, angles, shifts = subtomograms(["corner", "ball"], 20, snr=0.3)
    volumes[0] *= particle_sphere(volumes.shape[-1], 11.0)
    path = write_set(tmp_path, volumes, classes, angles, shifts)
    settings = dict(subtomograms=path, output=str(tmp_path / "out.star"), classes=2)
    assert classify_subtomograms(ClassifySubtomogramsConfig(**settings)).outputs["counts"] == {"1": 20, "2": 20}
    assert adjusted_rand_score(classes, read_subtomograms(tmp_path / "out.star").classes) == 1


@pytest.mark.parametrize("factor", [1e20, 1e-20])
def test_very_large_and_very_small_values_are_grouped_as_others_are(tmp_path, factor):
    volumes, classes, angles, shifts = subtomograms(["corner", "ball"], 12, snr=1.0)
    path = write_set(tmp_path, volumes * factor, classes, angles, shifts)
    result = classify_subtomograms(
        ClassifySubtomogramsConfig(subtomograms=path, output=str(tmp_path / "out.star"), classes=2)
    )
    assert adjusted_rand_score(classes, read_subtomograms(tmp_path / "out.star").classes) == 1
    assert sum("they are divided by" in line for line in result.warnings) == 1


def test_what_stood_beside_other_classes_goes_and_unused_angles_stay(narrow, tmp_path):
    tables = read_tables(narrow[0])
    tables["particles"].update(cryodlProbability1=["0.9"] * 42, cryodlConfidence=["3"] * 42)
    tables["particles"]["rlnImageName"] = [str(file) for file in narrow[1].files]
    write_tables(tmp_path / "in.star", tables)
    config = ClassifySubtomogramsConfig(subtomograms=str(tmp_path / "in.star"), output=str(tmp_path / "out.star"))
    classify_subtomograms(dataclasses.replace(config, align="none"))
    found = read_subtomograms(tmp_path / "out.star")
    assert not {"cryodlProbability1", "cryodlConfidence"} & set(found.columns)
    assert np.array_equal(found.angles, narrow[1].angles)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(classes=99), "42 subtomograms for 99 classes"),
        (dict(output="out.mrc"), "must end in .star"),
        (dict(particle_diameter=9000.0), "only 160 Å wide"),
    ],
)
def test_what_cannot_be_grouped_is_refused_in_words(narrow, tmp_path, change, message):
    settings = dict(dict(subtomograms=narrow[0], output=str(tmp_path / "out.star")), **change)
    with pytest.raises(ValueError, match=message):
        classify_subtomograms(ClassifySubtomogramsConfig(**settings))


def test_a_single_subtomogram_is_refused_and_two_are_enough(tmp_path):
    config = lambda count: ClassifySubtomogramsConfig(
        subtomograms=simulated_set(tmp_path, ["bar"], count, name=f"of{count}"),
        classes=1,
        align="given",
        output=str(tmp_path / f"o{count}.star"),
    )
    with pytest.raises(ValueError, match="of1.star has 1 subtomogram for 1 class .*; at least 2"):
        classify_subtomograms(config(1))
    two = config(2)
    assert classify_subtomograms(two).outputs["counts"] == {"1": 2}
    alone = classify_subtomograms(dataclasses.replace(two, classes=2, output=str(tmp_path / "alone.star")))
    assert alone.outputs["resolutions"] == {"1": None, "2": None}  # a half-map of nothing agrees with nothing
    assert not any("half-maps agree" in line for line in alone.summary)


@pytest.mark.parametrize("name", ["out_class002.mrc", "out_embedding.csv", "out_averages.png"])
def test_nothing_beside_the_output_is_replaced(narrow, tmp_path, name):
    (tmp_path / name).write_text("years of work")
    with pytest.raises(FileExistsError, match=name):
        classify_subtomograms(ClassifySubtomogramsConfig(subtomograms=narrow[0], output=str(tmp_path / "out.star")))
    assert (tmp_path / name).read_text() == "years of work"


def test_given_angles_that_are_not_there_are_refused(tmp_path):
    from subtomogram_data import subtomograms, write_set

    volumes, classes, _, _ = subtomograms(["bar"], 3)
    path = write_set(tmp_path, volumes, classes)
    with pytest.raises(ValueError, match="no angles .*--align search"):
        classify_subtomograms(
            ClassifySubtomogramsConfig(subtomograms=path, output=str(tmp_path / "o.star"), classes=1, align="given")
        )


@pytest.mark.parametrize("angles, way", [(None, "search"), (0.0, "search"), (30.0, "given")])
def test_angles_that_are_all_zero_are_no_alignment(angles, way):
    found = SimpleNamespace(path="set.star", angles=None if angles is None else np.full((4, 3), angles))
    assert alignment_of(found, "auto") == way


def test_groups_of_a_single_cloud_are_chance_and_real_ones_are_not():
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(4, 4))
    clouds = [group_p_value(rng.normal(size=(60, 4)) @ shape, 3, seed) for seed in range(12)]
    assert sum(chance <= 0.05 for chance in clouds) <= 2 and np.mean(clouds) > 0.25
    apart = np.repeat(3 * np.eye(4)[:3], 20, axis=0) + rng.normal(size=(60, 4))
    assert group_p_value(apart, 3) <= 0.05 and group_p_value(apart, 1) == 1.0
