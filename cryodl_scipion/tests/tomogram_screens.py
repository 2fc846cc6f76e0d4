# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows on tomograms for screens.py, of the runs that a project has."""
PANELS = {'CryodlProtSegment': ('showScores',), 'CryodlProtMergeFeatures': ('showLabels', 'showTable'),
          'CryodlProtPickFeatures': ('showPlaces',), 'CryodlProtClassifySubtomograms': ('showGallery',)}
WIZARDS = {'wizard_merge_threshold': ('CryodlProtMergeFeatures', 'threshold'),
           'wizard_box': ('CryodlProtPickFeatures', 'boxSize')}


def tomogramOpeners(screens):
    """{name of the picture: function that opens the window}; none for protocols without a run."""
    there = {name for name in PANELS if screens.last(name) is not None}
    openers = {'%s_%s' % (panel, name): lambda name=name, panel=panel: screens.openPanel(screens.last(name), panel)
               for name in sorted(there) for panel in PANELS[name]}
    openers.update({picture: lambda name=name, field=field: screens.wizard(name, field)
                    for picture, (name, field) in WIZARDS.items() if name in there})
    return openers
