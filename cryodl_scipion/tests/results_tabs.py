# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a process with a display: the window with tabs that `Analyze results` opens. Prints what it finds."""

import tkinter as tk

from pyworkflow.viewer import MessageView

from ..viewers.panels_viewer import Panel, ResultsWindow
from ..viewers.window import CanvasWindow, PlotView, WindowView

PANELS = (
    Panel("showFirst", "First", "What is seen at once."),
    Panel("showPlot", "Plot", "A drawing."),
    Panel("showLater", "Later", "What does not exist yet."),
)


class Keys(CanvasWindow):
    def __init__(self, parent):
        CanvasWindow.__init__(self, parent, "Keys")
        self.root.bind("<KeyPress-h>", lambda event: print(f"{self.root.winfo_name()} hears h"))


def main():
    asked = []

    def views(name, tab):
        asked.append(name)
        plot = PlotView(tab, "Plot")
        plot.getFigure().add_subplot()
        found = "Wait." if states[-1] else "*Field* is wrong."
        return {
            "showFirst": [WindowView(Keys, tab)],
            "showPlot": [plot, WindowView(Keys, tab)],
            "showLater": [MessageView(found, "Nothing to show", tkParent=tab)],
        }[name]

    root = tk.Tk()
    states = [True]
    window = ResultsWindow(root, "Results", PANELS, views, lambda: states[-1])
    window.root.update()
    print(f"opened {asked}")
    for name in ("showPlot", "showLater", "showFirst"):
        window.select(name)
        window.root.update()
        window.root.event_generate("<KeyPress-h>")
        window.root.update()
    print(f"after all were seen {asked}")
    window.select("showLater")
    tab = window._notebook.nametowidget(window._notebook.select())
    print([child.cget("text") for child in tab.winfo_children()])
    window.lookAgain()
    print(f"looked again {asked[3:]}")
    for _ in range(2):
        window.refresh()
        print(window.state.get(), [child.cget("text") for child in tab.winfo_children()][1:])
        states.append(False)
    print([top.title() for top in root.winfo_children() if isinstance(top, tk.Toplevel)])
    root.destroy()


if __name__ == "__main__":
    main()
