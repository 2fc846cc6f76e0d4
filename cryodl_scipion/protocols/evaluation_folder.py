# SPDX-License-Identifier: GPL-3.0-or-later
"""What protocols share that measure something: the engine's folder of an evaluation."""

import json
import os
from typing import Any

from .inputs import ProtocolMixin

EVALUATION, EVALUATION_FOLDER = "evaluation.json", "evaluation"


class HasEvaluation(ProtocolMixin):
    """Mixin of protocols whose engine command writes a folder with evaluation.json."""

    def getEvaluationFolder(self) -> str:
        """Where evaluation.json and the pictures are."""
        return self._getExtraPath(EVALUATION_FOLDER)

    def getEvaluation(self) -> Any:
        """evaluation.json, None before it is there."""
        path = os.path.join(self.getEvaluationFolder(), EVALUATION)
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            return json.load(file)
