# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of models and of their training."""

from typing import Any, List, Tuple

from pyworkflow.viewer import DESKTOP_TKINTER, Viewer

from ..objects import CryodlModel
from ..protocols import CryodlProtModels, CryodlProtTrainDenoiser, CryodlProtTrainMapImprover, CryodlProtTrainPicker
from ..tomography import HAS_TOMO
from .model_window import ModelWindow
from .window import WindowView

_TRAININGS = [CryodlProtTrainPicker, CryodlProtTrainDenoiser, CryodlProtTrainMapImprover]
if HAS_TOMO:
    from ..protocols import CryodlProtTrainTomograms

    _TRAININGS += [CryodlProtTrainTomograms]
# Those that leave curves only; below the curves of the others come pictures.
_CURVES_ONLY: Tuple[type, ...] = (CryodlProtTrainPicker,)


class CryodlModelViewer(Viewer):
    """Learning curve and card of a model, which a double click or an import shows."""

    _name = "cryodl model"
    _targets = [CryodlModel, CryodlProtModels]
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[Any]:
        model = obj if isinstance(obj, CryodlModel) else getattr(obj, "outputModel", None) or obj.inputModel.get()
        if model is None:
            return [self.infoMessage("There is no model yet. Wait until it is imported.", "Nothing yet")]
        return [WindowView(ModelWindow, self.getTkRoot(), model.getFolder(), str(model))]


class CryodlTrainViewer(Viewer):
    """What `Analyze results` opens for a training: its curves and samples, which grow while it runs."""

    _name = "cryodl training"
    _targets = _TRAININGS
    _environments = [DESKTOP_TKINTER]

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [
            WindowView(
                ModelWindow,
                self.getTkRoot(),
                obj.getModelFolder(),
                f"Training: {obj.getRunName()}",
                not isinstance(obj, _CURVES_ONLY) and getattr(obj, "_KIND", "") != "detector",
            )
        ]
