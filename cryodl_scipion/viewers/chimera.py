# SPDX-License-Identifier: GPL-3.0-or-later
"""Files opened in ChimeraX, where Scipion has it."""

import os
from typing import Any, List

from pwem.viewers import Chimera, ChimeraView

from ..viewers.panels_viewer import PanelsViewer


def chimeraViews(viewer: PanelsViewer, path: str, what: str = "file") -> List[Any]:
    """pyworkflow's views that open a map or a script, or that say what is missing. viewer: for messages."""
    program = Chimera.getProgram()
    if program and os.path.exists(program):
        return [ChimeraView(path)]
    return [
        viewer.infoMessage(
            f"ChimeraX is not at {program}. Install Scipion's plugin scipion-em-chimera, or set CHIMERA_HOME in "
            f"Scipion's configuration. A ChimeraX installed elsewhere can open the {what}: {os.path.abspath(path)}",
            "No ChimeraX",
        )
    ]
