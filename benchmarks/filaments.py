# SPDX-License-Identifier: GPL-3.0-or-later
"""Filaments traced by `cryodl pick-filaments` against known centre lines, and on micrographs without any.

    python benchmarks/filaments.py --output figures/filaments.json
    python benchmarks/filaments.py --table figures/filaments.json         the tables of docs/protocol_pick_filaments.md

The filaments are drawn from atomic models with their own symmetry, apart from the engine's training scenes: all C-alpha
atoms of filaments of several hundred nanometres, bent a little, in white noise under a CTF. A micrograph is 1024 px of
three to six filaments that cross here and there. Micrographs without filaments are the real sets of the data folder.
"""

import argparse
import gzip
import itertools
import json
import tempfile
from pathlib import Path

import gemmi
import mrcfile
import numpy as np
from common import SETS, cryodl, data_folder
from parts import table
from scipy.ndimage import gaussian_filter

from cryodl.core.ctf import ctf_rfft
from cryodl.io.star import read_tables
from cryodl.micrographs.filaments.measure import TraceAgreement, trace_agreement
from cryodl.simulate.filament_scenes import crossings

# file, diameter (Å), pixel size (Å/px)
FILAMENTS = {
    "microtubule": ("complexes/5KMG.pdb.gz", 280.0, 5.0),
    "ASC": ("small/3J63_filament.pdb.gz", 90.0, 2.5),
    "tau": ("small/6NWP.pdb.gz", 130.0, 3.0),
}
SNRS = (0.03, 0.1, 0.3)
STATED = (0.75, 1.0, 1.3)
SIDE, STEP, COUNT = 1024, 1.0, 4
LENGTH = 8000.0  # Å


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", help="JSON")
    parser.add_argument("--table", help="JSON to print as tables")
    parser.add_argument("--count", type=int, default=COUNT, help="micrographs of each kind")
    options = parser.parse_args()
    if options.table:
        print(tables(json.loads(Path(options.table).read_text())))
        return
    figures = dict(simulated=simulated(options.count), without=without())
    Path(options.output).write_text(json.dumps(figures, indent=1) + "\n")
    print(tables(figures))


def simulated(count: int) -> list:
    """Agreement for each filament, SNR and stated diameter."""
    rows = []
    for name, (file, diameter, pixel_size) in FILAMENTS.items():
        atoms = straight_filament(data_folder() / "structures" / file)
        for snr in SNRS:
            for stated in STATED if snr == 0.1 else (1.0,):
                total, seconds = TraceAgreement(), 0.0
                with tempfile.TemporaryDirectory() as folder:
                    ground_truths = [
                        write_micrograph(Path(folder), f"m{i}", atoms, diameter, pixel_size, snr, (len(name), i))
                        for i in range(count)
                    ]
                    _, seconds, _, _ = cryodl(
                        "pick-filaments", "--micrographs", f"{folder}/*.mrc", "--pixel-size", pixel_size,
                        "--filament-diameter", diameter * stated, "--output", f"{folder}/picks", "--pictures", 0,
                        "--segment-distance", diameter / 4, "--minimum-length", 3 * diameter,
                    )  # fmt: skip
                    for i, lines in enumerate(ground_truths):
                        total += judged(Path(folder) / "picks" / f"m{i}.star", lines, diameter / pixel_size)
                figures = total.metrics()
                rows.append(dict(filament=name, snr=snr, stated=stated, seconds=seconds / count, **figures))
                print(rows[-1], flush=True)
    return rows


def without() -> list:
    """Segments that are found where there are no filaments."""
    rows = []
    for name, (folder, pixel_size, _, _, _) in SETS.items():
        for diameter in (80.0, 130.0, 250.0):
            with tempfile.TemporaryDirectory() as out:
                cryodl(
                    "pick-filaments", "--micrographs", f"{data_folder()}/{folder}/micrographs/*.mrc", "--pixel-size",
                    pixel_size, "--filament-diameter", diameter, "--output", f"{out}/picks", "--pictures", 0,
                )  # fmt: skip
                records = [json.loads(p.read_text()) for p in Path(out, "picks").glob("*.json")]
            counts = {key: sum(r[key] for r in records) for key in ("filaments", "segments")}
            rows.append(dict(set=name, diameter=diameter, micrographs=len(records), **counts))
            print(rows[-1], flush=True)
    return rows


def straight_filament(path: Path) -> np.ndarray:
    """(n, 3) Å of the C-alpha atoms of a filament of LENGTH along z, its axis in the middle."""
    with gzip.open(path, "rt") as file:
        structure = gemmi.read_pdb_string(file.read())
    chains = [_alphas(chain) for chain in structure[0]]
    if (
        structure.assemblies and len(structure.assemblies[0].generators[0].operators) > 1
    ):  # a ring of protofilaments, repeated every dimer
        model = gemmi.make_assembly(structure.assemblies[0], structure[0], gemmi.HowToNameCopiedChain.AddNumber)
        ring = np.vstack([_alphas(chain) for chain in model])
        ring[:, :2] -= ring[:, :2].mean(0)
        return np.vstack([ring + (0, 0, 82.0 * i) for i in range(int(LENGTH / 82))])
    first = chains[0]
    moves = [_move(first, other) for other in chains[1:] if len(other) == len(first)]
    axis, point = _screw_axis(moves)
    screws = sorted((float(shift @ axis), rotation) for rotation, shift in moves)
    rise = min(z for z, _ in screws if z > 1.0)
    layer = [np.eye(3)] + [rotation for z, rotation in screws if abs(z) < 0.3]
    turn = next(rotation for z, rotation in screws if z == rise)
    frame = _frame(axis)
    unit, rotation, rows = (first - point) @ frame.T, np.eye(3), []
    turns = [frame @ r @ frame.T for r in layer]
    for index in range(int(LENGTH / rise)):
        rows += [unit @ (rotation @ t).T + (0, 0, rise * index) for t in turns]
        rotation = frame @ turn @ frame.T @ rotation
    return np.vstack(rows)


def _alphas(chain):
    return np.array([list(a.pos) for residue in chain for a in residue if a.name == "CA"]).reshape(-1, 3)


def _move(first, other):
    """Rotation and shift that bring one copy onto another."""
    a, b = first - first.mean(0), other - other.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ v))])
    rotation = (u @ sign @ v).T
    return rotation, other.mean(0) - rotation @ first.mean(0)


def _screw_axis(moves):
    """Common axis of screw movements: its direction, and a point on it, by the movement that turns most."""
    rotation, shift = max(moves, key=lambda m: np.arccos(np.clip((np.trace(m[0]) - 1) / 2, -1, 1)))
    values, vectors = np.linalg.eig(rotation)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    axis /= np.linalg.norm(axis)
    across = shift - axis * (shift @ axis)
    point = np.linalg.lstsq(np.eye(3) - rotation, across, rcond=None)[0]
    return axis, point


def _frame(axis):
    """(3, 3) rotation that brings the axis onto z."""
    side = np.cross(axis, [1.0, 0, 0] if abs(axis[0]) < 0.9 else [0, 1.0, 0])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(axis, side), axis])


def write_micrograph(folder, name, atoms, diameter, pixel_size, snr, seed) -> list:
    """Write a micrograph; returns the centre lines, (n, 2) yx px each."""
    rng = np.random.default_rng(seed)
    lines, projection = [], np.zeros((SIDE, SIDE))
    for _ in range(int(rng.integers(3, 7))):
        line = _line(rng)
        lines.append(line)
        projection += _project(atoms, line, pixel_size, rng)
    projection = gaussian_filter(projection, 4.0 / pixel_size)
    inside = _near(lines, diameter / pixel_size / 2)
    defocus = rng.uniform(8000, 25000)
    transfer = ctf_rfft((SIDE, SIDE), pixel_size, defocus, defocus, 0.0, 300.0, 2.7, 0.1).numpy()
    clean = np.fft.irfft2(np.fft.rfft2(projection) * transfer, s=projection.shape)
    clean -= clean.mean()
    noise = rng.normal(0, np.sqrt((clean[inside] ** 2).mean() / snr), clean.shape)
    mrcfile.write(folder / f"{name}.mrc", (noise - clean).astype(np.float32), voxel_size=pixel_size)
    return lines


def _line(rng):
    """A gently bent line through the micrograph, positions STEP px apart."""
    along = np.linspace(-1, 1, int(1.5 * SIDE / STEP))
    angle = rng.uniform(0, np.pi) + rng.normal(0, 0.15) * along + rng.normal(0, 0.05) * np.sin(4 * along)
    line = np.cumsum(STEP * np.stack([np.sin(angle), np.cos(angle)], 1), 0)
    return line - line[len(line) // 2] + rng.uniform(0.2, 0.8, 2) * SIDE


def _project(atoms, line, pixel_size, rng):
    """(SIDE, SIDE) number of atoms of a filament bent along a line, turned about its axis."""
    turn = rng.uniform(0, 2 * np.pi)
    across = (atoms[:, 0] * np.cos(turn) - atoms[:, 1] * np.sin(turn)) / pixel_size
    position = (atoms[:, 2] - atoms[:, 2].min()) / pixel_size / STEP
    keep = position < len(line) - 1
    tangent = np.gradient(line, axis=0) / STEP
    at = lambda values: np.interp(position[keep], np.arange(len(line)), values)
    y = at(line[:, 0]) + across[keep] * at(tangent[:, 1])
    x = at(line[:, 1]) - across[keep] * at(tangent[:, 0])
    edges = np.arange(SIDE + 1) - 0.5
    return np.histogram2d(y, x, bins=(edges, edges))[0]


def _near(lines, distance):
    from scipy.ndimage import distance_transform_edt

    far = np.ones((SIDE, SIDE), bool)
    for line in lines:
        at = np.rint(line).astype(int)
        far[tuple(at[((at >= 0) & (at < SIDE)).all(1)].T)] = False
    return distance_transform_edt(far) <= distance


def judged(path, lines, width) -> TraceAgreement:
    """Agreement of the segments of a micrograph: joined along each filament, not across gaps."""
    (columns,) = read_tables(path).values()
    rows = np.array([columns[f"rln{c}"] for c in ("CoordinateY", "CoordinateX", "HelicalTubeID")], float).T
    traces = []
    for _, tube in itertools.groupby(rows, key=lambda row: row[2]):
        positions = np.array(list(tube))[:, :2]
        gaps = np.flatnonzero(np.linalg.norm(np.diff(positions, axis=0), axis=1) > 0.6 * width) + 1
        traces += [part for part in np.split(positions, gaps) if len(part) > 1]
    crossed = crossings(lines, width)
    apart = [
        np.linalg.norm(line[:, None] - crossed[None], axis=2).min(1) > 1.5 * width
        if len(crossed)
        else line[:, 0] > -1e9
        for line in lines
    ]
    clear = [a & ((line > width) & (line < SIDE - width)).all(1) for a, line in zip(apart, lines)]
    return trace_agreement(traces, lines, clear, width)


def tables(figures: dict) -> str:
    """Markdown of the figures."""
    first = table(
        ["filament", "SNR", "stated / true diameter", "precision", "recall", "F1", "angle error (degrees)", "CPU s"],
        [
            [r["filament"], r["snr"], r["stated"], *(f"{r[k]:.2f}" for k in ("precision", "recall", "f1")),
             "-" if r["angle_mean"] is None else f"{r['angle_mean']:.1f}", f"{r['seconds']:.1f}"]
            for r in figures["simulated"]
        ],
    )  # fmt: skip
    second = table(
        ["real micrographs without filaments", "micrographs", "filament diameter (Å)", "filaments", "segments"],
        [[r["set"], r["micrographs"], f"{r['diameter']:g}", r["filaments"], r["segments"]] for r in figures["without"]],
    )
    return f"{first}\n\n{second}"


if __name__ == "__main__":
    main()
