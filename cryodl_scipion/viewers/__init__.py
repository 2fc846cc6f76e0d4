# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of the plugin; Scipion finds those that are imported here."""

from ..convert.tomography import HAS_TOMO
from .maps.viewer_evaluate_map import CryodlEvaluateMapViewer
from .maps.viewer_heterogeneity import CryodlHeterogeneityViewer
from .maps.viewer_improve_map import CryodlImproveMapViewer
from .maps.viewer_map import CryodlBackProjectViewer, CryodlVolumeViewer
from .micrographs.ctf_window import CryodlCTFViewer
from .micrographs.viewer_assess import CryodlAssessViewer
from .micrographs.viewer_compare import CryodlCompareViewer, CryodlConsensusViewer
from .micrographs.viewer_denoise_micrographs import CryodlDenoiseMicrographsViewer
from .micrographs.viewer_picks import CryodlPickProtocolViewer, CryodlPickViewer

# Scipion sorts viewers of the same target by the name they have here. pwem's "ACoordinateViewer" cannot open an empty
# set and shows no scores, so for our sets, and only for them and empty ones, ours has to come before it.
from .micrographs.viewer_picks import CryodlPicksViewer as AACryodlPicksViewer
from .model_window import CryodlModelViewer, CryodlTrainViewer
from .particles.viewer_classes2d import CryodlClasses2DViewer
from .particles.viewer_denoise import CryodlEvaluateViewer, CryodlGalleryViewer, CryodlParticlesViewer
from .particles.viewer_orient import (
    CryodlIdentifyViewer,
    CryodlInitialMapViewer,
    CryodlIntegrityViewer,
    CryodlOrientationsViewer,
)
from .viewer_simulate import CryodlReportViewer, CryodlSimulateViewer

if HAS_TOMO:  # see tomography.py
    from .tomograms.viewer_annotations import CryodlAnnotateViewer, CryodlAnnotationsViewer
    from .tomograms.viewer_denoise_tomograms import CryodlDenoiseTomogramsViewer
    from .tomograms.viewer_subtomograms import CryodlClassifyViewer
    from .tomograms.viewer_subtomograms import CryodlSubtomogramsViewer as AACryodlSubtomogramsViewer

    # Before pwem's "AMDViewer", which shows tables: of sets that we made the pictures are what one wants.
    from .tomograms.viewer_tomograms import CryodlCoordinates3DViewer as AACryodlCoordinates3DViewer
    from .tomograms.viewer_tomograms import (
        CryodlDetectParticlesViewer,
        CryodlMergeViewer,
        CryodlPickFeaturesViewer,
        CryodlSegmentViewer,
        CryodlSimulateTomogramsViewer,
    )
    from .tomograms.viewer_tomograms import CryodlMasksViewer as AACryodlMasksViewer
    from .tomograms.viewer_tomograms import CryodlMeshesViewer as AAACryodlMeshesViewer  # meshes are coordinates, too
