# SPDX-License-Identifier: GPL-3.0-or-later
"""Fill every form of the plugin as people do, and press Execute.

python -m scipion python -m cryodl_scipion.tests.filled_forms PROJECT PICTURE
PROJECT holds a run of import micrographs. Prints a line for each form and order: what the button was after each field
that was filled, and what came of pressing it. The form of *pick particles* is filled as its page says, starts a run,
and PICTURE is taken before.
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
from pyworkflow.object import Pointer, Set  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from pyworkflow.protocol import EnumParam, MultiPointerParam, PointerParam  # noqa: E402


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


def main(projectName, picture):
    project = Manager().loadProject(projectName, chdir=True)
    filler = Filler(project, Window("cryodl forms"))
    ours = {
        n: c for n, c in pw.Config.getDomain().getProtocols().items() if n.startswith("CryodlProt") and not c.isBase()
    }
    for name in sorted(ours):
        filler.both(name, ours[name])
    filler.pick(ours["CryodlProtPick"], picture)
    sys.stdout.flush()
    os._exit(0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
