# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of tomograms with what was found in them."""

import collections
import os
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from pwem.objects import EMSet
from tomo.objects import SetOfCoordinates3D, SetOfMeshes, SetOfTomoMasks

from ...convert import arriving, reading
from ...convert.tomograms.tomograms import SPECIES, STRUCTURE, VOLUME, Q, engineNames, featureOf, featuresOf
from ...protocols import (
    CryodlProtDetectParticles,
    CryodlProtMergeFeatures,
    CryodlProtPickFeatures,
    CryodlProtSegment,
    CryodlProtSimulateTomograms,
)
from ..panels_viewer import ObjectViewer, PanelsViewer, itemsSubset, panel
from ..window import PicturesWindow
from .meshes_data import MembraneMeshes, Surfaces, membranesIn
from .meshes_window import MeshesWindow, SurfacesWindow
from .slices_window import CROWD, LABELS, Layer, SlicesWindow, TomogramSlices, layerOf
from .viewer_subtomograms import SimulatedSubtomogramsViewer

FOUND_TITLES = ("Tomogram", "Feature", "Volume (nm³)", "Components", "Surface (nm²)", "Voxels")
# metric of a feature: (title, form)
_JUDGED = {
    "dice": ("Dice", "%.3f"),
    "precision": ("Precision", "%.3f"),
    "recall": ("Recall", "%.3f"),
    "boundary_error": ("Boundary error (Å)", "%.3g"),
    "component_recall": ("Components found", "%.3f"),
    "component_precision": ("Correct components", "%.3f"),
}
JUDGED_TITLES = ("Feature", *(title for title, _ in _JUDGED.values()))
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

Found = Dict[str, Dict[str, Dict[str, Any]]]  # {tomogram: {feature: {voxels, volume_nm3, components, area_nm2}}}


def featuresIn(folder: str) -> Found:
    tomograms = reading.readJson(os.path.join(folder, "features.json"))["tomograms"]
    return {name: dict(entry["found"]) for name, entry in tomograms.items()}


def foundRows(found: Found) -> List[Tuple[str, ...]]:
    rows, sums = [], {}
    for tomogram, features in sorted(found.items()):
        for feature, metrics in features.items():
            rows.append(_row(tomogram, feature, metrics))
            total = sums.setdefault(feature, collections.Counter())
            total.update({key: value for key, value in metrics.items() if isinstance(value, (int, float))})
    return rows + ([_row("all tomograms", feature, total) for feature, total in sums.items()] if len(found) > 1 else [])


def _row(tomogram: str, feature: str, metrics: Dict[str, Any]) -> Tuple[str, ...]:
    # three or more figures, never as a power of ten
    sizes = map(metrics.get, ("volume_nm3", "area_nm2"))
    volume, area = ("-" if size is None else f"{size:.0f}" if size >= 100 else f"{size:.3g}" for size in sizes)
    return tomogram, feature, volume, f"{metrics['components']}", area, f"{metrics['voxels']}"


def membraneRows(path: str) -> List[Tuple[str, ...]]:
    """Rows of MEMBRANE_TITLES. path: membranes.csv; what it does not have is '-'."""
    # a number with a power of ten has four digits
    plain = lambda text: f"{float(text):.0f}" if text and re.fullmatch(r"-?[\d.]+e[+-]\d+", text) else text or "-"
    return [tuple(plain(row.get(column)) for column in _MEMBRANE) for row in reading.readCsv(path)]


def judgedRows(features: Dict[str, Dict[str, Optional[float]]]) -> List[Tuple[str, ...]]:
    """Rows of JUDGED_TITLES. features: {name: {dice, precision, ...}}; what was not measured is '-'."""
    number = lambda value, form: "-" if value is None else form % value
    return [
        (name, *(number(metrics.get(key), form) for key, (_, form) in _JUDGED.items()))
        for name, metrics in features.items()
    ]


class CryodlMasksViewer(
    ObjectViewer,
    name="cryodl slices",
    targets=[SetOfTomoMasks],
    only=lambda masks: featureOf(masks) or featuresOf(masks),
):
    def show(self, obj: SetOfTomoMasks) -> Any:
        return self.window(SlicesWindow, TomogramSlices.ofTomograms(obj, [obj]), str(obj))


def _isOurs(coordinates: SetOfCoordinates3D) -> bool:
    first = arriving.firstOf(coordinates) or coordinates
    return any(first.hasAttribute("_" + name) for name in (VOLUME, STRUCTURE, SPECIES))


class CryodlCoordinates3DViewer(ObjectViewer, name="cryodl places", targets=[SetOfCoordinates3D], only=_isOurs):
    def show(self, obj: SetOfCoordinates3D) -> Any:
        return detectionsView(self, obj, str(obj))


def detectionsView(viewer: Any, coordinates: SetOfCoordinates3D, title: str) -> Any:
    """Coordinates in their tomograms. Of those with q-values subsets can be made."""
    data, subset = TomogramSlices.ofCoordinates(coordinates), itemsSubset(viewer, coordinates, "detection")
    qOf = lambda item: item.getAttributeValue("_" + Q)
    upTo = lambda q: subset([item.getObjId() for item in coordinates.iterItems() if qOf(item) <= q])
    return viewer.window(SlicesWindow, data, title, None, None, subset and upTo)


class CryodlMeshesViewer(
    ObjectViewer, name="cryodl membranes", targets=[SetOfMeshes], only=lambda meshes: membranesIn(meshes)[0]
):
    def show(self, obj: SetOfMeshes) -> Any:
        return self.window(MeshesWindow, meshesWith(*membranesIn(obj), obj), str(obj))


class CryodlSegmentViewer(
    PanelsViewer,
    targets=[CryodlProtSegment],
    section="Scores",
    wait="There are no scores",
    until="the first tomogram is segmented",
):
    def _data(self) -> Any:
        found = self.protocol.iterOutputAttributes(SetOfTomoMasks)
        return {masks._cryodlFeature.get(): masks for name, masks in found if name.startswith("scores_")} or None

    @panel("Scores over the tomograms", "Slices of each tomogram with the scores of a feature above a threshold.")
    def showScores(self, sets: Any) -> Any:
        data = TomogramSlices.ofTomograms(self.protocol.inputTomograms.get(), sets.values())
        return self.window(SlicesWindow, data, self.title())


class MergeViewer(PanelsViewer, section="Features", wait="There are no labels", data="outputLabels"):
    @panel("Labels over the tomograms", "Slices of each tomogram, overlaid with the features.")
    def showLabels(self, labels: SetOfTomoMasks) -> Any:
        data = TomogramSlices.ofTomograms(labels, [layerOf(labels, "features"), *self.protocol._pointed("inputScores")])
        return self.window(SlicesWindow, data, self.title())

    @panel("Volumes, components and areas", "Table of the features found in each tomogram.")
    def showTable(self, labels: SetOfTomoMasks) -> Any:
        return tableView(self, FOUND_TITLES, lambda table: foundRows(featuresIn(os.path.dirname(table))))

    @panel(
        "Surfaces in 3-D",
        "Surfaces of the features, which the mouse rotates and ChimeraX can open. Only for runs with *Surfaces*.",
    )
    def showSurfaces(self, labels: SetOfTomoMasks) -> Any:
        made = self.needed(self.protocol._made())
        files = {name: each for name, each in (made.surfaces or {}).items() if each}
        if not files:
            return self.infoMessage("This run made no surfaces. Set *Surfaces* to Yes in a copy of it.", "No surfaces")
        data = Surfaces(files, made.scripts, made.features)
        return self.window(SurfacesWindow, data, self.title("Surfaces"), lambda path: self.chimera(path, "script"))


class PointsViewer(PanelsViewer, section="Points", wait="There are no coordinates", data="outputCoordinates"):
    @panel(
        "Points in the tomograms",
        "Circles as wide as the box over the segmentation, smaller in slices away from the centre; dots in slices "
        f"with more than {CROWD}.",
    )
    def showCoordinates(self, coordinates: SetOfCoordinates3D) -> Any:
        data = TomogramSlices.ofCoordinates(coordinates, [self.protocol.inputMasks.get()])
        return self.window(SlicesWindow, data, self.title("Points"))


class MembranesViewer(PanelsViewer, section="Membranes", wait="There are no membranes", data="outputCoordinates"):
    @panel(
        "Membranes in 3-D",
        "Meshes of the membranes, which the mouse rotates, coloured by membrane, mean curvature, thickness or distance "
        "to the nearest other membrane; beside them a slice of the tomogram with their outlines. Of large meshes a "
        "simplified copy is drawn.",
    )
    def showMeshes(self, coordinates: SetOfCoordinates3D) -> Any:
        made = self.needed(self.protocol._made())
        if not made.meshes:
            return self.infoMessage("No tomogram of this run has membranes.", "No membranes")
        return self.window(MeshesWindow, meshesWith(made.meshes, made.instances, coordinates), self.title())

    @panel("Area, thickness, curvature", "What was measured of each membrane; thickness and curvature are medians.")
    def showTable(self, coordinates: SetOfCoordinates3D) -> Any:
        return tableView(self, MEMBRANE_TITLES, membraneRows)

    showCoordinates = PointsViewer.showCoordinates


class CryodlPickFeaturesViewer(PanelsViewer, targets=[CryodlProtPickFeatures], ways=(PointsViewer, MembranesViewer)):
    """What `Analyze results` opens for *pick in segmentation*."""


class CryodlDetectParticlesViewer(
    PanelsViewer,
    targets=[CryodlProtDetectParticles],
    section="Detections",
    wait="There are no coordinates",
    data="outputCoordinates",
):
    @panel(
        "Detections in the tomograms",
        "Circles as wide as the box, smaller in slices away from the centre, in a colour for each species. Those of a "
        "template are chosen by q, the estimated share of look-alikes among detections with at least their score.",
    )
    def showDetections(self, coordinates: SetOfCoordinates3D) -> Any:
        return detectionsView(self, coordinates, self.title())


class SimulatedViewer(
    PanelsViewer, section="Simulated tomograms", wait="There are no tomograms", data="outputTomograms"
):
    @panel(
        "Tomograms and the ground truth",
        "Slices of each tomogram, overlaid with its labels and circles around the particles.",
    )
    def showTomograms(self, tomograms: EMSet) -> Any:
        labels, points = (getattr(self.protocol, name, None) for name in ("outputLabels", "outputCoordinates"))
        data = TomogramSlices.ofTomograms(tomograms, [] if labels is None else [labels], points)
        return self.window(SlicesWindow, data, self.protocol.getRunName())


class CryodlSimulateTomogramsViewer(
    PanelsViewer, targets=[CryodlProtSimulateTomograms], ways=(SimulatedViewer, SimulatedSubtomogramsViewer)
):
    """What `Analyze results` opens for *simulate tomograms*."""


class EvaluationViewer(PanelsViewer, section="Evaluation", wait="There is no evaluation", data="_made"):
    @panel("Metrics and pictures", "Dice, precision, recall and boundary error of each feature.")
    def showMetrics(self, made: Any) -> Any:
        pictures = {name: path for name, path in made.pictures.items() if os.path.exists(path)}
        return self.window(PicturesWindow, self.title(), pictures, (), None, (JUDGED_TITLES, judgedRows(made.features)))

    @panel("Segmentation and ground truth", "Slices of each tomogram with the segmentation or the ground truth.")
    def showSlices(self, made: Any) -> Any:
        found, truth = self.protocol.inputMasks.get(), self.protocol.inputTruth.get()
        data = TomogramSlices.ofTomograms(found, [layerOf(found, "segmentation"), layerOf(truth, "ground truth")])
        return self.window(SlicesWindow, data, "Segmentation and ground truth")


class CryodlMergeViewer(PanelsViewer, targets=[CryodlProtMergeFeatures], ways=(MergeViewer, EvaluationViewer)):
    """What `Analyze results` opens for *merge or evaluate features*."""


def tableView(viewer: PanelsViewer, titles: Sequence[str], rowsOf: Callable[[str], Any]) -> Any:
    path = viewer.needed(viewer.protocol._made()).table
    note = f"All values: {os.path.relpath(path, viewer.protocol.getWorkingDir())}, in the folder of the run."
    return viewer.window(PicturesWindow, viewer.title(), {}, (), None, (titles, rowsOf(path)), None, None, note)


def meshesWith(meshes: Any, instances: Any, coordinates: SetOfCoordinates3D) -> MembraneMeshes:
    """What the window on membranes shows. meshes: {engine's name: [PLY file]}. instances: {engine's name: volume of
    their numbers}. coordinates: the points on them."""
    tomograms = coordinates.getPrecedents()
    known = {name: tsId for tsId, name in engineNames(tomograms).items()}
    meshes, instances = ({known.get(name, name): value for name, value in each.items()} for each in (meshes, instances))
    layer = Layer("membranes", LABELS, instances, [], None)
    return MembraneMeshes(meshes, instances, TomogramSlices.ofTomograms(tomograms, [layer]))
