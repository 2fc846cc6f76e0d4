# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on maps for screens.py, of the runs that a project has. Curves come in matplotlib's own windows, which are
not among Scipion's; test_map_viewers.py draws them into files."""

PANELS = {
    "CryodlProtImproveMap": ("showSlices", "showTest"),
    "CryodlProtSimulateHalfMaps": ("showSlices",),
    "CryodlProtEvaluateMap": ("showFigures", "showSlices", "showResidues"),
    "CryodlProtCompareModels": ("showResidues",),
}
