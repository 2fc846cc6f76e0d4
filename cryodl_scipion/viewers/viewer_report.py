# SPDX-License-Identifier: GPL-3.0-or-later
"""The report in the browser."""

import os
import webbrowser
from pathlib import Path
from typing import Any, List

from ..protocols import CryodlProtReport
from .panels_viewer import ObjectViewer


class CryodlReportViewer(ObjectViewer, name="cryodl report", targets=[CryodlProtReport]):
    def _visualize(self, obj: Any, **kwargs: Any) -> List[Any]:
        page = os.path.abspath(obj.getPage())
        if not os.path.exists(page):
            return [self.infoMessage("There is no report yet. Wait until it is written.", "Nothing yet")]
        if webbrowser.open(Path(page).as_uri()):
            return []
        return [self.infoMessage(f"No browser was found. Open this file in one: {page}", "The report")]
