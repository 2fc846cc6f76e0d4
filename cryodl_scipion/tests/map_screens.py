# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on maps for screens.py, of the runs that a project has."""

PANELS = {
    "CryodlProtImproveMap": ("showSlices", "showTest"),
    "CryodlProtSimulateHalfMaps": ("showSlices",),
    "CryodlProtEvaluateMap": ("showMetrics", "showSlices", "showResidues"),
}
