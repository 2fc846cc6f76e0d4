# SPDX-License-Identifier: GPL-3.0-or-later
"""What the picks are worth: the same RELION steps on each picker's particles, and the resolution of the maps.

The micrographs are simulated (ribosomes with ice, clumps and a gradient), so that ground truth and CTF are known. With
--reconstruct-real SET the test micrographs of a real set are used as well, with the CTFs of --ctf FOLDER (CTFFIND's
texts, one for each micrograph), or without CTF correction.
"""

import dataclasses
from pathlib import Path

from common import cryodl
from parts import engine_path, pick, table

STRUCTURE, PIXEL_SIZE, BOX, SIDE = "structures/maps/SIM_4V4R_70S_5A.mrc.gz", 7.5, 48, 768
DIAMETER = 290.0  # Å
OPTICS = ("DefocusU", "DefocusV", "DefocusAngle", "Voltage", "SphericalAberration", "AmplitudeContrast")
SYMMETRY = {"empiar10017": "D2"}
NO_CTF = (0, 0, 0, 300, 2.7, 0.1)


@dataclasses.dataclass(frozen=True)
class Case:
    """Micrographs to reconstruct from. diameter: Å. box: px. ground_truth: {name: yx}. ctf: {name: values of OPTICS} or
    None."""

    name: str
    micrographs: list
    pixel_size: float
    diameter: float
    box: int
    ground_truth: dict
    ctf: dict | None
    symmetry: str


def run(bench):
    cases = [lambda: _simulated_case(bench)] + [lambda: _real_case(bench)] * bool(bench.options.reconstruct_real)
    for name, case in zip(("simulated", bench.options.reconstruct_real), cases):
        for picker in bench.options.reconstruct:
            bench.once(f"reconstruction/{name}/{picker}", lambda: _measure(bench, case(), picker))


def _simulate(bench, name, count, seed):
    """A folder of simulated micrographs, made if it is not there."""
    folder = bench.output / name
    if not folder.exists():
        cryodl(
            "simulate-micrographs",
            "--structure",
            bench.data / STRUCTURE,
            "--pixel-size",
            PIXEL_SIZE,
            "--count",
            count,
            "--size",
            SIDE,
            "--particles",
            60,
            "--snr",
            0.06,
            "--ice",
            3,
            "--aggregates",
            1,
            "--gradient",
            1,
            "--seed",
            seed,
            "--output",
            folder,
            "--threads",
            1,
        )
    return folder


def _simulated_case(bench):
    engine_path()
    from cryodl.io.coordinates import read_coordinates
    from cryodl.io.star_columns import read_star_column

    data = _simulate(bench, "simulated", 4, 1)
    ground_truth = {k: v[0] for k, v in read_coordinates(data / "coordinates").items()}
    ctf = {
        name: tuple(read_star_column(data / "coordinates" / f"{name}.star", f"_rln{c}")[0] for c in OPTICS)
        for name in ground_truth
    }
    return Case(
        "simulated", sorted((data / "micrographs").glob("*.mrc")), PIXEL_SIZE, DIAMETER, BOX, ground_truth, ctf, "C1"
    )


def _real_case(bench):
    engine_path()
    from cryodl.io.coordinates import read_coordinates

    real = bench.real(bench.options.reconstruct_real)
    ground_truth = {k: v[0] for k, v in read_coordinates(real.ground_truth).items()}
    ctf = None
    if bench.options.ctf:
        ctf = {Path(p).stem: _ctffind(Path(bench.options.ctf) / f"{Path(p).stem}.txt") for p in real.test}
    return Case(
        real.name,
        list(map(Path, real.test)),
        real.pixel_size,
        real.diameter,
        2 * round(0.75 * real.diameter_px),
        ground_truth,
        ctf,
        SYMMETRY.get(real.name, "C1"),
    )


def _ctffind(path):
    """Values of OPTICS in the text that CTFFIND 4 writes."""
    lines = path.read_text().splitlines()
    values = [line.split() for line in lines if line.strip() and not line.startswith("#")][0]
    head = next(line for line in lines if "acceleration voltage" in line)
    number = lambda word: float(head.split(word + ":")[1].split()[0])
    return (*values[1:4], number("acceleration voltage"), number("spherical aberration"), number("amplitude contrast"))


def _measure(bench, case, picker):
    from relion import reconstruct

    from cryodl.core.matching import match_picks

    picks = case.ground_truth if picker == "truth" else PICKERS.get(picker, _network)(bench, case, picker)
    names = [p.stem for p in case.micrographs]
    distance = case.diameter / case.pixel_size / 4
    hits = sum(match_picks(picks[n], case.ground_truth[n], distance).sum() for n in names)
    picked, total = (sum(len(which[n]) for n in names) for which in (picks, case.ground_truth))
    ctf = case.ctf or {n: NO_CTF for n in names}
    figures = reconstruct(bench.folder(f"relion {case.name} {picker}"), case.micrographs, picks, ctf, case)
    return dict(figures, precision=float(hits / max(1, picked)), recall=float(hits / total))


def _picks(bench, case, model, name):
    from cryodl.io.coordinates import read_coordinates

    folder = bench.folder(f"reconstruction {case.name} picks {name}")
    pick(case.micrographs, case.pixel_size, case.diameter, model, folder)
    return {k: v[0] for k, v in read_coordinates(folder).items()}


def _network(bench, case, picker):
    """Trained on all labels of four other simulated micrographs, or of the set's training micrographs."""
    if case.name != "simulated":
        return _picks(bench, case, bench.trained(bench.real(case.name), picker), picker)
    data, model = _simulate(bench, "simulated-training", 4, 2), bench.output / "models" / f"simulated-{picker}"
    if not model.exists():
        model.parent.mkdir(exist_ok=True)
        cryodl(
            "train-picker",
            "--micrographs",
            *sorted((data / "micrographs").glob("*.mrc")),
            "--coordinates",
            data / "coordinates",
            "--pixel-size",
            PIXEL_SIZE,
            "--particle-diameter",
            DIAMETER,
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
    return _picks(bench, case, model, picker)


def _general(bench, case, picker):
    """The general model that never saw this molecule."""
    return _picks(bench, case, bench.general("empiar10028" if case.name == "simulated" else case.name), picker)


def _topaz(bench, case, picker):
    """Topaz's pretrained detector at its default threshold."""
    from cryodl.io.coordinates import read_coordinates

    if bench.topaz is None:
        raise ValueError("Topaz is not there; give --topaz PYTHON.")
    px = case.diameter / case.pixel_size
    scale = max(1, round(px / 30))
    images, _ = bench.topaz.preprocess(case.micrographs, scale, f"{case.name} {scale}")
    out = bench.output / "work" / f"topaz-{case.name}.txt"
    bench.topaz.extract("resnet8_u64", images, px / 2, scale, out)
    found = read_coordinates(out)
    return {p.stem: found[p.stem][0][found[p.stem][1] >= 0] for p in case.micrographs}


PICKERS = {"general": _general, "Topaz": _topaz}


def tables(bench):
    rows = []
    for case in ("simulated", bench.options.reconstruct_real):
        for picker in bench.options.reconstruct if case else ():
            f = bench.figures.get(f"reconstruction/{case}/{picker}")
            known = ("extracted", "precision", "recall", "kept")
            rows.append(
                [case, picker, *(f[k] for k in known), f"{f['resolution']:.1f}", f"{f['cpu']:.0f}"]
                if f
                else [case, picker] + [None] * 6
            )
    return table(
        [
            "micrographs",
            "picks of",
            "particles",
            "precision",
            "recall",
            "kept after 2-D classes",
            "resolution, Å (FSC 0.143)",
            "RELION CPU s",
        ],
        rows,
    )
