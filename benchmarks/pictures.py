# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture for each picker: its picks where there are carbon, ice and clumps. To be looked at.

Left: a simulated micrograph; the networks were trained on all labels of four others like it. Middle: the micrograph of
EMPIAR-10947 with the carbon edge; the networks were trained on 100 positives of the set's training micrographs (the
models of the part "labels"). Right: a large crystal of ice, pixel size and molecule unknown (a diameter of 40 px is
stated); nothing to train on, so the networks take the model of the middle. Green: within half a radius of the truth;
orange: not.
"""

from pathlib import Path

import numpy as np
from common import ROOT, cryodl
from parts import engine_path, pick

STRUCTURE, PIXEL_SIZE = "structures/complexes/8BK7.cif.gz", 4.0
EDGE = "FoilHole_15960851_Data_15972812_15972814_20211215_175436_EER"
ICE = "contamination_example/Ucsf_stack_1142_DW.mrc"
FILES = {"Topaz": "topaz_pretrained"}  # names that differ by capitals are one name on some file systems
ICE_DIAMETER = 40  # px, and Å: the header's 1 Å/px is a placeholder


def run(bench):
    pickers = [*bench.options.networks, "general", *(["Topaz"] if bench.topaz else [])]
    for picker in pickers:
        bench.once(f"pictures/{picker}", lambda: _draw(bench, picker))


def _scenes(bench):
    """(title, micrograph, pixel size, diameter in Å, ground truth or None, name of what the networks learnt from)."""
    engine_path()
    from cryodl.io.coordinates import read_coordinates

    simulated, diameter = _simulated(bench, "scene", 1, 11)
    path = next(Path(simulated, "micrographs").glob("*.mrc"))
    yield ("simulated", path, PIXEL_SIZE, diameter, read_coordinates(simulated / "coordinates")[path.stem][0], "scene")
    real = bench.real("empiar10947")
    path = next(p for p in real.micrographs if Path(p).stem == EDGE)
    yield ("EMPIAR-10947", path, real.pixel_size, real.diameter, read_coordinates(real.ground_truth)[EDGE][0], "real")
    yield ("ice crystal", bench.data / ICE, 1.0, ICE_DIAMETER, None, "real")


def _simulated(bench, name, count, seed):
    """Micrographs with all that spoils them, made if they are not there. Folder, and the particle's diameter in Å."""
    import json

    folder, note = bench.output / f"simulated-{name}", bench.output / f"simulated-{name}.json"
    if not note.exists():
        out = cryodl(
            "simulate-micrographs",
            "--structure",
            bench.data / STRUCTURE,
            "--pixel-size",
            PIXEL_SIZE,
            "--count",
            count,
            "--size",
            1024,
            "--particles",
            70,
            "--snr",
            0.1,
            "--ice",
            4,
            "--aggregates",
            2,
            "--carbon",
            1,
            "--gradient",
            2,
            "--seed",
            seed,
            "--output",
            folder,
            "--threads",
            1,
        )[0]
        note.write_text(json.dumps(float(out.split(" particles of ")[1].split()[0])))
    return folder, json.loads(note.read_text())


def _model(bench, picker, learnt):
    if picker == "general":
        return bench.general("empiar10947" if learnt == "real" else "empiar10017")  # neither saw the molecule
    if learnt == "real":
        model = bench.output / "work" / f"model-empiar10947-100-0-{picker}"
        if not model.exists():
            raise ValueError(f"The model {model} is missing; run the part labels with empiar10947 and 100 first.")
        return model
    model = bench.output / "models" / f"scene-{picker}"
    if not model.exists():
        data, diameter = _simulated(bench, "scene-training", 4, 12)
        cryodl(
            "train-picker",
            "--micrographs",
            *sorted(Path(data, "micrographs").glob("*.mrc")),
            "--coordinates",
            data / "coordinates",
            "--pixel-size",
            PIXEL_SIZE,
            "--particle-diameter",
            diameter,
            "--network",
            picker,
            "--labels",
            "complete",
            "--output",
            model,
            "--device",
            "cpu",
            "--threads",
            1,
        )
    return model


def _positions(bench, picker, scene):
    from cryodl.io.coordinates import read_coordinates

    title, path, pixel_size, diameter, _, learnt = scene
    if picker == "Topaz":
        px = diameter / pixel_size
        scale = max(1, round(px / 30))
        images, _ = bench.topaz.preprocess([path], scale, f"scene {title}")
        out = bench.output / "work" / f"scene-{title}.txt"
        bench.topaz.extract("resnet8_u64", images, px / 2, scale, out)
        yx, scores = read_coordinates(out)[Path(path).stem]
        return yx[scores >= 0]
    folder = bench.folder(f"scene {picker} {title}")
    pick([path], pixel_size, diameter, _model(bench, picker, learnt), folder)
    return read_coordinates(folder)[Path(path).stem][0]


def _draw(bench, picker):
    """Write docs/images/picks_<picker>.png. Returns how many picks each panel has."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2))
    counts = {}
    for axis, scene in zip(axes, _scenes(bench)):
        try:
            counts[scene[0]] = _panel(axis, scene, _positions(bench, picker, scene))
        except (RuntimeError, ValueError) as error:
            print(f"pictures/{picker}, {scene[0]}: {str(error)[-300:]}", flush=True)
            axis.set_title(f"{scene[0]}: not measured", fontsize=9)
        axis.axis("off")
    figure.suptitle("Topaz, pretrained" if picker == "Topaz" else picker, fontsize=10)
    figure.tight_layout()
    path = Path(bench.options.images or ROOT / "docs" / "images") / f"picks_{FILES.get(picker, picker)}.png"
    figure.savefig(path, dpi=62, pil_kwargs=dict(optimize=True))
    plt.close(figure)
    _fewer_colours(path)
    return counts


def _panel(axis, scene, yx):
    import mrcfile
    from matplotlib.collections import EllipseCollection
    from scipy.ndimage import gaussian_filter

    from cryodl.core.matching import match_picks

    title, path, pixel_size, diameter, ground_truth, _ = scene
    px = diameter / pixel_size
    image = gaussian_filter(mrcfile.read(path).astype(np.float32), px / 25)
    axis.imshow(
        image, cmap="gray", vmin=np.percentile(image, 1), vmax=np.percentile(image, 99), interpolation="antialiased"
    )
    hit = match_picks(yx, ground_truth, px / 4) if ground_truth is not None else np.ones(len(yx), bool)
    axis.add_collection(
        EllipseCollection(
            np.full(len(yx), px),
            np.full(len(yx), px),
            np.zeros(len(yx)),
            units="xy",
            offsets=yx[:, ::-1],
            transOffset=axis.transData,
            facecolors="none",
            linewidths=0.9,
            edgecolors=np.where(hit, "#30d030", "#ff9020"),
        )
    )
    text = f"{len(yx)} picks" + (
        f", {int(hit.sum())} of {len(ground_truth)} marked particles" if ground_truth is not None else ""
    )
    axis.set_title(f"{title}: {text}", fontsize=9)
    return dict(picks=len(yx), found=int(hit.sum()), marked=None if ground_truth is None else len(ground_truth))


def _fewer_colours(path):
    """A palette of 64 colours is enough for grey and two colours, and a third of the size."""
    from PIL import Image

    Image.open(path).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def tables(bench):
    lines = []
    for key, counts in bench.figures.items():
        if key.startswith("pictures/"):
            name = key.split("/")[1]
            lines.append(f"![Picks of {name}](images/picks_{FILES.get(name, name)}.png)")
    return __doc__.split("\n\n", 1)[1] + "\n" + ("\n\n".join(lines) or "Not measured.")
