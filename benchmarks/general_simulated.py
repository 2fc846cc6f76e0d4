# SPDX-License-Identifier: GPL-3.0-or-later
"""General models on simulated micrographs of structures that the first did not learn from, by size and SNR.

--simulated-models names them (the shipped one is `general`); structures are those that the first model's card says were
held out, and those that it left out.
"""

import json
from pathlib import Path

import numpy as np
from common import cryodl, evaluate
from parts import engine_path, pick, table

SNRS = (0.03, 0.1, 0.3)
COUNT, SIDE, PARTICLE_PX = 2, 1024, 44
SHARE = 0.25  # of the area of a close packing


def run(bench):
    for path in _structures(bench):
        for snr in SNRS:
            bench.once(f"simulated/{_name(path)}/{snr}", lambda: _measure(bench, path, snr))


def _models(bench):
    return bench.options.simulated_models


def _structures(bench):
    """Paths of the structures that the first model's training did not show it."""
    engine_path()
    from cryodl.contract import read_card
    from cryodl.io.model import find_model

    training = read_card(find_model(_models(bench)[0], "picker"), "picker")["training"]
    unseen = set(training["validation_structures"]) | set(training["left_out"])
    return [
        p for p in sorted((bench.data / "structures").glob("*/*.gz")) if _name(p) in unseen and ".model." not in p.name
    ]


def _name(path):
    return path.name.split(".")[0]


def _measure(bench, path, snr):
    """{model: F1 at the default threshold}, and the structure's diameter in Å, which models that find it are not
    given."""
    engine_path()
    from cryodl.contract import read_card
    from cryodl.io.model import find_model
    from cryodl.simulate.micrographs import particle_diameter
    from cryodl.simulate.structures import load_density

    rough = particle_diameter(load_density(path, 5.0), 5.0)
    pixel_size = round(rough / PARTICLE_PX, 2)
    data = bench.folder(f"simulated {_name(path)} {snr}")
    out = cryodl(
        "simulate-micrographs",
        "--structure",
        path,
        "--pixel-size",
        pixel_size,
        "--count",
        COUNT,
        "--size",
        SIDE,
        "--particles",
        int(SHARE * (SIDE / PARTICLE_PX) ** 2),
        "--snr",
        snr,
        "--ice",
        2,
        "--gradient",
        1,
        "--seed",
        7,
        "--output",
        data,
        "--threads",
        1,
    )[0]
    diameter = float(out.split(" particles of ")[1].split()[0])
    micrographs = sorted(Path(data, "micrographs").glob("*.mrc"))
    figures = {}
    for model in _models(bench):
        folder = bench.folder(f"simulated picks {_name(path)} {snr} {Path(model).name}")
        stated = None if read_card(find_model(model, "picker"), "picker").get("tells_size") else diameter
        pick(micrographs, pixel_size, stated, model, folder, "--result", folder.with_suffix(".json"))
        outputs = json.loads(folder.with_suffix(".json").read_text())["outputs"]
        found = evaluate(folder, data / "coordinates", pixel_size, diameter, 0, micrographs, 0)
        figures[Path(model).name] = found["f1"]
        figures[f"{Path(model).name} diameter"] = outputs.get("picked_diameter") or 0.0
    return dict(figures, diameter=diameter)


def tables(bench):
    found = {key.split("/", 1)[1]: f for key, f in bench.figures.items() if key.startswith("simulated/")}
    names = [Path(model).name for model in _models(bench)]
    rows = [
        [
            snr,
            sum(key.endswith(f"/{snr}") for key in found),
            *(
                float(np.mean([f[n] for key, f in found.items() if key.endswith(f"/{snr}")])) if found else None
                for n in names
            ),
        ]
        for snr in SNRS
    ]
    if found:
        _plot(found, names, bench.output / "general_simulated.png")
    return "Mean F1 at the default threshold.\n\n" + table(["SNR", "structures", *names], rows)


def _plot(found, names, path):
    """One panel for each SNR: F1 over the particles' diameter."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(SNRS), figsize=(10, 3.2), sharey=True, layout="constrained")
    for axis, snr in zip(axes, SNRS):
        chosen = sorted((f for key, f in found.items() if key.endswith(f"/{snr}")), key=lambda f: f["diameter"])
        for name in names:
            axis.plot([f["diameter"] for f in chosen], [f[name] for f in chosen], "o-", ms=4, label=name)
        axis.set(title=f"SNR {snr}", xlabel="diameter (Å)", ylim=(0, 1))
    axes[0].set_ylabel("F1 at the default threshold")
    axes[-1].legend()
    figure.savefig(path, dpi=120)
