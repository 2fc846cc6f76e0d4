# SPDX-License-Identifier: GPL-3.0-or-later
"""Projections of a density at Euler angles, in RELION's convention, by central slices (torch-fourier-slice)."""
import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from torch_fourier_slice import project_3d_to_2d


def random_angles(count, rng):
    """(count, 3) rot, tilt, psi in degrees, uniform over all orientations."""
    return np.stack([rng.uniform(-180, 180, count), np.degrees(np.arccos(rng.uniform(-1, 1, count))),
                     rng.uniform(-180, 180, count)], axis=1)


def rotation_matrices(angles):
    """(n, 3, 3) matrices that turn an image's xyz frame into the density's, for RELION's rot, tilt, psi in degrees."""
    # RELION's matrix takes density coordinates to image coordinates: intrinsic ZYZ, so the inverse is needed here
    return Rotation.from_euler("ZYZ", np.asarray(angles), degrees=True).as_matrix()


def project(density, angles, shifts_yx=None, box=None):
    """Projections along the beam.

    density: (d, d, d) tensor, zyx. angles: (n, 3) rot, tilt, psi, degrees. shifts_yx: (n, 2) px that move the particle in
    the image. box: side of the images, d if None; the particle is centred on pixel box // 2.
    Returns (n, box, box) float32 tensor.
    """
    matrices = torch.as_tensor(rotation_matrices(angles), dtype=torch.float32, device=density.device)
    images = project_3d_to_2d(density, matrices, pad_factor=2.0)
    box = box or density.shape[-1]
    images = centre_crop(images, box)
    if shifts_yx is None:
        return images
    from torch_fourier_shift import fourier_shift_image_2d
    return fourier_shift_image_2d(images, shifts=torch.as_tensor(shifts_yx, dtype=torch.float32, device=density.device))


def centre_crop(images, box):
    """(n, d, d) cropped or padded with zeros to (n, box, box), pixel d // 2 becoming pixel box // 2."""
    before = box // 2 - images.shape[-1] // 2
    after = box - images.shape[-1] - before
    return F.pad(images, (before, after, before, after))
