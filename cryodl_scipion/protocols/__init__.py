# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols of the plugin; Scipion finds those that are imported here."""
from .protocol_auto_pick import CryodlProtAutoPick
from .protocol_assess import CryodlProtAssess
from .protocol_assign_orientations import CryodlProtAssignOrientations
from .protocol_back_project import CryodlProtBackProject
from .protocol_compare import CryodlProtCompare
from .protocol_consensus import CryodlProtConsensus
from .protocol_denoise import CryodlProtDenoise, CryodlProtRawParticles
from .protocol_denoise_micrographs import CryodlProtDenoiseMicrographs
from .protocol_evaluate_denoiser import CryodlProtEvaluateDenoiser
from .protocol_integrity import CryodlProtIntegrity
from .protocol_models import CryodlProtExportModel, CryodlProtImportModel
from .protocol_pick import CryodlProtPick
from .protocol_simulate import CryodlProtSimulate
from .protocol_simulate_particles import CryodlProtSimulateParticles
from .protocol_threshold_picks import CryodlProtThresholdPicks
from .protocol_train_denoiser import CryodlProtTrainDenoiser
from .protocol_train_from_structure import CryodlProtTrainFromStructure
from .protocol_train_picker import CryodlProtTrainPicker
