# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of the plugin; Scipion finds those that are imported here."""
from .viewer_assess import CryodlAssessViewer
from .viewer_compare import CryodlCompareViewer, CryodlConsensusViewer
from .viewer_denoise import CryodlGalleryViewer, CryodlParticlesViewer
from .viewer_evaluate import CryodlEvaluateViewer
from .viewer_map import CryodlBackProjectViewer, CryodlVolumeViewer
from .viewer_denoise_micrographs import CryodlDenoiseMicrographsViewer
from .viewer_model import CryodlModelViewer, CryodlTrainViewer
from .viewer_orient import CryodlIntegrityViewer, CryodlOrientationsViewer
from .viewer_picks import CryodlAutoPickViewer, CryodlPickProtocolViewer, CryodlSimulateViewer
# Scipion sorts viewers of the same target by the name they have here. pwem's "ACoordinateViewer" cannot open an empty
# set and shows no scores, so for our sets, and only for them and empty ones, ours has to come before it.
from .viewer_picks import CryodlPicksViewer as AACryodlPicksViewer
