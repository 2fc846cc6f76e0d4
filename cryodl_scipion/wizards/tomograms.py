# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers beside the fields of the protocols on tomograms."""

from typing import Any, Callable, List, Optional, Tuple

from pwem.objects import EMSet, SetOfParticles
from pwem.protocols import EMProtocol
from pyworkflow.protocol.params import Form

from ..convert.tomograms.tomograms import clonesOf, featureOf, featuresOf, fileOf
from ..protocols.tomograms.tomogram_kinds import checkTomograms
from . import form_wizard

_FIRST_GUESS = 200  # Å


def has(protocol: EMProtocol, name: str) -> bool:
    return protocol.getDefinition().hasParam(name) and protocol.evalParamCondition(name)


def imagesField(protocol: EMProtocol) -> Optional[str]:
    return next((name for name in ("inputSubtomograms", "inputParticles") if has(protocol, name)), None)


def labelledMasks(protocol: EMProtocol) -> Any:
    """The set of masks whose values a form's Label is about. Raises ValueError if it is not chosen, or not there."""
    masks = (protocol.inputTruth if has(protocol, "inputTruth") else protocol.inputMasks).get()
    if masks is None:
        raise ValueError("Choose the label volumes first; the list shows their values.")
    if errors := checkTomograms(masks, "label volumes"):
        raise ValueError(errors[0])
    if featureOf(masks):
        raise ValueError(f"These masks are scores of {featureOf(masks)}, which have no labels. Leave Label empty.")
    return masks


def labelLines(masks: EMSet) -> List[Tuple[int, str]]:
    """[(value, what it is called, and how many voxels have it)] of a set of label volumes."""
    from ..viewers.plots import readMap
    from ..viewers.tomograms.slices_window import labelName
    from ..viewers.tomograms.viewer_subtomograms import labelCounts

    counts, all_ = labelCounts([readMap(fileOf(item)) for item in clonesOf(masks)])
    names, word = featuresOf(masks), "" if all_ else "about "
    return [
        (value, f"{labelName(value, names)}: {word}" + f"{count:,} voxels".replace(",", " "))
        for value, count in counts.items()
        if 0 < value < 255
    ]


class CryodlLabelWizard(
    form_wizard.FormWizard, title="Label", label="TrainTomograms PickFeatures MergeFeatures Annotate"
):
    def open(self, form: Form) -> None:
        lines = labelLines(labelledMasks(form.protocol))
        if not lines:
            raise ValueError("Only 0 (background) and 255 (not annotated) were found; of many voxels some are read.")
        form_wizard.chooseIn(form, "label", "Values in the label volumes", lines, "Choose a value")


def scoreSets(protocol: EMProtocol) -> Any:
    """Sets of scores that a form's threshold is for. Raises ValueError if there are none."""
    pointers = protocol.inputScores if has(protocol, "inputScores") else [protocol.inputMasks]
    sets = [masks for masks in (pointer.get() for pointer in pointers) if masks is not None and featureOf(masks)]
    if not sets:
        raise ValueError(
            "Choose scores of cryodl - segment tomograms first; the threshold is chosen by eye on them. Labels need "
            "no threshold."
        )
    if errors := [wrong for masks in sets for wrong in checkTomograms(masks, f"scores of {featureOf(masks)}")]:
        raise ValueError(errors[0])
    return sets


def thresholdText(thresholds: Any) -> str:
    """What a field for several features holds: 'membrane=0.4, ribosome=0.6'."""
    return ", ".join(f"{name}={round(value, 2):g}" for name, value in thresholds.items())


class CryodlScoreThresholdWizard(
    form_wizard.FormWizard,
    title="Score threshold",
    threshold="PickFeatures MergeFeatures",
    evaluationThreshold="MergeFeatures",
):
    def open(self, form: Form) -> None:
        sets = scoreSets(form.protocol)
        from ..viewers.tomograms.slices_window import SlicesWindow, TomogramSlices

        field = "evaluationThreshold" if has(form.protocol, "evaluationThreshold") else "threshold"

        def accept(thresholds: Any) -> None:
            one = round(next(iter(thresholds.values())), 2)
            form.setVar(field, thresholdText(thresholds) if has(form.protocol, "inputScores") else one)

        SlicesWindow(form.root, TomogramSlices.ofTomograms(sets[0], sets), "Score threshold", accept).show()


def toMeasure(protocol: EMProtocol) -> Any:
    """What a form's diameter or box is measured on. Raises ValueError if it is not chosen yet."""
    from ..viewers.tomograms.slices_window import TomogramSlices
    from ..viewers.tomograms.viewer_subtomograms import subtomogramsMeasured, tomogramsMeasured

    field = imagesField(protocol)
    if field is not None:
        images = getattr(protocol, field).get()
        if images is None or isinstance(images, SetOfParticles) or not images.getSize():
            raise ValueError("Choose the subtomograms first; the circle is drawn on them. Particles need no diameter.")
        return subtomogramsMeasured(images)
    tomograms, masks = protocol.inputTomograms.get(), None
    if has(protocol, "inputMasks"):
        masks = protocol.inputMasks.get()
        if masks is None:
            raise ValueError("Choose the segmentations first; the circle is drawn on their tomograms.")
    elif tomograms is None:
        raise ValueError("Choose the tomograms first; the circle is drawn on them.")
    data = TomogramSlices.ofTomograms(*((masks, [masks]) if tomograms is None else (tomograms, ())))
    return tomogramsMeasured(data, "Diameter of the circle (Å)")


class CryodlSubtomogramDiameterWizard(
    form_wizard.FormWizard,
    title="Diameter",
    particleDiameter="TrainTomograms ClassifySubtomograms FitHeterogeneity",
    diameter="TrainTomograms PickFeatures DetectParticles",
):
    def open(self, form: Form) -> None:
        field = "particleDiameter" if has(form.protocol, "particleDiameter") else "diameter"
        value = getattr(form.protocol, field).get()
        # of several species the field holds a text; the circle then begins at no value
        measure(form, None if isinstance(value, str) else value, lambda value, _: form.setVar(field, round(value)))


class CryodlBoxWizard(form_wizard.FormWizard, title="Diameter", boxSize="PickFeatures"):
    def open(self, form: Form) -> None:
        measure(form, None, lambda value, pixelSize: form.setVar("boxSize", boxOf(value, pixelSize)))


def boxOf(diameter: float, pixelSize: float) -> Any:
    """Even box (px) that a circle of some Å fits in."""
    return max(2, 2 * int(round(diameter / pixelSize / 2 + 0.499)))


def measure(form: Form, value: Optional[float], accept: Callable[..., Any]) -> None:
    """Open the circle. value: Å to begin with, or None. accept: takes Å, and Å/px of what was measured on."""
    measured = toMeasure(form.protocol)
    from ..viewers.micrographs.diameter_window import DiameterWindow

    # a particle fills so much of its box
    guess = value or (0.6 * measured.largest if imagesField(form.protocol) else _FIRST_GUESS)
    accepted = lambda found: accept(found, measured.pixelSize)
    DiameterWindow(form.root, measured, min(guess, measured.largest), accepted).show()


class CryodlShippedModelsWizard(form_wizard.FormWizard, title="Shipped models", shippedModels="Segment TrainTomograms"):
    def open(self, form: Form) -> None:
        form_wizard.chooseShipped(form, "shippedModels", "segmenter", "segmenters. Train one.", several=True)
