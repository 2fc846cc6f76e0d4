# SPDX-License-Identifier: GPL-3.0-or-later
"""Panels of viewers, opened without a click."""

import os


class PanelsTest:
    """Beside a test class with a project. _PANELS: {class of protocol: class of its viewer}."""

    _PANELS = {}

    @classmethod
    def viewer(cls, protocol):
        viewer = cls._PANELS[type(protocol)](project=cls.proj, protocol=protocol)
        viewer.setProtocol(protocol)
        return viewer

    def panel(self, protocol, name):
        (view,) = self.viewer(protocol)._getVisualizeDict()[name](name)
        return view

    def axes(self, protocol, name):
        """Axes of a panel that is a plot, which can also be saved."""
        plotter = self.panel(protocol, name)
        path = os.path.join(self.data, name + ".png")
        plotter.getFigure().savefig(path)
        self.assertGreater(os.path.getsize(path), 5000)
        return plotter.getFigure().axes
