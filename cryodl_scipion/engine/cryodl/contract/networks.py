# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of each kind of model, the first is the default."""

# Names of the pickers' registry (micrographs/pickers/__init__.py; a test keeps them equal). Append at the end.
PICKER_NETWORKS = ("unet", "deeppicker", "deepem", "cryolo", "topaz", "eman2")
# Names of the denoisers' registry (particles/denoisers/__init__.py). Append at the end.
DENOISER_NETWORKS = ("posterior", "swinconv", "cgan")
# Names of the segmenters' and classifiers' registries (segmenters/, classifiers/). Append at the end.
SEGMENTER_NETWORKS = ("unet", "unet2d", "unet3d", "eman2")
CLASSIFIER_NETWORKS = ("likelihood", "dsrf3d", "rb3d", "cb3d")
IMPROVER_NETWORKS = ("fast", "swinconv")
