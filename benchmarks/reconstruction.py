# SPDX-License-Identifier: GPL-3.0-or-later
"""What the picks are worth: the same RELION steps on each picker's particles, and the resolution of the maps.

The micrographs are simulated (ribosomes with ice, clumps and a gradient), so that truth and CTF are known.
"""
from pathlib import Path

from bench import engine_path, pick, table
from common import cryodl

STRUCTURE, PIXEL_SIZE, BOX, SIDE = "structures/maps/SIM_4V4R_70S_5A.mrc.gz", 7.5, 48, 768
DIAMETER = 290.0  # Å
OPTICS = ("DefocusU", "DefocusV", "DefocusAngle", "Voltage", "SphericalAberration", "AmplitudeContrast")


def run(bench):
    for picker in bench.options.reconstruct:
        bench.once(f"reconstruction/{picker}", lambda: _measure(bench, picker))


def _simulate(bench, name, count, seed):
    """A folder of simulated micrographs, made if it is not there, and the particle's diameter in Å."""
    folder = bench.output / name
    if not folder.exists():
        cryodl("simulate-micrographs", "--structure", bench.data / STRUCTURE, "--pixel-size", PIXEL_SIZE, "--count", count,
               "--size", SIDE, "--particles", 60, "--snr", 0.06, "--ice", 3, "--aggregates", 1, "--gradient", 1,
               "--seed", seed, "--output", folder, "--threads", 1)
    return folder


def _measure(bench, picker):
    engine_path()
    from cryodl.io.coordinates import read_coordinates, read_star_column
    from cryodl.matching import match_picks
    from relion import reconstruct
    data = _simulate(bench, "simulated", 4, 1)
    micrographs = sorted(str(p) for p in Path(data, "micrographs").glob("*.mrc"))
    truth = {k: v[0] for k, v in read_coordinates(data / "coordinates").items()}
    ctf = {name: tuple(read_star_column(data / "coordinates" / f"{name}.star", f"_rln{c}")[0] for c in OPTICS)
           for name in truth}
    picks = truth if picker == "truth" else PICKERS.get(picker, _network)(bench, picker, micrographs)
    hits = sum(match_picks(picks[n], truth[n], DIAMETER / PIXEL_SIZE / 4).sum() for n in truth)
    picked, total = sum(map(len, picks.values())), sum(map(len, truth.values()))
    figures = reconstruct(bench.folder(f"relion {picker}"), micrographs, picks, ctf, PIXEL_SIZE, DIAMETER, BOX)
    return dict(figures, precision=float(hits / max(1, picked)), recall=float(hits / total))


def _picks(bench, micrographs, model, name):
    engine_path()
    from cryodl.io.coordinates import read_coordinates
    folder = bench.folder(f"reconstruction picks {name}")
    pick(micrographs, PIXEL_SIZE, DIAMETER, model, folder)
    return {k: v[0] for k, v in read_coordinates(folder).items()}


def _network(bench, picker, micrographs):
    """Trained on all labels of four other simulated micrographs."""
    data, model = _simulate(bench, "simulated-training", 4, 2), bench.output / "models" / f"simulated-{picker}"
    if not model.exists():
        cryodl("train-picker", "--micrographs", *sorted(Path(data, "micrographs").glob("*.mrc")), "--coordinates",
               data / "coordinates", "--pixel-size", PIXEL_SIZE, "--particle-diameter", DIAMETER, "--network", picker, "--labels",
               "complete", "--output", model, "--device", "cpu", "--threads", 1)
    return _picks(bench, micrographs, model, picker)


def _general(bench, picker, micrographs):
    """The general model that never saw a ribosome."""
    return _picks(bench, micrographs, bench.general("empiar10028"), picker)


def _topaz(bench, picker, micrographs):
    """Topaz's pretrained detector at its default threshold."""
    from cryodl.io.coordinates import read_coordinates
    if bench.topaz is None:
        raise ValueError("Topaz is not there; give --topaz PYTHON.")
    images, _ = bench.topaz.preprocess(micrographs, 1, "simulated")
    out = bench.output / "work" / "topaz-simulated.txt"
    bench.topaz.extract("resnet8_u64", images, DIAMETER / PIXEL_SIZE / 2, 1, out)
    found = read_coordinates(out)
    return {Path(p).stem: found[Path(p).stem][0][found[Path(p).stem][1] >= 0] for p in micrographs}


PICKERS = {"general": _general, "Topaz": _topaz}


def tables(bench):
    rows = []
    for picker in bench.options.reconstruct:
        f = bench.figures.get(f"reconstruction/{picker}")
        rows.append([picker, *(f and f[k] for k in ("extracted", "precision", "recall", "kept")),
                     f and f"{f['resolution']:.1f}", f and f"{f['cpu']:.0f}"] if f else [picker] + [None] * 6)
    return table(["picks of", "particles", "precision", "recall", "kept after 2-D classes", "resolution, Å (FSC 0.143)",
                  "RELION CPU s"], rows)
