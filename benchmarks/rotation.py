# SPDX-License-Identifier: GPL-3.0-or-later
"""Do pickers find the same particles in a rotated micrograph? EMPIAR-10017, rotated by 90 and by 37 degrees.

Every network of --networks is trained on all labels of the training micrographs; the general model is used as it is.

At 37 degrees the corners are lost; there only particles in the largest central disc (less one diameter) are scored,
rotated or not. Picks in rotated micrographs are rotated back before they are scored, so that both are scored on one
ground.
"""

from pathlib import Path

import numpy as np
from parts import NETWORKS, engine_path, pick, table

NAME = "empiar10017"
ANGLES = (0, 90, 37)  # degrees


def run(bench):
    real = bench.real(NAME)
    for name in (*bench.options.networks, "general"):
        model = bench.model(NAME) if name == "general" else bench.trained(real, name)
        for angle in ANGLES:
            bench.once(f"rotation/{name}/{angle}", lambda: _measure(bench, real, model, name, angle))


def _measure(bench, real, model, name, angle):
    """F1 and best F1 on the whole micrograph (border left out) and on the disc."""
    micrographs = [_rotated(bench, path, angle) for path in real.test]
    picks = bench.folder(f"rotation {name} {angle}")
    pick(micrographs, real.pixel_size, real.diameter, model, picks)
    return {
        f"{figure}_{part}": value
        for part in ("square", "disc")
        for figure, value in _score(real, picks, angle, part).items()
    }


def _rotated(bench, path, angle):
    """The micrograph rotated about its middle pixel; by 90 degrees exactly, else by cubic splines."""
    if not angle:
        return path
    import mrcfile
    from scipy.ndimage import rotate

    image = mrcfile.read(path).astype(np.float32)
    out = bench.output / "work" / f"rotated-{angle}" / Path(path).name
    out.parent.mkdir(parents=True, exist_ok=True)
    rotated = np.rot90(image).copy() if angle == 90 else rotate(image, angle, reshape=False, order=3, mode="reflect")
    mrcfile.write(out, rotated, overwrite=True)
    return out


def _score(real, picks, angle, part):
    """Precision and recall pooled over the test micrographs, in the frame of the micrographs as they were."""
    engine_path()
    from cryodl.core.matching import match_picks, score_matched
    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.micrographs import micrograph_shape

    ground_truth, found = read_coordinates(real.ground_truth), read_coordinates(picks)
    every = read_coordinates(Path(picks) / "candidates")
    figures = {}
    for name, source in (("f1", found), ("best_f1", every)):
        hits, scores, total = [], [], 0
        for path in real.test:
            shape, key = micrograph_shape(path), Path(path).stem
            yx, score = source[key]
            yx = _rotate_back(yx, angle, shape)
            inside = lambda points: _inside(points, shape, part, real)
            reference = ground_truth[key][0][inside(ground_truth[key][0])]
            keep = inside(yx)
            hits.append(match_picks(yx[keep], reference, real.diameter_px / 4))
            scores.append(score[keep])
            total += len(reference)
        figures[name] = getattr(score_matched(np.concatenate(hits), np.concatenate(scores), total), name)
    return figures


def _rotate_back(yx, angle, shape):
    """Positions of the rotated micrograph, in the original."""
    middle = (np.array(shape) - 1) / 2
    a = np.deg2rad(angle)
    return (yx - middle) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]).T + middle


def _inside(yx, shape, part, real):
    if part == "square":
        return ((yx >= real.border) & (yx < np.array(shape) - real.border)).all(axis=1)
    radius = min(shape) / 2 - real.diameter_px
    return np.linalg.norm(yx - (np.array(shape) - 1) / 2, axis=1) <= radius


def tables(bench):
    head = [
        "picker",
        "F1 at the default threshold: 0°, 90°",
        "best F1: 0°, 90°",
        "F1, disc: 0°, 37°",
        "best F1, disc: 0°, 37°",
    ]
    rows = []
    for name in (*NETWORKS, "general"):
        still, quarter, rotated = (bench.figures.get(f"rotation/{name}/{angle}") for angle in ANGLES)
        if not (still and quarter and rotated):
            continue
        pairs = [(still, quarter, "square"), (still, rotated, "disc")]
        cells = [
            [f"{one[f'{f}_{part}']:.3f}, {two[f'{f}_{part}']:.3f}" for f in ("f1", "best_f1")]
            for one, two, part in pairs
        ]
        rows.append([name, *cells[0], *cells[1]])
    return table(head, rows)
