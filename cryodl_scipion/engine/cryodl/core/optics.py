# SPDX-License-Identifier: GPL-3.0-or-later
"""The optics of images: defocus, astigmatism and the microscope's constants.

The contrast transfer function, by torch-ctf, in the field's units and RELION's angle convention."""

import dataclasses
import typing

import numpy as np
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
    """CTF on the grid of torch.fft.rfft2 of an image, positive at low frequencies (protein bright), (..., h, w // 2 +
    1) float32.

    The value is sin(pi l k^2 (dz - Cs l^2 k^2 / 2) + asin(Q) + phase), the negative of the usual -sin: a micrograph
    with dark protein is minus this times the projection.

    shape: (h, w) px. pixel_size: Å/px. defocus_u, defocus_v: (n,) Å; positive is underfocus. defocus_angle: (n,),
    degrees: the direction of defocus_u from the x axis (columns) towards the y axis (rows), as in RELION. voltage_kv:
    (n,) kV. cs_mm: (n,), spherical aberration, mm. amplitude_contrast: (n,), 0 to 1. phase_shift: (n,), degrees."""
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


def wavelength(voltage_kv: typing.Any) -> typing.Any:
    """Wavelength of electrons, Å, with the relativistic correction. voltage_kv: kV, a number or an array."""
    return 12.2642596 / (1e3 * voltage_kv + 0.97845 * voltage_kv**2) ** 0.5


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


FIELDS = tuple(field.name for field in dataclasses.fields(Optics))


class OpticsTable(typing.Sequence[Optics]):
    """A sequence of Optics, kept as numbers side by side. values: (n, len(FIELDS)) float64."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: typing.Any) -> typing.Any:
        """The Optics of a row; of a slice, or an array of rows or of bool, an OpticsTable."""
        found = self.values[rows]
        return Optics(*found.tolist()) if found.ndim == 1 else OpticsTable(found)

    def __array__(self, dtype: typing.Any = None, copy: bool | None = None) -> np.ndarray:
        """(n,) objects."""
        found = np.empty(len(self), object)
        found[:] = list(self)
        return found


def optics_values(optics: typing.Sequence[Optics]) -> np.ndarray:
    """The numbers of n Optics side by side. Returns (n, len(FIELDS)) float64."""
    if isinstance(optics, OpticsTable):
        return optics.values
    return np.array([[getattr(one, name) for name in FIELDS] for one in optics], float).reshape(-1, len(FIELDS))


def ctf_of_optics(
    optics: typing.Sequence[Optics], box: int, pixel_size: float, device: torch.device | None = None
) -> torch.Tensor:
    """CTF of images with an Optics each, see ctf.ctf_rfft, (n, box, box // 2 + 1). RELION's B-factor and scale of the
    CTF multiply it by scale x exp(-B q² / 4), q in 1/Å. box: px. pixel_size: Å/px."""
    columns = torch.as_tensor(optics_values(optics), dtype=torch.float32, device=device)
    u, v, angle, voltage, cs, contrast, phase, b_factor, scale = columns.T
    transfer = ctf_rfft((box, box), pixel_size, u, v, angle, voltage, cs, contrast, phase)
    if not (b_factor.any() or (scale != 1).any()):
        return transfer
    square = (
        torch.fft.fftfreq(box, pixel_size, device=device)[:, None] ** 2
        + torch.fft.rfftfreq(box, pixel_size, device=device) ** 2
    )
    return transfer * scale[:, None, None] * torch.exp(-b_factor[:, None, None] / 4 * square)
