# SPDX-License-Identifier: GPL-3.0-or-later
"""Real sets whose marks leave particles out: which positions teach nothing, and that no size is learnt from them."""

import types

import numpy as np
import torch

from cryodl.micrographs.pickers import picker_method
from cryodl.micrographs.pickers.crops import LabelledImage
from cryodl.micrographs.pickers.general import spare_unmarked

MARKS = np.array([[50.0, 50.0], [50.0, 150.0], [150.0, 50.0], [150.0, 150.0]])
BRIGHT, WEAK = [100.0, 100.0], [30.0, 100.0]  # unmarked positions that the model scores like marks, and far below


def _image(**more):
    valid = torch.ones((200, 200), dtype=torch.bool)
    return LabelledImage("a", torch.zeros(200, 200), valid, MARKS, np.zeros((0, 2)), size=1.3, **more)


def _spared(image):
    """With a model that sees three of four marks, each 3 px beside its mark, and two unmarked positions."""
    yx = np.array([*(MARKS[:3] + 3.0), BRIGHT, WEAK])
    picker = types.SimpleNamespace(
        method=picker_method("unet"), candidates_prepared=lambda *_: (yx, np.array([0.9, 0.8, 0.7, 0.75, 0.1]))
    )
    return spare_unmarked([image], picker, 0.5)[0]


def test_unmarked_places_that_score_like_marks_teach_nothing_and_weak_ones_stay_background():
    usable = _spared(_image()).usable
    assert not usable[100, 100] and not usable[100, 110]
    assert usable[30, 100] and all(usable[int(y), int(x)] for y, x in MARKS)
    assert float((~usable).float().sum()) < 1.1 * np.pi * (1.3 * 16) ** 2, "only the circle of one particle"


def test_what_was_not_allowed_before_stays_so():
    allowed = torch.ones((200, 200), dtype=torch.bool)
    allowed[:20] = False
    assert not _spared(_image(allowed=allowed)).usable[:20].any()


def test_marks_move_to_where_the_model_sees_their_particle():
    moved = _spared(_image()).positives
    np.testing.assert_allclose(moved, [*(MARKS[:3] + 3.0), MARKS[3]])


def test_a_diameter_that_is_not_known_well_teaches_no_size():
    method, rng = picker_method("unet"), np.random.default_rng(1)
    gradients = {}
    for teaches in (True, False):
        _, target, weight = method.example(_image(teaches_size=teaches), rng)
        output = torch.zeros((1, 2, 80, 80), requires_grad=True)
        loss = method.loss(output, target[None], weight[None])
        loss.backward()
        gradients[teaches] = output.grad.abs().sum((0, 2, 3))
    assert torch.isfinite(loss) and gradients[False][0] > 0
    assert gradients[True][1] > 0 and gradients[False][1] == 0
