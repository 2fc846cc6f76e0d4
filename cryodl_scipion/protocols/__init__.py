# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols of the plugin; Scipion finds those that are imported here."""
from .protocol_models import CryodlProtExportModel, CryodlProtImportModel
from .protocol_pick import CryodlProtPick
from .protocol_threshold_picks import CryodlProtThresholdPicks
from .protocol_train_picker import CryodlProtTrainPicker
