# SPDX-License-Identifier: GPL-3.0-or-later
"""Files opened in ChimeraX, where Scipion has it."""

import os

from pwem.viewers import Chimera, ChimeraView


def chimeraViews(viewer, path, what="file"):
    """pyworkflow's views that open a map or a script, or that say what is missing. viewer: for messages."""
    program = Chimera.getProgram()
    if program and os.path.exists(program):
        return [ChimeraView(path)]
    return [
        viewer.infoMessage(
            "ChimeraX is not at %s. Install Scipion's plugin scipion-em-chimera, or set "
            "CHIMERA_HOME in Scipion's configuration. A ChimeraX elsewhere can open the %s: %s"
            % (program, what, os.path.abspath(path)),
            "No ChimeraX",
        )
    ]
