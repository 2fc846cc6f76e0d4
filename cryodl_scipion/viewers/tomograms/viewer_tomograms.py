# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of tomograms with what was found in them."""

import csv
import json
import os
import re
from typing import Any, Dict, List, Optional, Sequence, Tuple

from pwem.objects import EMSet, SetOfCoordinates
from pyworkflow.viewer import DESKTOP_TKINTER, Viewer
from tomo.objects import SetOfCoordinates3D, SetOfMeshes, SetOfTomoMasks

from ...convert.tomograms.coordinates3d import SPECIES, STRUCTURE, VOLUME
from ...convert.tomograms.tomograms import engineNames, featureOf, featuresOf
from ...engine.cryodl.contract import Result
from ...protocols import (
    CryodlProtDetectParticles,
    CryodlProtMergeFeatures,
    CryodlProtPickFeatures,
    CryodlProtSegment,
    CryodlProtSimulateTomograms,
)
from ..panels_viewer import Panel, PanelsViewer, chimeraViews
from ..pictures_window import PicturesWindow
from ..window import WindowView
from .meshes_data import MembraneMeshes, membranesIn
from .meshes_window import MeshesWindow
from .slices_data import CROWD, LABELS, Layer, TomogramSlices, layerOf
from .slices_window import SlicesWindow
from .surfaces_window import Surfaces, SurfacesWindow
from .viewer_subtomograms import SimulatedSubtomogramsViewer

FOUND_TITLES = ("Tomogram", "Feature", "Volume (nm³)", "Components", "Surface (nm²)", "Voxels")
JUDGED_TITLES = (
    "Feature",
    "Dice",
    "Precision",
    "Recall",
    "Boundary error (Å)",
    "Components found",
    "Correct components",
)
# column of membranes.csv: title
_MEMBRANE = {
    "tomogram": "Tomogram",
    "membrane": "Membrane",
    "area_nm2": "Area (nm²)",
    "closed": "Closed",
    "thickness_angstrom": "Thickness (Å)",
    "mean_curvature_per_nm": "Mean curvature (1/nm)",
    "nearest_membrane": "Nearest membrane",
    "distance_angstrom": "Distance (Å)",
}
MEMBRANE_TITLES = tuple(_MEMBRANE.values())
_ALL = "all tomograms"


def featuresIn(folder: str) -> Dict[str, Dict[str, Dict[str, Optional[float]]]]:
    """{tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}} of features.json in a folder."""
    with open(os.path.join(folder, "features.json"), encoding="utf-8") as file:
        return {name: dict(entry["found"]) for name, entry in json.load(file)["tomograms"].items()}


def foundRows(found: Dict[str, Dict[str, Dict[str, Optional[float]]]]) -> List[Tuple[str, ...]]:
    """Rows of FOUND_TITLES, sums last. found: {tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}}."""
    rows, sums = [], {}
    for tomogram, features in sorted(found.items()):
        for feature, metrics in features.items():
            rows.append(_row(tomogram, feature, metrics))
            total = sums.setdefault(feature, {})
            for key, value in metrics.items():
                if isinstance(value, (int, float)):
                    total[key] = total.get(key, 0) + value
    return rows + ([_row(_ALL, feature, total) for feature, total in sums.items()] if len(found) > 1 else [])


def membraneRows(path: str) -> List[Tuple[str, ...]]:
    """Rows of MEMBRANE_TITLES. path: membranes.csv; what it does not have is '-'. Raises OSError."""
    with open(path, newline="", encoding="utf-8") as file:
        return [tuple(_plain(row.get(column)) for column in _MEMBRANE) for row in csv.DictReader(file)]


def _plain(text: Optional[str]) -> str:
    """A number of the table without a power of ten, which has four digits; anything else as it is."""
    return f"{float(text):.0f}" if text and re.fullmatch(r"-?[\d.]+e[+-]\d+", text) else text or "-"


def _row(tomogram: str, feature: str, metrics: Dict[str, Optional[float]]) -> Tuple[str, ...]:
    return (
        tomogram,
        feature,
        _size(metrics["volume_nm3"]),
        f"{metrics['components']}",
        _size(metrics.get("area_nm2")),
        f"{metrics['voxels']}",
    )


def _size(value: Optional[float]) -> str:
    """A volume or area with three or more figures, never as a power of ten."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def judgedRows(features: Dict[str, Dict[str, Optional[float]]]) -> List[Tuple[str, ...]]:
    """Rows of JUDGED_TITLES. features: {name: {dice, precision, ...}}; what was not measured is '-'."""
    return [
        (name,)
        + tuple(
            _number(metrics.get(key), form)
            for key, form in (
                ("dice", "%.3f"),
                ("precision", "%.3f"),
                ("recall", "%.3f"),
                ("boundary_error", "%.3g"),
                ("component_recall", "%.3f"),
                ("component_precision", "%.3f"),
            )
        )
        for name, metrics in features.items()
    ]


def _number(value: Optional[float], form: str) -> str:
    return "-" if value is None else form % value


class CryodlMasksViewer(Viewer):
    """Scores or labels that cryodl made, over their tomograms."""

    _name = "cryodl slices"
    _targets = [SetOfTomoMasks]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        return isinstance(instance, SetOfTomoMasks) and bool(featureOf(instance) or featuresOf(instance))

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [slicesView(self.getTkRoot(), TomogramSlices.ofMasks(obj, [obj]), str(obj))]


class CryodlCoordinates3DViewer(Viewer):
    """Coordinates that cryodl made, in their tomograms."""

    _name = "cryodl places"
    _targets = [SetOfCoordinates3D]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        if not isinstance(instance, SetOfCoordinates3D) or not instance.getSize():
            return False
        first = instance.getFirstItem()
        return any(first.hasAttribute("_" + name) for name in (VOLUME, STRUCTURE, SPECIES))

    def _visualize(self, obj: Any, **kwargs: Any) -> List[str]:
        return [slicesView(self.getTkRoot(), slicesWithCoordinates(obj), str(obj))]


class CryodlMeshesViewer(Viewer):
    """Membranes that cryodl measured, in 3-D."""

    _name = "cryodl membranes"
    _targets = [SetOfMeshes]
    _environments = [DESKTOP_TKINTER]

    @classmethod
    def can_handle_this_instance(cls, instance: Any) -> bool:
        return isinstance(instance, SetOfMeshes) and bool(membranesIn(folderOf(instance))[0])

    def _visualize(self, obj: Any, **kwargs: Any) -> List[Any]:
        return [meshesView(self.getTkRoot(), *membranesIn(folderOf(obj)), obj, str(obj))]


class CryodlSegmentViewer(PanelsViewer):
    """What `Analyze results` opens for scores, also while the run goes on."""

    _label = "scores viewer"
    _targets = [CryodlProtSegment]
    _SECTION = "Scores"
    _PANELS = (
        Panel(
            "showScores",
            "Scores over the tomograms",
            "Slices of each tomogram, overlaid with the scores of a feature above a threshold.",
        ),
    )
    _WAIT = "There are no scores yet. Wait until the first tomogram is segmented."

    def _data(self) -> Any:
        return self.protocol._scoreSets() or None

    def _showScores(self, sets: Any) -> List[str]:
        tomograms = self.protocol.inputTomograms.get()
        return [
            slicesView(
                self.getTkRoot(),
                TomogramSlices.ofTomograms(tomograms, sets.values()),
                f"Scores: {self.protocol.getRunName()}",
            )
        ]


class MergeViewer(PanelsViewer):
    """What `Analyze results` opens for merged features."""

    _SECTION = "Features"
    _PANELS = (
        Panel("showLabels", "Labels over the tomograms", "Slices of each tomogram, overlaid with the features."),
        Panel("showTable", "Volumes, components and areas", "Table of the features found in each tomogram."),
        Panel(
            "showSurfaces",
            "Surfaces in 3-D",
            "Surfaces of the features, which the mouse rotates and ChimeraX can open. Only for runs with *Surfaces*.",
        ),
    )
    _WAIT = "There are no labels yet. Wait until the run has finished."
    _OUTPUT = "outputLabels"

    def _showLabels(self, labels: Sequence[str]) -> List[str]:
        scores = [masks for masks in self.protocol._pointed("inputScores")]
        data = TomogramSlices.ofMasks(labels, scores + [layerOf(labels, "features")])
        return [slicesView(self.getTkRoot(), data, f"Features: {self.protocol.getRunName()}")]

    def _showTable(self, labels: Sequence[str]) -> List[str]:
        table, folder = self.protocol._result().outputs.table, self.protocol.getWorkingDir()
        path = os.path.relpath(table, folder)
        return [
            WindowView(
                PicturesWindow,
                self.getTkRoot(),
                f"Features: {self.protocol.getRunName()}",
                {},
                (),
                None,
                (FOUND_TITLES, foundRows(featuresIn(os.path.dirname(table)))),
                None,
                None,
                f"All values: {path}, in the folder of the run.",
            )
        ]

    def _showSurfaces(self, labels: Sequence[str]) -> List[str]:
        made = self.protocol._result().outputs
        files = {name: each for name, each in (made.surfaces or {}).items() if each}
        if not files:
            return [
                self.infoMessage(
                    "This run made no surfaces. Set *Surfaces* to Yes in a copy of it, and run it.", "No surfaces"
                )
            ]
        return [
            WindowView(
                SurfacesWindow,
                self.getTkRoot(),
                Surfaces(files, made.scripts, made.features),
                f"Surfaces: {self.protocol.getRunName()}",
                lambda path: chimeraViews(self, path, "script"),
            )
        ]


class PointsViewer(PanelsViewer):
    """What `Analyze results` opens for coordinates of a segmentation."""

    _SECTION = "Points"
    _PANELS: Tuple[Panel, ...] = (
        Panel(
            "showCoordinates",
            "Points in the tomograms",
            "Circles as wide as the box over the segmentation, smaller in slices away from the centre; dots in slices "
            f"with more than {CROWD}.",
        ),
    )
    _WAIT = "There are no coordinates yet. Wait until the run has finished."
    _OUTPUT = "outputCoordinates"

    def _showCoordinates(self, coordinates: SetOfCoordinates) -> List[str]:
        return [
            slicesView(
                self.getTkRoot(),
                slicesWithCoordinates(coordinates, [self.protocol.inputMasks.get()]),
                f"Points: {self.protocol.getRunName()}",
            )
        ]


class MembranesViewer(PointsViewer):
    """What `Analyze results` opens for measured membranes."""

    _SECTION = "Membranes"
    _PANELS = (
        Panel(
            "showMeshes",
            "Membranes in 3-D",
            "Meshes of the membranes, which the mouse rotates, coloured by membrane, mean curvature, thickness or "
            "distance to the nearest other membrane; beside them a slice of the tomogram with their outlines. Of large "
            "meshes a simplified copy is drawn.",
        ),
        Panel(
            "showTable",
            "Area, thickness, curvature",
            "What was measured of each membrane; thickness and curvature are medians.",
        ),
        *PointsViewer._PANELS,
    )
    _WAIT = "There are no membranes yet. Wait until the run has finished."

    def _showMeshes(self, coordinates: SetOfCoordinates3D) -> List[Any]:
        made, title = self.protocol._result().outputs, f"Membranes: {self.protocol.getRunName()}"
        if not made.meshes:
            return [self.infoMessage("No tomogram of this run has membranes.", "No membranes")]
        return [meshesView(self.getTkRoot(), made.meshes, made.instances, coordinates, title)]

    def _showTable(self, coordinates: SetOfCoordinates3D) -> List[Any]:
        table = self.protocol._result().outputs.table
        path = os.path.relpath(table, self.protocol.getWorkingDir())
        note = f"All values: {path}, in the folder of the run."
        title = f"Membranes: {self.protocol.getRunName()}"
        rows, root = (MEMBRANE_TITLES, membraneRows(table)), self.getTkRoot()
        return [WindowView(PicturesWindow, root, title, {}, (), None, rows, None, None, note)]


class CryodlPickFeaturesViewer(PanelsViewer):
    """What `Analyze results` opens for *pick in segmentation*."""

    _label = "points viewer"
    _targets = [CryodlProtPickFeatures]
    WAYS = (PointsViewer, MembranesViewer)


class CryodlDetectParticlesViewer(PanelsViewer):
    """What `Analyze results` opens for detected particles."""

    _label = "detections viewer"
    _targets = [CryodlProtDetectParticles]
    _SECTION = "Detections"
    _PANELS = (
        Panel(
            "showDetections",
            "Detections in the tomograms",
            "Circles as wide as the box, smaller in slices away from the centre, in a colour for each species.",
        ),
    )
    _WAIT = "There are no coordinates yet. Wait until the run has finished."
    _OUTPUT = "outputCoordinates"

    def _showDetections(self, coordinates: SetOfCoordinates3D) -> List[Any]:
        return [
            slicesView(
                self.getTkRoot(), slicesWithCoordinates(coordinates), f"Detections: {self.protocol.getRunName()}"
            )
        ]


class SimulatedViewer(PanelsViewer):
    """What `Analyze results` opens for simulated tomograms."""

    _SECTION = "Simulated tomograms"
    _PANELS = (
        Panel(
            "showTomograms",
            "Tomograms and the ground truth",
            "Slices of each tomogram, overlaid with its labels and circles around the particles.",
        ),
    )
    _WAIT = "There are no tomograms yet. Wait until the run has finished."
    _OUTPUT = "outputTomograms"

    def _showTomograms(self, tomograms: EMSet) -> List[str]:
        labels = getattr(self.protocol, "outputLabels", None)
        data = TomogramSlices.ofTomograms(
            tomograms, [] if labels is None else [labels], getattr(self.protocol, "outputCoordinates", None)
        )
        return [slicesView(self.getTkRoot(), data, self.protocol.getRunName())]


class CryodlSimulateTomogramsViewer(PanelsViewer):
    """What `Analyze results` opens for *simulate tomograms*."""

    _label = "simulated tomograms viewer"
    _targets = [CryodlProtSimulateTomograms]
    WAYS = (SimulatedViewer, SimulatedSubtomogramsViewer)


class EvaluationViewer(PanelsViewer):
    """What `Analyze results` opens for a comparison with true labels."""

    _SECTION = "Evaluation"
    _PANELS = (
        Panel("showMetrics", "Metrics and pictures", "Dice, precision, recall and boundary error of each feature."),
        Panel(
            "showSlices",
            "Segmentation and ground truth",
            "Slices of each tomogram, overlaid with the segmentation or the ground truth.",
        ),
    )
    _WAIT = "There is no evaluation yet. Wait until the run has finished."

    def _data(self) -> Any:
        return self.protocol._result()

    def _showMetrics(self, result: Result) -> List[str]:
        made = result.outputs
        pictures = {name: path for name, path in made.pictures.items() if os.path.exists(path)}
        return [
            WindowView(
                PicturesWindow,
                self.getTkRoot(),
                f"Evaluation: {self.protocol.getRunName()}",
                pictures,
                (),
                None,
                (JUDGED_TITLES, judgedRows(made.features)),
            )
        ]

    def _showSlices(self, result: Result) -> List[str]:
        found, ground_truth = self.protocol.inputMasks.get(), self.protocol.inputTruth.get()
        data = TomogramSlices.ofMasks(found, [layerOf(ground_truth, "ground truth"), layerOf(found, "segmentation")])
        return [slicesView(self.getTkRoot(), data, "Segmentation and ground truth")]


class CryodlMergeViewer(PanelsViewer):
    """What `Analyze results` opens for *merge or evaluate features*."""

    _label = "features viewer"
    _targets = [CryodlProtMergeFeatures]
    WAYS = (MergeViewer, EvaluationViewer)


def slicesView(root: Any, data: Any, title: str) -> Any:
    return WindowView(SlicesWindow, root, data, title)


def slicesWithCoordinates(coordinates: SetOfCoordinates, masks: EMSet = ()) -> Any:
    """TomogramSlices of a SetOfCoordinates3D, which may belong to masks themselves."""
    return TomogramSlices.ofTomograms(coordinates.getPrecedents(), masks, coordinates)


def meshesView(root: Any, meshes: Any, instances: Any, coordinates: SetOfCoordinates3D, title: str) -> Any:
    """Window on membranes. meshes: {engine's name: [PLY file]}. instances: {engine's name: volume of their numbers}.
    coordinates: the points on them."""
    known = {name: tsId for tsId, name in engineNames(coordinates.getPrecedents()).items()}
    meshes, instances = ({known.get(name, name): value for name, value in each.items()} for each in (meshes, instances))
    layer = Layer("membranes", LABELS, dict(instances), [], None)
    slices = TomogramSlices.ofTomograms(coordinates.getPrecedents(), [layer])
    return WindowView(MeshesWindow, root, MembraneMeshes(meshes, instances, slices), title)


def folderOf(items: EMSet) -> str:
    """The folder of the run that made a set."""
    return os.path.dirname(items.getFileName())
