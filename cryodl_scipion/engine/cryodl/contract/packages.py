# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that the engine's Python must have, as in install/requirements.in."""

# Distribution and the name of its module.
NEEDED = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "mrcfile": "mrcfile",
    "safetensors": "safetensors",
    "gemmi": "gemmi",
    "tifffile": "tifffile",
    "imagecodecs": "imagecodecs",
    "accelerate": "accelerate",
    "tqdm": "tqdm",
    "psutil": "psutil",
    "matplotlib": "matplotlib",
    "torch-ctf": "torch_ctf",
    "torch-fourier-slice": "torch_fourier_slice",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
