# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge of `cryodl assess-micrographs`, trained on simulated micrographs, good ones and ones with a defect.

Artificial assemblies alone are shown, of 60 to 500 Å, most of them 18 to 36 px wide, in 10 to 32 diameters of field.
What is good and what is bad is what was simulated. Bad: fields without particles; with ice that differs by 120 to
320 nm and particles of a hundredth of the usual SNR; of carbon that hides them; that moved by 15 Å or more; in which
contamination takes more than a quarter of the positions; with crystalline ice. Good: motions to 5 Å, ice that differs
by less than 50 nm, at most an eighth of the positions lost, carbon to 40 %, an SNR of 0.02 to 0.5 at 60 px.
"""

import json
import math

import numpy as np
import torch
from bench import benchmark
from scipy import ndimage, optimize

from cryodl.core.optics import ctf_rfft
from cryodl.micrographs.assess import assessment, judge
from cryodl.micrographs.assess.assessment import DOSE, FREE_PATH
from cryodl.simulate import artefacts, particles, pool, training_micrographs

KINDS = {"good": 0.4, "empty": 0.12, "thick ice": 0.12, "carbon": 0.12, "drift": 0.12, "dirt": 0.07, "crystals": 0.05}
CAUSES = {"unseen": ("empty", "thick ice", "carbon"), "drift": ("drift",), "dirt": ("dirt",), "crystals": ("crystals",)}
ASSEMBLIES, SEED = 50, 5
MOST_LOST, FEWEST_LOST = 0.12, 0.25  # part of the positions, of good and of contaminated micrographs
VISIBLE = 1.5  # standard deviations of the micrograph: pieces that are weaker count for nothing
COST = 3.0  # of a good one lost, in bad ones kept
FINE = 1.7  # Å/px, which sees the reflections of ice


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def frequencies(shape, pixel_size):
    """(h, w // 2 + 1) y and x, 1/Å."""
    return torch.fft.fftfreq(shape[0], pixel_size)[:, None], torch.fft.rfftfreq(shape[1], pixel_size)[None]


def moved(shape, pixel_size, reach, rng):
    """(h, w // 2 + 1) complex: what is left of each amplitude by a slightly bent motion over `reach` Å."""
    fy, fx = frequencies(shape, pixel_size)
    time, slowing = np.linspace(0, 1, 12), rng.uniform(0.1, 3)
    path = (1 - np.exp(-slowing * time)) / (1 - np.exp(-slowing)) - 0.5
    turn, aside = rng.uniform(0, math.pi), rng.normal(0, 0.1) * np.sin(math.pi * time)
    y, x = (
        reach * (path * math.sin(turn) + aside * math.cos(turn)),
        reach * (path * math.cos(turn) - aside * math.sin(turn)),
    )
    return sum(
        torch.exp(-2j * math.pi * (fy * float(u))) * torch.exp(-2j * math.pi * (fx * float(v))) for u, v in zip(y, x)
    ) / len(time)


def lattice(shape, pixel_size, rng):
    """(h, w) crystalline ice: patches of planes 3.44 to 3.9 Å apart, each in a few directions."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) * pixel_size
    field = np.zeros(shape, np.float32)
    for _ in range(int(rng.integers(2, 9))):
        where = rng.uniform(0, 1, 2) * shape * pixel_size, log_uniform(rng, 0.1, 0.6) * shape[0] * pixel_size
        inside = np.exp(-((((y - where[0][0]) ** 2 + (x - where[0][1]) ** 2) / where[1] ** 2) ** 2))
        turn = rng.uniform(0, math.pi)
        for k in range(int(rng.integers(1, 4))):
            apart, angle = float(rng.choice([3.44, 3.67, 3.9])), turn + k * math.pi / 3
            field += inside * np.cos(2 * math.pi / apart * (x * math.cos(angle) + y * math.sin(angle)))
    return torch.from_numpy(field)


def exposed(kind, clean, strength, extent, pixel_size, rng):
    """(h, w) what the microscope takes of a clean projection, noise of variance about 1, protein dark."""
    shape, ratio = clean.shape, (60 * pixel_size / extent) ** 2  # finer pixels have more noise each
    defocus = log_uniform(rng, 5000, 35000)
    phase_plate = rng.random() < 0.03
    transfer = ctf_rfft(
        shape, pixel_size, defocus * (1 + rng.uniform(0, 0.04)), defocus, rng.uniform(0, 180),
        float(rng.choice([300.0, 300.0, 200.0])), 2.7, 0.9 if phase_plate else float(rng.uniform(0.06, 0.13)),
    )  # fmt: skip
    fy, fx = frequencies(shape, pixel_size)
    squared = fy**2 + fx**2
    hidden = kind in ("thick ice", "carbon")
    snr = (log_uniform(rng, 0.0003, 0.004) if hidden else log_uniform(rng, 0.02, 0.5)) * ratio
    solvent = {"thick ice": (0.2, 6.0), "carbon": (1.0, 30.0)}.get(kind, (0.05, 2.0))
    seen = transfer * torch.exp(-squared * float(rng.uniform(20, 250)) / 4)
    white = lambda: torch.fft.rfft2(torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)))
    structure = torch.fft.rfft2(clean) * seen * snr**0.5 / strength(seen)
    structure = (
        structure
        + white() * transfer * torch.exp(-squared * log_uniform(rng, 3, 9) ** 2 / 2) * log_uniform(rng, *solvent) ** 0.5
    )
    structure = structure + torch.fft.rfft2(
        float(rng.uniform(0, 1) ** 2 * 0.5) * artefacts.smooth_noise(shape, log_uniform(rng, 4, 60), rng)
    )
    if kind == "crystals":
        structure = structure + log_uniform(rng, 0.1, 0.6) * torch.fft.rfft2(lattice(shape, pixel_size, rng))
    far = log_uniform(rng, max(15.0, 2.5 * pixel_size), max(45.0, 0.8 * extent))
    reach = far if kind == "drift" else rng.uniform(0, min(5.0, 0.04 * extent))
    kept = torch.exp(-squared * pixel_size**2 * float(rng.uniform(0, 5)))
    if rng.random() < 0.35:  # sampled down, or filtered
        kept = kept / (1 + (squared / (log_uniform(rng, 0.1, 0.35) / pixel_size) ** 2) ** int(rng.integers(1, 4)))
    return -torch.fft.irfft2((structure * moved(shape, pixel_size, reach, rng) + white()) * kept, s=shape)


def random_micrograph(kind, members, rng):
    """(h, w) float32 micrograph, pixel size and diameter in Å, part of the positions lost to contamination."""
    fine = kind == "crystals" or rng.random() < 0.12
    member = (
        sorted(members, key=lambda m: m.extent)[int(rng.integers(6))]
        if fine
        else members[int(rng.integers(len(members)))]
    )
    wide = member.extent / float(rng.uniform(1.0, FINE)) if fine else log_uniform(rng, 18, 36)
    side = int(np.clip(wide * rng.uniform(13, 32), 384, 640))
    shape, pixel_size = (side, side if rng.random() < 0.8 else int(0.7 * side)), member.extent / wide
    views = training_micrographs.project_views(member.density, wide / pool.EXTENT_PX, 30, rng)
    centres, clumped = particles.particle_positions(shape, wide, rng)
    while len(centres) < 12:
        centres, clumped = particles.particle_positions(shape, wide, rng)
    middle = np.array([[shape[0] / 2, shape[1] / 2]])
    alone = training_micrographs.paint(views, middle, shape, rng)
    strength = lambda seen: training_micrographs.signal_strength(
        torch.fft.irfft2(torch.fft.rfft2(alone) * seen, s=shape), middle, wide
    )
    clean = torch.zeros(shape)
    if kind != "empty":
        clean = training_micrographs.paint(views, np.vstack([centres, clumped]), shape, rng)
        clean = clean + float(training_micrographs.signal_strength(alone, middle, wide)) * artefacts.film_texture(
            shape, wide, rng
        )
    on_film = kind == "carbon" and rng.random() < 0.6
    image = exposed(kind, clean, strength, member.extent, pixel_size, rng)
    if on_film or (kind != "carbon" and rng.random() < 0.2):
        image, _ = artefacts.add_carbon(image, wide, rng, float(rng.uniform(*((0.9, 1.0) if on_film else (0.03, 0.4)))))
    pieces = (
        shape[0]
        * shape[1]
        / wide**2
        * (log_uniform(rng, 0.08, 0.4) if kind == "dirt" else 0.006 * rng.uniform(0, 1) ** 2)
    )
    spoiled, _ = artefacts.add_ice(image, int(rng.poisson(pieces + 0.3)), wide, rng)
    ice = (spoiled - image).abs() > VISIBLE * image.std()
    lost = ndimage.distance_transform_edt(~ice.numpy()) < wide / 2 if ice.any() else np.zeros(shape, bool)
    differs = float(rng.uniform(120, 320)) if kind == "thick ice" else 50 * float(rng.uniform(0, 1)) ** 2
    image = artefacts.add_gradient(
        spoiled, math.expm1(differs / FREE_PATH) * math.sqrt(DOSE * rng.uniform(0.6, 1.5)) * pixel_size, rng
    )
    image = artefacts.as_recorded(image, wide, rng) if rng.random() < 0.5 and kind != "crystals" else image
    return image.numpy().astype(np.float32), pixel_size, member.extent, float(lost.mean())


def simulate(path, count):
    """Add to a file of lines until `count` micrographs were made."""
    members = pool.procedural_assemblies(ASSEMBLIES, SEED)
    done = {json.loads(line)["number"] for line in path.open(encoding="utf-8")} if path.exists() else set()
    with path.open("a", encoding="utf-8") as file:
        for number in sorted(set(range(count)) - done):
            rng = np.random.default_rng((SEED, number))
            kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
            image, pixel_size, diameter, lost = random_micrograph(kind, members, rng)
            if lost < FEWEST_LOST if kind == "dirt" else lost > MOST_LOST:
                kind = "neither"
            signs = assessment.assess(image, pixel_size, diameter).signs if kind != "neither" else {}
            file.write(
                json.dumps(dict(number=number, kind=kind, pixel_size=pixel_size, diameter=diameter, signs=signs)) + "\n"
            )
            file.flush()


def fitted(rows, defect):
    """Logistic model of a defect against good micrographs, and how many of both it sees."""
    chosen = [
        r
        for r in rows
        if r["kind"] in ("good", *CAUSES[defect])
        and judge.weighed_signs(defect, r["signs"]) is not None
        and (defect != "crystals" or r["pixel_size"] < FINE)
    ]
    values = np.array([judge.weighed_signs(defect, r["signs"]) for r in chosen])
    bad = np.array([r["kind"] != "good" for r in chosen])
    usual = np.round(values[~bad].mean(0), 3)
    values, cost = values - usual, np.where(bad, 1 / bad.sum(), COST / (~bad).sum())

    def loss(parameters):
        margin = (values @ parameters[:-1] - parameters[-1]) * np.where(bad, 1, -1)
        return (cost * np.logaddexp(0, -margin)).sum() + 0.002 * (parameters[:-1] ** 2).sum()

    *weights, _ = optimize.minimize(loss, np.zeros(values.shape[1] + 1)).x
    weights = np.round(weights, 3)
    sums = np.sort(values @ weights)
    limit = min((sums[1:] + sums[:-1]) / 2, key=lambda limit: (cost * ((values @ weights > limit) != bad)).sum())
    said = values @ weights > limit
    counts = dict(
        good=int((~bad).sum()), good_lost=int((said & ~bad).sum()), bad=int(bad.sum()), bad_seen=int((said & bad).sum())
    )
    return dict(weights=weights.tolist(), usual=usual.tolist(), limit=round(float(limit), 3), **counts)


@benchmark(quick=dict(count=3, fit=False))
def micrograph_judge(run, count=400, fit=True):
    """Train the judge. signs.jsonl of the working folder gets a line for each micrograph, so that a stopped run goes
    on; judge.json belongs beside cryodl/micrographs/assess/judge.py."""
    torch.set_num_threads(1)
    simulate(run.output / "signs.jsonl", count)
    if not fit:
        return dict(micrographs=count)
    rows = [json.loads(line) for line in (run.output / "signs.jsonl").open(encoding="utf-8")]
    card = dict(made_by=f"PYTHON benchmarks/run.py micrograph_judge --set count={len(rows)}", micrographs=len(rows))
    card["models"] = {defect: fitted(rows, defect) for defect in judge.DEFECTS}
    (run.output / "judge.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return card
