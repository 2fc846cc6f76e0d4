# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels from a model's own picks: what is sure teaches, what is not is left out."""

import numpy as np
import pytest
from synthetic import blob_project

from cryodl.contract import AutoPickConfig, best_round
from cryodl.core.calibration import calibrate, fit_calibration, fit_to_probabilities
from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.round_loop import why_stop
from cryodl.micrographs.pickers.self_labels import Picked, labels_of, load_images, teacher_probabilities

SHAPE = (256, 320)


def picked(*rows):
    """Picked of (y, x, score) rows."""
    rows = np.array(rows, float).reshape(-1, 3)
    return Picked("mic0", "mics/mic0.mrc", SHAPE, rows[:, :2], rows[:, 2])


def test_sure_places_teach_and_doubtful_ones_are_left_out():
    labels, false = labels_of(
        picked((10, 10, 0.9), (50, 50, 0.8), (90, 90, 0.5), (120, 120, 0.21), (150, 150, 0.1)),
        0.8,
        np.zeros((0, 2)),
        5.0,
    )
    assert labels.positives.tolist() == [[10, 10], [50, 50]] and labels.negatives.tolist() == [[150, 150]]
    assert labels.uncertain.circles.tolist() == [[90, 90], [120, 120]] and false == 0


def test_false_positives_of_the_round_before_come_back_as_background():
    """One is still found with a low score, one not at all, one is doubtful now, one is confirmed."""
    earlier = np.array([[10.0, 10.0], [50.0, 50.0], [90.0, 90.0], [150.0, 150.0]])
    labels, false = labels_of(picked((11, 11, 0.9), (51, 51, 0.1), (91, 91, 0.5)), 0.8, earlier, 5.0)
    assert false == 2 and labels.negatives.tolist() == [[50, 50], [150, 150]]  # once each


def test_a_micrograph_without_candidates_is_all_background():
    labels, false = labels_of(picked(), 0.8, np.zeros((0, 2)), 5.0)
    assert len(labels.positives) == len(labels.negatives) == len(labels.uncertain.circles) == false == 0


def config(folder):
    return AutoPickConfig(
        micrographs=(str(folder / "mics/*.mrc"),), pixel_size=4.0, particle_diameter=120.0, output=str(folder / "out")
    )


def test_uncertain_places_are_not_learnt_and_the_sign_follows_the_contrast(tmp_path):
    ((_, centres),) = blob_project(tmp_path, count=1)
    labels, _ = labels_of(
        Picked("mic0", str(tmp_path / "mics/mic0.mrc"), SHAPE, centres, np.r_[0.5, np.full(len(centres) - 1, 0.9)]),
        0.8,
        centres[:0],
        5.0,
    )
    method = picker_method("unet")
    (dark,) = load_images([labels], method, config(tmp_path), "dark")
    (bright,) = load_images([labels], method, config(tmp_path), "bright")
    assert (dark.image == -bright.image).all() and len(dark.positives) + len(dark.contamination) == len(centres) - 1
    doubtful = np.rint((centres[0] + 0.5) * 32 / 30 - 0.5).astype(int)
    assert not dark.usable[tuple(doubtful)] and dark.usable.float().mean() > 0.9 and dark.labels == "complete"


def test_a_confident_pick_on_a_crystal_teaches_as_contamination(tmp_path):
    ((_, centres),) = blob_project(tmp_path, count=1)
    from synthetic import write_mrc

    from cryodl.io.micrographs import read_micrograph

    image = read_micrograph(tmp_path / "mics/mic0.mrc")
    y, x = np.mgrid[:256, :320]
    position = np.array([130.0, 160.0])
    centres = centres[np.linalg.norm(centres - position, axis=1) > 70]
    write_mrc(
        tmp_path / "mics/mic0.mrc", image - 10 * (np.hypot(y - position[0], x - position[1]) < 28).astype(np.float32)
    )
    labels, _ = labels_of(
        Picked(
            "mic0", str(tmp_path / "mics/mic0.mrc"), SHAPE, np.r_[centres, [position]], np.full(len(centres) + 1, 0.9)
        ),
        0.8,
        centres[:0],
        5.0,
    )
    (found,) = load_images([labels], picker_method("unet"), config(tmp_path), "dark")
    assert len(found.positives) == len(centres) and len(found.contamination) == 1
    assert np.linalg.norm((found.contamination[0] + 0.5) * 30 / 32 - 0.5 - position) < 1


def test_a_teachers_score_is_that_of_its_nearest_candidate():
    import torch

    nowhere = np.zeros((0, 2))
    image = LabelledImage("mic0", torch.zeros(128, 160), torch.ones(128, 160, dtype=torch.bool), nowhere, nowhere)
    teacher = picked((20.5, 20.5, 0.7), (100.5, 100.5, 0.2))  # half the size: at 10 and 50
    (value,) = teacher_probabilities([image], [np.array([[11.0, 10.0], [50.0, 50.0], [90.0, 90.0]])], [teacher], 32.0)
    assert value.tolist() == [0.7, 0.2, 0.0]
    (none,) = teacher_probabilities([image], [np.zeros((0, 2))], [teacher], 32.0)
    assert len(none) == 0


def test_a_student_stays_as_honest_as_its_teacher():
    """It is surer than it should be; calibrated by the teacher's doubts it expects as many particles. By the teacher's
    sure positions alone it would not."""
    rng = np.random.default_rng(0)
    teacher = rng.uniform(0, 1, 4000)
    raw = calibrate(teacher, (3.0, 1.0))
    scores = calibrate(raw, fit_to_probabilities(teacher, raw))
    assert abs(scores.mean() - teacher.mean()) < 0.005 and abs(scores - teacher).max() < 0.02
    sure = (teacher > 0.8) | (teacher < 0.2)
    hard = calibrate(raw, fit_calibration(teacher[sure] > 0.5, raw[sure]))
    assert abs(hard - teacher).mean() > 0.15
    assert fit_to_probabilities(np.zeros(0), np.zeros(0)) == (1.0, 0.0)


def entry(number, separation, **more):
    usual = dict(
        round=number, separation=separation, confident=100, confident_held_out=30, micrographs=4, agreement_first=0.9
    )
    return dict(usual, **more)


@pytest.mark.parametrize(
    "entries, words, warn",
    [
        ([entry(0, 3.0)], None, None),
        ([entry(0, 3.0), entry(1, 3.5)], None, None),
        ([entry(0, 3.0), entry(1, 2.9)], "no better than round 0 (separation 2.90, before 3.00)", False),
        ([entry(0, 3.0), entry(1, 3.5), entry(2, 4.0)], "2 rounds were asked for", False),
        ([entry(0, 3.0), entry(1, None, agreement_first=0.2)], "drifted away: only 20 %", True),
        ([entry(0, 3.0), entry(1, None)], "round 1 have too few picks to evaluate it (at least 20", True),
        ([entry(0, 3.0), entry(1, None)], "the picks are those of round 0", True),
        ([entry(0, 3.0, confident=19)], "hardly any confident pick (49 with", True),
        ([entry(0, 3.0, confident_held_out=1)], "hardly any confident pick", True),
        ([entry(0, None)], "too few picks to evaluate", True),
        ([entry(0, None, micrographs=1)], "only one of the training micrographs", True),
    ],
)
def test_the_rounds_end_where_they_should_and_say_why(entries, words, warn):
    stop = why_stop(entries, 2, 0.8)
    assert (stop is None) if words is None else (words in stop[0] and stop[1] == warn)
    assert why_stop([entry(0, 3.0), entry(1, 3.5)], 1, 0.8)[0] == "1 round was asked for"


def test_the_best_round_is_that_with_the_largest_separation_the_earlier_of_equals():
    assert best_round([entry(0, 3.0), entry(1, 3.5), entry(2, 3.5)]) == 1
    assert best_round([entry(0, None)]) == 0 == best_round([entry(0, 3.0), entry(1, None)])
