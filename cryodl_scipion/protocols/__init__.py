# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols of the plugin; Scipion finds those that are imported here."""
from .protocol_auto_pick import CryodlProtAutoPick
from .protocol_assess import CryodlProtAssess
from .protocol_compare import CryodlProtCompare
from .protocol_consensus import CryodlProtConsensus
from .protocol_models import CryodlProtExportModel, CryodlProtImportModel
from .protocol_pick import CryodlProtPick
from .protocol_simulate import CryodlProtSimulate
from .protocol_threshold_picks import CryodlProtThresholdPicks
from .protocol_train_from_structure import CryodlProtTrainFromStructure
from .protocol_train_picker import CryodlProtTrainPicker
