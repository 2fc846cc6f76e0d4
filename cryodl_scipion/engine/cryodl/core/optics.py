# SPDX-License-Identifier: GPL-3.0-or-later
"""The optics of one image: defocus, astigmatism and the microscope's constants."""

import dataclasses

import torch

from .ctf import ctf_rfft


@dataclasses.dataclass(frozen=True)
class Optics:
    """CTF of one micrograph or particle: Å, degrees, kV, mm, fraction, degrees. defocus_angle as in core.ctf.ctf_rfft.
    b_factor (Å²), scale: of the CTF, as RELION's rlnCtfBfactor and rlnCtfScalefactor; particles alone have them."""

    defocus_u: float
    defocus_v: float
    defocus_angle: float
    voltage_kv: float
    cs_mm: float
    amplitude_contrast: float
    phase_shift: float = 0.0
    b_factor: float = 0.0
    scale: float = 1.0

    def transfer(self, shape: tuple[int, ...], pixel_size: float, device: torch.device | None = None) -> torch.Tensor:
        """The CTF on the grid of rfft2 of an (h, w) image; see core.ctf.ctf_rfft."""
        # it is computed where its defocus lies
        u, v, angle = (
            torch.tensor(float(v), device=device) for v in (self.defocus_u, self.defocus_v, self.defocus_angle)
        )
        return ctf_rfft(
            shape, pixel_size, u, v, angle, self.voltage_kv, self.cs_mm, self.amplitude_contrast, self.phase_shift
        )
