# SPDX-License-Identifier: GPL-3.0-or-later
"""crYOLO's grid of cells: which cell answers, where its box lies, and what the loss asks."""

import numpy as np
import pytest
import torch
from synthetic import gaussian_blobs

from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.predict import Picker

SHAPE = (256, 320)
POSITIVES = np.array([[60.0, 60.0], [60.0, 180.0], [180.0, 120.0], [200.0, 280.0]])
NOTHING = np.zeros((0, 2))


def scene(labels="complete", positives=POSITIVES, negatives=NOTHING, **changes):
    image = gaussian_blobs(SHAPE, POSITIVES, 5)
    return LabelledImage(
        "a", torch.from_numpy(image), torch.ones(SHAPE, dtype=torch.bool), positives, negatives, labels, **changes
    )


def perfect(target, sure=9.0):
    """Network output (5, h, w) that says exactly what a target asks."""
    logit = torch.logit(target[1:3].clamp(1e-4, 1 - 1e-4))
    return torch.cat([(target[:1] * 2 - 1) * sure, logit, target[3:]])


def test_a_centre_falls_in_its_cell_and_comes_back():
    """Example -> output -> peaks: the labels' positions, within a hundredth of a pixel."""
    method, seen = picker_method("cryolo"), 0
    for seed in range(10):
        image, target, weight = method.example(scene(), np.random.default_rng(seed))
        cells = torch.ones(target.shape[1:], dtype=torch.bool)
        yx, raw = method.peaks(perfect(target), 0.1, 0.5, cells)
        assert weight.shape == (1, 10, 10) and len(yx) == int(target[0].sum()) and (raw > 0.99).all()
        for position in (yx + 0.5) * 16 - 0.5:
            y, x = np.rint(position).astype(int)
            if 2 < y < image.shape[0] - 3 and 2 < x < image.shape[1] - 3:
                assert float(image[y - 2 : y + 3, x - 2 : x + 3].max()) > 0.95
                assert float(image[y, x]) > 0.9
                seen += 1
    assert seen > 10


def test_a_box_s_centre_is_its_cell_s_plus_the_offset():
    output = torch.zeros(5, 4, 6)
    output[0] = -9
    output[0, 1, 2] = 9
    output[1:3, 1, 2] = torch.logit(torch.tensor([0.25, 0.75]))
    yx, raw = picker_method("cryolo").peaks(output, 1.0, 0.5, torch.ones(4, 6, dtype=torch.bool))
    assert np.allclose(yx, [[1 + 0.25 - 0.5, 2 + 0.75 - 0.5]], atol=1e-6) and raw.shape == (1,)


def test_two_cells_side_by_side_may_both_hold_a_particle_and_two_boxes_of_one_may_not():
    output = torch.zeros(5, 4, 6)
    output[0] = -9
    output[0, 1, 2], output[0, 1, 3] = 3.0, 2.0
    output[2, 1, 2], output[2, 1, 3] = -9.0, 9.0  # far ends of their cells: nearly 2 cells apart
    everywhere = torch.ones(4, 6, dtype=torch.bool)
    assert len(picker_method("cryolo").peaks(output, 1.25, 0.5, everywhere)[0]) == 2
    output[2, 1, 2], output[2, 1, 3] = 9.0, -9.0  # the common edge
    yx, raw = picker_method("cryolo").peaks(output, 1.25, 0.5, everywhere)
    assert len(yx) == 1 and raw[0] == pytest.approx(float(torch.tensor(3.0).sigmoid()))


def test_cells_that_are_no_image_answer_nothing():
    output = torch.full((5, 4, 6), 5.0)
    cells = torch.zeros(4, 6, dtype=torch.bool)
    cells[2, 3] = True
    assert len(picker_method("cryolo").peaks(output, 1.0, 0.5, cells)[0]) == 1


@pytest.mark.parametrize(
    "shift, ratio, expected",
    [
        ((0.0, 0.0), (1.0, 1.0), 1.0),
        ((1.25, 0.0), (1.0, 1.0), 1 / 3),
        ((0.0, 0.0), (0.5, 1.0), 0.5),
        ((1.25, 1.25), (1.0, 1.0), 0.25 / 1.75),
        ((9.0, 0.0), (1.0, 1.0), 0.0),
        ((0.0, 0.0), (2.0, 2.0), 0.25),
        ((0.0, 0.0), (1e-9, 1.0), np.exp(-4)),  # a side that vanished is taken as e^-4 of a diameter
    ],
)
def test_overlap_of_two_boxes(shift, ratio, expected):
    """Boxes of 2.5 cells; a shift by half of that leaves half in common: 0.5 / 1.5."""
    as_map = lambda pair: torch.tensor(pair).view(1, 2, 1, 1)
    overlap = picker_method("cryolo").overlap(as_map(shift), as_map(ratio).log())
    assert float(overlap) == pytest.approx(expected, abs=1e-6)


def test_the_loss_is_the_published_sum_of_weighted_squares():
    method, target = picker_method("cryolo"), torch.zeros(1, 5, 1, 2)
    target[0, :3, 0, 0] = torch.tensor([1.0, 0.5, 0.5])
    output, weight = torch.zeros(1, 5, 1, 2), torch.ones(1, 1, 1, 2)  # confidence 0.5, centre 0.5, size right
    assert float(method.loss(output, target, weight)) == pytest.approx(5 * (0.5 - 1) ** 2 + 1 * 0.5**2)
    output[0, 1, 0, 0] = float(torch.logit(torch.tensor(0.75)))  # 0.25 cells off: overlap 2.25 / 2.75
    expected = 1 * 0.25**2 + 5 * (0.5 - 2.25 / 2.75) ** 2 + 0.5**2
    assert float(method.loss(output, target, weight)) == pytest.approx(expected, rel=1e-5)
    assert float(method.loss(output, target, torch.zeros_like(weight))) == 0.0
    output[0, 1, 0, 0], output[0, 3, 0, 0] = 0.0, -float(np.log(2))  # half as high: overlap 0.5
    assert float(method.loss(output, target, weight)) == pytest.approx(np.log(2) ** 2 + 0.5**2, rel=1e-5)


def test_with_boxes_only_cells_near_labels_count():
    item = scene("boxes", POSITIVES[:1], np.array([[180.0, 120.0]]))
    method, shares = picker_method("cryolo"), []
    for seed in range(10):
        _, target, weight = method.example(item, np.random.default_rng(seed))
        assert target.shape == (5, 6, 6) and weight.shape == (1, 6, 6)
        assert (weight[0][target[0] > 0] > 0).all()
        shares.append(float(weight.mean()))
    assert 0 < np.mean(shares) < 0.6


def test_blur_noise_and_contrast_keep_the_particles():
    method, image = picker_method("cryolo"), 6 * scene().image[:160, :160]
    copy, seen = image.clone(), []
    for seed in range(8):
        changed = method.augment(image, np.random.default_rng(seed))
        assert changed.shape == image.shape and torch.equal(image, copy)
        seen.append(float(torch.corrcoef(torch.stack([changed.flatten(), image.flatten()]))[0, 1]))
    assert 0.8 < min(seen) and max(seen) - min(seen) > 0.01


def test_picking_turns_boxes_into_positions_of_the_micrograph():
    """An ideal network in place of the trained one, on a shape that no cell divides."""

    class Ideal(torch.nn.Module):
        stride, multiple, receptive_radius = 16, 16, 16

        def forward(self, x):
            out = torch.full((1, 5, x.shape[-2] // 16, x.shape[-1] // 16), -9.0)
            for y, column in POSITIVES:
                row, cell = int((y + 0.5) // 16), int((column + 0.5) // 16)
                out[0, :, row, cell] = torch.tensor(
                    [
                        5.0,
                        *torch.logit(torch.tensor([(y + 0.5) / 16 - row, (column + 0.5) / 16 - cell])).tolist(),
                        0.0,
                        0.0,
                    ]
                )
            return out.to(x.dtype)

    item = scene()
    odd = LabelledImage("odd", item.image[:251, :313], item.valid[:251, :313], POSITIVES, NOTHING)
    picker = Picker(picker_method("cryolo"), Ideal(), torch.device("cpu"))
    yx, _ = picker.candidates_prepared(odd, 20.0)
    found = yx[np.lexsort(yx.T[::-1])]
    assert np.allclose(found, POSITIVES[np.lexsort(POSITIVES.T[::-1])], atol=0.2)  # bfloat16 offsets
