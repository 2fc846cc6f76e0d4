# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Scipion side and the engine agree on. Standard library only, Python 3.8 syntax.

Every command has one frozen dataclass (training, picking, comparing, simulating, denoising, orienting; commands.py
lists them). Its fields carry type, unit, range, choices and help (params.py); forms, checks and the command line are
made from them. request.py and result.py are the two files that the sides exchange; model_card.py is what both know of a
model.
"""
from .commands import COMMANDS, Command, DoctorConfig, command_of
from .comparing import AssessMicrographsConfig, ComparePicksConfig, ConsensusPicksConfig, EvaluatePicksConfig
from .denoising import DenoiseConfig, DenoiseMicrographsConfig, EvaluateDenoiserConfig, TrainDenoiserConfig
from .fields import (CONTRASTS, DENOISER_NETWORKS, FEWEST_PARTICLES, LABEL_KINDS, PICKER_NETWORKS, PU_CRITERIA,
                     THRESHOLD_RULES)
from .model_card import CARD, FORMAT_VERSION, WEIGHTS, check_model, read_card, sha256
from .orienting import AssessIntegrityConfig, AssignOrientationsConfig, ReconstructConfig
from .params import check, config_from_dict, config_to_dict, describe, describe_all, param
from .particles import particle_size_problem
from .picking import AutoPickConfig, PickConfig, ProposeBoxesConfig
from .request import Request
from .result import AllSkipped, CONTRACT_VERSION, Failure, Result, Skipped, in_words
from .simulating import SimulateMicrographsConfig, SimulateParticlesConfig
from .training import TrainGeneralPickerConfig, TrainPickerConfig

__all__ = ["AllSkipped", "AssessIntegrityConfig", "AssessMicrographsConfig", "AssignOrientationsConfig",
           "AutoPickConfig", "CARD", "COMMANDS", "CONTRACT_VERSION", "CONTRASTS", "Command", "ComparePicksConfig",
           "ConsensusPicksConfig", "DENOISER_NETWORKS", "DenoiseConfig", "DenoiseMicrographsConfig", "DoctorConfig",
           "EvaluateDenoiserConfig", "EvaluatePicksConfig", "FEWEST_PARTICLES", "FORMAT_VERSION", "Failure",
           "LABEL_KINDS", "PICKER_NETWORKS", "PU_CRITERIA", "PickConfig", "ProposeBoxesConfig", "ReconstructConfig",
           "Request", "Result", "SimulateMicrographsConfig", "SimulateParticlesConfig", "Skipped", "THRESHOLD_RULES",
           "TrainDenoiserConfig", "TrainGeneralPickerConfig", "TrainPickerConfig", "WEIGHTS", "check", "check_model",
           "command_of", "config_from_dict", "config_to_dict", "describe", "describe_all", "in_words", "param",
           "particle_size_problem", "read_card", "sha256"]
