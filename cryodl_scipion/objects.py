# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects of cryodl that protocols give to each other."""

import importlib.util
import json
from typing import Any, Dict, List, Optional, Set

import pwem
import pyworkflow as pw
from pwem.objects import EMObject
from pyworkflow.object import CsvList, Float, String

from .convert.form import formName
from .engine.cryodl import contract

_JAVA_VIEWER = "pwem.viewers.DataViewer"
_MAPS = ("Volume", "VolumeMask")
# Of coordinates ours takes those with our scores, and empty ones, which pwem's viewer cannot open; pwem's the others.
_WORKING = {
    "SetOfCoordinates": [
        "cryodl_scipion.viewers.micrographs.viewer_picks.CryodlPicksViewer",
        "pwem.viewers.viewer_coordinates.CoordinateViewer",
    ],
    **dict.fromkeys(_MAPS, ["cryodl_scipion.viewers.maps.viewer_map.CryodlVolumeViewer"]),
}


def preferWorkingViewers() -> None:
    """Keep a double click on coordinates and maps from ending in an error; nothing where Java's viewer works. `python
    -m scipion` prefers pwem's DataViewer for SetOfCoordinates, Volume and VolumeMask. It converts the object with the
    plugin xmipp3 and shows it in a Java program; without that plugin the click raises "'NoneType' object has no
    attribute 'convert'". The preference wins over every viewer that plugins bring, so it is mended where it is written:
    in Config.VIEWERS. Sites with xmipp3, or with a VIEWERS of their own, keep what they have."""
    if importlib.util.find_spec("xmipp3") is not None:
        return
    if importlib.util.find_spec("chimera") is None:  # where a site names no viewer of maps, pwem's would open nothing
        for target in _MAPS:
            pw.Config.VIEWERS.setdefault(target, [_JAVA_VIEWER])
    for target, working in _WORKING.items():
        if pw.Config.VIEWERS.get(target) == [_JAVA_VIEWER]:
            pw.Config.VIEWERS[target] = working + [_JAVA_VIEWER]
            # The domain keeps the imported classes from its first search on; let it look again.
            pwem.Domain._preferred_viewers = None


# Here, because the objects of every plugin are loaded before the first viewer is looked for.
preferWorkingViewers()


class OfFolder:
    _folder: String

    def getFolder(self) -> str:
        return self._folder.get()

    getFileName = getFolder  # Scipion asks objects for their file under this name

    def getFiles(self) -> Set[Any]:
        return {self.getFolder()}


class CryodlModel(OfFolder, EMObject):
    """A trained network: a folder with card.json and weights.safetensors, and what the card says of it."""

    def __init__(self, **kwargs: Any) -> None:
        EMObject.__init__(self, **kwargs)
        self._folder, self._modelName, self._kind, self._network = String(), String(), String(), String()
        self._particleDiameter, self._threshold, self._pixelSizes = Float(), Float(), String()
        self._feature, self._annotator, self._classes = String(), String(), CsvList()

    @classmethod
    def fromFolder(cls, folder: str) -> "CryodlModel":
        """The model of a folder. Raises ValueError if the folder holds none."""
        card, model = contract.read_card(folder), cls()
        model._folder.set(folder)
        model._modelName.set(card["name"])
        sizes = card.get("pixel_sizes") or ([card["pixel_size"]] if card.get("pixel_size") else [])
        model._pixelSizes.set(" ".join(f"{size:g}" for size in sizes))
        model._classes.set([str(name) for name in card.get("classes") or card.get("species") or ()])
        for name in ("kind", "network", "particle_diameter", "threshold", "feature", "annotator"):
            getattr(model, "_" + formName(name)).set(card.get(name))
        return model

    def getModelName(self) -> str:
        # Not getName(): pyworkflow keeps the attribute's name under that.
        return self._modelName.get()

    def getKind(self) -> str:
        """'picker', 'denoiser', 'map_improver', 'segmenter' ..., as the card of a model says."""
        return self._kind.get()

    def getNetwork(self) -> str:
        return self._network.get()

    def getParticleDiameter(self) -> Optional[float]:
        """Å; None of a model that knows no particle."""
        return self._particleDiameter.get()

    def getThreshold(self) -> float:
        """Score in [0, 1] that picks should have; None of a denoiser."""
        return self._threshold.get()

    def getFeature(self) -> str:
        """What a segmenter finds: 'membrane'. None of other models."""
        return self._feature.get()

    def getClasses(self) -> List[str]:
        return list(self._classes)

    def __str__(self) -> str:
        what = "species" if self.getKind() == "detector" else "classes"
        parts = (
            self.getFeature(),
            self.getNetwork() or "no network",
            f"{len(self.getClasses())} {what}" if self.getClasses() else None,
            f"{self.getParticleDiameter():g} Å" if self.getParticleDiameter() else None,
            None if self.getThreshold() is None else f"threshold {contract.score_text(self.getThreshold())}",
        )
        kind = f"{self.getKind()} " if self.getKind() not in (None, "picker") else ""
        return f"CryodlModel {kind}{self.getModelName() or 'without name'} ({', '.join(filter(None, parts))})"


class CryodlAnnotations(OfFolder, EMObject):
    """Drawings of features on tiles of tomograms: a folder with annotations.json, and what it holds."""

    def __init__(self, **kwargs: Any) -> None:
        EMObject.__init__(self, **kwargs)
        self._folder, self._counts = String(), String()  # counts: JSON
        self._annotators, self._tomograms = CsvList(), CsvList()

    @classmethod
    def fromFolder(cls, folder: str) -> "CryodlAnnotations":
        """The annotations of a folder. Raises FileNotFoundError or ValueError if the folder holds none."""
        tiles, annotations = contract.read_tiles(folder), cls()
        annotations._folder.set(folder)
        annotations._counts.set(json.dumps(contract.tile_counts(tiles)))
        annotations._annotators.set(list(dict.fromkeys(tile.annotator for tile in tiles)))
        annotations._tomograms.set(list(dict.fromkeys(tile.tomogram for tile in tiles)))
        return annotations

    def getCounts(self) -> Dict[str, Dict[str, int]]:
        """{feature: {"positive": tiles with it, "negative": tiles without it}}"""
        return json.loads(self._counts.get() or "{}")

    def getAnnotators(self) -> List[str]:
        return list(self._annotators)

    def inWords(self) -> str:
        counts = self.getCounts().items()
        return "; ".join(f"{name}: {n['positive']} with, {n['negative']} without" for name, n in counts) or "no tile"

    def __str__(self) -> str:
        return f"CryodlAnnotations ({self.inWords()})"
