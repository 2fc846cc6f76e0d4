# SPDX-License-Identifier: GPL-3.0-or-later
"""Shipped weights are stored in half precision: their networks answer as they did with the weights in float32."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from shipped_networks import FOLDERS, answer_of

from cryodl.contract import WEIGHTS
from cryodl.io.model import SHIPPED, read_model

# Written with the weights in float32 (those of `improver`, which never were: with its float16), before they were
# halved: every so many numbers of each answer, and the standard deviation of all.
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
def test_matrices_are_stored_in_half_precision_and_read_in_single(name):
    folder = SHIPPED / name
    with safe_open(folder / WEIGHTS, "pt") as file:
        stored = {key: file.get_slice(key) for key in file.keys()}
        assert {kind.get_dtype() for kind in stored.values() if len(kind.get_shape()) > 1} == {"F16"}
    assert {str(value.dtype) for value in read_model(folder)[1].values()} <= {"torch.float32", "torch.int64"}
