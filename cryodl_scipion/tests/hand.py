# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a process with a display: what the hand does with a picture in a window. Prints what it finds."""

import os
import tempfile
from types import SimpleNamespace

from ..viewers.micrographs.viewer_compare import GroupedPicks, GroupsWindow
from . import synthetic


class Micrograph:
    def __init__(self, path):
        self.path = path

    def getMicName(self):
        return os.path.basename(self.path)

    def getFileName(self):
        return self.path

    def getSamplingRate(self):
        return 4.0

    def clone(self):
        return self


class Sets(GroupedPicks):
    def words(self, value):
        return "in all"


def seen(window):
    """What is drawn: part of the picture (px), greys, circles, words."""
    axes = window._axes
    low, high = axes.images[0].get_clim()
    bar = next(t.get_text() for t in axes.texts if t.get_gid() == "scale bar")
    across = [round(v) for v in axes.get_xlim()]
    return f"{across} {high - low:.2f} {sum(len(c.get_paths()) for c in axes.collections if c.get_visible())} {bar}"


def main():
    with tempfile.TemporaryDirectory() as folder:
        synthetic.writeMicrographs(folder, 1)
        name = min(n for n in os.listdir(folder) if n.endswith(".mrc"))
        data = Sets([Micrograph(os.path.join(folder, name))], {name: [(50, 60, 1), (90, 60, 2)]}, 20, ["a", "b"])
        window = GroupsWindow(None, data, "Hand")
        print("at first", seen(window))
        for words, move in (
            ("zoomed", lambda: window._zoom((100, 100), 80)),
            ("contrast", lambda: window._changeContrast(1.3)),
            ("hidden", window._hide),
            ("still hidden when drawn again", window.refresh),
            ("shown", window._hide),
            ("without the first set", lambda: window._flip(0)),
        ):
            move()
            window._seen()
            print(words, seen(window))
        at = dict(inaxes=window._axes, button=1)
        width = window._axes.get_window_extent().width
        window._press(SimpleNamespace(x=100, y=100, **at))
        window._drag(SimpleNamespace(x=100 + width / 4, y=100, **at))
        window._release(None)
        window._drag(SimpleNamespace(x=0, y=0, **at))
        print("moved by a quarter", seen(window))
        window._whole()
        print("all of it", seen(window))


if __name__ == "__main__":
    main()
