# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs of every kind for the training of a general picker: any shape, size, crowding, contrast, ice and dirt.

They are made at the network's own scale (the user's particle diameter is `diameter_px` wide), so that one takes a
fraction of a second: what was larger in the file has been averaged away there."""

import dataclasses
import math
import typing

import numpy as np
import torch
import torch.nn.functional as F

from ..core import fourier, optics, projections
from .artefacts import add_carbon, add_ice, add_some_dirt, as_recorded, film_texture, smooth_noise
from .particles import CROWDED, far, particle_positions

SIDE = 512
# The stated diameter over the particle's widest extent. People differ by 0.8 to 1.35; the rest is for those who do not
# know, and for finding the size.
STATED = (0.6, 1.7)
# Beyond, nothing counts as a particle: parts of one that is far too large, specks that are far too small.
FAR_OFF, TOO_LARGE, TOO_SMALL = 0.1, (0.25, 0.42), (2.4, 4.0)
SNR = (0.015, 2.0)  # variance of the particles over that of the noise
FAINT_SNR, FAINT_CROWDED = (0.008, 0.12), 0.7  # of scenes that are asked to be faint, and mostly crowded
VIEWS = 160  # projections of a structure, drawn from with all in-plane rotations


@dataclasses.dataclass(frozen=True)
class Scene:
    """image: (h, w) float32 tensor, dark protein. particles: (n, 2) yx px. uncertain: (h, w) bool, where nobody could
    say. pixel_size: Å/px that the scene stands for. size: the particles' widest extent over the stated diameter."""

    image: torch.Tensor
    particles: np.ndarray
    uncertain: torch.Tensor
    pixel_size: float
    size: float


def random_scene(
    density: torch.Tensor,
    extent_px: int,
    extent: float,
    other: typing.Sequence[torch.Tensor],
    diameter_px: float,
    rng: np.random.Generator,
    side: int = SIDE,
    faint: bool = False,
) -> Scene:
    """One micrograph of one structure.

    density: (d, d, d). extent_px: voxels of its widest extent. extent: Å, of its widest extent, about. other: (e, e, e)
    each, densities in the same voxels of which a few stray pieces are added, that are no particles. diameter_px: px, of
    the stated particle diameter. side: of the micrograph, px. faint: particles hardly stand out from the noise, and
    most fields are crowded."""
    stated, sought = _stated(rng)
    zoom = diameter_px / (extent_px * stated)  # voxels -> px
    pixel_size = extent / (extent_px * zoom)
    views, wide = project_views(density, zoom, VIEWS, rng), extent_px * zoom
    shape = (side, side)
    centres, clumped = particle_positions(shape, wide, rng, FAINT_CROWDED if faint else CROWDED)
    clean = paint(views, centres, shape, rng) + paint(views, clumped, shape, rng)
    good = far(centres, clumped, 0.75 * wide)
    signal = signal_strength(clean, centres if len(centres) else clumped, wide)
    stray = stray_pieces(other, zoom, shape, wide, rng) if other else 0.0
    clean = clean + stray + float(signal) * film_texture(shape, wide, rng)
    image = as_recorded(exposed(clean / signal, pixel_size, shape, rng, FAINT_SNR if faint else SNR), wide, rng)
    image, good, uncertain = _with_artefacts(image, centres, good, wide, diameter_px, rng)
    keep = good & ~uncertain.numpy()[tuple(np.clip(np.rint(centres).astype(int), 0, side - 1).T)]
    return Scene(image, centres[keep if sought else keep & False], uncertain, pixel_size, 1 / stated)


def _stated(rng: np.random.Generator) -> tuple[float, bool]:
    """The stated diameter over the widest extent, and whether it is near enough that there are particles to find."""
    if rng.random() >= FAR_OFF:
        return float(np.exp(rng.uniform(*np.log(STATED)))), True
    return float(rng.uniform(*(TOO_LARGE if rng.random() < 0.5 else TOO_SMALL))), False


def project_views(density: torch.Tensor, zoom: float, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Projections at the scale of a scene. density: (d, d, d). zoom: pixels of the scene per voxel. count: projections.
    Returns (count, b, b), in random orientations, in some scenes preferred ones."""
    if zoom > 2.2:  # coarser, and enlarged: so large a particle is there only to be left alone
        views = project_views(density, 1.5, min(count, 24), rng)
        side = int(views.shape[-1] * zoom / 3) * 2
        return F.interpolate(views[:, None], size=(side, side), mode="bicubic", align_corners=False)[:, 0]
    if abs(zoom - 1) > 0.02:
        shape = [max(12, 2 * int(round(n * zoom / 2))) for n in density.shape]
        density = F.interpolate(density[None, None], size=shape, mode="trilinear", align_corners=False)[0, 0]
    angles = projections.random_angles(count, rng)
    if rng.random() < 0.25:  # preferred orientations
        tilt = math.degrees(math.acos(rng.uniform(-1, 1)))
        angles[:, 1] = np.where(rng.random(count) < 0.7, np.clip(rng.normal(tilt, 12, count), 0, 180), angles[:, 1])
    return projections.Projector(density).project(angles)


def paint(views: torch.Tensor, centres: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> torch.Tensor:
    """Sum of random views at whole pixels; each is a little stronger or weaker than the next, in some fields many are
    faint. views: (n, b, b). centres: (m, 2) yx, px. shape: (h, w), px. Returns (h, w)."""
    views = views[:, 1:, 1:]  # an odd side, whose middle stays where it is when a view is rotated
    b = views.shape[-1]
    canvas = torch.zeros((shape[0] + 3 * b, shape[1] + 3 * b))
    spread = math.exp(rng.uniform(math.log(1.1), math.log(1.6)))
    chosen, rotations = rng.integers(len(views), size=len(centres)), rng.integers(8, size=len(centres))
    for (y, x), index, rotation in zip(np.rint(centres).astype(int) + b - b // 2, chosen, rotations):
        if 0 <= y <= canvas.shape[0] - b and 0 <= x <= canvas.shape[1] - b:
            canvas[y : y + b, x : x + b] += rotated_view(views[index], int(rotation)) * float(
                spread ** rng.uniform(-1, 1)
            )
    return canvas[b : b + shape[0], b : b + shape[1]]


def rotated_view(view: torch.Tensor, rotation: int) -> torch.Tensor:
    """One of the 8 symmetries of the square, 0 to 7. view: (b, b), b odd: its middle pixel stays the middle."""
    view = torch.rot90(view, rotation % 4)
    return view.flip(0) if rotation > 3 else view


def signal_strength(clean: torch.Tensor, centres: np.ndarray, wide: float) -> torch.Tensor:
    """Standard deviation of a clean image in squares around its particles. clean: (h, w). centres: (n, 2) yx, px. wide:
    px, side of the squares."""
    part = clean[_around(centres, clean.shape, wide / 2)]
    return (part if len(part) > 8 else clean).std().clamp(min=1e-6)


def stray_pieces(
    other: typing.Sequence[torch.Tensor], zoom: float, shape: tuple[int, ...], wide: float, rng: np.random.Generator
) -> float | torch.Tensor:
    """Pieces of other things, from none to very many: clearly smaller fragments, or some few larger ones. other:
    (e, e, e) each. zoom: pixels of the scene per voxel, for particles. shape: (h, w), px. wide: px, of a particle's
    extent. Returns (h, w), or 0.0."""
    if rng.random() > 0.6:
        return 0.0
    if rng.random() < 0.15:
        views = project_views(other[int(rng.integers(len(other)))], zoom * rng.uniform(1.8, 2.6), 8, rng)
        return float(rng.uniform(0.2, 0.8)) * paint(
            views, rng.uniform(0, 1, (int(rng.integers(1, 7)), 2)) * shape, shape, rng
        )
    views = project_views(other[int(rng.integers(len(other)))], zoom * rng.uniform(0.2, 0.45), 24, rng)
    count = int(np.exp(rng.uniform(math.log(3), math.log(max(4.0, shape[0] * shape[1] / wide**2)))))
    strength = float(np.exp(rng.uniform(math.log(0.3), math.log(2.0))))
    return strength * paint(views, rng.uniform(0, 1, (count, 2)) * shape, shape, rng)


def exposed(
    clean: torch.Tensor,
    pixel_size: float,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    snr_range: tuple[float, float] = SNR,
) -> torch.Tensor:
    """The image that the microscope takes, (h, w): the sum of the two parts of `exposure`, whose parameters it has."""
    signal, noise = exposure(clean, pixel_size, shape, rng, snr_range)
    return signal + noise


def exposure(
    clean: torch.Tensor,
    pixel_size: float,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    snr_range: tuple[float, float] = SNR,
) -> tuple[torch.Tensor, ...]:
    """Through the microscope: CTF, solvent, detector noise of variance 1, dark protein.

    clean: (h, w), projection, protein bright, standard deviation of the particles 1. pixel_size: Å/px. shape: (h, w),
    px. snr_range: variance ratio, of the variance of the particles over that of the noise, in pixels of the scene.
    Returns (h, w) each, what the particles show, protein dark, and the noise of solvent and detector to be added."""
    voltage = float(rng.choice([300.0, 300.0, 200.0, 120.0]))
    contrast = 0.9 if rng.random() < 0.05 else float(rng.uniform(0.07, 0.2))  # 0.9: as with a phase plate
    defocus = float(np.exp(rng.uniform(math.log(3500), math.log(40000))))
    transfer = optics.ctf_rfft(
        shape,
        pixel_size,
        defocus * (1 + rng.uniform(0, 0.03)),
        defocus,
        rng.uniform(0, 180),
        voltage,
        float(rng.choice([2.7, 0.01, 2.0])),
        contrast,
    )
    frequency = fourier.frequencies(shape, pixel_size)
    transfer = transfer * torch.exp(-(frequency**2) * float(rng.uniform(0, 300)) / 4)
    snr = float(np.exp(rng.uniform(*np.log(snr_range))))
    solvent = float(rng.uniform(0, 0.8))
    structure = torch.fft.rfft2(clean * snr**0.5 / _transmitted(clean, transfer)) * transfer
    around = solvent * torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    low = float(rng.uniform(0, 1) ** 2 * 0.6) * smooth_noise(shape, float(rng.uniform(4, 60)), rng)
    kept = _kept_amplitude(frequency * pixel_size, rng)
    noise_transform = torch.fft.rfft2(noise + low) - torch.fft.rfft2(around) * transfer
    return tuple(torch.fft.irfft2(part * kept, s=shape) for part in (-structure, noise_transform))


def _kept_amplitude(frequency: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """What is left of each amplitude where the file was sampled down, or low-passed or denoised before. frequency:
    cycles/px of the rfft, up to 0.7."""
    kept = torch.exp(-(frequency**2) * float(rng.uniform(0, 5)))
    if rng.random() < 0.35:
        cutoff = math.exp(rng.uniform(math.log(0.05), math.log(0.35)))
        kept = kept / (1 + (frequency / cutoff) ** (2 * int(rng.integers(1, 5))))
    return kept


def _transmitted(clean: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """How much of the standard deviation the CTF leaves, so that the SNR is that of what can be seen."""
    before = clean - clean.mean()
    after = torch.fft.irfft2(torch.fft.rfft2(before) * transfer, s=clean.shape)
    return (after.std() / before.std().clamp(min=1e-6)).clamp(min=0.05)


def _with_artefacts(
    image: torch.Tensor,
    centres: np.ndarray,
    good: np.ndarray,
    wide: float,
    diameter_px: float,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    """Ice, carbon, gradients, margins. Particles under ice are no good; on carbon people mark them or do not."""
    uncertain = torch.zeros(image.shape, dtype=torch.bool)
    at = tuple(np.clip(np.rint(centres).astype(int), 0, image.shape[0] - 1).T)
    if rng.random() < 0.2:
        image, film = add_carbon(image, diameter_px, rng)
        uncertain = _around(centres[film.numpy()[at] & good], image.shape, wide / 2)
    if rng.random() < 0.45:
        image, ice = add_ice(image, int(rng.integers(1, 12)), diameter_px, rng)
        good = good & ~ice.numpy()[at]
    return add_some_dirt(image, wide, rng), good, uncertain


def _around(positions: np.ndarray, shape: tuple[int, ...], radius: float) -> torch.Tensor:
    """(h, w) bool: in the squares of `radius` px around the positions."""
    mask, reach = torch.zeros(shape, dtype=torch.bool), int(radius) + 1
    for y, x in np.rint(positions).astype(int):
        mask[max(y - reach, 0) : max(y + reach + 1, 0), max(x - reach, 0) : max(x + reach + 1, 0)] = True
    return mask
