# SPDX-License-Identifier: GPL-3.0-or-later
"""Outputs of commands: checked when result.json is written and when it is read."""

import json
import typing

import pytest

from cryodl.contract import EVERY_COMMAND, Outputs, Result, describe_outputs, output, output_problems, outputs_of
from cryodl.contract.command import fits

GOOD = {"annotations": "drawn", "counts": {"membrane": {"positive": 3, "negative": 2}}}


class Some(Outputs):
    """Outputs of a test."""

    name: str = output("A name.")
    size: float | None = output("A size.", unit="Å")
    later: int = output("Only newer results have it.", default=7)


def test_outputs_are_read_by_name_and_as_a_mapping():
    found = outputs_of(Some, {"name": "a", "size": 2})
    assert found.size == found["size"] == 2 and found.get("other") is None and found.later == 7
    assert found == {"name": "a", "size": 2, "later": 7} and dict(found, name="b")["name"] == "b"
    with pytest.raises(KeyError):
        found["__class__"]


def test_a_result_comes_back_as_the_outputs_of_its_command(tmp_path):
    Result("annotate", GOOD).write(tmp_path / "result.json")
    read = Result.read(tmp_path / "result.json")
    assert type(read.outputs) is EVERY_COMMAND["annotate"].outputs and read.outputs == GOOD
    assert read.outputs.counts["membrane"]["positive"] == 3
    read.write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "result.json").read_text()


@pytest.mark.parametrize(
    "wrong, said",
    [
        (dict(GOOD, spare=1), "spare is unknown"),
        ({"annotations": "drawn"}, "counts is missing"),
        (dict(GOOD, annotations=3), "annotations is 3, expected a string"),
        (dict(GOOD, counts={"a": {"positive": 1.5}}), "counts is .*expected names with values"),
    ],
)
def test_outputs_that_are_not_the_declared_ones_are_refused(tmp_path, wrong, said):
    """In the engine nothing is written; a file that was changed is named to its reader."""
    with pytest.raises(TypeError, match=f"outputs of annotate .*{said}"):
        Result("annotate", wrong).write(tmp_path / "result.json")
    assert list(tmp_path.iterdir()) == []
    Result("annotate", GOOD).write(tmp_path / "result.json")
    data = json.loads((tmp_path / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(dict(data, outputs=wrong)))
    with pytest.raises(ValueError, match=f"result.json is not a result .*{said}"):
        Result.read(tmp_path / "result.json")


def test_a_batch_of_which_all_was_skipped_needs_no_outputs(tmp_path):
    Result("pick", {"counts": {}}, nothing_made=True).write(tmp_path / "result.json")
    read = Result.read(tmp_path / "result.json")
    assert read.nothing_made and read.outputs.counts == {} and read.outputs.threshold is None


@pytest.mark.parametrize(
    "value, hint, right",
    [
        (3, float, True),
        (True, float, False),
        (True, int, False),
        (2.0, int, False),
        (float("nan"), float, False),
        (None, float | None, True),
        ([1, 2.5], list[float], True),
        (["a", 1], list[str], False),
        ({"a": [1]}, dict[str, list[int]], True),
        ({1: "a"}, dict[str, str], False),
        ({"a": object()}, dict[str, typing.Any], True),
    ],
)
def test_types_are_those_of_json(value, hint, right):
    assert fits(value, hint) is right


@pytest.mark.parametrize("command", [c for c in EVERY_COMMAND.values() if c.outputs], ids=lambda c: c.name)
def test_declared_outputs_can_be_checked_by_old_pythons(command):
    assert all(info.help for info in describe_outputs(command.outputs))
    missing = output_problems(command.outputs, {})
    assert missing == [f"{info.name} is missing" for info in describe_outputs(command.outputs) if info.required]


# Their files hold neither pixels nor coordinates: models, metrics, tables, copies of tables, or pictures to look at.
WITHOUT_PIXELS = {
    "train-picker", "train-filament-picker", "train-general-picker", "train-micrograph-denoiser", "train-classifier",
    "compare-picks", "evaluate-picks", "evaluate-denoiser", "evaluate-segmentation", "evaluate-map",
    "compare-models", "report",
    "assess-micrographs", "estimate-ctf", "identify",
    "annotate", "import-annotations",
}  # fmt: skip


def test_outputs_with_pixels_or_coordinates_state_their_pixel_size():
    silent = {
        name
        for name, command in EVERY_COMMAND.items()
        if command.outputs
        and not {"pixel_size", "pixel_sizes", "working_pixel_size"}
        & {o.name for o in describe_outputs(command.outputs)}
    }
    assert silent == WITHOUT_PIXELS
