# SPDX-License-Identifier: GPL-3.0-or-later
"""The contrast transfer function, by torch-ctf, in the field's units and RELION's angle convention."""

from __future__ import annotations

import torch
from torch_ctf import calculate_ctf_2d


def ctf_rfft(
    shape: tuple[int, ...],
    pixel_size: float,
    defocus_u: float | torch.Tensor,
    defocus_v: float | torch.Tensor,
    defocus_angle: float | torch.Tensor,
    voltage_kv: float | torch.Tensor,
    cs_mm: float | torch.Tensor,
    amplitude_contrast: float | torch.Tensor,
    phase_shift: float | torch.Tensor = 0.0,
) -> torch.Tensor:
    """CTF on the grid of torch.fft.rfft2 of an image, positive at low frequencies (protein bright).

    The value is sin(pi l k^2 (dz - Cs l^2 k^2 / 2) + asin(Q) + phase), the negative of the usual -sin: a micrograph
    with dark protein is minus this times the projection.

    Parameters
    ----------
    shape : tuple of int
        (h, w) px.
    pixel_size : float, Å/px
    defocus_u, defocus_v : float or Tensor, (n,)
        Å; positive is underfocus.
    defocus_angle : float or Tensor, (n,)
        Degrees: the direction of defocus_u from the x axis (columns) towards the y axis (rows), as in RELION.
    voltage_kv : float or Tensor, (n,)
        kV.
    cs_mm : float or Tensor, (n,)
        Spherical aberration, mm.
    amplitude_contrast : float or Tensor, (n,)
        0 to 1.
    phase_shift : float or Tensor, (n,)
        Degrees.

    Returns
    -------
    Tensor, (..., h, w // 2 + 1) float32
    """
    u, v, angle = (torch.as_tensor(x, dtype=torch.float32) for x in (defocus_u, defocus_v, defocus_angle))
    # torch-ctf takes micrometres and half the difference of the defoci, of which it draws the root: it must not be
    # negative. Its angle is RELION's (measured: its docstring says otherwise).
    angle = torch.where(u < v, angle + 90.0, angle)
    return calculate_ctf_2d(
        defocus=(u + v) / 2e4,
        astigmatism=(u - v).abs() / 2e4,
        astigmatism_angle=angle,
        voltage=voltage_kv,
        spherical_aberration=cs_mm,
        amplitude_contrast=amplitude_contrast,
        phase_shift=phase_shift,
        pixel_size=pixel_size,
        image_shape=(shape[0], shape[1]),
        rfft=True,
        fftshift=False,
    )
