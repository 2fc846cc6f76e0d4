# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in the browser."""

import os
import webbrowser
from pathlib import Path
from typing import Any, List

from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ..protocols import CryodlProtReport


class CryodlReportViewer(Viewer):
    """Opens the page of `cryodl - write report`; it loads itself again while runs work."""

    _name = "cryodl report"
    _targets = [CryodlProtReport]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        page = os.path.abspath(obj.getPage())
        if not os.path.exists(page):
            return [self.infoMessage("There is no report yet. Wait until it is written.", "Nothing yet")]
        address = Path(page).as_uri()
        if webbrowser.open(address):
            return []
        return [self.infoMessage(f"No browser was found. Open this file in one: {page}", "The report")]
