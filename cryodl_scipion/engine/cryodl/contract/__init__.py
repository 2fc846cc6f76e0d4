# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface between the Scipion side and the engine. Standard library only, Python 3.8 syntax.

Every command has two frozen dataclasses side by side, its config and its outputs (commands.py lists them). The fields
of a config carry type, unit, range, choices and help (params.py); forms, checks and the command line are made from
them. The fields of the outputs carry type, unit and help (command.py); result.json is checked by them when it is
written and when it is read. result.py has the two files that the sides exchange; model_card.py reads and checks the
card of a model.
"""

from . import version_0_1_0
from .class_choice import chosen_classes, class_choice_warnings, class_threshold, expected_good, particle_cut
from .command import Command, Outputs, describe_outputs, output, output_problems, outputs_of
from .commands import COMMANDS, DEV_COMMANDS, EVERY_COMMAND, DoctorConfig, command_name, command_of
from .fields import (
    AVOIDABLE,
    CONTRASTS,
    FEATURE_SHAPES,
    LABEL_KINDS,
    MIN_PARTICLES,
    PU_CRITERIA,
    SMALLEST_PX,
    THRESHOLD_RULES,
    UNANNOTATED,
    particle_size_problem,
)
from .half_map_test import (
    counted,
    half_map_resolutions,
    half_map_verdict,
    resolution_in_words,
    score_text,
    some_names,
    split_verdict,
)
from .maps.evaluating import CompareModelsConfig, EvaluateMapConfig
from .maps.improving import INPUT_WEIGHT, ImproveMapConfig
from .maps.listing import ListPairsConfig
from .maps.simulating import SimulateHalfMapsConfig
from .maps.training import TrainMapImproverConfig
from .micrographs.comparing import ComparePicksConfig, ConsensusPicksConfig, EvaluatePicksConfig, ExportRelionConfig
from .micrographs.images import (
    AssessMicrographsConfig,
    DenoiseMicrographsConfig,
    EstimateCtfConfig,
    ExtractParticlesConfig,
    TrainMicrographDenoiserConfig,
)
from .micrographs.labelling import LabelsFromClassesConfig, PickByHandConfig
from .micrographs.picking import (
    AutoPickConfig,
    PickConfig,
    PickFilamentsConfig,
    ProposeBoxesConfig,
    TrainFilamentPickerConfig,
)
from .micrographs.simulating import SimulateMicrographsConfig
from .micrographs.training import TrainGeneralPickerConfig, TrainPickerConfig, recursion_problems
from .model_card import (
    CARD,
    FORMAT_VERSION,
    MICROGRAPH_DENOISER,
    WEIGHTS,
    check_model,
    denoises_blindly,
    read_card,
    sha256,
    shipped_folders,
)
from .networks import (
    CLASSIFIER_NETWORKS,
    DENOISER_NETWORKS,
    DETECTOR_NETWORKS,
    IMPROVER_NETWORKS,
    NETWORKS,
    PICKER_NETWORKS,
    SEGMENTER_NETWORKS,
    TOMOGRAM_DENOISER_NETWORKS,
    Network,
    network_citations,
    network_names,
    network_words,
)
from .params import Config, check, config_from_dict, config_to_dict, describe, describe_all, param
from .particles.classes2d import Classify2DConfig, SelectClassesConfig
from .particles.denoising import DenoiseConfig, EvaluateDenoiserConfig, TrainDenoiserConfig
from .particles.integrity import AssessIntegrityConfig
from .particles.latent import LatentVolumesConfig, SelectLatentConfig
from .particles.orienting import AssignOrientationsConfig, IdentifyConfig, InitialMapConfig, ReconstructConfig
from .particles.simulating import SimulateParticlesConfig
from .processes import PARENT_VARIABLE, process_name
from .recipes.comparing_maps import CompareMapsOfPicksConfig
from .recipes.heterogeneity import (
    LATENT_METHODS,
    PARTICLES_PER_DIMENSION,
    SUBTOMOGRAMS_PER_DIMENSION,
    FitHeterogeneityConfig,
)
from .recipes.reporting import ReportConfig
from .result import (
    CONTRACT_VERSION,
    AllSkipped,
    Failure,
    Request,
    Result,
    Skipped,
    drawn_and_named,
    in_words,
    said_skipped,
    settings_of,
)
from .tomograms.annotating import AnnotateConfig, ImportAnnotationsConfig
from .tomograms.classifying import ClassifySubtomogramsConfig, TrainClassifierConfig
from .tomograms.denoising import DenoiseTomogramsConfig
from .tomograms.detecting import DetectParticlesConfig, TrainDetectorConfig
from .tomograms.exporting import ExportTomogramsConfig
from .tomograms.features import (
    EvaluateSegmentationConfig,
    MeasureMembranesConfig,
    MergeFeaturesConfig,
    PickFeaturesConfig,
)
from .tomograms.segmenting import SegmentConfig, TrainGeneralSegmenterConfig, TrainSegmenterConfig
from .tomograms.simulating import SimulateSubtomogramsConfig, SimulateTomogramsConfig
from .version_0_1_0 import former_names, present_options

__all__ = [
    "AVOIDABLE",
    "AllSkipped",
    "AnnotateConfig",
    "AssessIntegrityConfig",
    "AssessMicrographsConfig",
    "AssignOrientationsConfig",
    "AutoPickConfig",
    "CARD",
    "CLASSIFIER_NETWORKS",
    "COMMANDS",
    "CONTRACT_VERSION",
    "CONTRASTS",
    "Classify2DConfig",
    "ClassifySubtomogramsConfig",
    "Command",
    "Config",
    "CompareMapsOfPicksConfig",
    "CompareModelsConfig",
    "ComparePicksConfig",
    "ConsensusPicksConfig",
    "DENOISER_NETWORKS",
    "DETECTOR_NETWORKS",
    "DEV_COMMANDS",
    "DetectParticlesConfig",
    "DenoiseConfig",
    "DenoiseMicrographsConfig",
    "DenoiseTomogramsConfig",
    "DoctorConfig",
    "EVERY_COMMAND",
    "EstimateCtfConfig",
    "ExtractParticlesConfig",
    "EvaluateDenoiserConfig",
    "EvaluateMapConfig",
    "EvaluatePicksConfig",
    "ExportRelionConfig",
    "ExportTomogramsConfig",
    "EvaluateSegmentationConfig",
    "FEATURE_SHAPES",
    "MIN_PARTICLES",
    "FORMAT_VERSION",
    "Failure",
    "FitHeterogeneityConfig",
    "IMPROVER_NETWORKS",
    "IdentifyConfig",
    "ImportAnnotationsConfig",
    "ImproveMapConfig",
    "InitialMapConfig",
    "INPUT_WEIGHT",
    "LABEL_KINDS",
    "LATENT_METHODS",
    "MICROGRAPH_DENOISER",
    "ListPairsConfig",
    "MeasureMembranesConfig",
    "MergeFeaturesConfig",
    "NETWORKS",
    "Network",
    "Outputs",
    "PARENT_VARIABLE",
    "PARTICLES_PER_DIMENSION",
    "SUBTOMOGRAMS_PER_DIMENSION",
    "PICKER_NETWORKS",
    "PU_CRITERIA",
    "LabelsFromClassesConfig",
    "PickByHandConfig",
    "PickConfig",
    "PickFilamentsConfig",
    "PickFeaturesConfig",
    "ProposeBoxesConfig",
    "ReconstructConfig",
    "ReportConfig",
    "Request",
    "Result",
    "SEGMENTER_NETWORKS",
    "SMALLEST_PX",
    "SegmentConfig",
    "LatentVolumesConfig",
    "SelectLatentConfig",
    "SelectClassesConfig",
    "SimulateHalfMapsConfig",
    "SimulateMicrographsConfig",
    "SimulateParticlesConfig",
    "SimulateSubtomogramsConfig",
    "SimulateTomogramsConfig",
    "Skipped",
    "THRESHOLD_RULES",
    "TOMOGRAM_DENOISER_NETWORKS",
    "TrainClassifierConfig",
    "TrainDenoiserConfig",
    "TrainFilamentPickerConfig",
    "TrainDetectorConfig",
    "TrainGeneralPickerConfig",
    "TrainGeneralSegmenterConfig",
    "TrainMapImproverConfig",
    "TrainMicrographDenoiserConfig",
    "TrainPickerConfig",
    "TrainSegmenterConfig",
    "UNANNOTATED",
    "WEIGHTS",
    "check",
    "check_model",
    "chosen_classes",
    "class_choice_warnings",
    "expected_good",
    "particle_cut",
    "class_threshold",
    "command_name",
    "command_of",
    "config_from_dict",
    "config_to_dict",
    "counted",
    "denoises_blindly",
    "score_text",
    "some_names",
    "describe",
    "describe_all",
    "describe_outputs",
    "drawn_and_named",
    "former_names",
    "half_map_resolutions",
    "half_map_verdict",
    "in_words",
    "network_citations",
    "network_names",
    "network_words",
    "output",
    "output_problems",
    "outputs_of",
    "param",
    "particle_size_problem",
    "recursion_problems",
    "present_options",
    "process_name",
    "read_card",
    "resolution_in_words",
    "said_skipped",
    "settings_of",
    "sha256",
    "shipped_folders",
    "split_verdict",
    "version_0_1_0",
]
