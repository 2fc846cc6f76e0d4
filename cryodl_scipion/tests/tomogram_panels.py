# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of viewers of tomograms and subtomograms share: panels, and what is in them."""

from unittest import mock

from ..protocols import (
    CryodlProtAnnotate,
    CryodlProtClassifySubtomograms,
    CryodlProtDenoiseTomograms,
    CryodlProtDetectParticles,
    CryodlProtFitHeterogeneity,
    CryodlProtMergeFeatures,
    CryodlProtPickFeatures,
    CryodlProtSegment,
    CryodlProtSimulateTomograms,
)
from ..viewers.maps.viewer_heterogeneity import CryodlHeterogeneityViewer
from ..viewers.tomograms import viewer_tomograms
from ..viewers.tomograms.viewer_annotations import CryodlAnnotateViewer
from ..viewers.tomograms.viewer_denoise_tomograms import CryodlDenoiseTomogramsViewer
from ..viewers.tomograms.viewer_subtomograms import CryodlClassifyViewer
from .tomogram_runs import TomogramsTest
from .viewer_panels import PanelsTest

# What looks at the runs that have a list of panels.
PANELS = {
    CryodlProtSegment: viewer_tomograms.CryodlSegmentViewer,
    CryodlProtMergeFeatures: viewer_tomograms.CryodlMergeViewer,
    CryodlProtPickFeatures: viewer_tomograms.CryodlPickFeaturesViewer,
    CryodlProtDetectParticles: viewer_tomograms.CryodlDetectParticlesViewer,
    CryodlProtSimulateTomograms: viewer_tomograms.CryodlSimulateTomogramsViewer,
    CryodlProtDenoiseTomograms: CryodlDenoiseTomogramsViewer,
    CryodlProtAnnotate: CryodlAnnotateViewer,
    CryodlProtClassifySubtomograms: CryodlClassifyViewer,
    CryodlProtFitHeterogeneity: CryodlHeterogeneityViewer,
}


class ViewersTest(PanelsTest, TomogramsTest):
    _PANELS = PANELS

    def slices(self, protocol, name):
        """TomogramSlices of a panel that opens a window with them."""
        return self.panel(protocol, name)._arguments[1]

    def form(self, protocol):
        return mock.Mock(protocol=protocol)
