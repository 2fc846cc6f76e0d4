# SPDX-License-Identifier: GPL-3.0-or-later
"""Shipped weights are stored in 12 bits: their networks answer as they did with the weights in float32."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from shipped_networks import FOLDERS, answer_of

from cryodl.contract import WEIGHTS
from cryodl.io.model import SHIPPED, _unpacked, read_model

SCRIPT = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "pack_weights.py"))
packed, FEW = SCRIPT["packed"], SCRIPT["FEW"]

# Written with the weights in float32 (those of `improver`, which never were: with its float16), before they were
# packed: every so many numbers of each answer, and the standard deviation of all.
ANSWERS = json.loads((Path(__file__).parent / "data" / "shipped_answers.json").read_text(encoding="utf-8"))
# Root mean square and largest difference, over that standard deviation: bfloat16, in which CPUs and GPUs compute where
# they can, makes 0.002 to 0.17 and 0.008 to 0.17.
TYPICAL, LARGEST = 0.01, 0.05


def test_there_are_answers_for_every_shipped_model():
    assert sorted(ANSWERS) == FOLDERS


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_the_answer_is_that_of_weights_in_float32(name):
    known = ANSWERS[name]
    difference = (answer_of(name)[:: known["step"]] - np.array(known["answers"])) / known["spread"]
    assert np.sqrt((difference**2).mean()) < TYPICAL
    assert np.abs(difference).max() < LARGEST


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_large_matrices_are_stored_in_12_bits_and_read_in_single(name):
    folder = SHIPPED / name
    with safe_open(folder / WEIGHTS, "pt") as file:
        stored = {key: file.get_slice(key) for key in file.keys()}
    large = {key for key, kind in stored.items() if len(kind.get_shape()) > 1 and np.prod(kind.get_shape()) > FEW}
    # the ranker is small, and in 12 bits its answers would differ by more than TYPICAL
    assert large and {stored[key].get_dtype() for key in large} == {"F16" if name == "class_ranker" else "I8"}
    weights = read_model(folder)[1]
    assert set(weights) == {key for key in stored if ":" not in key}
    assert {str(value.dtype) for value in weights.values()} <= {"torch.float32", "torch.int64"}


def test_all_shipped_weights_take_at_most_20_mebibytes():
    assert sum((SHIPPED / name / WEIGHTS).stat().st_size for name in FOLDERS) <= 20 * 2**20


def test_packed_weights_are_nearer_than_half_a_unit_and_packed_again_the_same():
    weights = {"a": torch.randn(65, 3, 23, generator=torch.Generator().manual_seed(1)), "b": torch.randn(2, 3)}
    weights["a"][3] = 0
    stored = {key: value for name, tensor in weights.items() for key, value in packed(name, tensor).items()}
    read = _unpacked(stored)
    step = weights["a"].flatten(1).abs().amax(1) / 2047
    assert ((read["a"] - weights["a"]).flatten(1).abs().amax(1) <= 0.5001 * step).all()
    assert torch.equal(read["b"], weights["b"].half().float())
    assert all(torch.equal(value, stored[key]) for key, value in packed("a", read["a"]).items())
