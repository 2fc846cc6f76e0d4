# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols of the plugin; Scipion finds those that are imported here."""
from ..tomography import HAS_TOMO
from .protocol_auto_pick import CryodlProtAutoPick
from .protocol_assess import CryodlProtAssess
from .protocol_assign_orientations import CryodlProtAssignOrientations
from .protocol_back_project import CryodlProtBackProject
from .protocol_compare import CryodlProtCompare
from .protocol_compare_models import CryodlProtCompareModels
from .protocol_consensus import CryodlProtConsensus
from .protocol_denoise import CryodlProtDenoise, CryodlProtRawParticles
from .protocol_denoise_micrographs import CryodlProtDenoiseMicrographs
from .protocol_evaluate_denoiser import CryodlProtEvaluateDenoiser
from .protocol_evaluate_map import CryodlProtEvaluateMap
from .protocol_improve_map import CryodlProtImproveMap
from .protocol_integrity import CryodlProtIntegrity
from .protocol_models import CryodlProtExportModel, CryodlProtImportModel
from .protocol_pick import CryodlProtPick
from .protocol_simulate import CryodlProtSimulate
from .protocol_simulate_half_maps import CryodlProtSimulateHalfMaps
from .protocol_simulate_particles import CryodlProtSimulateParticles
from .protocol_threshold_picks import CryodlProtThresholdPicks
from .protocol_train_denoiser import CryodlProtTrainDenoiser
from .protocol_train_from_structure import CryodlProtTrainFromStructure
from .protocol_train_map_improver import CryodlProtTrainMapImprover
from .protocol_train_picker import CryodlProtTrainPicker

if HAS_TOMO:  # see tomography.py
    from .protocol_annotate import CryodlProtAnnotate
    from .protocol_classify_subtomograms import CryodlProtClassifySubtomograms
    from .protocol_cluster_subtomograms import CryodlProtClusterSubtomograms
    from .protocol_evaluate_segmentation import CryodlProtEvaluateSegmentation
    from .protocol_merge_features import CryodlProtMergeFeatures
    from .protocol_pick_features import CryodlProtPickFeatures
    from .protocol_segment import CryodlProtSegment
    from .protocol_simulate_subtomograms import CryodlProtSimulateSubtomograms
    from .protocol_simulate_tomograms import CryodlProtSimulateTomograms
    from .protocol_train_classifier import CryodlProtTrainClassifier
    from .protocol_train_segmenter import CryodlProtTrainSegmenter
