# SPDX-License-Identifier: GPL-3.0-or-later
"""The missing wedge: which Fourier coefficients a tilt series measured. frames.py has the convention of tilts."""

import torch


def wedge(box: int, tilt_min: float, tilt_max: float, device: torch.device | None = None) -> torch.Tensor:
    """1 where a tilt series measured, 0 in the missing wedge.

    A series is taken to be without gaps. Frequencies on the y axis (kx = kz = 0) are in every image.

    Parameters
    ----------
    box : int
        px.
    tilt_min, tilt_max : float, degrees
        About the y axis.

    Returns
    -------
    Tensor, (box, box, box // 2 + 1) float32
        On the grid of rfftn (z, y, x).
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


def rotated_wedge(
    box: int, tilt_min: float, tilt_max: float, axes: tuple[int, ...], flips: tuple[int, ...]
) -> torch.Tensor:
    """`wedge` of a cube that was rotated: of volume.permute(axes).flip(flips).

    Parameters
    ----------
    box : int
        px.
    tilt_min, tilt_max : float, degrees
        About the y axis.
    axes : tuple of int
        Of the cube (z, y, x), in their new order.
    flips : tuple of int
        Axes of the rotated cube that are reversed.

    Returns
    -------
    Tensor, (box, box, box // 2 + 1) float32
    """
    half = wedge(box, tilt_min, tilt_max)
    opposite = -torch.arange(box) % box
    whole = half.new_empty(box, box, box)
    whole[..., : half.shape[-1]] = half
    columns = torch.arange(half.shape[-1], box)
    whole[..., half.shape[-1] :] = half[opposite][:, opposite][..., box - columns]
    rotated = whole.permute(axes)
    for axis in flips:
        rotated = rotated.index_select(axis, opposite)
    return rotated[..., : half.shape[-1]].contiguous()
