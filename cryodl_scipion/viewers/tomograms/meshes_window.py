# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes of membranes in 3-D, rotated with the mouse, beside a slice of the tomogram with their outlines."""

import tkinter as tk
from tkinter import ttk
from typing import Any, Optional

import numpy as np

from ...engine.cryodl.contract import counted
from ..plots import drawMicrograph
from ..window import CanvasWindow
from .meshes_data import MembraneMeshes
from .meshes_plots import COLOURINGS, colours, colourScale, drawMeshes, drawOutline, drawScale, rotation
from .slices_data import PLANES

_SIDE = (35.0, 30.0)  # azimuth and elevation at first, degrees
_DEGREES = 0.5  # for each px that the mouse goes
_CLOSER = 1.2  # for each step of the wheel


class MeshesWindow(CanvasWindow):
    """data: MembraneMeshes."""

    def __init__(self, parent: Any, data: MembraneMeshes, title: str) -> None:
        CanvasWindow.__init__(self, parent, title)
        self._data = data
        self._held: Any = None
        self._mesh: Any = None
        self._name = tk.StringVar(self.root, data.names[0])
        self._colouring = tk.StringVar(self.root, next(iter(COLOURINGS)))
        self._across, self._number = tk.StringVar(self.root, "z"), tk.IntVar(self.root)
        self.message = tk.StringVar(self.root)
        self._addControls()
        ttk.Label(self.root, textvariable=self.message, wraplength=1000).pack(anchor=tk.W, padx=8)
        frame = ttk.Frame(self.root)
        frame.pack(fill=tk.BOTH, expand=True)
        self.addFigure((5.2, 6.6), frame, side=tk.RIGHT)
        self._sliceFigure, self._sliceCanvas = self._figure, self._canvas
        self.addFigure((7.4, 6.6), frame, side=tk.LEFT)
        self._sliceAxes = self._sliceFigure.add_axes((0.02, 0.02, 0.96, 0.96))
        self._axes = self._figure.add_axes((0, 0, 0.86, 1))
        self._scaleAxes = self._figure.add_axes((0.865, 0.2, 0.025, 0.6))
        canvas: Any = self._canvas
        for event, function in (
            ("button_press_event", self._press),
            ("button_release_event", self._release),
            ("motion_notify_event", self._drag),
            ("scroll_event", self._wheel),
        ):
            canvas.mpl_connect(event, function)
        self.root.bind("<KeyPress-0>", lambda event: self.reset())
        self.choose()

    def _addControls(self) -> None:
        row = ttk.Frame(self.root, padding=(6, 6, 6, 0))
        row.pack(fill=tk.X)
        for variable, values, words, width in (
            (self._name, self._data.names, "Tomogram", 30),
            (self._colouring, list(COLOURINGS), "Colour", 16),
        ):
            ttk.Label(row, text=words).pack(side=tk.LEFT)
            box = ttk.Combobox(row, textvariable=variable, values=values, state="readonly", width=width)
            box.pack(side=tk.LEFT, padx=(6, 16))
            box.bind("<<ComboboxSelected>>", self.recolour if variable is self._colouring else self.chooseTomogram)
        ttk.Label(row, text="Slice across").pack(side=tk.LEFT)
        for plane in PLANES:
            ttk.Radiobutton(row, text=plane, value=plane, variable=self._across, command=self.turn).pack(side=tk.LEFT)
        self._scale = tk.Scale(
            row, variable=self._number, orient=tk.HORIZONTAL, from_=0, to=1, command=lambda value: self.move()
        )
        self._scale.pack(side=tk.LEFT, fill=tk.X, expand=True, padx=6)

    # ----- what happens
    def chooseTomogram(self, event: Any = None) -> None:
        """Show the tomogram that was chosen."""
        self.choose()

    def _clear(self, message: str) -> None:
        """No picture, since a file cannot be read: that of another tomogram would stand under this one's name."""
        self._mesh = None
        for axes in (self._axes, self._sliceAxes, self._scaleAxes):
            axes.clear()
            axes.set_axis_off()
        self._canvas.draw_idle()
        self._sliceCanvas.draw_idle()
        self.message.set(message)

    def recolour(self, event: Any = None) -> None:
        """Show the colours that were chosen."""
        self.choose(False)

    def choose(self, new: bool = True) -> None:
        """Show the tomogram and the colours that were chosen. new: another tomogram, from the first side."""
        name, colouring = self._name.get(), COLOURINGS[self._colouring.get()]
        try:
            mesh, whole = self._data.drawn(name), self._data.whole(name)
            self._data.position(name, 0, 0)  # the tomogram and the volume of the membranes are read, too
        except (ValueError, OSError) as error:
            self._clear(str(error))
            return
        scale = colourScale(whole, colouring)
        self._mesh, self._colours = mesh, colours(mesh, colouring, scale)
        self._outlineColours = colours(whole, colouring, scale)
        drawScale(self._scaleAxes, scale, colouring.label, sorted(set(whole.number.tolist())))
        text = (
            f"{counted(len(self._data.files[name]), 'membrane')}. Drag to rotate, wheel to zoom, 0 for the first view."
        )
        if len(mesh.faces) < len(whole.faces):
            text += (
                f" Drawn with {len(mesh.faces):,} of {len(whole.faces):,} triangles; outlines in the slice are of all."
            )
        self.message.set(text)
        if new:
            self.reset()
            self.turn()
        else:
            self.draw()
            self._drawOutline()

    def reset(self) -> None:
        """Look from the first side at all of it."""
        self._side, self._zoom = _SIDE, 1.0
        self.draw()

    def rotate(self, right: float, down: float) -> None:
        """Rotate by so many px of the mouse."""
        azimuth, elevation = self._side
        self._side = (azimuth - _DEGREES * right, min(90.0, max(-90.0, elevation + _DEGREES * down)))
        self.draw()

    def turn(self) -> None:
        """Show slices across the axis that was chosen, beginning in the middle."""
        if self._mesh is None:
            return
        slices = self._shape()[PLANES[self._across.get()]]
        self._scale.config(to=slices - 1)
        self._number.set(slices // 2)
        self.move()

    def move(self) -> None:
        """Show the slice that was chosen, with the outlines of the membranes."""
        if self._mesh is None:
            return
        try:
            preview = self._data.slices.slice(self._name.get(), PLANES[self._across.get()], self._number.get())
        except (ValueError, OSError) as error:
            self.message.set(str(error))
            return
        drawMicrograph(self._sliceAxes, preview, True)
        self._drawOutline()
        self.draw()

    # ----- pictures
    def draw(self) -> None:
        """The membranes, from the side and as near as was chosen."""
        if self._mesh is None:
            return
        drawMeshes(self._axes, self._mesh, self._colours, rotation(*self._side), self._plane())
        sides = np.ptp(self._mesh.vertices, axis=0) if len(self._mesh.vertices) else np.ones(3)
        reach = 0.62 * float(np.linalg.norm(sides)) / 10 / self._zoom
        self._axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        self._axes.set_axis_off()
        self._canvas.draw_idle()

    def _drawOutline(self) -> None:
        if self._mesh is None:
            return
        axis = PLANES[self._across.get()]
        lines, near = self._data.outline(self._name.get(), axis, self._number.get())
        drawOutline(self._sliceAxes, lines, self._outlineColours[near])
        self._sliceCanvas.draw_idle()

    def _plane(self) -> Optional[tuple]:
        axis = PLANES[self._across.get()]
        return 2 - axis, self._data.position(self._name.get(), axis, self._number.get())

    def _shape(self) -> Any:
        return self._data.slices.shape(self._name.get())

    # ----- the mouse
    def _press(self, event: Any) -> None:
        self._held = (event.x, event.y)

    def _release(self, event: Any) -> None:
        self._held = None

    def _drag(self, event: Any) -> None:
        if self._held is not None and self._mesh is not None:
            (x, y), self._held = self._held, (event.x, event.y)
            self.rotate(event.x - x, y - event.y)

    def _wheel(self, event: Any) -> None:
        self._zoom *= _CLOSER if event.button == "up" else 1 / _CLOSER
        self.draw()
