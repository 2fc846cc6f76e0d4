# SPDX-License-Identifier: GPL-3.0-or-later
"""Open every form, wizard and viewer on a display and take a picture of each.

python -m scipion python -m cryodl_scipion.tests.screens PROJECT OUTPUT_FOLDER [NAME ...]
PROJECT holds runs of import, train, pick and filter; the newest finished run of each class is shown. Names choose some
of the pictures. Exit code 1, and the traceback, when a window fails.
"""

import faulthandler
import os
import sys
import traceback
from tkinter import ttk

import pyworkflow as pw

pw.Config.setDomain("pwem")
pw.Config.getDomain().getPlugins()

import pyworkflow.gui.project  # noqa: E402  before gui.form, which needs it half loaded otherwise
from PIL import ImageGrab  # noqa: E402
from pyworkflow.gui import Window  # noqa: E402
from pyworkflow.gui.form import FormWindow  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402
from pyworkflow.viewer import DESKTOP_TKINTER, ProtocolViewer  # noqa: E402

from cryodl_scipion.engine.cryodl.contract import version_0_1_0  # noqa: E402
from cryodl_scipion.tests import map_screens  # noqa: E402
from cryodl_scipion.tests.tomogram_screens import panelOpeners, tomogramOpeners  # noqa: E402

_SETTLE = 600  # ms for a window to be drawn
_TRIES = 100  # times that long until a window that does not open is given up


class Screens:
    """project: loaded. window: the hidden parent of all. folder: for the pictures."""

    def __init__(self, project, folder):
        self.project, self.folder = project, folder
        self.domain = pw.Config.getDomain()
        self.window = Window("cryodl screens")

    # ----- what there is to see
    def openers(self):
        """{name of the picture: function that opens the window}."""
        openers = {}
        for name in sorted(n for n in self.domain.getProtocols() if n.startswith("CryodlProt")):
            openers["form_" + name] = lambda name=name: self.openForm(self.last(name) or self.new(name))
        for name in ("CryodlProtTrainPicker", "CryodlProtPick", "CryodlProtThresholdPicks"):
            openers["analyze_" + name] = lambda name=name: self.analyze(self.last(name))
        for name, output in (("CryodlProtTrainPicker", "outputModel"), ("CryodlProtPick", "outputCoordinates")):
            openers["click_" + output] = lambda name=name, output=output: self.click(self.last(name), output)
        for name, sections in (
            ("CryodlProtTrainPicker", ("Training",)),
            ("CryodlProtSimulate", ("Microscope", "Sample")),
            ("CryodlProtTrainFromStructure", ("Training",)),
        ):
            for section in sections:
                openers[f"form_{name}_{section}"] = lambda name=name, section=section: self.openForm(
                    self.last(name) or self.new(name), section
                )
        for name, panels in (
            ("CryodlProtCompare", ("showMetrics", "showPicks")),
            ("CryodlProtConsensus", ("showPicks",)),
            ("CryodlProtAssess", ("showMicrographs",)),
            ("CryodlProtSimulate", ()),
            ("CryodlProtAutoPick", ("showRounds",)),
            ("CryodlProtTrainFromStructure", ()),
        ):
            openers["analyze_" + name] = lambda name=name: self.analyze(self.last(name))
            for panel in panels:
                openers[panel + "_" + name] = lambda name=name, panel=panel: self.openPanel(self.last(name), panel)
        for name in (
            "CryodlProtTrainDenoiser",
            "CryodlProtDenoise",
            "CryodlProtSimulateParticles",
            "CryodlProtBackProject",
        ):
            openers["analyze_" + name] = lambda name=name: self.analyze(self.last(name))
        for name, panel in (
            ("CryodlProtAssignOrientations", "showParticles"),
            ("CryodlProtBackProject", "showSlices"),
            ("CryodlProtEvaluateDenoiser", "showVerdict"),
            ("CryodlProtIntegrity", "showParticles"),
        ):
            openers[panel + "_" + name] = lambda name=name, panel=panel: self.openPanel(self.last(name), panel)
        openers["particle"] = self.openParticle
        openers["wizard_mask"] = lambda: self.wizard("CryodlProtBackProject", "maskDiameter")
        openers["wizard_resolution"] = lambda: self.wizard("CryodlProtAssignOrientations", "resolution")
        openers["live_training"] = self.liveTraining
        openers["click_empty"] = lambda: self.clickEmpty()
        openers["wizard_diameter_train"] = lambda: self.wizard("CryodlProtTrainPicker", "particleDiameter")
        openers["wizard_diameter_pick"] = lambda: self.wizard("CryodlProtPick", "particleDiameter")
        openers["wizard_diameter_auto"] = lambda: self.wizard("CryodlProtAutoPick", "particleDiameter")
        openers["wizard_threshold_auto"] = lambda: self.wizard("CryodlProtAutoPick", "threshold")
        openers["wizard_threshold"] = lambda: self.wizard("CryodlProtThresholdPicks", "threshold")
        return openers

    def last(self, name):
        """The newest finished run of a class that has picks or a model, None if there is none. name: also one of 0.1.0,
        for a protocol's way of today."""
        now, way = version_0_1_0.PROTOCOLS.get(name, (name, {}))
        runs = [r for r in self.project.getRuns() if r.getClassName() == now and r.isFinished()]
        runs = [r for r in runs if all(getattr(r, field).get() == value for field, value in way.items())]
        full = [r for r in runs if any(getattr(o, "getSize", lambda: 1)() for _, o in r.iterOutputAttributes())]
        return (full or runs or [None])[-1]

    def new(self, name):
        return self.project.newProtocol(self.domain.getProtocols()[name])

    # ----- as the project window does it
    def openForm(self, protocol, section=None):
        """section: the tab to show, None for the first."""
        form = FormWindow("Protocol Run: " + protocol.getClassName(), protocol, lambda *a, **k: None, self.window)
        for tabs in (w for w in widgetsBelow(form.root) if section is not None and isinstance(w, ttk.Notebook)):
            tabs.select(next(tab for tab in tabs.tabs() if tabs.tab(tab, "text") == section))
        form.show(center=False)

    def analyze(self, protocol):
        """The button `Analyze results`: pyworkflow/gui/project/viewprotocols.py, _analyzeResults."""
        viewerClass = self.domain.findViewers(protocol, DESKTOP_TKINTER)[0]
        viewer = viewerClass(project=self.project, protocol=protocol, parent=self.window, keyPressed=None)
        if isinstance(viewer, ProtocolViewer):
            viewer.visualize(protocol, windows=self.window)
        else:
            viewer.visualize(protocol)

    def openPanel(self, protocol, panel):
        """One tab of `Analyze results`."""
        viewer = self.domain.findViewers(protocol, DESKTOP_TKINTER)[0](
            project=self.project, protocol=protocol, parent=self.window
        )
        viewer.visualize(protocol, windows=self.window, panel=panel)

    def click(self, protocol, output):
        """A double click on an output: viewprotocols_extra.py, getObjectActions and _visualizeObject."""
        self.show(protocol, getattr(protocol, output))

    def liveTraining(self):
        """A training that goes on: its curves must grow in the open window, and closing it must leave nothing
        behind."""
        from cryodl_scipion.viewers import model_window, window

        folder = os.path.join(self.folder, "training")
        os.makedirs(folder + ".partial", exist_ok=True)
        metrics = model_window.metricsPath(folder)
        with open(metrics, "w") as file:
            file.write("step,train_loss,validation_loss,validation_f1,validation_average_precision\n")
        window.REFRESH = 1000  # a slow machine must be able to draw in less
        opened = model_window.ModelWindow(self.window.getRoot(), folder, "Training")
        for step in (1, 2, 3):
            with open(metrics, "a") as file:
                file.write(f"{step},{1 / step:f},{1.2 / step:f},0.5,0.6\n")
        opened.root.after(2500, lambda: self.expectPoints(opened, 3))

    def expectPoints(self, opened, count):
        found = len(opened._figure.axes[0].lines[0].get_xdata()) if opened._figure.axes[0].lines else 0
        if found != count:
            raise RuntimeError(f"The open window shows {found} of {count} points of a training that goes on.")

    def openParticle(self):
        """What a click on a tile of a gallery opens."""
        from cryodl_scipion.viewers.gallery_window import Gallery, GalleryWindow

        data = Gallery.ofSet(self.last("CryodlProtDenoise").outputParticles)
        gallery = GalleryWindow(self.window.getRoot(), data, "Gallery")
        gallery.root.update()  # else the two come up in any order
        gallery.open(3)

    def clickEmpty(self):
        protocol = next(
            r
            for r in self.project.getRuns()
            if r.getClassName() == "CryodlProtPick" and r.isFinished() and r.outputCoordinates.getSize() == 0
        )
        self.show(protocol, protocol.outputCoordinates)

    def show(self, protocol, obj):
        viewerClass = self.domain.findViewers(obj, DESKTOP_TKINTER)[0]
        print(f"{obj} is opened by {viewerClass.__name__}")
        viewerClass(project=self.project, protocol=protocol, parent=self.window).visualize(obj, windows=self.window)

    def wizard(self, name, field):
        self.wizardOf(self.last(name) or self.new(name), field)

    def wizardOf(self, protocol, field):
        form = FormWindow("Protocol Run: " + protocol.getClassName(), protocol, lambda *a, **k: None, self.window)
        form.root.deiconify()
        form.root.update()
        wizards = self.domain.findWizards(protocol, DESKTOP_TKINTER)
        wizards[field]().show(form)

    # ----- pictures
    def take(self, name, opener):
        """Open, wait until it is drawn, take the picture, close. Returns the traceback, '' if all went well."""
        failures, taken = [], []
        root = self.window.getRoot()

        def shoot(tries=_TRIES):
            # A slow machine may still be building the window, and a look at it comes in its update().
            if tries and not (waiting(sys._getframe()) and self.shown()):
                root.after(_SETTLE, shoot, tries - 1)
                return
            root.update()
            try:
                taken.append(self.picture())
                taken[0].save(os.path.join(self.folder, name + ".png"))
            finally:
                for child in root.winfo_children():
                    child.destroy()
                root.quit()

        def report(*error):
            failures.append("".join(traceback.format_exception(*error)))

        root.report_callback_exception = report
        root.after(_SETTLE, shoot)
        try:
            opener()
        except Exception:  # whatever it is, it belongs into the report, and the next window is tried
            failures.append(traceback.format_exc())
        if not taken:
            root.mainloop()
        return "\n".join(failures)

    def shown(self):
        """Windows that can be seen, the newest last."""
        return [w for w in windowsBelow(self.window.getRoot()) if w.winfo_viewable()]

    def picture(self):
        """The part of the screen that the newest window covers."""
        screen, tops = ImageGrab.grab(xdisplay=os.environ["DISPLAY"]), self.shown()
        if not tops:
            raise RuntimeError("No window was opened.")
        x, y = tops[-1].winfo_rootx(), tops[-1].winfo_rooty()
        return screen.crop((x, y, x + tops[-1].winfo_width(), y + tops[-1].winfo_height()))


def waiting(frame):
    """True if tk waits for the user, False if a window is being built. frame: of the caller, in a callback of tk."""
    while frame is not None:
        if frame.f_code.co_name in ("mainloop", "wait_window", "update", "update_idletasks", "wait_visibility"):
            return frame.f_code.co_name in ("mainloop", "wait_window")
        frame = frame.f_back
    return False


def widgetsBelow(widget):
    for child in widget.winfo_children():
        yield child
        yield from widgetsBelow(child)


def windowsBelow(widget):
    """All windows that were opened from a widget, the newest last."""
    return [w for w in widgetsBelow(widget) if w.winfo_toplevel() is w and w.winfo_class() != "Menu"]


def main(projectName, folder, *names):
    faulthandler.dump_traceback_later(450)  # where a window hangs, before it is ended
    project = Manager().loadProject(projectName, chdir=True)
    screens = Screens(project, folder)
    failed = False
    openers = dict(screens.openers(), **tomogramOpeners(screens))
    openers.update(panelOpeners(screens, map_screens.PANELS))
    for name, opener in openers.items():
        if names and name not in names:
            continue
        failure = screens.take(name, opener)
        print(f"{name}: {failure or 'ok'}")
        failed = failed or bool(failure)
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # pyworkflow leaves threads behind


if __name__ == "__main__":
    main(*sys.argv[1:])
