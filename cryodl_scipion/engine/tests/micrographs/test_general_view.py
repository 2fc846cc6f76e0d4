# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of all particles or of a few, told by what the general model sees; proposed boxes keep off what it sees."""

import numpy as np
import pytest
from synthetic import blob_micrograph, write_mrc

from cryodl.contract import TrainPickerConfig
from cryodl.io.coordinates import write_coordinates
from cryodl.micrographs.pickers import general_view, picker_method
from cryodl.micrographs.pickers.fill_in import appearance_of, proposed_boxes
from cryodl.micrographs.pickers.labels import load_labels, match_labels


@pytest.fixture
def config(tmp_path):
    """Six of the blobs of one micrograph are labelled."""
    image, centres = blob_micrograph()
    write_mrc(tmp_path / "a.mrc", image)
    (tmp_path / "labels").mkdir()
    write_coordinates(tmp_path / "labels" / "a.star", centres[:6], np.ones(6))
    return TrainPickerConfig(
        micrographs=(str(tmp_path / "a.mrc"),),
        coordinates=str(tmp_path / "labels"),
        pixel_size=4.0,
        particle_diameter=120.0,
        output=str(tmp_path / "model"),
    )


def _decide(config, monkeypatch, positions, score=0.95):
    found = lambda images, diameter: [(np.zeros((positions, 2)), np.full(positions, score)) for _ in images]
    monkeypatch.setattr(general_view, "general_candidates", found)
    method = picker_method("unet")
    return general_view.decide_labels(config, match_labels(config), method)


def test_a_few_labels_among_many_particles_are_not_taken_for_all(config, monkeypatch):
    decided, said = _decide(config, monkeypatch, 600)
    assert decided.labels == "boxes"
    assert "6 particles are labelled" in said[0] and "use train-picker --labels complete" in said[0]


def test_labels_of_nearly_all_particles_stay_complete(config, monkeypatch):
    assert _decide(config, monkeypatch, 10) == (config.__class__(**{**vars(config), "labels": "complete"}), [])
    assert _decide(config, monkeypatch, 600, score=0.1)[0].labels == "complete", "unsure places are no particles"


def test_a_few_boxes_for_the_general_model_are_never_all_particles(config, monkeypatch):
    import dataclasses

    begun = dataclasses.replace(config, start_from="general")
    decided, said = _decide(begun, monkeypatch, 10)
    assert decided.labels == "boxes" and said[0].startswith("6 labels to learn from beside the general model")
    assert _decide(dataclasses.replace(begun, labels="complete"), monkeypatch, 10)[0].labels == "complete"


def test_what_the_user_says_is_not_questioned(config, monkeypatch):
    import dataclasses

    told = dataclasses.replace(config, labels="complete")
    assert _decide(told, monkeypatch, 600) == (told, [])


def test_proposed_boxes_keep_off_what_another_picker_sees(config):
    method = picker_method("unet")
    item = load_labels(match_labels(config), method, config)[1][0]
    look = appearance_of([item], 32.0)
    positions = proposed_boxes(item, look, 15, always=True)
    first = positions.contamination[0]
    found = proposed_boxes(item, look, 15, always=True, seen=np.array([first]))
    for boxes in (found.background, found.contamination):
        assert np.linalg.norm(boxes - first, axis=1).min() >= 0.85 * 32
