# SPDX-License-Identifier: GPL-3.0-or-later
"""Micrographs: sorted by hand, filaments, denoising; real ones, and made apart from the package's simulator."""

import csv
import itertools
import json
from pathlib import Path

import mrcfile
import numpy as np
import torch
from bench import (
    CPU,
    ROOT,
    SETS,
    benchmark,
    columns,
    cryodl,
    data_folder,
    f1_ap,
    flags,
    grouped,
    groups,
    mean,
    pick,
    real,
    score,
    structure_file,
    title,
)
from peers import Topaz
from recipes.filaments import COUNT, FILAMENTS, SIDE, straight_filament
from recipes.filaments import write_micrograph as write_filaments
from recipes.micrographs import to_assess, unseen
from recipes.other_micrographs import KINDS, Field
from scipy.ndimage import gaussian_filter

from cryodl.core.optics import Optics
from cryodl.core.projections import Projector
from cryodl.io import micrographs, star, structures
from cryodl.micrographs.filaments.train import TraceAgreement, trace_agreement
from cryodl.simulate import filament_scenes, noise, pool
from cryodl.simulate.micrographs import particle_diameter, simulate_micrograph

# ----- sorted by hand
SEED = 2711
EXAMPLE_PX = 30  # diameter of a particle of contamination_example, whose pixel size is not known


# how the simulated ones are made, and how many
CASES = {
    "good": 5,
    "empty": 3,
    "thick ice": 3,
    "little carbon": 1,
    "much carbon": 1,
    "all carbon": 1,
    "drift": 3,
    "dirt": 3,
}


def to_sort():
    """{name of a set: (paths, pixel size Å/px, diameter Å)}."""
    found = {one.name: (one.micrographs, one.pixel_size, one.diameter) for one in map(real, SETS)}
    example = data_folder() / "contamination_example" / "Ucsf_stack_1142_DW.mrc"
    return {**found, "contamination example": ([example], 1.0, 1.0 * EXAMPLE_PX)}


def assessed(paths, pixel_size, diameter, work):
    """{name: the command's verdict, reason and areas}."""
    given = ("--micrographs", *paths, "--pixel-size", pixel_size, "--particle-diameter", diameter, "--threads", 1)
    cryodl("assess-micrographs", *given, "--output", work)
    with open(work / "micrographs.csv", newline="") as file:
        keys = ("verdict", "reason", "contaminated_percent", "carbon_percent")
        return {row["name"]: [row[key] for key in keys] for row in csv.DictReader(file)}


def by_verdict(rows, *keys):
    """Rows by kind and verdict, good ones first, and all."""
    kind = lambda r: "simulated" if r["set"] == "simulated" else "real"
    each = [dict(r, kind=kind(r), said=": ".join(r["by_hand"][: 1 + (r["by_hand"][0] == "bad")])) for r in rows]
    found = grouped([*each, *[dict(r, kind="all", said=r["by_hand"][0]) for r in rows]], *keys).items()
    return dict(sorted(found, key=lambda one: (one[0][0] == "all", one[0][0], one[0][1] != "good", one[0][1])))


agree = lambda part: sum(r["assessed"][0] == r["by_hand"][0] for r in part)
by_hand_columns = {"micrographs": "kind", "by hand": "said", "number": len, "the same verdict": agree}
assessed_table = groups(("kind", "said"), by_hand_columns, by_verdict)


def sorted_simulations(folder):
    """Write sim01.mrc ...; returns what `to_sort` has of a set, and {name: how it was made}."""
    member, rng = pool.load_member(unseen()["1IGY"], 60), np.random.default_rng(SEED)
    cases = rng.permutation([case for case, count in CASES.items() for _ in range(count)])
    folder.mkdir()
    for number, case in enumerate(cases, 1):
        micrographs.write_micrograph(folder / f"sim{number:02}.mrc", to_assess(case, member, rng), member.extent / 60)
    made_as = {f"sim{n:02}": str(case) for n, case in enumerate(cases, 1)}
    return (sorted(folder.glob("*.mrc")), member.extent / 60, member.extent), made_as


@benchmark(
    cases=dict(set=[*SETS, "contamination example", "simulated"]),
    tables={"assessed-by-hand": assessed_table},
    quick=dict(set="contamination example"),
)
def assessed_by_hand(run, set):
    """`cryodl assess-micrographs` beside one person's sorting of the same micrographs (figures/sorted_by_hand.json:
    {name: [good or bad, why]}), done on pictures of 340 px before the first run of the command. Its limits are the
    defaults."""
    by_hand = json.loads((ROOT / "benchmarks" / "figures" / "sorted_by_hand.json").read_text())
    work, made_as = run.work(set), {}
    if set == "simulated":
        given, made_as = sorted_simulations(work / "made")
    found = assessed(*(given if made_as else to_sort()[set]), work / "out")
    how = lambda name: dict(made_as=made_as[name]) if made_as else {}
    return [dict(name=name, **how(name), assessed=said, by_hand=by_hand[name]) for name, said in found.items()]


# structure, Å/px (None: 44 px wide), kinds: crystals are seen with fine pixels alone
OTHERS = {"GroEL": ("1OEL", None, KINDS[:-1]), "rhodopsin": ("1U19", 1.5, KINDS)}


def by_kind(rows, key):
    """Rows by kind, in the order of KINDS, and all but good ones."""
    every = [*rows, *(dict(r, kind="all but good") for r in rows if r["kind"] != "good")]
    return dict(sorted(grouped(every, key).items(), key=lambda one: [*KINDS, "all but good"].index(one[0][0])))


total = lambda key: lambda part: sum(r[key] for r in part)
others_table = groups(
    ("kind",), {"made as": "kind", "micrographs": total("count"), "called bad": total("bad")}, by_kind
)


@benchmark(
    cases=lambda: [dict(molecule=m, kind=k) for m, (_, _, kinds) in OTHERS.items() for k in kinds],
    tables={"assessed-elsewhere": others_table},
    quick=dict(molecule="GroEL", kind="empty", good=1, bad=1),
)
def assessed_elsewhere(run, molecule, kind, good=8, bad=3):
    """`cryodl assess-micrographs` on good and bad micrographs of another generator (recipes/other_micrographs.py): its
    judge learnt from the package's. Limits are the defaults, no picks."""
    name, pixel_size, kinds = OTHERS[molecule]
    field, work = Field(structure_file(name), pixel_size), run.work(f"{molecule} {kind}")
    rng, count = np.random.default_rng((31, len(molecule), kinds.index(kind))), good if kind == "good" else bad
    for number in range(count):
        micrographs.write_micrograph(work / f"m{number}.mrc", field.micrograph(kind, rng), field.pixel_size)
    found = assessed(sorted(work.glob("m*.mrc")), field.pixel_size, field.diameter, work / "out")
    said = [verdict for verdict, *_ in found.values()]
    return dict(count=count, bad=said.count("bad"), reasons=sorted({reason for _, reason, *_ in found.values()}))


# ----- filaments


def judged(path, lines, width) -> TraceAgreement:
    """Agreement of the segments of a micrograph: joined along each filament, not across gaps."""
    (columns,) = star.read_tables(path).values()
    rows = np.array([columns[f"rln{c}"] for c in ("CoordinateY", "CoordinateX", "HelicalTubeID")], float).T
    traces = []
    for _, tube in itertools.groupby(rows, key=lambda row: row[2]):
        positions = np.array(list(tube))[:, :2]
        gaps = np.flatnonzero(np.linalg.norm(np.diff(positions, axis=0), axis=1) > 0.6 * width) + 1
        traces += [part for part in np.split(positions, gaps) if len(part) > 1]
    crossed = filament_scenes.crossings(lines, width)
    apart = [
        np.linalg.norm(line[:, None] - crossed[None], axis=2).min(1) > 1.5 * width
        if len(crossed)
        else line[:, 0] > -1e9
        for line in lines
    ]
    clear = [a & ((line > width) & (line < SIDE - width)).all(1) for a, line in zip(apart, lines)]
    return trace_agreement(traces, lines, clear, width)


@benchmark(
    cases=lambda: [
        dict(filament=name, snr=snr, stated=stated)
        for name in FILAMENTS
        for snr in (0.03, 0.1, 0.3)
        for stated in ((0.75, 1.0, 1.3) if snr == 0.1 else (1.0,))
    ],
    tables={
        "filaments": columns(
            {
                "filament": "filament",
                "SNR": "snr:g",
                "stated / true diameter": "stated:g",
                "precision": "precision:.2f",
                "recall": "recall:.2f",
                "F1": "f1:.2f",
                "angle error (degrees)": "angle_mean:.1f",
                "CPU s": "seconds:.1f",
            }
        )
    },
    quick=dict(count=1),
)
def filaments(run, filament, snr, stated, count=COUNT):
    """`cryodl pick-filaments` against known centre lines: filaments of several hundred nanometres from atomic models,
    apart from the engine's training scenes, three to six on 1024 px that cross now and then, coloured noise, a CTF."""
    diameter, pixel_size = FILAMENTS[filament][1:]
    atoms, total = straight_filament(FILAMENTS[filament][0]), TraceAgreement()
    work, size = run.work(f"{filament} {snr:g} {stated:g}"), (diameter, pixel_size, snr)
    lines = [write_filaments(work, f"m{i}", atoms, *size, (len(filament), i)) for i in range(count)]
    given = ("--pixel-size", pixel_size, "--filament-diameter", diameter * stated, "--pictures", 0)
    more = ("--segment-distance", diameter / 4, "--minimum-length", 3 * diameter, "--output", work / "picks")
    seconds = cryodl("pick-filaments", "--micrographs", f"{work}/*.mrc", *given, *more)[1]
    for i, ground_truth in enumerate(lines):
        total += judged(work / "picks" / f"m{i}.star", ground_truth, diameter / pixel_size)
    return dict(seconds=seconds / count, **total.metrics())


WIDTHS = (80.0, 130.0, 250.0)  # Å
traced = lambda width: (
    lambda part: ", ".join("{filaments}, {segments}".format(**r) for r in part if r["diameter"] == width)
)


@benchmark(
    cases=dict(set=SETS, diameter=WIDTHS),
    tables={
        "filaments-without": groups(
            ("set",),
            {
                "real micrographs without filaments": lambda part: "{micrographs} of {set}".format(**part[0]),
                **{f"filaments, segments traced at {width:g} Å": traced(width) for width in WIDTHS},
            },
        )
    },
)
def filaments_without(run, set, diameter):
    """What `cryodl pick-filaments` traces on real micrographs without filaments."""
    one, work = real(set), run.folder(f"{set} {diameter:g}")
    given = ("--pixel-size", one.pixel_size, "--filament-diameter", diameter, "--pictures", 0)
    cryodl("pick-filaments", "--micrographs", *one.micrographs, *given, "--output", work)
    records = [json.loads(p.read_text()) for p in work.glob("*.json")]
    return dict(micrographs=len(records), **{key: sum(r[key] for r in records) for key in ("filaments", "segments")})


# ----- denoising
MOLECULES = {"beta-galactosidase": "8BK7", "GroEL": "1OEL", "spike": "6VXX", "proteasome": "3J9I"}
HALVES = 0.1  # SNR at which even frames are compared with odd ones
PIXEL_SIZE, RESOLUTION = 2.0, 8.0  # Å/px, Å


def make_set(run, molecule, snr, side, count, particles):
    """Folder of <kind>/mic<n>.mrc: averages of even and of odd frames, their mean, and the noise-free micrograph."""
    folder = run.output / "sets" / f"{molecule}-{snr:g}"
    if (folder / "clean" / f"mic{count - 1}.mrc").exists():
        return folder
    torch.set_num_threads(1)
    density = structures.load_density(structure_file(MOLECULES[molecule]), PIXEL_SIZE)
    diameter = particle_diameter(density, PIXEL_SIZE) / PIXEL_SIZE
    projector, shape = Projector(density), (side, side)
    for index in range(count):
        defocus = 8000.0 + 7000 * index
        optics = Optics(defocus, defocus, 0.0, 300.0, 2.7, 0.1)
        with_particles, without = (
            simulate_micrograph(
                projector, PIXEL_SIZE, shape, particles, strength, optics, np.random.default_rng((index, 77)), diameter
            ).image
            for strength in (snr, 0.0)  # with the same noise
        )
        clean = with_particles - without
        even, odd = (
            2**0.5 * noise.MicroscopeNoise()(shape, PIXEL_SIZE, optics, np.random.default_rng((index, k)))
            for k in (1, 2)
        )
        for kind, image in dict(even=clean + even, odd=clean + odd, mean=clean + (even + odd) / 2, clean=clean).items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            mrcfile.write(folder / kind / f"mic{index}.mrc", image.numpy(), overwrite=True, voxel_size=PIXEL_SIZE)
    return folder


def way_figures(run, folder, way):
    """Figures of one way: agreement of what it makes of the whole dose with the truth, and of even with odd frames."""
    out = run.folder(folder.name + way)
    cost = denoise(run, folder / "mean", out, PIXEL_SIZE, way)
    found = agreement(out, folder / "clean")
    if folder.name.endswith(f"-{HALVES:g}") and way != "trained on them":
        denoise(run, folder / "even", out.with_name(out.name + "-even"), PIXEL_SIZE, way)
        found["even_odd"] = agreement(out.with_name(out.name + "-even"), folder / "odd")["correlation"]
    return dict(found, cpu=cost / len(list(folder.glob("mean/*.mrc"))))


MODELS = {"general": "general_denoiser", "trained on them": None}


def denoise(run, source, out, pixel_size, way):
    """Denoise all micrographs of a folder into another one. Returns CPU seconds."""
    files = sorted(source.glob("*.mrc"))
    out.mkdir(parents=True)
    if way == "topaz":
        # in one piece: its usual patches of 1024 px with margins of 500 px cost three times as much
        return Topaz(run.tool("topaz"), out).run("denoise", "-o", out, "-d", -1, "--patch-size", -1, *files)[0]
    given = ("--micrographs", *files, "--pixel-size", pixel_size, "--output", out, *CPU)
    return cryodl("denoise-micrographs", *given, *flags(model=MODELS[way]))[1]


def radial(folder):
    """Figures of the micrograph as it is, low-passed, and of the best radial filter there is, which the truth tells."""
    even_odd = agreement(folder / "even", folder / "odd")["correlation"]
    best = agreement(folder / "mean", folder / "clean", filtered_by=best_radial)
    found = dict(even_odd=even_odd, best_radial=best["correlation"], best_radial_frc=best["mean_frc"])
    return dict(agreement(folder / "mean", folder / "clean"), **found)


def agreement(folder, ground_truth, filtered_by=None):
    """Mean correlation, and mean Fourier ring correlation up to 8 Å, of the micrographs of two folders."""
    correlations, curves = [], []
    for path in sorted(Path(ground_truth).glob("*.mrc")):
        first, second = (low_passed(read(Path(f) / path.name)) for f in (folder, ground_truth))
        first = filtered_by(first, second) if filtered_by else first
        correlations.append(float(np.corrcoef(first.ravel(), second.ravel())[0, 1]))
        curves.append(ring_correlation(first, second).mean())
    return dict(correlation=float(np.mean(correlations)), mean_frc=float(np.mean(curves)))


def read(path):
    """(h, w) float32 image without its slow background, which denoisers keep."""
    image = np.array(mrcfile.read(path), np.float32)
    return image - gaussian_filter(image, 400 / PIXEL_SIZE, mode="nearest")


def rings(shape):
    """(h, w // 2 + 1) number of the ring of rfft2, one for each pixel of frequency of the image."""
    return np.rint(min(shape) * np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])).astype(
        int
    )


def low_passed(image):
    kept = rings(image.shape) <= min(image.shape) * PIXEL_SIZE / RESOLUTION
    return np.fft.irfft2(np.fft.rfft2(image) * kept, s=image.shape)


def ring_correlation(first, second):
    """Fourier ring correlation of each ring from 1 to 8 Å."""
    a, b = np.fft.rfft2(first), np.fft.rfft2(second)
    ring = rings(first.shape)
    product, power, other = (
        np.bincount(ring.ravel(), x.ravel()) for x in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    last = int(min(first.shape) * PIXEL_SIZE / RESOLUTION)
    return (product / np.sqrt(np.maximum(power * other, 1e-30)))[1 : last + 1]


def best_radial(image, ground_truth):
    """The image after the radial filter that brings it nearest to the truth."""
    a, b = np.fft.rfft2(image), np.fft.rfft2(ground_truth)
    ring = rings(image.shape)
    product, power = (np.bincount(ring.ravel(), x.ravel()) for x in ((a * b.conj()).real, np.abs(a) ** 2))
    return np.fft.irfft2(a * (product / np.maximum(power, 1e-30))[ring], s=image.shape)


WAYS = {
    "raw": "as it was, low-passed to 8 Å",
    "best radial": "best radial filter, from the ground truth",
    "topaz": "Topaz 0.3.20, pretrained `unet`",
    "general": "`--model general_denoiser`",
    "trained on them": "trained on these micrographs (600 steps)",
}
TAUGHT = "GroEL"  # of which a denoiser is trained on the micrographs themselves, too


def denoised_table(rows):
    """Means over the molecules of each SNR, and the molecule of which a denoiser was trained."""
    head = ["SNR", "molecules", "micrographs", "correlation", "mean FRC to 8 Å", "even with odd frames", "CPU s each"]
    figures = lambda r: dict(correlation=r["best_radial"], mean_frc=r["best_radial_frc"])
    same = lambda r: dict(way="best radial", snr=r["snr"], molecule=r["molecule"])
    best = [dict(figures(r), **same(r)) for r in rows if r["way"] == "raw"]
    forms, lines = dict(correlation=".3f", mean_frc=".3f", even_odd=".3f", cpu=".0f"), [head]
    for (snr,), part in sorted(grouped([*rows, *best], "snr").items(), reverse=True):
        every = {r["molecule"] for r in part if r["way"] == "raw"}
        for names in (every, every & {r["molecule"] for r in part if r["way"] == "trained on them"}):
            for way in WAYS if names else ():
                ones = [r for r in part if r["way"] == way and r["molecule"] in names]
                if len(ones) == len(names):
                    shown = [format(mean(r[k] for r in ones), f) if k in ones[0] else "" for k, f in forms.items()]
                    lines.append([f"{snr:g}", " and ".join(sorted(names)), WAYS[way], *shown])
    return lines


@benchmark(
    cases=lambda: [
        dict(molecule=m, snr=snr, way=way)
        for m in MOLECULES
        for snr in (0.3, 0.1, 0.03)
        for way in ("raw", "general", "topaz", *(["trained on them"] if m == TAUGHT else []))
    ],
    tables={"denoised-micrographs": denoised_table},
    quick=dict(way="general", side=512, count=1, particles=10),
)
def denoised_micrographs(run, molecule, snr, way, side=1280, count=3, particles=60):
    """Denoised micrographs beside the noise-free ones, of molecules that the shipped denoiser did not learn from, by
    `simulate_micrograph`, not by the generator of the training scenes. SNR: variance of the noise-free micrograph
    within the particles' circles over that of the noise. All is compared after a low-pass filter to 8 Å."""
    folder = make_set(run, molecule, snr, side, count, particles)
    return radial(folder) if way == "raw" else way_figures(run, folder, way)


@benchmark(
    cases=dict(set=["empiar10017", "empiar10028"], way=["raw", "general", "topaz"]),
    tables={
        "picked-denoised": columns(
            {
                "set": lambda r: title(r["set"]),
                "test micrographs": "micrographs",
                "picked on": lambda r: WAYS[r["way"]].split(",")[0] if r["way"] == "raw" else WAYS[r["way"]],
                "best F1 / AP (F1 at the default threshold)": f1_ap,
                "CPU s to denoise each": "cpu:.0f",
            }
        )
    },
    quick=dict(set="empiar10028", way="raw"),
)
def picked_denoised(run, set, way):
    """What the general picker finds on real test micrographs as they are, and denoised."""
    one, cost, work = real(set), None, run.folder(f"{set} {way}")
    files = [Path(p) for p in one.test]
    if way != "raw":
        (work / "links").mkdir(parents=True)
        for path in files:
            (work / "links" / path.name).symlink_to(path.resolve())
        cost = denoise(run, work / "links", work / "denoised", one.pixel_size, way) / len(files)
        files = [work / "denoised" / path.name for path in files]
    pick(files, one.pixel_size, one.diameter, "general", work / "picks")
    return dict(score(one, work / "picks"), cpu=cost, micrographs=len(files))
