# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the annotation window: state, messages, help, and the list of features and tiles."""
LINES = 15
HELP = ("Slice: click = new tile or choose one, wheel or arrows = other slice, Ctrl + wheel = zoom, 0 = whole slice, "
        "[ ] = other tomogram, a = average slices, c C = contrast\n"
        "Tile: left button = draw, right button = erase, + - = brush, u = uncertain, f = fill outlines, n N = copy to "
        "next / previous slice, h = hide drawings, z = undo, Delete = delete tile\n"
        "w = mark tiles WITHOUT the feature, one click each;  t T = next / previous tile;  every stroke is saved at "
        "once")


class Words:
    """State and message above, help below. figure: matplotlib's."""

    def __init__(self, figure):
        self._state = figure.text(0.012, 0.972, "", fontsize=10, weight="bold", va="center")
        self._message = figure.text(0.012, 0.944, "", fontsize=10, va="center")
        figure.text(0.012, 0.008, HELP, fontsize=8.6, va="bottom", linespacing=1.4, color="0.25")

    def show(self, session):
        mode = ("marking tiles WITHOUT it" if session.marking else "drawing: UNCERTAIN" if session.uncertain
                else "drawing the feature")
        averaged = f", mean of {session.averaged} slices" if session.averaged > 1 else ""
        self._state.set_text(f"{session.name} ({session.number + 1} of {len(session.tomograms)}), slice "
                             f"{session.z + 1} of {session.shape[0]}{averaged}  |  {session.feature} by "
                             f"{session.annotator}  |  {mode}  |  brush {session.brush} px")
        self._message.set_text(session.message)
        self._message.set_color("#c00000" if session.failed else "#00507a")


class TileList:
    """Features with their counts, and the tiles of the one that is drawn; a click on a line goes there."""

    def __init__(self, axes):
        axes.set_axis_off()
        axes.set_xlim(0, 1)
        axes.set_ylim(LINES, 0)
        self.axes = axes
        self._texts = [axes.text(0, row + 0.5, "", family="monospace", fontsize=9, va="center", clip_on=True)
                       for row in range(LINES)]
        self._actions = []

    def show(self, session):
        lines = [("Features", None, False)]
        for name, (positive, negative) in session.counts().items():
            lines.append((f"{name}: {positive} with, {negative} without",
                          lambda name=name: session.choose_feature(name), name == session.feature))
        sheets = sorted(session.sheets(), key=lambda s: s.centre_zyx)
        lines.append((f"Tiles of {session.feature} in {session.name}", None, False))
        room = max(LINES - len(lines), 1)
        chosen = next((i for i, s in enumerate(sheets) if s is session.active), 0)
        first = max(0, min(chosen - room // 2, len(sheets) - room))
        for sheet in sheets[first:first + room]:
            z, y, x = sheet.centre_zyx
            lines.append((f"slice {z + 1:4d}  x {x:5d}  y {y:5d}  {sheet.state}",
                          lambda sheet=sheet: session.select(sheet), sheet is session.active))
        self._actions = [action for _, action, _ in lines[:LINES]]
        for text, line in zip(self._texts, lines[:LINES] + [("", None, False)] * LINES):
            text.set_text(("" if line[1] is None else "> " if line[2] else "  ") + line[0])
            text.set_weight("bold" if line[1] is None or line[2] else "normal")

    def click(self, y):
        """Do what the line at this height of the axes stands for. Returns whether there was one."""
        row = int(y)
        action = self._actions[row] if 0 <= row < len(self._actions) else None
        if action is not None:
            action()
        return action is not None
