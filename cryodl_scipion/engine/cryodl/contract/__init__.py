# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface between the Scipion side and the engine. Standard library only, Python 3.8 syntax.

Every command has two frozen dataclasses side by side, its config and its outputs (commands.py lists them). The fields
of a config carry type, unit, range, choices and help (params.py); forms, checks and the command line are made from
them. The fields of the outputs carry type, unit and help (command.py); result.json is checked by them when it is
written and when it is read. result.py has the two files that the sides exchange; model_card.py checks cards."""

# One after the other, since they are many.
# fmt: off
# ruff: noqa: I001
from . import version_0_1_0
from .annotations import read_tiles, tile_counts
from .class_choice import chosen_classes, class_choice_warnings, expected_good, fewest_particles, particle_cut
from .command import Command, Outputs, describe_outputs, output, output_problems, outputs_of
from .commands import COMMANDS, DEV_COMMANDS, EVERY_COMMAND, DoctorConfig, command_name, command_of
from .fields import (
    AVOIDABLE, CONTRASTS, FEATURE_SHAPES, LABEL_KINDS, MIN_PARTICLES, PU_CRITERIA, SMALLEST_PX, THRESHOLD_RULES,
    UNANNOTATED, particle_size_problem
)
from .frames import rescaled
from .half_map_test import BY_NETWORK, PIECE, doubt_script, half_map_resolutions, half_map_verdict, split_verdict
from .maps.evaluating import (
    MAP_METRICS, CompareModelsConfig, CompareModelsOutputs, EvaluateMapConfig, EvaluateMapOutputs,
    SimulateHalfMapsConfig, SimulateHalfMapsOutputs
)
from .maps.improving import (
    INPUT_WEIGHT, ImproveMapConfig, ImproveMapOutputs, TrainMapImproverConfig,
    TrainMapImproverOutputs
)
from .micrographs.comparing import (
    ComparePicksConfig, ComparePicksOutputs, ConsensusPicksConfig, ConsensusPicksOutputs, EvaluatePicksConfig,
    EvaluatePicksOutputs, ExportRelionConfig, ExportRelionOutputs
)
from .micrographs.images import (
    AssessMicrographsConfig, AssessMicrographsOutputs, DenoiseMicrographsConfig, DenoiseMicrographsOutputs,
    EstimateCtfConfig, EstimateCtfOutputs, ExtractParticlesConfig, ExtractParticlesOutputs,
    TrainMicrographDenoiserConfig, TrainMicrographDenoiserOutputs
)
from .micrographs.labelling import (
    LabelsFromClassesConfig, LabelsFromClassesOutputs, PickByHandConfig, PickByHandOutputs
)
from .micrographs.picking import (
    AutoPickConfig, AutoPickOutputs, PickConfig, PickFilamentsConfig, PickFilamentsOutputs, PickOutputs,
    TrainFilamentPickerConfig, TrainFilamentPickerOutputs, best_round
)
from .micrographs.simulating import SimulateMicrographsConfig, SimulateMicrographsOutputs
from .micrographs.training import (
    TrainGeneralPickerConfig, TrainGeneralPickerOutputs, TrainPickerConfig, TrainPickerOutputs, recursion_problems
)
from .model_card import (
    CARD, FORMAT_VERSION, LABELS_TELL, MICROGRAPH_DENOISER, WEIGHTS, check_model, denoises_blindly, read_card, sha256,
    shipped_folders
)
from .networks import (
    AS_STARTED, CLASSIFIER_NETWORKS, DENOISER_NETWORKS, DETECTOR_NETWORKS, IMPROVER_NETWORKS, NETWORKS,
    PICKER_NETWORKS, SEGMENTER_NETWORKS, TOMOGRAM_DENOISER_NETWORKS, Network, network_citations, network_names,
    network_words
)
from .params import Config, ParamInfo, check, config_from_dict, config_to_dict, describe, describe_all, param, refuse_if
from .particles.classes2d import Classify2DConfig, Classify2DOutputs, SelectClassesConfig, SelectClassesOutputs
from .particles.denoising import (
    DenoiseConfig, DenoiseOutputs, EvaluateDenoiserConfig, EvaluateDenoiserOutputs, TrainDenoiserConfig,
    TrainDenoiserOutputs
)
from .particles.integrity import AssessIntegrityConfig, AssessIntegrityOutputs
from .particles.latent import LatentVolumesConfig, LatentVolumesOutputs, SelectLatentConfig, SelectLatentOutputs
from .particles.orienting import (
    AssignOrientationsConfig, AssignOrientationsOutputs, IdentifyConfig, IdentifyOutputs, InitialMapConfig,
    InitialMapOutputs, ReconstructConfig, ReconstructOutputs
)
from .particles.simulating import SimulateParticlesConfig, SimulateParticlesOutputs
from .processes import PARENT_VARIABLE, process_name
from .reading import ReadError, absent, reader, star_head
from .recipes.comparing_maps import CompareMapsOfPicksConfig, CompareMapsOfPicksOutputs
from .recipes.heterogeneity import (
    LATENT_METHODS, PARTICLES_PER_DIMENSION, SUBTOMOGRAMS_PER_DIMENSION, FitHeterogeneityConfig,
    FitHeterogeneityOutputs
)
from .recipes.reporting import ReportConfig, ReportOutputs
from .result import (
    CONTRACT_VERSION, AllSkipped, Failure, Request, Result, Skipped, drawn_and_named, in_words, said_skipped,
    settings_of, write_json
)
from .tomograms.classifying import (
    ClassifySubtomogramsConfig, ClassifySubtomogramsOutputs, TrainClassifierConfig, TrainClassifierOutputs
)
from .tomograms.denoising import DenoiseTomogramsConfig, DenoiseTomogramsOutputs
from .tomograms.detecting import (
    DetectParticlesConfig, DetectParticlesOutputs, TrainDetectorConfig, TrainDetectorOutputs
)
from .tomograms.exporting import ExportTomogramsConfig, ExportTomogramsOutputs
from .tomograms.features import (
    EvaluateSegmentationConfig, EvaluateSegmentationOutputs, MeasureMembranesConfig, MeasureMembranesOutputs,
    MergeFeaturesConfig, MergeFeaturesOutputs, PickFeaturesConfig, PickFeaturesOutputs
)
from .tomograms.segmenting import (
    AnnotateConfig, AnnotationsOutputs, ImportAnnotationsConfig, SegmentConfig, SegmentOutputs,
    TrainGeneralSegmenterConfig, TrainGeneralSegmenterOutputs, TrainSegmenterConfig, TrainSegmenterOutputs
)
from .tomograms.simulating import (
    SimulateSubtomogramsConfig, SimulateSubtomogramsOutputs, SimulateTomogramsConfig, SimulateTomogramsOutputs
)
from .version_0_1_0 import former_names, present_options
from .wording import counted, resolution_in_words, say_if, score_text, some_names, span
