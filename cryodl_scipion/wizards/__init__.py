# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers beside form fields; Scipion finds those that are imported here.

Windows are imported when they open: what they show is found out here, without them."""

from ..convert.tomography import HAS_TOMO
from .single_particles import (
    CryodlClassThresholdWizard,
    CryodlDiameterWizard,
    CryodlMaskWizard,
    CryodlResolutionWizard,
    CryodlShippedModelWizard,
    CryodlSpectrumWizard,
    CryodlThresholdWizard,
)

if HAS_TOMO:  # see tomography.py
    from .tomograms import (
        CryodlBoxWizard,
        CryodlLabelWizard,
        CryodlScoreThresholdWizard,
        CryodlShippedModelsWizard,
        CryodlSubtomogramDiameterWizard,
    )
