# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill every form of the plugin as people do, and press Execute.

python -m scipion python -m cryodl_scipion.tests.filled_forms PROJECT PICTURE FOLDER [NAME ...]
PROJECT holds a run of import micrographs, FOLDER files to type. NAME: of protocols, all without any. Prints a line for
each form and order: what the button was after each field that was filled, and what came of pressing it; first with
inputs of the project's runs and of the forms before, until the form has nothing more to ask for, and that run works;
then with empty ones. The form of *pick particles* is filled as its page says, starts a run; PICTURE is taken before.
"""

import os
import sys
import time

import pyworkflow as pw

pw.Config.setDomain("pwem")
pw.Config.getDomain().getPlugins()

import pyworkflow.gui.project  # noqa: E402  before gui.form, which needs it half loaded otherwise
from PIL import ImageGrab  # noqa: E402
from pwem.protocols import EMProtocol, ProtImportMicrographs  # noqa: E402
from pyworkflow.gui import Window  # noqa: E402
from pyworkflow.gui.form import FormWindow  # noqa: E402
from pyworkflow.object import Pointer, PointerList, Set  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from pyworkflow.protocol import EnumParam, MultiPointerParam, PointerParam  # noqa: E402

from cryodl_scipion.tests import launching  # noqa: E402

WAYS = (
    "what",
    "method",
    "source",
    "findBy",
    "inputFrom",
    "labelsFrom",
    "pairsFrom",
)  # fields that choose what a form does
# fields that may be empty, and are not for what is tried here
ALWAYS = {"CryodlProtFitHeterogeneity": ("inputVolume",)}
# forms whose inputs must be of the same molecule, which validate() does not look at: outputs of the runs with a label
TOGETHER = {"CryodlProtTrainMapImprover": "one molecule"}
TYPED = {  # what a person knows of the data of the tests, by the names of fields
    "particleDiameter": 90,
    "filamentDiameter": 60,
    "maskDiameter": 90,
    "diameter": 200,
    "diameters": "90",
    "pixelSize": 2.0,
    "resolution": 8.0,
    "resolutions": "4",
    "box": 32,
    "boxSize": 32,
    "label": 1,
    "feature": "membrane",
    "annotator": "anna",
    "compositionNames": "whole, part",
    "classNames": "large, small",
    "axes": "1",
    "steps": 3,
    "classes": 3,
    "threshold": 0.5,
}


class FormOnScreen(FormWindow):
    """A form whose dialogs are lists: what was said, and what was asked, which is answered with Yes."""

    def __init__(self, protocol, parent, launch):
        self.said, self.asked = [], []
        super().__init__("Protocol Run: " + protocol.getClassName(), protocol, launch, parent)

    def showInfo(self, msg, header="Info"):
        """Instead of a dialog that waits for a click."""
        self.said += [msg] if isinstance(msg, str) else msg

    def showError(self, msg, header="Error", exception=None):
        """Instead of a dialog that waits for a click."""
        raise exception or RuntimeError(msg)

    def askYesNo(self, title, message, **more):
        """Instead of a dialog that waits for a click: Yes."""
        self.asked.append(message)
        return True

    def button(self):
        """'Execute normal', 'Schedule normal', or '... disabled'."""
        return f"{self.btnExecute['text']} {self.btnExecute['state']}"


class Filler:
    """project: loaded. parent: hidden window."""

    def __init__(self, project, parent):
        self.project, self.parent = project, parent
        self.objects = pw.Config.getDomain().getObjects()
        self.made = {}

    def example(self, names):
        """A pointer to an output of one of the classes, which is empty."""
        name = next(name.strip() for name in names.split(",") if name.strip() in self.objects)
        if name not in self.made:
            run = self.project.newProtocol(EMProtocol)
            self.project.saveProtocol(run)
            run.makePathsAndClean()
            kind = self.objects[name]
            output = kind.create(run._getPath()) if issubclass(kind, Set) else kind()
            run._defineOutputs(output=output)
            run.setFinished()
            self.project._storeProtocol(run)
            self.made[name] = Pointer(run, extended="output")
        return self.made[name]

    def fill(self, form, kinds):
        """Set the fields of these kinds from the top; a choice once to each of its values, and back. The button after
        each."""
        buttons = []
        for name, param in form.protocol.getDefinition().iterParams():
            if not isinstance(param, kinds) or name not in form.widgetDict:
                continue
            if isinstance(param, EnumParam):
                now = getattr(form.protocol, name).get()
                values = [*range(len(param.choices)), now]
            elif not form.protocol.evalParamCondition(name) or param.allowsNull.get():
                continue
            else:
                values = [self.example(param.pointerClass.get())]
            for value in values:
                form.setVar(name, [value] if isinstance(param, MultiPointerParam) else value)
                buttons.append(form.button())
        return buttons

    def press(self, form):
        """What pressing Execute did: 'started', 'scheduled' or the first sentence."""
        form.btnExecute.invoke()
        return "; ".join(form.said) or "nothing"

    def both(self, name, protocolClass):
        """Print what becomes of a form in two orders."""
        for order in (
            ("pointers", PointerParam, "choices", EnumParam),
            ("choices", EnumParam, "pointers", PointerParam),
        ):
            form = FormOnScreen(self.project.newProtocol(protocolClass), self.parent, lambda *a, **k: "started")
            form.close = lambda *_: form.said.append("started")
            buttons = [form.button()]
            for kinds in (order[1], order[3]):
                buttons += self.fill(form, (kinds, MultiPointerParam) if kinds is PointerParam else (kinds,))
            print(f"{name}, {order[0]} first: {sorted(set(buttons))}; pressed: {self.press(form)}", flush=True)
            form.root.destroy()

    def outputs(self, kinds, label=None):
        """Pointers to the outputs of finished runs that are of one of these classes and hold something, the oldest
        first; one of each way of our protocols. label: of the runs, None for any."""
        kinds, found = tuple(self.objects[n.strip()] for n in kinds.split(",") if n.strip() in self.objects), {}
        for run in self.project.getRuns():
            ways = tuple(getattr(run, field).get() for field in WAYS if run.hasAttribute(field))
            ours = (run.getClassName(), ways) if run.getClassName().startswith("CryodlProt") else run.getObjId()
            for name, output in (
                run.iterOutputAttributes() if run.isFinished() and label in (None, run.getObjLabel()) else ()
            ):
                if isinstance(output, kinds) and (not isinstance(output, Set) or output.getSize()):
                    found.setdefault((ours, name), Pointer(run, extended=name))
        return list(found.values())

    def offers(self, form, name, param, typed):
        """What a person may give to a field."""
        label = TOGETHER.get(form.protocol.getClassName())
        if isinstance(param, MultiPointerParam):
            found = self.outputs(param.pointerClass.get(), label)
            return [[one] for one in found] + [[a, b] for a in found[:4] for b in found[:4] if a is not b]
        if isinstance(param, PointerParam):
            return self.outputs(param.pointerClass.get(), label)
        return [typed[name]] if name in typed else []

    def put(self, form, name, value):
        """Give a value to a field as a person does; None takes it away."""
        param, variable = getattr(form.protocol, name), form.widgetDict[name]
        if isinstance(param, PointerList):
            variable.var.clear()
        elif isinstance(param, Pointer) and value is None:
            param.set(None)
            variable.var.getPointer().set(None)
        if value is not None:
            form.setVar(name, value)
        assert "disabled" not in form.button(), f"{name} of {form.protocol.getClassName()} disabled Execute"

    def answer(self, form, typed, heard, given):
        """Whether a field was found that answers what the form says first. heard: what was answered before. given:
        names of the fields that did, which are changed last."""
        heard.add(form.protocol.validate()[0])
        return any(
            self.found(form, typed, given, good)
            for good in (lambda said: not said, lambda said: not heard.intersection(said))
        )

    def found(self, form, typed, given, good):
        """Whether a field was found after which what the form says is good; it is given then."""
        fields = sorted(form.protocol.getDefinition().iterParams(), key=lambda field: field[0] in given)
        for name, param in fields:
            if name not in form.widgetDict or not form.protocol.evalParamCondition(name):
                continue
            value = getattr(form.protocol, name)
            before = list(value) if isinstance(value, PointerList) else value.clone()
            for offer in self.offers(form, name, param, typed):
                self.put(form, name, offer)
                if good(form.protocol.validate()):
                    given.add(name)
                    return True
                old = before if isinstance(param, PointerParam) else before.get()
                self.put(form, name, None if isinstance(old, Pointer) and not old.hasValue() else old)
        return False

    def real(self, name, protocolClass, way, typed):
        """Fill a form with what there is until it asks for nothing more, and press Execute. way: {field: choice}."""
        runs = []

        def launch(run, onlySave=False, doSchedule=False, position=None):
            self.project.launchProtocol(run, wait=True)
            runs.append(run)
            return ""

        form = FormOnScreen(self.project.newProtocol(protocolClass), self.parent, launch)
        form.close = lambda *_: None
        for field, choice in way.items():
            form.setVar(field, choice)
        if form.protocol.hasAttribute("useGpu"):
            form.useGpuVar.set(0)
        heard, given = set(), set()
        for field, param in form.protocol.getDefinition().iterParams():
            if field not in form.widgetDict or not form.protocol.evalParamCondition(field):
                continue
            needed = isinstance(param, PointerParam) and not param.allowsNull
            if needed or field in ALWAYS.get(name, ()) or field == "particleDiameter":
                offers = self.offers(form, field, param, typed)
                pairs = [one for one in offers if needed and isinstance(one, list) and len(one) == 2]
                for offer in (pairs or offers)[:1]:
                    self.put(form, field, offer)
                    given.add(field)
        while form.protocol.validate() and self.answer(form, typed, heard, given):
            pass
        form.btnExecute.invoke()
        states = [f"{run.getStatus()} {run.getErrorMessage() or ''}".strip() for run in runs]
        made = [output for run in runs for output, _ in run.iterOutputAttributes()]
        print(f"{name} {way} ran: {form.said} {states} {made}", flush=True)
        form.root.destroy()
        return states in (["finished"], ["interactive"])  # a window of the fake engine closes at once

    def everyReal(self, ours, typed):
        """Run each way of each form; those that need what others make wait for it."""
        waiting = []
        for name, protocolClass in sorted(ours.items()):
            params = dict(protocolClass().getDefinition().iterParams())
            field = next(
                (f for f in (getattr(protocolClass, "CHOICE", ""), *WAYS) if isinstance(params.get(f), EnumParam)), None
            )
            ways = [{field: n} for n in range(len(params[field].choices))] if field else [{}]
            waiting += [(name, protocolClass, way) for way in ways]
        before = None
        while waiting and len(waiting) != before:
            before = len(waiting)
            waiting = [one for one in waiting if not self.real(*one, typed)]
        print(f"not run with real inputs: {[(name, way) for name, _, way in waiting]}", flush=True)

    def pick(self, protocolClass, picture):
        """The form of *pick particles* from the top: micrographs, and a shipped model."""
        imported = next(run for run in self.project.getRuns() if isinstance(run, ProtImportMicrographs))
        protocol = self.project.newProtocol(protocolClass)
        runs = []

        def launch(run, onlySave=False, doSchedule=False, position=None):
            self.project.launchProtocol(run, wait=True)
            runs.append(run)
            return ""

        form = FormOnScreen(protocol, self.parent, launch)
        form.setVar("inputMicrographs", Pointer(imported, extended="outputMicrographs"))
        form.setVar("modelFrom", 0)
        form.setVar("modelFrom", 1)
        form.setVar("shippedModel", "general")
        form.useGpuVar.set(0)
        form.root.deiconify()
        self.settle(form)
        form.root.lift()
        form.root.update()
        x, y = form.root.winfo_rootx(), form.root.winfo_rooty()
        box = (x, y, x + form.root.winfo_width(), y + form.root.winfo_height())
        ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).crop(box).save(picture)
        print(f"filled from the top: {form.button()}", flush=True)
        form.close = lambda *_: None
        form.btnExecute.invoke()
        print(f"pressed: {form.said} {[run.getStatus() for run in runs]}", flush=True)

    def settle(self, form):
        """Let a slow machine draw the window."""
        end = time.monotonic() + 2
        while time.monotonic() < end:
            form.root.update()
            time.sleep(0.05)


def main(projectName, picture, folder, *names):
    launching.install()
    project = Manager().loadProject(projectName, chdir=True)
    filler = Filler(project, Window("cryodl forms"))
    ours = {
        n: c for n, c in pw.Config.getDomain().getProtocols().items() if n.startswith("CryodlProt") and not c.isBase()
    }
    ours = {name: one for name, one in ours.items() if not names or name in names}
    typed = {name: os.path.join(folder, name) for name in ("modelFolder", "targetFolder", "folder")}
    typed.update({name: os.path.join(folder, name + ".mrcs") for name in ("tiles", "drawings")})
    filler.everyReal(ours, {**TYPED, **typed, "pairs": os.path.join(folder, "pairs.csv")})
    for name in sorted(ours):
        filler.both(name, ours[name])
    if "CryodlProtPick" in ours:
        filler.pick(ours["CryodlProtPick"], picture)
    sys.stdout.flush()
    os._exit(0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
