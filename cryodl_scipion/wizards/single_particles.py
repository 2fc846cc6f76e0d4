# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers beside the fields of the protocols on micrographs, particles and maps."""

from typing import Any, Sequence

from pwem.objects import SetOfCoordinates, SetOfMicrographs, SetOfParticles, Volume, VolumeMask
from pwem.protocols import EMProtocol
from pyworkflow.protocol.params import Form
from pyworkflow.utils import getListFromRangeString, getRangeStringFromList

from ..protocols.inputs import chosenInputs, ownObject
from ..protocols.model_field import diameterOf
from . import form_wizard

_FIRST_GUESS = 150  # Å, when neither form nor model says anything


def micrographsToMeasure(protocol: EMProtocol) -> Any:
    """Measured of a form with micrographs or coordinates. Raises ValueError if no input is chosen yet."""
    from ..viewers.micrographs.diameter_window import micrographsMeasured

    chosen = [pointer.get() for _, pointer in chosenInputs(protocol)]
    coordinates = next((c for c in chosen if isinstance(c, SetOfCoordinates)), None)
    micrographs = [m for m in chosen if isinstance(m, SetOfMicrographs)]
    if coordinates is None and not micrographs:
        what = "particle coordinates" if takes(protocol, "SetOfCoordinates") else "micrographs"
        raise ValueError(f"Choose the {what} first; the circle is drawn on micrographs.")
    return micrographsMeasured(micrographs[0] if coordinates is None else coordinates.getMicrographs(), coordinates)


def takes(protocol: EMProtocol, pointerClass: Any) -> bool:
    """Whether a form has an input of a class, given by its name, that must be chosen."""
    inputs = [param for _, param in protocol.getDefinition().iterParams() if hasattr(param, "pointerClass")]
    return any(pointerClass in str(p.pointerClass.get()) and not p.allowsNull.get() for p in inputs)


def firstDiameter(protocol: EMProtocol, measured: Any, field: str = "particleDiameter") -> Any:
    """Å to begin with: the field's value, else the chosen model's or picks', else a guess; never more than fits."""
    diameter = diameterOf(protocol) if protocol.hasAttribute("modelFrom") else getattr(protocol, field).get()
    return min(diameter or measured.diameter or _FIRST_GUESS, measured.largest)


class CryodlDiameterWizard(
    form_wizard.FormWizard,
    title="Diameter",
    particleDiameter="TrainPicker Pick PickByHand ExtractParticles Assess Compare Consensus",
    filamentDiameter="PickFilaments",
):
    def open(self, form: Form) -> None:
        micrographs = micrographsToMeasure(form.protocol)
        from ..viewers.micrographs.diameter_window import DiameterWindow

        field = "particleDiameter" if form.protocol.hasAttribute("particleDiameter") else "filamentDiameter"
        value = firstDiameter(form.protocol, micrographs, field)
        DiameterWindow(form.root, micrographs, value, lambda value: form.setVar(field, round(value))).show()


class CryodlMaskWizard(form_wizard.FormWizard, title="Mask diameter", maskDiameter="BackProject Classify2D InitialMap"):
    def open(self, form: Form) -> None:
        particles = form.protocol.inputParticles.get()
        if particles is None or particles.getSize() == 0:
            raise ValueError("Choose the particles first; the circle is drawn on them.")
        from ..viewers.micrographs.diameter_window import DiameterWindow, particlesMeasured

        measured = particlesMeasured(particles)
        value = min(form.protocol.maskDiameter.get() or 0.9 * measured.largest, measured.largest)
        DiameterWindow(form.root, measured, value, lambda value: form.setVar("maskDiameter", round(value))).show()


class CryodlSpectrumWizard(form_wizard.FormWizard, title="Highest resolution", highestResolution="EstimateCTF"):
    def open(self, form: Form) -> None:
        micrographs = form.protocol.inputMicrographs.get()
        items = [] if micrographs is None else [(m.getMicName(), m.getFileName()) for m in micrographs]
        if not items:
            raise ValueError("Choose the micrographs first; their power spectra are shown.")
        from ..viewers.micrographs.ctf_window import SpectraOfMicrographs, SpectrumWindow

        data, value = SpectraOfMicrographs(*zip(*items)), form.protocol.highestResolution.get()
        accept = lambda value: form.setVar("highestResolution", round(value, 1))
        SpectrumWindow(form.root, data, micrographs.getSamplingRate(), value, accept).show()


class CryodlResolutionWizard(
    form_wizard.FormWizard,
    title="Resolution",
    resolution="TrainDenoiser AssignOrientations Classify2D FitHeterogeneity",
):
    def open(self, form: Form) -> None:
        from ..viewers.micrographs.diameter_window import ImagesToFilter, ResolutionWindow

        images = ImagesToFilter(*particlesAndStructures(form.protocol))
        if not images.names:
            raise ValueError("Choose particles or a map first; they are shown at the chosen resolution.")
        accept = lambda value: form.setVar("resolution", round(value, 1))
        ResolutionWindow(form.root, images, form.protocol.resolution.get(), accept).show()


def particlesAndStructures(protocol: EMProtocol) -> Any:
    """(first chosen SetOfParticles or None, [Volume, ...] without masks) of a form."""
    chosen = [ownObject(pointer) for _, pointer in chosenInputs(protocol)]
    particles = (one for one in chosen if isinstance(one, SetOfParticles) and one.getSize())
    return next(particles, None), [v for v in chosen if isinstance(v, Volume) and not isinstance(v, VolumeMask)]


def picksToFilter(protocol: EMProtocol) -> Any:
    """The scored coordinates to draw: a form's input, or what a picking run has found. ValueError without any."""
    filtered = protocol.hasAttribute("inputCoordinates")
    coordinates = protocol.inputCoordinates.get() if filtered else getattr(protocol, "outputCoordinates", None)
    if coordinates is None:
        raise ValueError(
            "Choose the picked coordinates first; they are drawn on their micrographs."
            if filtered
            else "There are no picks yet to choose a threshold on. Leave the field empty and run; then choose the "
            "threshold here, or in cryodl - filter picks by score, which does not pick again."
        )
    return coordinates


class CryodlThresholdWizard(form_wizard.FormWizard, title="Score threshold", threshold="ThresholdPicks Pick"):
    def open(self, form: Form) -> None:
        coordinates, asked = picksToFilter(form.protocol), form.protocol
        from ..viewers.micrographs.viewer_picks import PicksData, PicksWindow

        source = asked.inputCoordinates.getObjValue() if asked.hasAttribute("inputCoordinates") else asked
        madeBy = source if isinstance(source, EMProtocol) else None
        data, value = PicksData.ofSet(coordinates, madeBy), asked.threshold.get()
        accept = lambda value: form.setVar("threshold", round(value, 4))
        PicksWindow(form.root, data, "Score threshold", accept, value).show()


class CryodlClassThresholdWizard(
    form_wizard.FormWizard, title="Classes to keep", threshold="SelectClasses", chosen="SelectClasses"
):
    def open(self, form: Form) -> None:
        classes = form.protocol.inputClasses.get()
        if classes is None or classes.getSize() == 0:
            raise ValueError("Choose the 2-D classes first; their averages are shown.")
        from ..viewers.particles.viewer_classes2d import Classes2D, Classes2DWindow

        data, minimum = Classes2D.ofSet(classes), form.protocol.minimumParticles.get()
        value, chosen = form.protocol.threshold.get(), form.protocol.chosen.get() or ""
        if wrong := form.protocol.getParam("chosen").validate(chosen):
            raise ValueError(wrong[0])
        value = data.threshold(minimum) if value is None else value

        def accept(value: float, ids: Sequence[int]) -> None:
            form.setVar("threshold", int(100 * value + 1e-6) / 100)  # no class less is kept
            form.setVar("chosen", getRangeStringFromList(sorted(ids)) if ids else "")

        Classes2DWindow(
            form.root, data, self._title, value, minimum, accept=accept, chosen=getListFromRangeString(chosen)
        ).show()


class CryodlShippedModelWizard(
    form_wizard.FormWizard,
    title="Shipped model",
    shippedModel="Pick TrainPicker ImproveMap TrainMapImprover DenoiseMicrographs Denoise",
):
    def open(self, form: Form) -> None:
        form_wizard.chooseShipped(form, "shippedModel", form.protocol._MODEL_KIND, "models. Train or import one.")
