# SPDX-License-Identifier: GPL-3.0-or-later
"""Slices before, sharpened, improved and of the model, with FSC curves, of a simulated and of a real map."""

from pathlib import Path

import numpy as np
from common import ROOT
from map_cases import best_sharpening, case_of, improve, model_name, removed, simulate
from map_real import MAPS, files

SIMULATED, RESOLUTION, REAL = "1U6G", 4.0, "EMD-30342_7CEC_chainA"
FILE = "map_improvement.png"
SHOWN, BAR = 80.0, 20.0  # Å: most of a slice's width that is shown; the scale bar
COLOURS = {"before": "0.55", "best sharpening": "tab:orange", "improved": "tab:blue"}


def run(bench):
    bench.once(f"maps pictures/{model_name(bench)}", lambda: draw(bench))


def draw(bench):
    """Write docs/images/map_improvement.png. Returns the B-factors of the sharpening."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    work = bench.folder("map pictures")
    structure = simulate(bench, SIMULATED, RESOLUTION, work / "map")
    scenes = [
        (f"{SIMULATED}, simulated at {RESOLUTION:g} Å", work / "map_full.mrc", structure, RESOLUTION),
        (f"{REAL.split('_')[0]}, {MAPS[REAL]:g} Å", *files(bench, REAL), MAPS[REAL]),
    ]
    figure, axes = plt.subplots(
        len(scenes),
        5,
        figsize=(12.6, 2.75 * len(scenes)),
        layout="constrained",
        gridspec_kw=dict(width_ratios=[1, 1, 1, 1, 1.45]),
    )
    used = {}
    for number, (row, (title, path, model, resolution)) in enumerate(zip(axes, scenes)):
        case = case_of(path, model, resolution)
        maps, used[title] = _maps(bench, case, path, work / f"improved{number}.mrc")
        _slices(row[:4], title, maps, case, titles=number == 0)
        _curves(row[4], maps, case)
    path = Path(bench.options.images or ROOT / "docs" / "images") / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80, pil_kwargs=dict(optimize=True))
    plt.close(figure)
    removed(work)
    return used


def _maps(bench, case, path, output):
    """{name: (z, y, x) data}, and the B-factor of the sharpening."""
    from cryodl.maps.measures.volume import read_volume

    sharpened, b_factor, _ = best_sharpening(case)
    improved = read_volume(improve(bench, path, output)[0]).data
    return {"before": case.volume.data, "best sharpening": sharpened, "improved": improved}, b_factor


def _slices(row, title, maps, case, titles):
    """Four grey pictures of one plane of z, SHOWN Å of it about the densest place of the model."""
    voxel, atoms = case.volume.pixel_size, case.reference.atoms
    shape = np.array(case.volume.data.shape)
    centre = np.rint(case.volume.positions(atoms.xyz).mean(axis=0)).astype(int)
    half = int(SHOWN / 2 / voxel)
    window = tuple(slice(max(0, c - half), min(n, c + half)) for c, n in zip(centre[1:], shape[1:]))
    z = int(np.argmax(case.reference.density[(slice(None), *window)].sum(axis=(1, 2))))
    for axis, (name, data) in zip(row, [*maps.items(), ("model", _model(case))]):
        plane = data[(z, *window)]
        axis.imshow(
            plane, cmap="gray", vmin=0, vmax=np.percentile(plane, 99.7), origin="lower", interpolation="bilinear"
        )
        axis.set(xticks=[], yticks=[])
        if titles:
            axis.set_title(name, fontsize=10)
    row[0].set_ylabel(title, fontsize=9)
    row[0].plot([3, 3 + BAR / voxel], [3, 3], color="white", linewidth=3, solid_capstyle="butt")
    row[0].text(3 + BAR / voxel / 2, 4.5, f"{BAR:g} Å", color="white", ha="center", va="bottom", fontsize=8)


def _model(case):
    """Density of the model, as sharp as the network's targets are."""
    from cryodl.maps.improvers.working_grid import target_width
    from cryodl.maps.measures.density import model_density

    width = max(float(target_width(3.0)), 0.55 * float(case.volume.voxels_zyx.max()))
    return model_density(case.reference.atoms, case.volume, width)


def _curves(axis, maps, case):
    from cryodl.maps.measures.shells import shell_correlation

    mask, density, voxels = case.reference.mask, case.reference.density, case.volume.voxels_zyx
    for name, data in maps.items():
        curve = shell_correlation(data * mask, density * mask, voxels)
        reached = curve.resolution(0.5)
        text = f"{name}: {reached:.2f} Å" if reached else name
        axis.plot(curve.frequency[1:], curve.value[1:], color=COLOURS[name], linewidth=1.4, label=text)
    axis.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    axis.set(xlim=(0, min(0.4, curve.frequency[-1])), ylim=(-0.05, 1.02))
    axis.set_xlabel("1/Å", fontsize=8)
    axis.set_ylabel("FSC with the model, in the mask", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=7, loc="lower left", frameon=False)


def tables(bench):
    if f"maps pictures/{model_name(bench)}" not in bench.figures:
        return "Not measured."
    return f"![Slices before, sharpened, improved, and of the model, with FSC curves](images/{FILE})"
