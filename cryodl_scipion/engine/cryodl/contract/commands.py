# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command of the engine: its name, its module and its parameters."""

import dataclasses

from .fields import device_field
from .maps.improving import (
    CompareModelsConfig,
    EvaluateMapConfig,
    ImproveMapConfig,
    ListPairsConfig,
    SimulateHalfMapsConfig,
    TrainMapImproverConfig,
)
from .micrographs.comparing import (
    AssessMicrographsConfig,
    ComparePicksConfig,
    ConsensusPicksConfig,
    EvaluatePicksConfig,
)
from .micrographs.denoising import DenoiseMicrographsConfig
from .micrographs.picking import AutoPickConfig, PickConfig, ProposeBoxesConfig
from .micrographs.simulating import SimulateMicrographsConfig
from .micrographs.training import TrainGeneralPickerConfig, TrainPickerConfig
from .params import param
from .particles.denoising import DenoiseConfig, EvaluateDenoiserConfig, TrainDenoiserConfig
from .particles.orienting import AssessIntegrityConfig, AssignOrientationsConfig, ReconstructConfig
from .particles.simulating import SimulateParticlesConfig
from .tomograms.classifying import ClassifySubtomogramsConfig, ClusterSubtomogramsConfig, TrainClassifierConfig
from .tomograms.segmenting import (
    AnnotateConfig,
    EvaluateSegmentationConfig,
    ImportAnnotationsConfig,
    MergeFeaturesConfig,
    PickFeaturesConfig,
    SegmentConfig,
    TrainSegmenterConfig,
)
from .tomograms.simulating import SimulateSubtomogramsConfig, SimulateTomogramsConfig


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """Say what is installed, which devices and models there are, and what to do about what is missing."""

    json: bool = param("Print one JSON object instead of text.", default=False, label="JSON")
    device: str = device_field()


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the engine. `module` is the one in the engine whose run(config) does it."""

    name: str
    module: str
    config: type

    @property
    def summary(self):
        return self.config.__doc__.strip().splitlines()[0]


COMMANDS = {
    c.name: c
    for c in (
        Command("train-picker", "micrographs.commands.train_picker", TrainPickerConfig),
        Command("pick", "micrographs.commands.pick", PickConfig),
        Command("auto-pick", "micrographs.commands.auto_pick", AutoPickConfig),
        Command("propose-boxes", "micrographs.commands.propose_boxes", ProposeBoxesConfig),
        Command("compare-picks", "micrographs.commands.compare_picks", ComparePicksConfig),
        Command("consensus-picks", "micrographs.commands.consensus_picks", ConsensusPicksConfig),
        Command("assess-micrographs", "micrographs.commands.assess_micrographs", AssessMicrographsConfig),
        Command("evaluate-picks", "micrographs.commands.evaluate_picks", EvaluatePicksConfig),
        Command("simulate-micrographs", "micrographs.commands.simulate_micrographs", SimulateMicrographsConfig),
        Command("train-general-picker", "micrographs.commands.train_general_picker", TrainGeneralPickerConfig),
        Command("simulate-particles", "particles.commands.simulate_particles", SimulateParticlesConfig),
        Command("train-denoiser", "particles.commands.train_denoiser", TrainDenoiserConfig),
        Command("denoise", "particles.commands.denoise", DenoiseConfig),
        Command("evaluate-denoiser", "particles.commands.evaluate_denoiser", EvaluateDenoiserConfig),
        Command("assign-orientations", "particles.commands.assign_orientations", AssignOrientationsConfig),
        Command("reconstruct", "particles.commands.reconstruct", ReconstructConfig),
        Command("assess-integrity", "particles.commands.assess_integrity", AssessIntegrityConfig),
        Command("denoise-micrographs", "micrographs.commands.denoise_micrographs", DenoiseMicrographsConfig),
        Command("annotate", "tomograms.commands.annotate", AnnotateConfig),
        Command("import-annotations", "tomograms.commands.import_annotations", ImportAnnotationsConfig),
        Command("train-segmenter", "tomograms.commands.train_segmenter", TrainSegmenterConfig),
        Command("segment", "tomograms.commands.segment", SegmentConfig),
        Command("merge-features", "tomograms.commands.merge_features", MergeFeaturesConfig),
        Command("pick-features", "tomograms.commands.pick_features", PickFeaturesConfig),
        Command("evaluate-segmentation", "tomograms.commands.evaluate_segmentation", EvaluateSegmentationConfig),
        Command("simulate-tomograms", "tomograms.commands.simulate_tomograms", SimulateTomogramsConfig),
        Command("simulate-subtomograms", "tomograms.commands.simulate_subtomograms", SimulateSubtomogramsConfig),
        Command("train-classifier", "tomograms.commands.train_classifier", TrainClassifierConfig),
        Command("classify-subtomograms", "tomograms.commands.classify_subtomograms", ClassifySubtomogramsConfig),
        Command("cluster-subtomograms", "tomograms.commands.cluster_subtomograms", ClusterSubtomogramsConfig),
        Command("improve-map", "maps.commands.improve_map", ImproveMapConfig),
        Command("evaluate-map", "maps.commands.evaluate_map", EvaluateMapConfig),
        Command("compare-models", "maps.commands.compare_models", CompareModelsConfig),
        Command("simulate-half-maps", "maps.commands.simulate_half_maps", SimulateHalfMapsConfig),
        Command("list-pairs", "maps.commands.list_pairs", ListPairsConfig),
        Command("train-map-improver", "maps.commands.train_map_improver", TrainMapImproverConfig),
        Command("doctor", "doctor", DoctorConfig),
    )
}


def command_of(config):
    """The name of the command that takes this config."""
    return next(c.name for c in COMMANDS.values() if c.config is type(config))
