# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols of the plugin; Scipion finds those that are imported here."""

from ..convert.tomography import HAS_TOMO
from .maps.protocol_evaluate_map import CryodlProtEvaluateMap
from .maps.protocol_improve_map import CryodlProtImproveMap
from .maps.protocol_train_map_improver import CryodlProtTrainMapImprover
from .micrographs.protocol_assess import CryodlProtAssess
from .micrographs.protocol_compare import CryodlProtCompare
from .micrographs.protocol_consensus import CryodlProtConsensus
from .micrographs.protocol_denoise_micrographs import CryodlProtDenoiseMicrographs
from .micrographs.protocol_estimate_ctf import CryodlProtEstimateCTF
from .micrographs.protocol_extract_particles import CryodlProtExtractParticles
from .micrographs.protocol_pick import CryodlProtPick
from .micrographs.protocol_pick_by_hand import CryodlProtPickByHand
from .micrographs.protocol_pick_filaments import CryodlProtPickFilaments
from .micrographs.protocol_threshold_picks import CryodlProtThresholdPicks
from .micrographs.protocol_train_picker import CryodlProtTrainPicker
from .one_of import formerProtocols
from .particles.protocol_assign_orientations import CryodlProtAssignOrientations
from .particles.protocol_back_project import CryodlProtBackProject
from .particles.protocol_classify_2d import CryodlProtClassify2D
from .particles.protocol_denoise import CryodlProtDenoise
from .particles.protocol_evaluate_denoiser import CryodlProtEvaluateDenoiser
from .particles.protocol_identify import CryodlProtIdentify
from .particles.protocol_initial_map import CryodlProtInitialMap
from .particles.protocol_integrity import CryodlProtIntegrity
from .particles.protocol_select_classes import CryodlProtSelectClasses
from .particles.protocol_train_denoiser import CryodlProtTrainDenoiser
from .protocol_fit_heterogeneity import CryodlProtFitHeterogeneity
from .protocol_models import CryodlProtModels
from .protocol_report import CryodlProtReport
from .protocol_simulate import CryodlProtSimulate

if HAS_TOMO:  # see tomography.py
    from .tomograms.protocol_annotate import CryodlProtAnnotate
    from .tomograms.protocol_classify_subtomograms import CryodlProtClassifySubtomograms
    from .tomograms.protocol_denoise_tomograms import CryodlProtDenoiseTomograms
    from .tomograms.protocol_detect_particles import CryodlProtDetectParticles
    from .tomograms.protocol_merge_features import CryodlProtMergeFeatures
    from .tomograms.protocol_pick_features import CryodlProtPickFeatures
    from .tomograms.protocol_segment import CryodlProtSegment
    from .tomograms.protocol_simulate_tomograms import CryodlProtSimulateTomograms
    from .tomograms.protocol_train_tomograms import CryodlProtTrainTomograms

globals().update(formerProtocols(globals()))  # by which Scipion reads projects and workflows of 0.1.0
