# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of viewers of tomograms and subtomograms share: panels, and what is in them."""
import os
from unittest import mock

from ..protocols import (CryodlProtAnnotate, CryodlProtClassifySubtomograms, CryodlProtClusterSubtomograms,
                         CryodlProtEvaluateSegmentation, CryodlProtMergeFeatures, CryodlProtPickFeatures,
                         CryodlProtSegment, CryodlProtSimulateTomograms)
from ..viewers import viewer_tomograms
from ..viewers.viewer_annotations import CryodlAnnotateViewer
from ..viewers.viewer_subtomograms import CryodlClassifyViewer, CryodlClusterViewer
from .tomogram_runs import TomogramsTest

# What looks at the runs that have a list of panels.
PANELS = {CryodlProtSegment: viewer_tomograms.CryodlSegmentViewer,
          CryodlProtMergeFeatures: viewer_tomograms.CryodlMergeViewer,
          CryodlProtPickFeatures: viewer_tomograms.CryodlPickFeaturesViewer,
          CryodlProtSimulateTomograms: viewer_tomograms.CryodlSimulateTomogramsViewer,
          CryodlProtEvaluateSegmentation: viewer_tomograms.CryodlEvaluateSegmentationViewer,
          CryodlProtAnnotate: CryodlAnnotateViewer,
          CryodlProtClassifySubtomograms: CryodlClassifyViewer, CryodlProtClusterSubtomograms: CryodlClusterViewer}


class ViewersTest(TomogramsTest):
    @classmethod
    def viewer(cls, protocol):
        viewer = PANELS[type(protocol)](project=cls.proj, protocol=protocol)
        viewer.setProtocol(protocol)
        return viewer

    def panel(self, protocol, name):
        view, = self.viewer(protocol)._getVisualizeDict()[name](name)
        return view

    def slices(self, protocol, name):
        """TomogramSlices of a panel that opens a window with them."""
        return self.panel(protocol, name)._arguments[1]

    def axes(self, protocol, name):
        """Axes of a panel that is a plot, which can also be saved."""
        plotter = self.panel(protocol, name)
        path = os.path.join(self.data, name + '.png')
        plotter.savefig(path)
        self.assertGreater(os.path.getsize(path), 5000)
        return plotter.getFigure().axes

    def form(self, protocol):
        return mock.Mock(protocol=protocol)
