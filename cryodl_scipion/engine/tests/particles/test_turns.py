# SPDX-License-Identifier: GPL-3.0-or-later
"""Turned images and their CTF belong together."""

import numpy as np
import pytest
import torch
from synthetic import correlation, lopsided_density

from cryodl.core.optics import Optics, ctf_of_optics
from cryodl.core.projections import Projector, random_angles
from cryodl.particles.denoisers.scales import ROTATIONS, rotated_images, rotated_optics


@pytest.mark.parametrize("side", [8, 9])
def test_the_centre_pixel_stays_and_the_eight_turns_differ(side):
    image = torch.zeros(side, side)
    image[side // 2, side // 2] = 1
    assert all(torch.equal(rotated_images(image, rotation), image) for rotation in ROTATIONS)
    image[side // 2 + 1, side // 2 + 3] = 1
    assert len({tuple(rotated_images(image, rotation).flatten().tolist()) for rotation in ROTATIONS}) == len(ROTATIONS)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_the_ctf_of_turned_optics_is_the_turned_ctf(rotation):
    optics = Optics(20000, 12000, 25, 300, 2.7, 0.1)
    image = torch.randn(1, 33, 33, generator=torch.Generator().manual_seed(0))
    seen = lambda image, optics: torch.fft.irfft2(torch.fft.rfft2(image) * ctf_of_optics([optics], 33, 3.0), s=(33, 33))
    assert torch.allclose(
        rotated_images(seen(image, optics), rotation),
        seen(rotated_images(image, rotation), rotated_optics(optics, rotation)),
        atol=1e-3,
    )


def test_a_mirrored_projection_is_the_view_from_behind():
    projector = Projector(torch.from_numpy(lopsided_density(32)))
    rot, tilt, psi = random_angles(1, np.random.default_rng(0))[0]
    view, behind = projector.project([[rot, tilt, psi], [rot + 180, 180 - tilt, 180 - psi]])
    assert max(correlation(rotated_images(view, rotation), behind) for rotation in ROTATIONS) > 0.999
