# SPDX-License-Identifier: GPL-3.0-or-later
"""Random rotations, mirrors and grey values for training."""

import math

import numpy as np
import torch


def quarter_rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation of a crop by 0, 90, 180 or 270 degrees. Returns (2, 2), matrix from crop yx to image yx."""
    return _rotation(rng.integers(4) * math.pi / 2)


def random_rotation(rng: np.random.Generator) -> np.ndarray:
    """A random rotation of a crop: one of the 8 symmetries of the square, or any angle, and +-8 % in size. Returns
    (2, 2), matrix from crop yx to image yx."""
    quarter = rng.integers(4) * math.pi / 2
    angle, scale = (quarter, 1.0) if rng.random() < 0.5 else (rng.uniform(0, 2 * math.pi), rng.uniform(0.92, 1.08))
    return scale * _rotation(angle) @ np.diag([1.0, -1.0 if rng.random() < 0.5 else 1.0])


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def vary_contrast(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The crop with another contrast and a little more noise, as other micrographs of the session would have, (h, w).
    image: (h, w), noise of standard deviation about 1."""
    noise = torch.from_numpy(rng.standard_normal(image.shape, dtype=np.float32))
    return image * float(rng.uniform(0.8, 1.25)) + noise * float(rng.uniform(0, 0.25)) + float(rng.normal(0, 0.1))
