# SPDX-License-Identifier: GPL-3.0-or-later
"""The contrast transfer function, by torch-ctf, in the field's units and RELION's angle convention."""

from __future__ import annotations

import typing

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

    shape: (h, w) px. pixel_size: Å/px. defocus_u, defocus_v: Å, positive is underfocus; scalars or (n,).
    defocus_angle, phase_shift: degrees; the angle of the direction of defocus_u from the x axis (columns) towards the
    y axis (rows), as in RELION. voltage_kv: kV. cs_mm: mm. amplitude_contrast: 0 to 1.
    Returns (..., h, w // 2 + 1) float32. The value is sin(pi l k^2 (dz - Cs l^2 k^2 / 2) + asin(Q) + phase), the
    negative of the usual -sin: a micrograph with dark protein is minus this times the projection.
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


def ctf_of_optics(
    optics: typing.Sequence[typing.Any], box: int, pixel_size: float, device: torch.device | None = None
) -> torch.Tensor:
    """(n, box, box // 2 + 1) CTF of images with an Optics each, see ctf_rfft. optics: n core.optics.Optics.

    RELION's B-factor and scale of the CTF multiply it by scale x exp(-B q² / 4), q in 1/Å.
    """
    columns = torch.tensor(
        [
            [
                o.defocus_u,
                o.defocus_v,
                o.defocus_angle,
                o.voltage_kv,
                o.cs_mm,
                o.amplitude_contrast,
                o.phase_shift,
                o.b_factor,
                o.scale,
            ]
            for o in optics
        ],
        dtype=torch.float32,
        device=device,
    ).reshape(-1, 9)
    u, v, angle, voltage, cs, contrast, phase, fall, scale = columns.T
    transfer = ctf_rfft((box, box), pixel_size, u, v, angle, voltage, cs, contrast, phase)
    if not (fall.any() or (scale != 1).any()):
        return transfer
    square = (
        torch.fft.fftfreq(box, pixel_size, device=device)[:, None] ** 2
        + torch.fft.rfftfreq(box, pixel_size, device=device) ** 2
    )
    result: torch.Tensor = transfer * scale[:, None, None] * torch.exp(-fall[:, None, None] / 4 * square)
    return result
