# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Scipion side and the engine agree on. Standard library only, Python 3.8 syntax.

Every command has one frozen dataclass (configs.py). Its fields carry type, unit, range, choices and help (params.py);
forms, checks and the command line are made from them. request.py and result.py are the two files that the sides exchange;
model_card.py is what both know of a model.
"""
from .configs import (COMMANDS, FEWEST_PARTICLES, PICKER_NETWORKS, Command, DoctorConfig, EvaluatePicksConfig,
                      PickConfig, SimulateMicrographsConfig, TrainPickerConfig)
from .model_card import CARD, FORMAT_VERSION, WEIGHTS, check_model, read_card, sha256
from .params import check, config_from_dict, config_to_dict, describe, describe_all, param
from .particles import particle_size_problem
from .request import Request
from .result import AllSkipped, CONTRACT_VERSION, Failure, Result, Skipped, in_words

__all__ = ["AllSkipped", "CARD", "COMMANDS", "CONTRACT_VERSION", "Command", "DoctorConfig", "EvaluatePicksConfig",
           "FEWEST_PARTICLES", "FORMAT_VERSION", "Failure", "PICKER_NETWORKS", "PickConfig", "Request", "Result",
           "SimulateMicrographsConfig", "Skipped", "TrainPickerConfig", "WEIGHTS", "check", "check_model",
           "config_from_dict", "config_to_dict", "describe", "describe_all", "in_words", "param",
           "particle_size_problem", "read_card", "sha256"]
