# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Fourier coefficients of a tomogram were measured. frames.py has the convention of tilts."""

import torch


def wedge(box: int, tilt_min: float, tilt_max: float, device: torch.device | None = None) -> torch.Tensor:
    """1 where a tilt series measured, 0 in the missing wedge: (box, box, box // 2 + 1) float32 on the grid of rfftn
    (z, y, x).

    box: px. tilt_min, tilt_max: degrees about the y axis. A series is taken to be without gaps. Frequencies on the y
    axis (kx = kz = 0) are in every image.
    """
    kz = torch.fft.fftfreq(box, device=device)[:, None, None]
    kx = torch.fft.rfftfreq(box, device=device)[None, None, :]
    tilt = torch.rad2deg(torch.atan2(kz, kx))  # kx >= 0: between -90 and 90 degrees
    measured = (tilt >= tilt_min - 1e-4) & (tilt <= tilt_max + 1e-4)
    # at kx = 0 and at its Nyquist frequency a coefficient stands for both signs
    both = measured | ((-tilt >= tilt_min - 1e-4) & (-tilt <= tilt_max + 1e-4))
    edge = (kx == 0) | (kx == 0.5)
    measured = torch.where(edge, both, measured) | ((kz == 0) & (kx == 0))
    result: torch.Tensor = measured.float().expand(box, box, box // 2 + 1).contiguous()
    return result
