# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the engine: its name, its module and its parameters."""

import dataclasses
import typing

from .fields import device_field, json_field
from .maps.evaluating import CompareModelsConfig, CompareModelsOutputs, EvaluateMapConfig, EvaluateMapOutputs
from .maps.improving import ImproveMapConfig, ImproveMapOutputs
from .maps.listing import ListPairsConfig, ListPairsOutputs
from .maps.simulating import SimulateHalfMapsConfig, SimulateHalfMapsOutputs
from .maps.training import TrainMapImproverConfig, TrainMapImproverOutputs
from .micrographs.assessing import AssessMicrographsConfig, AssessMicrographsOutputs
from .micrographs.auto_picking import AutoPickConfig, AutoPickOutputs
from .micrographs.by_hand import PickByHandConfig, PickByHandOutputs
from .micrographs.class_labels import LabelsFromClassesConfig, LabelsFromClassesOutputs
from .micrographs.comparing import ComparePicksConfig, ComparePicksOutputs, EvaluatePicksConfig, EvaluatePicksOutputs
from .micrographs.consensus import ConsensusPicksConfig, ConsensusPicksOutputs
from .micrographs.ctf import EstimateCtfConfig, EstimateCtfOutputs
from .micrographs.denoising import (
    DenoiseMicrographsConfig,
    DenoiseMicrographsOutputs,
    TrainMicrographDenoiserConfig,
    TrainMicrographDenoiserOutputs,
)
from .micrographs.exporting import ExportRelionConfig, ExportRelionOutputs
from .micrographs.extracting import ExtractParticlesConfig, ExtractParticlesOutputs
from .micrographs.filaments import (
    PickFilamentsConfig,
    PickFilamentsOutputs,
    TrainFilamentPickerConfig,
    TrainFilamentPickerOutputs,
)
from .micrographs.general import TrainGeneralPickerConfig, TrainGeneralPickerOutputs
from .micrographs.picking import PickConfig, PickOutputs, ProposeBoxesConfig, ProposeBoxesOutputs
from .micrographs.simulating import SimulateMicrographsConfig, SimulateMicrographsOutputs
from .micrographs.templates import PickTemplatesConfig, PickTemplatesOutputs
from .micrographs.training import TrainPickerConfig, TrainPickerOutputs
from .particles.classes2d import Classify2DConfig, Classify2DOutputs, SelectClassesConfig, SelectClassesOutputs
from .particles.denoising import DenoiseConfig, DenoiseOutputs, EvaluateDenoiserConfig, EvaluateDenoiserOutputs
from .particles.heterogeneity import FitHeterogeneityConfig, FitHeterogeneityOutputs
from .particles.integrity import AssessIntegrityConfig, AssessIntegrityOutputs
from .particles.latent import LatentVolumesConfig, LatentVolumesOutputs, SelectLatentConfig, SelectLatentOutputs
from .particles.orienting import (
    AssignOrientationsConfig,
    AssignOrientationsOutputs,
    ReconstructConfig,
    ReconstructOutputs,
)
from .particles.simulating import SimulateParticlesConfig, SimulateParticlesOutputs
from .particles.training import TrainDenoiserConfig, TrainDenoiserOutputs
from .recipes.comparing_maps import CompareMapsOfPicksConfig, CompareMapsOfPicksOutputs
from .recipes.reporting import ReportConfig, ReportOutputs
from .tomograms.annotating import AnnotateConfig, AnnotationsOutputs, ImportAnnotationsConfig, JoinAnnotationsConfig
from .tomograms.classifying import (
    ClassifySubtomogramsConfig,
    ClassifySubtomogramsOutputs,
    TrainClassifierConfig,
    TrainClassifierOutputs,
)
from .tomograms.clustering import ClusterSubtomogramsConfig, ClusterSubtomogramsOutputs
from .tomograms.denoising import DenoiseTomogramsConfig, DenoiseTomogramsOutputs
from .tomograms.detecting import DetectParticlesConfig, DetectParticlesOutputs
from .tomograms.evaluating import EvaluateSegmentationConfig, EvaluateSegmentationOutputs
from .tomograms.exporting import ExportTomogramsConfig, ExportTomogramsOutputs
from .tomograms.features import MergeFeaturesConfig, MergeFeaturesOutputs, PickFeaturesConfig, PickFeaturesOutputs
from .tomograms.heterogeneity import FitSubtomogramHeterogeneityConfig, FitSubtomogramHeterogeneityOutputs
from .tomograms.membranes import MeasureMembranesConfig, MeasureMembranesOutputs
from .tomograms.pretraining import TrainGeneralSegmenterConfig, TrainGeneralSegmenterOutputs
from .tomograms.segmenting import SegmentConfig, SegmentOutputs, TrainSegmenterConfig, TrainSegmenterOutputs
from .tomograms.simulating import SimulateTomogramsConfig, SimulateTomogramsOutputs
from .tomograms.simulating_subtomograms import SimulateSubtomogramsConfig, SimulateSubtomogramsOutputs
from .tomograms.training_detectors import TrainDetectorConfig, TrainDetectorOutputs


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """Check the installation: list packages, devices and models, and say how to fix what is missing."""

    json: bool = json_field()
    device: str = device_field()


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the engine. `module` is the engine's module whose run(config) executes it; `outputs` is the Outputs
    class of its result, None for a command without outputs."""

    name: str
    module: str
    config: type
    outputs: typing.Optional[type] = None

    @property
    def summary(self) -> str:
        """The first paragraph of the config's docstring."""
        return " ".join(str(self.config.__doc__).strip().split("\n\n")[0].split())


COMMANDS = {
    c.name: c
    for c in (
        Command("train-picker", "micrographs.commands.train_picker", TrainPickerConfig, TrainPickerOutputs),
        Command("pick", "micrographs.commands.pick", PickConfig, PickOutputs),
        Command("auto-pick", "micrographs.commands.auto_pick", AutoPickConfig, AutoPickOutputs),
        Command("pick-by-hand", "micrographs.commands.pick_by_hand", PickByHandConfig, PickByHandOutputs),
        Command(
            "labels-from-classes",
            "micrographs.commands.labels_from_classes",
            LabelsFromClassesConfig,
            LabelsFromClassesOutputs,
        ),
        Command("pick-filaments", "micrographs.commands.pick_filaments", PickFilamentsConfig, PickFilamentsOutputs),
        Command("pick-templates", "micrographs.commands.pick_templates", PickTemplatesConfig, PickTemplatesOutputs),
        Command(
            "train-filament-picker",
            "micrographs.commands.train_filament_picker",
            TrainFilamentPickerConfig,
            TrainFilamentPickerOutputs,
        ),
        Command("propose-boxes", "micrographs.commands.propose_boxes", ProposeBoxesConfig, ProposeBoxesOutputs),
        Command("compare-picks", "micrographs.commands.compare_picks", ComparePicksConfig, ComparePicksOutputs),
        Command("consensus-picks", "micrographs.commands.consensus_picks", ConsensusPicksConfig, ConsensusPicksOutputs),
        Command(
            "assess-micrographs",
            "micrographs.commands.assess_micrographs",
            AssessMicrographsConfig,
            AssessMicrographsOutputs,
        ),
        Command("estimate-ctf", "micrographs.commands.estimate_ctf", EstimateCtfConfig, EstimateCtfOutputs),
        Command(
            "extract-particles",
            "micrographs.commands.extract_particles",
            ExtractParticlesConfig,
            ExtractParticlesOutputs,
        ),
        Command("export-relion", "micrographs.commands.export_relion", ExportRelionConfig, ExportRelionOutputs),
        Command("evaluate-picks", "micrographs.commands.evaluate_picks", EvaluatePicksConfig, EvaluatePicksOutputs),
        Command(
            "simulate-micrographs",
            "micrographs.commands.simulate_micrographs",
            SimulateMicrographsConfig,
            SimulateMicrographsOutputs,
        ),
        Command(
            "train-general-picker",
            "micrographs.commands.train_general_picker",
            TrainGeneralPickerConfig,
            TrainGeneralPickerOutputs,
        ),
        Command(
            "simulate-particles",
            "particles.commands.simulate_particles",
            SimulateParticlesConfig,
            SimulateParticlesOutputs,
        ),
        Command("train-denoiser", "particles.commands.train_denoiser", TrainDenoiserConfig, TrainDenoiserOutputs),
        Command("denoise", "particles.commands.denoise", DenoiseConfig, DenoiseOutputs),
        Command(
            "evaluate-denoiser", "particles.commands.evaluate_denoiser", EvaluateDenoiserConfig, EvaluateDenoiserOutputs
        ),
        Command(
            "assign-orientations",
            "particles.commands.assign_orientations",
            AssignOrientationsConfig,
            AssignOrientationsOutputs,
        ),
        Command("reconstruct", "particles.commands.reconstruct", ReconstructConfig, ReconstructOutputs),
        Command(
            "assess-integrity", "particles.commands.assess_integrity", AssessIntegrityConfig, AssessIntegrityOutputs
        ),
        Command(
            "denoise-micrographs",
            "micrographs.commands.denoise_micrographs",
            DenoiseMicrographsConfig,
            DenoiseMicrographsOutputs,
        ),
        Command(
            "train-micrograph-denoiser",
            "micrographs.commands.train_micrograph_denoiser",
            TrainMicrographDenoiserConfig,
            TrainMicrographDenoiserOutputs,
        ),
        Command("annotate", "tomograms.commands.annotate", AnnotateConfig, AnnotationsOutputs),
        Command(
            "import-annotations", "tomograms.commands.import_annotations", ImportAnnotationsConfig, AnnotationsOutputs
        ),
        Command("join-annotations", "tomograms.commands.join_annotations", JoinAnnotationsConfig, AnnotationsOutputs),
        Command(
            "train-general-segmenter",
            "tomograms.commands.train_general_segmenter",
            TrainGeneralSegmenterConfig,
            TrainGeneralSegmenterOutputs,
        ),
        Command("train-segmenter", "tomograms.commands.train_segmenter", TrainSegmenterConfig, TrainSegmenterOutputs),
        Command(
            "denoise-tomograms", "tomograms.commands.denoise_tomograms", DenoiseTomogramsConfig, DenoiseTomogramsOutputs
        ),
        Command("segment", "tomograms.commands.segment", SegmentConfig, SegmentOutputs),
        Command("merge-features", "tomograms.commands.merge_features", MergeFeaturesConfig, MergeFeaturesOutputs),
        Command("pick-features", "tomograms.commands.pick_features", PickFeaturesConfig, PickFeaturesOutputs),
        Command(
            "measure-membranes", "tomograms.commands.measure_membranes", MeasureMembranesConfig, MeasureMembranesOutputs
        ),
        Command(
            "evaluate-segmentation",
            "tomograms.commands.evaluate_segmentation",
            EvaluateSegmentationConfig,
            EvaluateSegmentationOutputs,
        ),
        Command(
            "simulate-tomograms",
            "tomograms.commands.simulate_tomograms",
            SimulateTomogramsConfig,
            SimulateTomogramsOutputs,
        ),
        Command(
            "simulate-subtomograms",
            "tomograms.commands.simulate_subtomograms",
            SimulateSubtomogramsConfig,
            SimulateSubtomogramsOutputs,
        ),
        Command(
            "train-classifier", "tomograms.commands.train_classifier", TrainClassifierConfig, TrainClassifierOutputs
        ),
        Command(
            "classify-subtomograms",
            "tomograms.commands.classify_subtomograms",
            ClassifySubtomogramsConfig,
            ClassifySubtomogramsOutputs,
        ),
        Command(
            "cluster-subtomograms",
            "tomograms.commands.cluster_subtomograms",
            ClusterSubtomogramsConfig,
            ClusterSubtomogramsOutputs,
        ),
        Command(
            "fit-subtomogram-heterogeneity",
            "tomograms.commands.fit_subtomogram_heterogeneity",
            FitSubtomogramHeterogeneityConfig,
            FitSubtomogramHeterogeneityOutputs,
        ),
        Command("train-detector", "tomograms.commands.train_detector", TrainDetectorConfig, TrainDetectorOutputs),
        Command(
            "detect-particles", "tomograms.commands.detect_particles", DetectParticlesConfig, DetectParticlesOutputs
        ),
        Command(
            "export-tomograms", "tomograms.commands.export_tomograms", ExportTomogramsConfig, ExportTomogramsOutputs
        ),
        Command("improve-map", "maps.commands.improve_map", ImproveMapConfig, ImproveMapOutputs),
        Command("evaluate-map", "maps.commands.evaluate_map", EvaluateMapConfig, EvaluateMapOutputs),
        Command("compare-models", "maps.commands.compare_models", CompareModelsConfig, CompareModelsOutputs),
        Command(
            "simulate-half-maps", "maps.commands.simulate_half_maps", SimulateHalfMapsConfig, SimulateHalfMapsOutputs
        ),
        Command("list-pairs", "maps.commands.list_pairs", ListPairsConfig, ListPairsOutputs),
        Command(
            "train-map-improver", "maps.commands.train_map_improver", TrainMapImproverConfig, TrainMapImproverOutputs
        ),
        Command(
            "fit-heterogeneity", "particles.commands.fit_heterogeneity", FitHeterogeneityConfig, FitHeterogeneityOutputs
        ),
        Command("select-latent", "particles.commands.select_latent", SelectLatentConfig, SelectLatentOutputs),
        Command("latent-volumes", "particles.commands.latent_volumes", LatentVolumesConfig, LatentVolumesOutputs),
        Command("classify-2d", "particles.commands.classify_2d", Classify2DConfig, Classify2DOutputs),
        Command("select-classes", "particles.commands.select_classes", SelectClassesConfig, SelectClassesOutputs),
        Command(
            "compare-maps-of-picks",
            "recipes.commands.compare_maps_of_picks",
            CompareMapsOfPicksConfig,
            CompareMapsOfPicksOutputs,
        ),
        Command("report", "recipes.commands.report", ReportConfig, ReportOutputs),
        Command("doctor", "doctor", DoctorConfig),
    )
}


def command_of(config: typing.Any) -> str:
    """The name of the command that takes a config.

    Parameters
    ----------
    config : object

    Returns
    -------
    str
    """
    return command_name(type(config))


def command_name(config_class: type) -> str:
    """The name of the command that takes configs of a class; '' if none does."""
    return next((c.name for c in COMMANDS.values() if c.config is config_class), "")
