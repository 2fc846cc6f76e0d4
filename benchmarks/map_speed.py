# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time and memory of `improve-map`.

The work is proportional to the number of boxes that hold anything: two sizes give the time of a box and of all else,
from which larger maps are extrapolated. The map of 512^3 is empty but for a cube: its memory is measured.
"""

import numpy as np
from map_cases import improve, model_name
from parts import engine_path, table

SIDE, WHOLE = 200, 512  # px at 1 Å/px
OURS, PUBLISHED = (96, SIDE), (48, 72)  # sides that are run with one thread
STEP = 21  # px from box to box: a box of 48 px, and the overlap of the command
FILLED = 96  # px, of the cube in the map of 512^3 that is not empty


def run(bench):
    name = model_name(bench)
    for side in OURS:
        bench.once(key(name, side, 1), lambda: measure(bench, bench.options.model, side, 1))
    bench.once(
        key(name, SIDE, bench.options.speed_threads),
        lambda: measure(bench, bench.options.model, SIDE, bench.options.speed_threads),
    )
    for side in PUBLISHED:
        bench.once(key("swinconv", side, 1), lambda: measure(bench, untrained(bench, "swinconv"), side, 1))
    bench.once(key(name, WHOLE, 1), lambda: measure(bench, bench.options.model, WHOLE, 1, FILLED))
    if bench.options.full:
        bench.once(
            key(name, WHOLE, "full"), lambda: measure(bench, bench.options.model, WHOLE, bench.options.speed_threads)
        )


def key(model, side, threads):
    return f"maps speed/{model}/{side}/{threads}"


def boxes(side):
    """Boxes that a cube of this side takes."""
    return (-(-side // STEP)) ** 3


def untrained(bench, network):
    """Folder of a model with random weights: for timing only."""
    engine_path()
    import torch

    from cryodl.io.model import write_model
    from cryodl.maps.improvers import improver_method

    folder = bench.output / "models" / f"untrained-{network}"
    if not folder.exists():
        torch.manual_seed(0)
        partial = folder.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        card = dict(
            kind="map_improver",
            name=folder.name,
            network=network,
            working_pixel_size=1.0,
            attention=True,
            resolutions=[3.0, 6.0],
            training={},
            validation={},
        )
        write_model(partial, card, improver_method(network).build().state_dict())
        partial.rename(folder)
    return folder


def measure(bench, model, side, threads, filled=None):
    """dict: cpu, wall (s), memory (MB), boxes (None where most are empty)."""
    engine_path()
    from cryodl.maps.measures.volume import Volume, write_volume

    work = bench.folder(f"speed {side} {threads}")
    work.mkdir()
    data = np.zeros((side,) * 3, np.float32)
    part = (slice(0, filled or side),) * 3
    data[part] = np.abs(np.random.default_rng(0).standard_normal(data[part].shape, np.float32))
    write_volume(work / "map.mrc", data, Volume("map.mrc", data, np.ones(3), np.zeros(3)))
    del data
    cost = improve(bench, work / "map.mrc", work / "improved.mrc", model, threads=threads)[1]
    for path in work.glob("*.mrc"):
        path.unlink()
    return dict(cost, boxes=None if filled else boxes(side))


def line(first, second):
    """Seconds without boxes, and of a box, of two measured sizes: ((cpu, cpu per box), (wall, wall per box))."""
    result = []
    for name in ("cpu", "wall"):
        slope = (second[name] - first[name]) / (second["boxes"] - first["boxes"])
        result.append((first[name] - slope * first["boxes"], slope))
    return result


def tables(bench):
    get, name, threads, rows = bench.figures.get, model_name(bench), bench.options.speed_threads, []
    for model, side, number in [
        *[(name, side, 1) for side in OURS],
        (name, SIDE, threads),
        *[("swinconv", side, 1) for side in PUBLISHED],
    ]:
        f = get(key(model, side, number))
        rows.append(
            [
                _words(model),
                f"{side}^3",
                number,
                "measured",
                *(
                    [None] * 4
                    if f is None
                    else [f["boxes"], f"{f['cpu']:.0f}", f"{f['wall']:.0f}", f"{f['memory']:.0f}"]
                ),
            ]
        )
    rows += _extrapolated("swinconv", [get(key("swinconv", side, 1)) for side in PUBLISHED], SIDE)
    f = get(key(name, WHOLE, 1))
    rows.append(
        [
            _words(name),
            f"{WHOLE}^3, {FILLED}^3 of it not empty",
            1,
            "measured",
            *([None] * 4 if f is None else ["-", f"{f['cpu']:.0f}", f"{f['wall']:.0f}", f"{f['memory']:.0f}"]),
        ]
    )
    rows += _extrapolated(name, [get(key(name, side, 1)) for side in OURS], WHOLE)
    f = get(key(name, WHOLE, "full"))
    if f:
        rows.append(
            [
                _words(name),
                f"{WHOLE}^3",
                threads,
                "measured",
                f["boxes"],
                f"{f['cpu']:.0f}",
                f"{f['wall']:.0f}",
                f"{f['memory']:.0f}",
            ]
        )
    return table(["network", "map (px of 1 Å)", "threads", "", "boxes", "CPU s", "wall s", "memory (MB)"], rows)


def _words(model):
    return "swinconv (published, random weights)" if model == "swinconv" else model


def _extrapolated(model, pair, side):
    """The row of a larger map with one thread, by the boxes of two smaller ones; none if they were not measured."""
    if None in pair:
        return []
    (cpu, each), (wall, wall_each) = line(*pair)
    return [
        [
            _words(model),
            f"{side}^3",
            1,
            "extrapolated",
            boxes(side),
            f"{cpu + each * boxes(side):.0f}",
            f"{wall + wall_each * boxes(side):.0f}",
            "-",
        ]
    ]
