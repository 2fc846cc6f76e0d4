# SPDX-License-Identifier: GPL-3.0-or-later
"""Reaction times of the windows: what one move of the hand costs until it is drawn; for Scipion's Python."""

import os
import sys
import tempfile
import time

import numpy as np
import pyworkflow as pw
from bench import ROOT, benchmark, columns

sys.path.insert(0, str(ROOT))
import cryodl_scipion.tests.conftest  # noqa: F401  a Scipion of its own, in a temporary folder

pw.Config.getDomain().getPlugins()
MOVES = 10
RNG = np.random.default_rng(0)


class Micrograph:
    """What the windows ask of a micrograph of a set."""

    def __init__(self, path, number):
        self._path, self._number = path, number

    def getObjId(self):
        return self._number

    def getMicName(self):
        return os.path.basename(self._path)

    def getFileName(self):
        return self._path

    def getSamplingRate(self):
        return 1.0

    def clone(self):
        return self


def noise(path, shape, dtype=np.float32):
    """Write a file of noise, slice by slice."""
    import mrcfile

    with mrcfile.new_mmap(path, shape, mrc_mode=0 if dtype == np.int8 else 2, overwrite=True) as mrc:
        for index in range(shape[0]):
            mrc.data[index] = RNG.normal(0, 20, shape[1:]).astype(dtype)
    return path


def picks(count=1000, side=4096):
    return np.column_stack([RNG.uniform(0, side, (count, 2)), RNG.uniform(0, 1, count)])


def picksWindow(folder):
    from cryodl_scipion.viewers.micrographs.picks_data import PicksData
    from cryodl_scipion.viewers.micrographs.picks_window import PicksWindow

    micrographs = [Micrograph(os.path.join(folder, f"mic_{n}.mrc"), n) for n in (1, 2)]
    data = PicksData([(m, picks().tolist()) for m in micrographs], 180)
    window = PicksWindow(None, data)
    return window, {
        "picks: score slider": lambda n: (window.value.set(n / MOVES), window.refresh()),
        "picks: zoom": lambda n: (window._zoom((2000, 2000), 4096 / (n + 1)), window._seen()),
        "picks: next micrograph": lambda n: nextOne(window, n % 2),
    }


def nextOne(window, index):
    window._list.selection_clear(0, "end")
    window._list.selection_set(index)
    window.showMicrograph()


def groupsWindow(folder):
    from cryodl_scipion.viewers.micrographs.group_data import GroupedPicks
    from cryodl_scipion.viewers.micrographs.groups_window import GroupsWindow

    class Compared(GroupedPicks):
        slider, value = None, 0

        @staticmethod
        def shows(group, value):
            return True

        def words(self, value):
            return ""

    rows = [(*p[:2], group) for group in (1, 2, 3) for p in picks(334)]
    data = Compared([Micrograph(os.path.join(folder, "mic_1.mrc"), 1)], {"mic_1.mrc": rows}, 180, ["a", "b", "c"])
    window = GroupsWindow(None, data, "Compare")
    return window, {"compare: sets on and off": lambda n: window._flip(n % 3)}


def slicesWindow(folder):
    from cryodl_scipion.viewers.tomograms.slices_data import TomogramSlices
    from cryodl_scipion.viewers.tomograms.slices_window import SlicesWindow

    path = noise(os.path.join(folder, "tomogram.mrc"), (256, 1024, 1024), np.int8)
    positions = RNG.uniform(0, 1, (1000, 3)) * (1024, 1024, 256)
    window = SlicesWindow(None, TomogramSlices({"tomogram": path}, (), {"tomogram": positions}, 10.0, 30), "Tomogram")

    def move(number):
        window._number.set(number)
        window.move()

    def across(number):
        window._across.set("zyx"[number % 3])
        window.turn()

    return window, {"tomogram: next slice": lambda n: move(100 + n), "tomogram: another plane": across}


def galleryWindow(folder):
    from cryodl_scipion.viewers.gallery_data import RAW, Gallery
    from cryodl_scipion.viewers.gallery_window import GalleryWindow

    path = noise(os.path.join(folder, "particles.mrcs"), (500, 256, 256))
    data = Gallery({RAW: [f"{n:06d}@{path}" for n in range(1, 501)]}, np.arange(1, 501), 1.0)
    window = GalleryWindow(None, data, "Gallery")
    return window, {"gallery: next page of 50": lambda n: window.turn(1 if n % 2 else -1)}


def mapWindow(folder):
    from cryodl_scipion.viewers.maps.map_window import MapWindow

    window = MapWindow(None, {"map": noise(os.path.join(folder, "map.mrc"), (256, 256, 256))}, "Map")
    return window, {"map: slice slider": lambda n: (window._part.set(n / MOVES), window.refresh())}


def meshesWindow(folder):
    """Ten membranes of 20,000 triangles each in a tomogram of noise."""
    import mrcfile

    from cryodl_scipion.engine.cryodl.tomograms.features.membrane_meshes import Mesh, write_ply
    from cryodl_scipion.viewers.tomograms.meshes_data import MembraneMeshes
    from cryodl_scipion.viewers.tomograms.meshes_plots import COLOURINGS
    from cryodl_scipion.viewers.tomograms.meshes_window import MeshesWindow
    from cryodl_scipion.viewers.tomograms.slices_data import TomogramSlices

    t, p = np.meshgrid(np.linspace(0.01, np.pi - 0.01, 71), np.linspace(0, 2 * np.pi, 144), indexing="ij")
    normals = np.stack([np.cos(t), np.sin(t) * np.sin(p), np.sin(t) * np.cos(p)], -1).reshape(-1, 3)
    grid = np.arange(t.size).reshape(t.shape)
    a, b, c, d = (grid[y, x].ravel() for y in (np.s_[:-1], np.s_[1:]) for x in (np.s_[:-1], np.s_[1:]))
    faces, paths = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]), []
    for number in range(1, 11):
        mesh = Mesh(50 * normals + RNG.uniform(50, 200, 3), normals, faces, np.zeros(len(normals), int))
        paths.append(os.path.join(folder, f"tomogram_membrane_{number:03d}.ply"))
        write_ply(paths[-1], mesh, 10.0, (0, 0, 0), dict(curvature_per_nm=RNG.normal(0, 0.01, len(normals))))
    path = noise(os.path.join(folder, "membranes.mrc"), (256, 256, 256), np.int8)
    with mrcfile.open(path, "r+") as mrc:
        mrc.voxel_size = 10.0
    data = MembraneMeshes({"tomogram": paths}, {"tomogram": path}, TomogramSlices({"tomogram": path}))
    window = MeshesWindow(None, data, "Membranes")

    def move(number):
        window._number.set(100 + number)
        window.move()

    def recolour(number):
        window._colouring.set(list(COLOURINGS)[number % 2])
        window.choose(False)

    return window, {
        "membranes: rotate": lambda n: window.rotate(20, 5),
        "membranes: next slice": move,
        "membranes: other colours": recolour,
    }


def latentWindow(folder):
    from cryodl_scipion.viewers.latent_window import LatentWindow

    class Run:
        def getRunName(self):
            return "fit heterogeneity"

    points = RNG.normal(0, 1, (10000, 4))
    window = LatentWindow(None, Run(), list(range(10000)), points, RNG.integers(0, 4, 10000), list("1234"))

    def choose(number):
        angles, radius = np.linspace(0, 2 * np.pi, 60), 0.5 + 0.1 * number
        window.choose(np.column_stack([radius * np.cos(angles), radius * np.sin(angles)]))

    return window, {"latent space: lasso around points": choose}


def modelWindow(folder):
    from cryodl_scipion.viewers.model_window import ModelWindow

    path = os.path.join(folder, "model.partial")
    os.makedirs(path)
    with open(os.path.join(path, "metrics.csv"), "w") as file:
        file.write("step,train_loss,validation_loss,validation_f1,validation_average_precision\n")
        file.writelines(f"{n},{1 / n:f},{1.1 / n:f},{1 - 1 / n:f},{0.9 - 0.5 / n:f}\n" for n in range(1, 1001))
    window = ModelWindow(None, os.path.join(folder, "model"), "Model")
    return window, {"model: curves of 1,000 steps": lambda n: window.draw() or window._canvas.draw_idle()}


def timesOf(window, move):
    """Median CPU and wall ms of a move, from the call until all is drawn."""
    spent = []
    for number in range(MOVES + 1):
        begin = time.process_time(), time.perf_counter()
        move(number)
        window.root.update()
        spent.append((time.process_time() - begin[0], time.perf_counter() - begin[1]))
    cpu, wall = np.median(spent[1:], axis=0) * 1e3  # the first move reads files
    return dict(cpu_ms=round(float(cpu), 1), wall_ms=round(float(wall), 1))


WINDOWS = {
    make.__name__[: -len("Window")]: make
    for make in (
        picksWindow,
        groupsWindow,
        galleryWindow,
        slicesWindow,
        meshesWindow,
        mapWindow,
        latentWindow,
        modelWindow,
    )
}


@benchmark(
    cases=dict(window=WINDOWS),
    tables={
        "windows": columns(
            {
                "move": "move",
                "CPU, ms": "cpu_ms:.0f",
                "by the clock, ms": lambda r: f"{r['wall_ms']:.0f}" if "wall_ms" in r else "not measured",
            }
        )
    },
    quick=dict(window="model"),
)
def windows(run, window):
    """Data are noise of real sizes: a micrograph of 4096 x 4096 px with 1,000 picks, a tomogram of 1024 x 1024 x 256
    voxels with 1,000 places, a gallery page of a stack, 200,000 triangles of membranes, a map of 256^3, 10,000 latent
    points, the curves of 1,000 steps. Each move is done ten times; told is the median of the process's CPU time (the
    wall clock of a shared machine says more about its other users), and the wall clock beside it."""
    with tempfile.TemporaryDirectory() as folder:
        if window in ("picks", "groups"):
            for number in (1, 2):
                noise(os.path.join(folder, f"mic_{number}.mrc"), (4096, 4096))
        shown, moves = WINDOWS[window](folder)
        shown.root.update()
        rows = [dict(timesOf(shown, move), move=name) for name, move in moves.items()]
        shown.root.destroy()
    return rows
