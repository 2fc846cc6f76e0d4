# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to particle images before a network sees them, and what is measured on them first: contrast and
noise."""
import numpy as np
import torch

from ..fourier import circle, fourier_resize, radial_mean, resampled_side
from ..simulate.projections import centre_crop

SAMPLE = 256  # particles that contrast and noise are measured on
SURE = 5.0    # standard errors
EDGE_PX = 4   # width of the soft edge of the noise's area
WIDEST = 0.98  # of the box: a circle that leaves background in the corners


def prepare(images, diameter_px, contrast="bright"):
    """Images with bright protein, their background with mean 0 and standard deviation 1, as RELION's normalisation.

    images: (n, box, box) float32. diameter_px: of the circle around pixel box // 2 that holds the particle; the
    background is what lies outside. contrast: 'bright' or 'dark', of the protein in `images`. An image without any
    variation becomes zero.
    """
    outside = ~circle(images.shape[-1], min(diameter_px, WIDEST * images.shape[-1]), images.device)
    background = images[:, outside]
    deviation = background.std(dim=1)
    gain = torch.where(deviation > 1e-12, 1 / deviation.clamp(min=1e-12), torch.zeros_like(deviation))
    prepared = (images - background.mean(dim=1)[:, None, None]) * gain[:, None, None]
    return -prepared if contrast == "dark" else prepared


def resample(images, pixel_size, new_pixel_size, box):
    """Images with other pixels, cut or surrounded by zeros to `box` px around their middle, and their exact pixel size.

    images: (n, h, h). pixel_size, new_pixel_size: Å/px; the exact one differs from what was asked for by less than half
    a pixel over the image. Equal sizes change nothing.
    """
    side, exact = resampled_side(images.shape[-1], pixel_size, new_pixel_size)
    return centre_crop(fourier_resize(images, side), box), exact


def noise_spectrum(images, diameter_px):
    """(box // 2 + 1,) power of the noise at the rings of fourier.shells, measured outside of the particles' circle.

    images: (n, box, box). White noise of variance 1 has the power 1. Fine structure of the spectrum is smeared over the
    few rings that the width of the background can tell apart; ring 0 has the value of ring 1.
    """
    box = images.shape[-1]
    axis = torch.arange(box, device=images.device) - box // 2
    distance = (axis[:, None] ** 2 + axis[None] ** 2).float().sqrt() - min(diameter_px, WIDEST * box) / 2
    weight = 0.5 - 0.5 * torch.cos(torch.pi * (distance / min(EDGE_PX, box / 16)).clamp(0, 1))
    mean = (images * weight).sum((1, 2), keepdim=True) / weight.sum()
    power = torch.fft.rfft2((images - mean) * weight).abs().square().mean(0) / weight.square().sum()
    radial = radial_mean(power, box)
    radial[0] = radial[1]
    return radial


def sample_rows(count, most=SAMPLE):
    """At most `most` rows, evenly spread over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def check_not_empty(images, path):
    """Raises ValueError if every one of some images has one value all over. path: of the particles, for the message."""
    if not (images != images[:, :1, :1]).any():
        raise ValueError(f"{path}: the images are empty (all pixels the same). Extract them again.")


def find_contrast(particles, structure_projector=None, diameter_px=None):
    """Whether protein is bright or dark in particle images.

    particles: ParticleSet. structure_projector: Projector at the particles' box and pixel size; with it and angles the
    images are compared with the structure's projections, without with a ball of diameter_px (0.6 of the box if None).
    Returns 'bright' or 'dark', whether that is sure (5 standard errors), and a sentence. What is not sure is taken as
    bright. Raises ValueError for empty images.
    """
    if structure_projector is not None and particles.angles is not None:
        from .signal import fit_structure
        fit = fit_structure(particles, structure_projector, diameter_px)
        return _verdict(fit.amplitude, fit.error, "the structure's projections")
    rows = sample_rows(len(particles))
    box = particles.box
    diameter_px = diameter_px or 0.6 * box
    images = particles.images(rows)
    check_not_empty(images, particles.path)
    images = prepare(images, diameter_px)
    seen = torch.fft.rfft2(_ball(box, diameter_px))
    if particles.optics is not None:
        seen = seen * particles.ctf(rows)
    template = torch.fft.irfft2(seen.expand(len(rows), -1, -1), s=(box, box))
    template = template - template.mean((1, 2), keepdim=True)
    matches = (images * template).mean((1, 2))
    error = float(matches.std() / len(rows) ** 0.5) if len(rows) > 1 else float("inf")
    return _verdict(float(matches.mean()), error, "a ball of the particle's size")


def _verdict(value, error, compared):
    if abs(value) <= SURE * error:
        return "bright", False, (f"The contrast could not be told by comparing the images with {compared}; protein is "
                                 "taken to be bright, as after RELION's extraction. Say --contrast dark if it is not.")
    contrast = "bright" if value > 0 else "dark"
    return contrast, True, (f"Protein is {contrast} in the images (compared with {compared}, "
                            f"{abs(value) / error:.0f} standard errors).")


def _ball(box, diameter_px):
    """(box, box) projection of a ball around pixel box // 2."""
    axis = torch.arange(box) - box // 2
    return ((diameter_px / 2) ** 2 - (axis[:, None] ** 2 + axis[None] ** 2)).clamp(min=0).sqrt()
