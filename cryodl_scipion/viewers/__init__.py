# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of the plugin; Scipion finds those that are imported here."""
from ..tomography import HAS_TOMO
from .viewer_assess import CryodlAssessViewer
from .viewer_compare import CryodlCompareViewer, CryodlConsensusViewer
from .viewer_denoise import CryodlGalleryViewer, CryodlParticlesViewer
from .viewer_evaluate import CryodlEvaluateViewer
from .viewer_evaluate_map import CryodlCompareModelsViewer, CryodlEvaluateMapViewer
from .viewer_improve_map import CryodlImproveMapViewer, CryodlSimulateHalfMapsViewer
from .viewer_map import CryodlBackProjectViewer, CryodlVolumeViewer
from .viewer_denoise_micrographs import CryodlDenoiseMicrographsViewer
from .viewer_model import CryodlModelViewer, CryodlTrainViewer
from .viewer_orient import CryodlIntegrityViewer, CryodlOrientationsViewer
from .viewer_picks import CryodlAutoPickViewer, CryodlPickProtocolViewer, CryodlSimulateViewer
# Scipion sorts viewers of the same target by the name they have here. pwem's "ACoordinateViewer" cannot open an empty
# set and shows no scores, so for our sets, and only for them and empty ones, ours has to come before it.
from .viewer_picks import CryodlPicksViewer as AACryodlPicksViewer

if HAS_TOMO:  # see tomography.py
    from .viewer_annotations import CryodlAnnotateViewer, CryodlAnnotationsViewer
    from .viewer_subtomograms import CryodlClassifyViewer, CryodlClusterViewer
    from .viewer_tomograms import (CryodlEvaluateSegmentationViewer, CryodlMergeViewer, CryodlPickFeaturesViewer,
                                   CryodlSegmentViewer, CryodlSimulateTomogramsViewer)
    # Before pwem's "AMDViewer", which shows tables: of sets that we made the pictures are what one wants.
    from .viewer_tomograms import CryodlCoordinates3DViewer as AACryodlCoordinates3DViewer
    from .viewer_tomograms import CryodlMasksViewer as AACryodlMasksViewer
