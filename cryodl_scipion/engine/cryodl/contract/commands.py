# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the engine: its name, its file in commands/ and its parameters."""
import dataclasses

from .classifying import ClassifySubtomogramsConfig, ClusterSubtomogramsConfig, TrainClassifierConfig
from .comparing import AssessMicrographsConfig, ComparePicksConfig, ConsensusPicksConfig, EvaluatePicksConfig
from .denoising import DenoiseConfig, DenoiseMicrographsConfig, EvaluateDenoiserConfig, TrainDenoiserConfig
from .fields import device_field
from .improving import (CompareModelsConfig, EvaluateMapConfig, ImproveMapConfig, ListPairsConfig,
                        SimulateHalfMapsConfig, TrainMapImproverConfig)
from .orienting import AssessIntegrityConfig, AssignOrientationsConfig, ReconstructConfig
from .params import param
from .picking import AutoPickConfig, PickConfig, ProposeBoxesConfig
from .segmenting import (AnnotateConfig, EvaluateSegmentationConfig, ImportAnnotationsConfig, MergeFeaturesConfig,
                         PickFeaturesConfig, SegmentConfig, TrainSegmenterConfig)
from .simulating import SimulateMicrographsConfig, SimulateParticlesConfig
from .simulating_tomograms import SimulateSubtomogramsConfig, SimulateTomogramsConfig
from .training import TrainGeneralPickerConfig, TrainPickerConfig


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed, which devices and models there are, and what to do about what is missing."""
    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")
    device: str = device_field()


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the engine. `module` is the file in commands/ whose run(config) does it."""
    name: str
    module: str
    config: type

    @property
    def summary(self):
        return self.config.__doc__.strip().splitlines()[0]


COMMANDS = {c.name: c for c in (
    Command("train-picker", "train_picker", TrainPickerConfig),
    Command("pick", "pick", PickConfig),
    Command("auto-pick", "auto_pick", AutoPickConfig),
    Command("propose-boxes", "propose_boxes", ProposeBoxesConfig),
    Command("compare-picks", "compare_picks", ComparePicksConfig),
    Command("consensus-picks", "consensus_picks", ConsensusPicksConfig),
    Command("assess-micrographs", "assess_micrographs", AssessMicrographsConfig),
    Command("evaluate-picks", "evaluate_picks", EvaluatePicksConfig),
    Command("simulate-micrographs", "simulate_micrographs", SimulateMicrographsConfig),
    Command("train-general-picker", "train_general_picker", TrainGeneralPickerConfig),
    Command("simulate-particles", "simulate_particles", SimulateParticlesConfig),
    Command("train-denoiser", "train_denoiser", TrainDenoiserConfig),
    Command("denoise", "denoise", DenoiseConfig),
    Command("evaluate-denoiser", "evaluate_denoiser", EvaluateDenoiserConfig),
    Command("assign-orientations", "assign_orientations", AssignOrientationsConfig),
    Command("reconstruct", "reconstruct", ReconstructConfig),
    Command("assess-integrity", "assess_integrity", AssessIntegrityConfig),
    Command("denoise-micrographs", "denoise_micrographs", DenoiseMicrographsConfig),
    Command("annotate", "annotate", AnnotateConfig),
    Command("import-annotations", "import_annotations", ImportAnnotationsConfig),
    Command("train-segmenter", "train_segmenter", TrainSegmenterConfig),
    Command("segment", "segment", SegmentConfig),
    Command("merge-features", "merge_features", MergeFeaturesConfig),
    Command("pick-features", "pick_features", PickFeaturesConfig),
    Command("evaluate-segmentation", "evaluate_segmentation", EvaluateSegmentationConfig),
    Command("simulate-tomograms", "simulate_tomograms", SimulateTomogramsConfig),
    Command("simulate-subtomograms", "simulate_subtomograms", SimulateSubtomogramsConfig),
    Command("train-classifier", "train_classifier", TrainClassifierConfig),
    Command("classify-subtomograms", "classify_subtomograms", ClassifySubtomogramsConfig),
    Command("cluster-subtomograms", "cluster_subtomograms", ClusterSubtomogramsConfig),
    Command("improve-map", "improve_map", ImproveMapConfig),
    Command("evaluate-map", "evaluate_map", EvaluateMapConfig),
    Command("compare-models", "compare_models", CompareModelsConfig),
    Command("simulate-half-maps", "simulate_half_maps", SimulateHalfMapsConfig),
    Command("list-pairs", "list_pairs", ListPairsConfig),
    Command("train-map-improver", "train_map_improver", TrainMapImproverConfig),
    Command("doctor", "doctor", DoctorConfig),
)}


def command_of(config):
    """The name of the command that takes this config."""
    return next(c.name for c in COMMANDS.values() if c.config is type(config))
