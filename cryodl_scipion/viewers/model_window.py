# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's learning curve and card; live while it trains."""

import os
import re
import tkinter as tk
from tkinter import font
from typing import Any, Callable, Dict, List, Optional, Sequence

from .. import protocols
from ..convert.names import withoutChecksum
from ..engine.cryodl import contract
from ..objects import CryodlModel
from . import panels_viewer, plots, window

METRICS = "metrics.csv"
SAMPLES, CONFUSION = "samples", "confusion.png"
NEWEST = "the newest step"
_NAMES_SHOWN = 12
_CTF = {"wiener": "corrected by a Wiener filter", "none": "not corrected"}
_METRICS = {
    "f1": "Validation F1",
    "frc": "Validation FRC",
    "frc_raw": "FRC of raw images",
    "loss": "Validation loss",
    "auc": "AUC",
    "q_score": "Q-score",
    "q_score_before": "Q-score of originals",
    "boundary_error_angstrom": "Boundary error, Å",
}
_STEP = re.compile(r"step_0*(\d+)\.png$")


def metricsPath(folder: str) -> Any:
    whole = os.path.join(folder, METRICS)
    return whole if os.path.exists(whole) else os.path.join(folder + ".partial", METRICS)


def samplesIn(folder: str) -> Dict[str, Any]:
    """{name: picture} of a model folder or its unfinished training.

    'the newest step', 'step 100' ..., the newest first; or pictures that were made at the end, by their names."""
    steps, others = [], {}
    for model in (folder, folder + ".partial"):
        pictures = os.path.join(model, SAMPLES)
        for name in sorted(os.listdir(pictures), reverse=True) if os.path.isdir(pictures) else []:
            step = _STEP.match(name)
            if step:
                steps.append((int(step.group(1)), os.path.join(pictures, name)))
            elif name.endswith(".png"):
                others[f"{name[:-4]} tiles"] = os.path.join(pictures, name)
        if os.path.exists(os.path.join(model, CONFUSION)):
            others["confusion matrix"] = os.path.join(model, CONFUSION)
    steps.sort(reverse=True)
    return {**({NEWEST: steps[0][1]} if steps else {}), **{f"step {step}": path for step, path in steps}, **others}


def cardLines(folder: str, run: Any = None) -> List[str]:
    if not os.path.exists(os.path.join(folder, contract.CARD)):
        return [
            "The model is not finished.",
            (run and panels_viewer.whyEnded(run)) or "The curves are updated during training.",
        ]
    card = contract.read_card(folder)
    training, validation, tiles = (card.get(name) or {} for name in ("training", "validation", "tiles"))
    facts = [
        ("Name", card["name"]),
        ("Kind", card["kind"]),
        ("Network", card["network"]),
        ("Feature", card.get("feature")),
        ("Annotator", card.get("annotator") or None),
        ("Classes", ", ".join(map(str, card.get("classes") or [])) or None),
        ("Particle diameter", _with(card.get("particle_diameter"), "%g Å")),
        ("Pixel sizes", _with(card.get("pixel_sizes"), "%s Å/px", lambda v: ", ".join(f"{p:g}" for p in v))),
        ("Pixel size", _with(card.get("pixel_size"), "%g Å/px")),
        ("Trained at", _with(card.get("trained_pixel_size"), "%g Å/px")),
        ("Box", _with(card.get("box"), "%d px")),
        ("Structures", withoutChecksum(", ".join(card.get("structures") or [])) or None),
        ("CTF of the input", _CTF.get(str(card.get("ctf")), card.get("ctf"))),
        ("Working pixel size", _with(card.get("working_pixel_size"), "%g Å/px")),
        ("Resolutions", _with(card.get("resolutions"), "%s Å", lambda v: " to ".join(f"{r:g}" for r in v))),
        ("Default threshold", _with(card.get("threshold"), "%s", contract.score_text)),
        None,
        ("Labels", card.get("labels")),
        ("Particles", training.get("particles")),
        ("Background boxes", training.get("background_boxes")),
        ("Tiles with it", tiles.get("positive")),
        ("Tiles without it", tiles.get("negative")),
        ("Maps", training.get("maps")),
        ("Validation maps", training.get("validation_maps")),
        ("Validation tiles", tiles.get("validation")),
        ("Subtomograms", training.get("number")),
        ("Started from", training.get("started_from")),
        ("Steps", training.get("steps")),
        ("Stopped because", training.get("stop_reason")),
        ("Time", _with(training.get("seconds"), "%.0f s")),
        ("Computed on", training.get("device")),
        None,
    ]
    # metrics by whatever name the method gives them; other things that were written down are not for this list
    facts += [
        (_METRICS.get(name, name.replace("_", " ").capitalize()), f"{value:.3f}")
        for name, value in validation.items()
        if isinstance(value, float) and name in contract.LABELS_TELL.get(str(card.get("labels")), (name,))
    ]
    lines = ["" if fact is None else "{:<18} {}".format(*fact) for fact in facts if fact is None or fact[1] is not None]
    for words, prefix in (("Trained on", ""), ("Validated on", "validation_")):
        names = training.get(prefix + "micrographs") or training.get(prefix + "molecules")
        lines += _names(words, names or card.get((prefix or "training_") + "tomograms"))
    versions = card.get("versions") or {}
    return lines + ["", "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items())]


def _with(value: Any, form: str, convert: Callable[..., Any] = lambda value: value) -> Any:
    return None if value is None else form % convert(value)


def _names(title: str, names: Optional[Sequence[str]]) -> List[str]:
    if not names:
        return []
    more = [f"and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ["", f"{title} ({len(names)}):", *(f"  {name}" for name in [*names[:_NAMES_SHOWN], *more])]


class ModelWindow(window.FollowingWindow):
    """folder: of the model, finished or not. samples: whether there will be pictures of validation particles."""

    _choice: Any = None  # the list of sample pictures, as soon as there is one

    def __init__(self, parent: Any, folder: str, title: str, samples: bool = False, run: Any = None) -> None:
        window.FollowingWindow.__init__(self, parent, title)
        self._folder, self._run, self._sample = folder, run, tk.StringVar(self.root, NEWEST)
        self._text = tk.Text(self.root, width=46, font="TkFixedFont", relief=tk.FLAT, padx=8, pady=8, wrap=tk.WORD)
        # letters before what is told, see cardLines
        self._text.tag_configure("card", lmargin2=19 * font.Font(self.root, "TkFixedFont").measure("0"))
        self._text.pack(side=tk.RIGHT, fill=tk.Y)
        self.addFigure((9.5, 8.6 if samples or samplesIn(folder) else 4.8))
        self.refresh()

    def finished(self) -> bool:
        return os.path.exists(os.path.join(self._folder, contract.CARD))

    def draw(self) -> None:
        samples = samplesIn(self._folder)
        if samples and self._choice is None:
            self._choice = self.addChoice(self.addRow(side=tk.BOTTOM), "Picture", self._sample, (), 16, self.redraw)
        if samples:
            self._choice.config(values=list(samples))
        if samples and self._sample.get() not in samples:
            self._sample.set(next(iter(samples)))  # this method makes pictures of other names
        plots.drawTraining(self._figure, plots.readMetrics(metricsPath(self._folder)), samples.get(self._sample.get()))
        self._text.config(state=tk.NORMAL)
        self._text.delete("1.0", tk.END)
        self._text.insert(tk.END, "\n".join(cardLines(self._folder, self._run)), "card" * self.finished())
        self._text.config(state=tk.DISABLED)


_NAMES = ("CryodlProtTrainPicker", "CryodlProtTrainDenoiser", "CryodlProtTrainMapImprover", "CryodlProtTrainTomograms")
_TRAININGS = [vars(protocols)[name] for name in _NAMES if name in vars(protocols)]  # the last one needs scipion-em-tomo


class CryodlModelViewer(
    panels_viewer.ObjectViewer, name="cryodl model", targets=[CryodlModel, protocols.CryodlProtModels]
):
    def show(self, obj: Any) -> Any:
        model = obj if isinstance(obj, CryodlModel) else getattr(obj, "outputModel", None) or obj.inputModel.get()
        self.needed(model, obj, "There is no model yet. Wait until it is imported.")
        return self.window(ModelWindow, model.getFolder(), str(model))


class CryodlTrainViewer(panels_viewer.ObjectViewer, name="cryodl training", targets=_TRAININGS):
    def show(self, obj: Any) -> Any:
        # pickers leave curves only; below the curves of the others come pictures
        samples = not isinstance(obj, protocols.CryodlProtTrainPicker) and getattr(obj, "_KIND", "") != "detector"
        return self.window(ModelWindow, obj.getModelFolder(), f"Training: {obj.getRunName()}", samples, obj)
