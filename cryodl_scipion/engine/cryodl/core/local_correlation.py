# SPDX-License-Identifier: GPL-3.0-or-later
"""Locally normalised cross-correlation of an image with templates, by Fourier transforms.

At each place the correlation coefficient within a disc: mean and variance are those of the pixels that the disc covers
there (Roseman 2003, Ultramicroscopy 94:225); at the image's edge only the pixels that exist count.
"""

import torch
from scipy.fft import next_fast_len


class LocalCorrelation:
    """An image that is compared with many templates under one disc.

    Parameters
    ----------
    image : (h, w) tensor
    disc : (k, k) bool tensor, k odd
    quiet : float
        Positions whose variance is less than this part of the image's median are compared as if they had that much, so
        that empty positions are not blown up.
    """

    def __init__(self, image: torch.Tensor, disc: torch.Tensor, quiet: float = 1e-6) -> None:
        self.shape, self.half = tuple(image.shape), disc.shape[0] // 2
        self.padded = tuple(next_fast_len(n + disc.shape[0], real=True) for n in self.shape)
        image = image.double()
        self.transform = torch.fft.rfft2(image, s=self.padded)
        of_disc = self._of(disc.double())
        covered = self._correlated(torch.fft.rfft2(torch.ones_like(image), s=self.padded), of_disc).clamp(min=1.0)
        mean = self._correlated(self.transform, of_disc) / covered
        squares = self._correlated(torch.fft.rfft2(image.square(), s=self.padded), of_disc)
        variance = squares / covered - mean.square()
        minimum = max(quiet * float(variance.clamp(min=0).median()), 1e-12)
        self.inverse = (1 / (covered * variance.clamp(min=minimum)).sqrt()).float()
        self.transform = self.transform.to(torch.complex64)  # enough for the scores, not for the variance

    def scores(self, templates: torch.Tensor) -> torch.Tensor:
        """(n, h, w) correlation coefficients with (n, k, k) templates of mean 0 and norm 1 in the disc, 0 outside."""
        return self._correlated(self.transform, self._of(templates.float())) * self.inverse

    def _of(self, small: torch.Tensor) -> torch.Tensor:
        transform: torch.Tensor = torch.fft.rfft2(small, s=self.padded)
        return transform.conj()

    def _correlated(self, transform: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Sums under the small image centred at each position."""
        found: torch.Tensor = torch.fft.irfft2(transform * other, s=self.padded)
        return found.roll((self.half, self.half), (-2, -1))[..., : self.shape[0], : self.shape[1]]


def disc_normalised(templates: torch.Tensor, disc: torch.Tensor) -> torch.Tensor:
    """Images with mean 0 and norm 1 in a disc.

    Parameters
    ----------
    templates : Tensor, (n, k, k)
    disc : Tensor, (k, k)
        Bool.

    Returns
    -------
    Tensor, (n, k, k)
        0 outside of the disc.
    """
    weight = disc.to(templates.dtype)
    inner = (templates - (templates * weight).sum((1, 2), keepdim=True) / weight.sum()) * weight
    return inner / inner.square().sum((1, 2), keepdim=True).sqrt().clamp(min=1e-12)


def disc_of(radius: float) -> torch.Tensor:
    """The pixels within a radius of the middle one.

    Parameters
    ----------
    radius : float, px

    Returns
    -------
    Tensor, (k, k)
        Bool, k odd.
    """
    reach = int(radius) + 1
    axis = torch.arange(-reach, reach + 1.0)
    return axis[:, None] ** 2 + axis**2 <= radius**2
