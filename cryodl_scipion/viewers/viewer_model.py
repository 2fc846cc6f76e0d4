# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of models and of their training."""

from typing import Any

from .. import protocols
from ..objects import CryodlModel
from .model_window import ModelWindow
from .panels_viewer import ObjectViewer

# Those that leave curves only; below the curves of the others come pictures.
_CURVES_ONLY = (protocols.CryodlProtTrainPicker,)
_NAMES = ("CryodlProtTrainPicker", "CryodlProtTrainDenoiser", "CryodlProtTrainMapImprover", "CryodlProtTrainTomograms")
_TRAININGS = [vars(protocols)[name] for name in _NAMES if name in vars(protocols)]  # the last one needs scipion-em-tomo


class CryodlModelViewer(ObjectViewer, name="cryodl model", targets=[CryodlModel, protocols.CryodlProtModels]):
    """Learning curve and card of a model, which a double click or an import shows."""

    def show(self, obj: Any) -> Any:
        model = obj if isinstance(obj, CryodlModel) else getattr(obj, "outputModel", None) or obj.inputModel.get()
        if model is None:
            return self.infoMessage("There is no model yet. Wait until it is imported.", "Nothing yet")
        return self.window(ModelWindow, model.getFolder(), str(model))


class CryodlTrainViewer(ObjectViewer, name="cryodl training", targets=_TRAININGS):
    """What `Analyze results` opens for a training: its curves and samples, which grow while it runs."""

    def show(self, obj: Any) -> Any:
        samples = not isinstance(obj, _CURVES_ONLY) and getattr(obj, "_KIND", "") != "detector"
        return self.window(ModelWindow, obj.getModelFolder(), f"Training: {obj.getRunName()}", samples)
