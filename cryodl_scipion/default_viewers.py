# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a double click on coordinates and maps from ending in an error.

`python -m scipion` prefers pwem's DataViewer for SetOfCoordinates and for Volume. It converts the object with the
plugin xmipp3 and shows it in a Java program; without that plugin the click raises "'NoneType' object has no attribute
'convert'". The preference wins over every viewer that plugins bring, so it is mended where it is written: in
Config.VIEWERS. This is done only when the preference is the built-in one and xmipp3 is absent, that is, where the click
could only fail. Sites with xmipp3, or with a VIEWERS of their own, keep what they have.
"""

import importlib.util

import pwem
import pyworkflow as pw

_JAVA_VIEWER = "pwem.viewers.DataViewer"
# Of coordinates ours takes sets with our scores, and empty ones, which pwem's own viewer cannot open; pwem's the
# others.
_WORKING = {
    "SetOfCoordinates": [
        "cryodl_scipion.viewers.micrographs.viewer_picks.CryodlPicksViewer",
        "pwem.viewers.viewer_coordinates.CoordinateViewer",
    ],
    "Volume": ["cryodl_scipion.viewers.maps.viewer_map.CryodlVolumeViewer"],
}


def preferWorkingViewers() -> None:
    """Put viewers that work here before the Java viewer; nothing where Java's works."""
    if importlib.util.find_spec("xmipp3") is not None:
        return
    for target, working in _WORKING.items():
        if pw.Config.VIEWERS.get(target) == [_JAVA_VIEWER]:
            pw.Config.VIEWERS[target] = working + [_JAVA_VIEWER]
            # The domain keeps the imported classes from its first search on; let it look again.
            pwem.Domain._preferred_viewers = None
