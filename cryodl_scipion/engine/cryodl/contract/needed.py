# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine's Python must have: the packages of install/requirements.in."""

# Distribution and the module that it is imported as.
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
    "matplotlib": "matplotlib",
    "torch-ctf": "torch_ctf",
    "torch-fourier-slice": "torch_fourier_slice",
    "torch-fourier-shift": "torch_fourier_shift",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
