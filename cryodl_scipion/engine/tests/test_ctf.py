# SPDX-License-Identifier: GPL-3.0-or-later
"""The CTF against the formula written out by hand."""

import numpy as np
import pytest
import torch

from cryodl.core.optics import Optics, ctf_rfft
from cryodl.simulate.micrographs import apply_ctf


def analytic_ctf(shape, pixel_size, u, v, angle, kv, cs_mm, contrast, phase=0.0):
    """sin of the phase, written out: wavelength with relativity, defocus by direction, x axis along columns."""
    volt = kv * 1e3
    wavelength = 12.2642596 / np.sqrt(volt * (1 + volt * 0.978466e-6))  # Å
    ky, kx = np.fft.fftfreq(shape[0], pixel_size)[:, None], np.fft.rfftfreq(shape[1], pixel_size)[None]
    k2, direction = kx**2 + ky**2, np.arctan2(ky, kx)
    defocus = 0.5 * (u + v + (u - v) * np.cos(2 * (direction - np.radians(angle))))
    chi = np.pi * wavelength * k2 * (defocus - 0.5 * cs_mm * 1e7 * wavelength**2 * k2)
    return np.sin(chi + np.arcsin(contrast) + np.radians(phase))


@pytest.mark.parametrize("shape", [(96, 128), (97, 65)])
@pytest.mark.parametrize(
    "u, v, angle, kv, phase",
    [
        (15000, 15000, 0, 300, 0),
        (16000, 12000, 0, 300, 0),
        (16000, 12000, 35, 200, 0),
        (12000, 16000, 35, 300, 0),
        (12000, 16000, -50, 300, 0),
        (9000, 11000, 120, 300, 60),
        (-5000, -4000, 20, 300, 0),
    ],
)
def test_ctf_equals_the_formula_also_where_u_is_smaller(shape, u, v, angle, kv, phase):
    ours = ctf_rfft(shape, 2.0, u, v, angle, kv, 2.7, 0.1, phase).numpy()
    assert ours.shape == (shape[0], shape[1] // 2 + 1)
    assert np.abs(ours - analytic_ctf(shape, 2.0, u, v, angle, kv, 2.7, 0.1, phase)).max() < 0.01


def test_ctf_begins_with_the_amplitude_contrast_and_exchanging_u_and_v_turns_it():
    ctf = ctf_rfft((64, 64), 2.0, 15000, 12000, 25, 300, 2.7, 0.1)
    assert float(ctf[0, 0]) == pytest.approx(0.1, abs=1e-5)
    exchanged = ctf_rfft((64, 64), 2.0, 12000, 15000, 25 + 90, 300, 2.7, 0.1)
    assert torch.allclose(ctf, exchanged, atol=1e-4)


def test_ctf_takes_batches_and_leaves_the_callers_values():
    defocus = torch.tensor([10000.0, 20000.0])
    batch = ctf_rfft((32, 32), 3.0, defocus, defocus - 500, 10.0, 300, 2.7, 0.1)
    single = ctf_rfft((32, 32), 3.0, 20000.0, 19500.0, 10.0, 300, 2.7, 0.1)
    assert batch.shape == (2, 32, 17) and torch.allclose(batch[1], single, atol=1e-5)
    assert defocus.tolist() == [10000.0, 20000.0]


def test_the_ctf_is_applied_as_given():
    image = torch.zeros(64, 64)
    image[20, 30] = 1.0
    blurred = apply_ctf(image, 4.0, Optics(15000.0, 14000.0, 30.0, 300.0, 2.7, 0.1))
    transfer = torch.fft.rfft2(blurred) / torch.fft.rfft2(image)
    expected = analytic_ctf((64, 64), 4.0, 15000, 14000, 30, 300, 2.7, 0.1)
    assert np.abs(transfer.real.numpy() - expected)[1:-1, 1:-1].max() < 0.02
