# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on tomograms for screens.py, of the runs that a project has."""

PANELS = {
    "CryodlProtSegment": ("showScores",),
    "CryodlProtDenoiseTomograms": ("showSlices",),
    "CryodlProtMergeFeatures": ("showLabels", "showTable"),
    "CryodlProtPickFeatures": ("showCoordinates",),
    "CryodlProtDetectParticles": ("showDetections",),
    "CryodlProtClassifySubtomograms": ("showGallery",),
}
WIZARDS = {
    "wizard_merge_threshold": ("CryodlProtMergeFeatures", "threshold"),
    "wizard_box": ("CryodlProtPickFeatures", "boxSize"),
}


def tomogramOpeners(screens):
    """{name of the picture: function that opens the window}; none for protocols without a run."""
    openers = panelOpeners(screens, PANELS)
    openers.update(
        {
            picture: lambda name=name, field=field: screens.wizard(name, field)
            for picture, (name, field) in WIZARDS.items()
            if screens.last(name) is not None
        }
    )
    return openers


def panelOpeners(screens, panels):
    """As tomogramOpeners, of lines of `Analyze results`. panels: {class name of a protocol: names of its panels}."""
    return {
        f"{panel}_{name}": lambda name=name, panel=panel: screens.openPanel(screens.last(name), panel)
        for name in sorted(panels)
        if screens.last(name) is not None
        for panel in panels[name]
    }
