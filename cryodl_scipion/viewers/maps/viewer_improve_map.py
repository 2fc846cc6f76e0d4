# SPDX-License-Identifier: GPL-3.0-or-later
"""Viewers of improved and of simulated maps."""

import os
from typing import Any, Dict, Optional, Tuple

from pwem.objects import Volume

from ...convert import form, maps
from ...engine.cryodl.contract import BY_NETWORK, ImproveMapOutputs, doubt_script, half_map_verdict
from ...protocols import CryodlProtImproveMap
from .. import panels_viewer, window
from .viewer_map import LinkedMapsWindow

_DOUBT = "doubt"
_LOOK = "Do not trust density that is bright in the improved map and in the map of doubt; check the original map."
_MAX_OPENED = 5  # maps of a set
_TITLES = ("Map", "Raw", "Control", "Both improved", "Improved with control", "Not in the data")
Made = Dict[str, Tuple[Volume, ImproveMapOutputs]]


class CryodlImproveMapViewer(
    panels_viewer.PanelsViewer, targets=[CryodlProtImproveMap], section="Improved map", wait="There is no improved map"
):
    def _data(self) -> Optional[Made]:
        """{name of the map: (volume before, Result.outputs)}"""
        results, volumes = self.protocol._resultsByName(), self.protocol._namedVolumes()
        return {name: (volumes[name], one.outputs) for name, one in results.items() if not one.nothing_made} or None

    @panels_viewer.panel(
        "Before and after, slice by slice",
        "Original map, improved map and doubt at the same position, across all three axes. Sliders and clicks "
        "move all of them.",
    )
    def showSlices(self, made: Made) -> Any:
        groups, pixelSize = {}, next(iter(made.values()))[0].getSamplingRate()
        for name, (volume, outputs) in made.items():
            # the mean of two half-maps is no file: the first stands for it
            before = "before" if self.protocol._whole() else "half-map 1"
            groups[name] = {before: maps.structureFileOf(volume), "improved": outputs.map}
            groups[name].update({_DOUBT: outputs.doubt} if outputs.doubt else {})
        notes = [form.inFormWords(self.protocol, o.unchanged) for _, o in made.values() if o.unchanged]
        notes += [_LOOK] if any(_DOUBT in group for group in groups.values()) else []
        return self.window(LinkedMapsWindow, groups, self.title("Improved"), notes, {_DOUBT: (0, 1)}, pixelSize)

    @panels_viewer.panel(
        "Half-map test",
        "What is gained and what is invented: resolutions at FSC 0.143 of the half-maps (Raw; Control: filtered and "
        "clipped alike), of both improved ones, and of one improved half-map with the other's control.",
    )
    def showTest(self, made: Made) -> Any:
        tests = {name: outputs.half_map_test for name, (_, outputs) in made.items() if outputs.half_map_test}
        if not tests:
            why = " ".join(o.unchanged for _, o in made.values() if o.unchanged) or "Use a map with half-maps."
            return self.infoMessage(form.inFormWords(self.protocol, why), "No half-map test")
        good, rows, sentences, keys = True, [], [], ("raw", "control", "improved", "crossed")
        for name, test in tests.items():
            passed, lines = half_map_verdict(test, BY_NETWORK)
            good = good and passed
            sentences += [f"{name}: {line}" if len(tests) > 1 else line for line in lines[1:]]
            reached = ["-" if test.get(key) is None else f"{test[key]:.2f} Å" for key in keys]
            rows.append((name, *reached, f"{100 * test['unexplained']:.0f} %" if "unexplained" in test else "-"))
        return self.window(
            window.PicturesWindow, "Half-map test", {}, sentences, None if good else False, (_TITLES, rows)
        )

    @panels_viewer.panel(
        "Improved map in ChimeraX",
        f"Coloured by doubt (blue: 0, white: 0.5, red: 1), if there were half-maps; the first {_MAX_OPENED} maps of "
        "a set. Opens ChimeraX, if Scipion's plugin for it is installed.",
    )
    def showInChimera(self, made: Made) -> Any:
        script = os.path.abspath(self.protocol._getExtraPath("show_improved.cxc"))
        shown = [outputs for _, outputs in made.values()][:_MAX_OPENED]
        with open(script, "w", encoding="utf-8") as file:
            file.write(doubt_script([(os.path.abspath(o.map), o.doubt and os.path.abspath(o.doubt)) for o in shown]))
        return self.chimera(script, "script")
