# SPDX-License-Identifier: GPL-3.0-or-later
"""How the ranker of 2-D class averages is trained, and measured on molecules that it did not learn from.

Simulated averages are as `cryodl classify-2d` makes them. A good one shows one view of one molecule, centred. Bad ones:
molecules or views mixed, noise, off-centre, two particles, ice, the edge of carbon.
"""

import csv

import numpy as np
import torch
from bench import ROOT, benchmark, structure_file
from recipes.classes import BOX, axes, carbon, field, ice, random_optics, random_sets
from sklearn.metrics import roc_auc_score

from cryodl.core import calibration, fourier, optics, projections
from cryodl.io import model, stacks
from cryodl.particles.classes2d.averages import wiener_averages
from cryodl.particles.classes2d.results import RankerNetwork, curve_numbers, small_images
from cryodl.simulate.particle_images import load_projector

BAD = ("mixed molecules", "mixed views", "noise", "off-centre", "two particles", "ice", "carbon")
PIXEL_SIZE = 6.0  # Å: of the projections; averages are then made larger at random
VIEWS = 6  # projections of which the signal of an average is the mean


class Molecule:
    """A structure at PIXEL_SIZE, ready to be projected."""

    def __init__(self, name):
        self.projector, diameter, _ = load_projector(structure_file(name), PIXEL_SIZE, BOX)
        self.diameter_px = diameter / PIXEL_SIZE
        sample = self.projector.project(projections.random_angles(16, np.random.default_rng(0)))
        self.scale = 1 / float(sample.var(dim=(1, 2)).mean()) ** 0.5

    def mean(self, spread, rotation, wander, rng, centre=(0, 0)):
        """(box, box) mean of projections about a random view. spread, rotation: degrees between views and in the plane.
        wander: px. centre: px."""
        angles = np.repeat(projections.random_angles(1, rng), VIEWS, 0)
        if spread >= 180:
            angles = projections.random_angles(VIEWS, rng)
        else:
            angles += rng.standard_normal((VIEWS, 3)) * (spread, spread, rotation)
            away = max(0.2, abs(np.sin(np.radians(angles[0, 1]))))  # near the poles, rot moves the view but little
            angles[:, 0] = angles[0, 0] + (angles[:, 0] - angles[0, 0]) / away
        return self.scale * self.projector.project(angles, rng.standard_normal((VIEWS, 2)) * wander + centre).mean(0)


def good_signal(first, second, rng):
    centre = rng.uniform(-0.06, 0.06, 2) * first.diameter_px
    return first.mean(rng.uniform(1, 9), rng.uniform(1, 5), rng.uniform(0.2, 1.0), rng, centre)


def bad_signal(kind, first, second, rng):
    if kind == "mixed molecules":
        part = rng.uniform(0.35, 0.65)
        one, two = (m.mean(rng.choice([8, 180]), 5, 1.0, rng) for m in (first, second))
        return part * one + (1 - part) * two
    if kind == "mixed views":
        return first.mean(rng.choice([60, 180]), rng.uniform(5, 60), rng.uniform(0.5, 3), rng)
    if kind == "noise":
        return field(rng.uniform(1, 6), rng) * rng.uniform(0.02, 0.25)
    direction = rng.uniform(0, 2 * np.pi)
    along = np.array([np.sin(direction), np.cos(direction)]) * first.diameter_px
    if kind == "off-centre":
        return first.mean(rng.uniform(2, 12), 4, 1, rng, along * rng.uniform(0.3, 0.6))
    if kind == "two particles":
        gap, other = rng.uniform(0.3, 0.55), rng.choice([first, second])
        return first.mean(rng.choice([8, 40]), 5, 1, rng, along * gap) + other.mean(
            rng.choice([8, 40, 180]), 10, 2, rng, -along * gap * rng.uniform(0.7, 1.2)
        )
    return ice(rng) if kind == "ice" else carbon(rng)


def zoomed(image, factor):
    """An image with its contents larger by a factor, about its middle."""
    axis = axes()[1][0] / factor + BOX // 2
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij")[::-1], -1) * 2 / (BOX - 1) - 1
    return torch.nn.functional.grid_sample(image[None, None], grid[None], mode="bicubic", align_corners=True)[0, 0]


def make_average(signal, first, rng):
    """Small image (40, 40) and two numbers of an average: noise of its members, CTF, and the filter, as in a run."""
    members, snr = np.exp(rng.uniform(np.log(15), np.log(600))), np.exp(rng.uniform(np.log(0.02), np.log(0.2)))
    filled = rng.uniform(0.45, 0.75) * BOX  # px that the particle is wide
    zoom = filled / first.diameter_px
    pixel_size = PIXEL_SIZE / zoom
    signal = zoomed(signal, zoom)
    ctf = optics.ctf_of_optics([random_optics(rng) for _ in range(6)], BOX, pixel_size)
    weights = fourier.radial_mean(ctf.square(), BOX).mean(0) * members / 2
    strength = (snr / 0.3) ** 0.5  # of the variance, the CTF leaves about 0.3
    white = torch.from_numpy(rng.standard_normal((2, BOX, BOX), dtype="float32"))
    transform = strength * torch.fft.rfft2(signal) * fourier.on_grid(weights, BOX)
    sums = torch.fft.irfft2(transform + torch.fft.rfft2(white) * fourier.on_grid(weights.sqrt(), BOX), s=(BOX, BOX))
    mask_px = min(0.45 * BOX, filled / 2 * rng.uniform(1.05, 1.5))
    found = wiener_averages(sums[None], weights.expand(1, 2, -1), mask_px, pixel_size)
    return small_images(found.images, mask_px)[0], curve_numbers(found.curves)[0]


def make_set(names, count, seed):
    """Images (n, 1, 40, 40), numbers (n, 2) and kinds (n,) of `count` averages, half of them good."""
    rng, molecules = np.random.default_rng(seed), [Molecule(name) for name in names]
    images, numbers, kinds = [], [], []
    for number in range(count):
        first, second = (molecules[i] for i in rng.choice(len(molecules), 2, replace=False))
        kind = "good" if number % 2 else BAD[(number // 2) % len(BAD)]
        signal = good_signal(first, second, rng) if kind == "good" else bad_signal(kind, first, second, rng)
        image, pair = make_average(signal, first, rng)
        images.append(image.numpy()), numbers.append(pair.numpy()), kinds.append(kind)
    return np.stack(images), np.stack(numbers), np.array(kinds)


TRAIN = ("1AON", "1KX5", "1NCB", "1QVR", "1WCM", "2CG9", "3D2F", "3IYD", "5GJV", "5O9G", "6MMM", "7PBL", "1IGT", "4ZXB")
CALIBRATE = ("3G61", "5TPN", "6MSM", "1U6G")
TEST = ("8BK7", "6VXX", "3J9I", "5X0Y", "6O1M")
REAL = ROOT / "benchmarks" / "real_classes"
MADE_WEIGHT = 3  # how often a classified average is drawn, against a simulated one
BATCH, RATE = 32, 2e-3
PART = 300  # averages that are made at a time


def cached_set(folder, name, names, count, seed):
    """Images, numbers, fractions of good particles and kinds of make_set, in parts, each kept in a file, so that a
    stopped run goes on. Mixed views are good, mixed molecules left out."""
    parts, keys = [], ("images", "numbers", "kinds")
    for number in range(-(-count // PART)):
        path = folder / f"{name}_{number}.npz"
        if not path.exists():
            np.savez(path, **dict(zip(keys, make_set(names, PART, (seed, number)))))
        with np.load(path) as kept:
            parts.append([kept[key] for key in keys])
    images, numbers, kinds = (np.concatenate(values)[:count] for values in zip(*parts))
    used = kinds != "mixed molecules"
    good = np.isin(kinds, ("good", "mixed views")).astype(np.float32)
    return *(torch.from_numpy(values[used]) for values in (images, numbers, good)), kinds[used].tolist()


def sorted_sets(folder, names, runs):
    """Images, numbers, and fractions of good particles of the classes of random_sets."""
    found = [one for seed in range(runs) for one in random_sets(folder, names, seed)]
    return tuple(
        torch.from_numpy(np.concatenate([getattr(one, name) for one in found])).float()
        for name in ("images", "numbers", "good")
    )


def real_set():
    """Images, numbers and labels of the real averages of labels.csv, of which none is learnt from."""
    with open(REAL / "labels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in ("good", "bad")]
    files, positions = [str(REAL / row["stack"]) for row in rows], [int(row["image"]) - 1 for row in rows]
    images = torch.from_numpy(stacks.read_images(files, positions))[:, None]
    numbers = torch.tensor([[float(row["mean_frc"]), float(row["frc_half"])] for row in rows])
    return images, numbers, torch.tensor([float(row["label"] == "good") for row in rows])


def train(sets, epochs, seed=0):
    """A trained RankerNetwork. sets: (images, numbers, labels)."""
    torch.manual_seed(seed)
    images, numbers, labels = sets
    network = RankerNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for step in range(steps):
        rows = torch.randint(len(labels), (BATCH,))
        seen = augmented(images[rows])
        blurred = numbers[rows] * (torch.rand(BATCH, 1) > 0.3)  # the image alone must tell, too
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(seen, blurred), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    return network.eval()


def augmented(images):
    """Images turned by any angle, mirrored, a little scaled, shifted and noisy."""
    count = len(images)
    rotation, scale = torch.rand(count) * 2 * np.pi, 0.9 + 0.2 * torch.rand(count)
    cosine, sine = rotation.cos() / scale, rotation.sin() / scale
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = (torch.rand(count, 2) - 0.5) * 0.06
    matrix = torch.stack(
        [torch.stack([cosine * mirror, -sine, shift[:, 0]], 1), torch.stack([sine * mirror, cosine, shift[:, 1]], 1)], 1
    )
    grid = torch.nn.functional.affine_grid(matrix, images.shape, align_corners=False)
    rotated = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    return rotated + torch.randn_like(rotated) * 0.15 * torch.rand(count, 1, 1, 1)


def logits_of(network, images, numbers):
    with torch.no_grad():
        return (
            sum(
                network(torch.rot90(view, rotation, (2, 3)), numbers)
                for view in (images, images.flip(-1))
                for rotation in range(4)
            )
            / 8
        )


def temperature_of(logits, labels):
    tried = torch.linspace(0.3, 5, 95)
    loss = [torch.nn.functional.binary_cross_entropy_with_logits(logits / t, labels) for t in tried]
    return float(tried[int(torch.stack(loss).argmin())])


def auc(scores, labels):
    return float(roc_auc_score(labels.numpy(), scores.numpy())) if 0 < labels.sum() < len(labels) else None


def figures(network, temperature, sets, kinds=None):
    """AUC, of each bad kind too, expected calibration error and counts."""
    images, numbers, labels = sets
    logits = logits_of(network, images, numbers)
    probability = torch.sigmoid(logits / temperature)
    found = dict(
        count=len(labels),
        good=int(labels.sum()),
        auc=auc(logits, labels),
        calibration_error=float(calibration.expected_calibration_error(labels.numpy() > 0.5, probability.numpy())),
        right=float(((probability > 0.5) == (labels > 0.5)).float().mean()),
    )
    for kind in sorted(set(kinds or []) - {"good"}):
        chosen = torch.tensor([k in ("good", kind) for k in kinds])
        found[f"auc {kind}"] = auc(logits[chosen], labels[chosen])
    return found


def fractions(network, temperature, sets):
    """How near the scores come to the fraction of good particles of classified sets."""
    images, numbers, good = sets
    score = torch.sigmoid(logits_of(network, images, numbers) / temperature)
    return dict(
        count=len(good),
        error=float((score - good).abs().mean()),
        bias=float((score - good).mean()),
        auc=auc(score, (good > 0.5).float()),
    )


@benchmark(quick=dict(averages=8, runs=1, epochs=1, names="1AON 1KX5"))
def class_ranker(run, averages=1200, runs=3, epochs=25, names=None):
    """Train the ranker into class_ranker/ of the working folder. It learns the fraction of a class's particles that is
    good: from averages of `classify-2d` itself (recipes/classes.py), and from simulated ones, of which a
    mixture of views is good and one of molecules not used. Real averages, labelled by eye, are in real_classes/."""
    learnt, calibrated, tested = (names.split(),) * 3 if names else (TRAIN, CALIBRATE, TEST)
    simulated = cached_set(run.output, "train", learnt, averages, 1)
    test = cached_set(run.output, "test", tested, averages // 4, 3)
    made, held = (sorted_sets(run.output / "sets", names, runs) for names in (learnt, calibrated))
    joined = [torch.cat([a, *[b] * MADE_WEIGHT]) for a, b in zip(simulated[:3], made)]
    network = train(joined, epochs)
    temperature = temperature_of(logits_of(network, *held[:2]), held[2])
    found = {
        "simulated, molecules not learnt from": figures(network, temperature, test[:3], test[3]),
        "classified, molecules of the calibration": fractions(network, temperature, held),
        "real, not learnt from": figures(network, temperature, real_set()),
    }
    counts = dict(averages=len(simulated[2]), classified_averages=len(made[2]), real_averages=0)
    training = dict(command="benchmarks/run.py class_ranker", steps=epochs * (len(joined[2]) // BATCH), epochs=epochs)
    training.update(counts, structures=list(learnt), calibration_structures=list(calibrated))
    card = dict(kind="class_ranker", name="class_ranker", network="cnn", side=40, temperature=round(temperature, 3))
    card.update(training=training, validation=dict(found, structures=list(tested)))
    (run.output / "class_ranker").mkdir(exist_ok=True)
    model.write_model(run.output / "class_ranker", card, network.state_dict())
    return found
