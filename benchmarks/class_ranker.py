# SPDX-License-Identifier: GPL-3.0-or-later
"""Train the ranker of 2-D class averages and measure it on molecules that it did not learn from.

    PYTHON benchmarks/class_ranker.py --output FOLDER [--averages 1200] [--runs 3] [--epochs 25]

FOLDER gets a model folder (card.json, weights.safetensors) and ranker.json with the figures. The ranker learns the
fraction of a class's particles that is good: from averages of `cryodl classify-2d` itself (class_sets.py), and from
simulated ones (class_ranker_data.py), of which a mixture of views is good and a mixture of molecules is not used. Real
averages, labelled by eye, come from benchmarks/real_classes.
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
from common import ROOT

sys.path.insert(0, str(ROOT / "cryodl_scipion" / "engine"))
TRAIN = ("1AON", "1KX5", "1NCB", "1QVR", "1WCM", "2CG9", "3D2F", "3IYD", "5GJV", "5O9G", "6MMM", "7PBL", "1IGT", "4ZXB")
CALIBRATE = ("3G61", "5TPN", "6MSM", "1U6G")
TEST = ("8BK7", "6VXX", "3J9I", "5X0Y", "6O1M")
REAL = Path(__file__).resolve().parent / "real_classes"
MADE_WEIGHT = 3  # how often a classified average is drawn, against a simulated one
REAL_WEIGHT = 4  # how often a real average is drawn, against a simulated one
BATCH, RATE = 32, 2e-3
PART = 300  # averages that are made at a time


def cached_set(folder, name, names, count, seed):
    """class_ranker_data.make_set in parts, each kept in a file, so that a stopped run goes on."""
    import torch
    from class_ranker_data import make_set

    parts = []
    for number in range(-(-count // PART)):
        path = folder / f"{name}_{number}.npz"
        if not path.exists():
            images, numbers, labels, kinds = make_set(names, PART, (seed, number))
            np.savez(path, images=images.numpy(), numbers=numbers.numpy(), labels=labels.numpy(), kinds=np.array(kinds))
        with np.load(path) as kept:
            parts.append({key: kept[key] for key in kept.files})
    whole = {key: np.concatenate([part[key] for part in parts])[:count] for key in parts[0]}
    return *(torch.from_numpy(whole[key]) for key in ("images", "numbers", "labels")), whole["kinds"].tolist()


def relabelled(images, numbers, labels, kinds):
    """A simulated set as the fraction of good particles is learnt: mixed views are good, mixed molecules left out."""
    import torch

    kinds = np.array(kinds)
    kept = torch.from_numpy(np.nonzero(kinds != "mixed molecules")[0])
    good = torch.from_numpy(np.isin(kinds, ("good", "mixed views"))).float()
    return images[kept], numbers[kept], good[kept], kinds[kept.numpy()].tolist()


def sorted_sets(folder, names, runs):
    """Images, numbers, and fractions of good particles of the classes of random_sets."""
    import torch
    from class_sets import random_sets

    found = [one for seed in range(runs) for one in random_sets(folder, names, seed)]
    return tuple(
        torch.from_numpy(np.concatenate([getattr(one, name) for one in found])).float()
        for name in ("images", "numbers", "good")
    )


def real_set(use):
    """Images, numbers and labels of the real averages whose `use` in labels.csv is 'train' or 'test'."""
    import torch

    from cryodl.io.stacks import read_images

    with open(REAL / "labels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["use"] == use and row["label"] in ("good", "bad")]
    if not rows:
        return torch.zeros(0, 1, 40, 40), torch.zeros(0, 2), torch.zeros(0)
    files, positions = [str(REAL / row["stack"]) for row in rows], [int(row["image"]) - 1 for row in rows]
    images = torch.from_numpy(read_images(files, positions))[:, None]
    numbers = torch.tensor([[float(row["mean_frc"]), float(row["frc_half"])] for row in rows])
    return images, numbers, torch.tensor([float(row["label"] == "good") for row in rows])


def train(sets, epochs, seed=0):
    """A trained RankerNetwork. sets: (images, numbers, labels)."""
    import torch

    from cryodl.particles.classes2d.ranker import RankerNetwork

    torch.manual_seed(seed)
    images, numbers, labels = sets
    network = RankerNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    steps = steps_of(len(labels), epochs)
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


def steps_of(averages, epochs):
    """Steps of a training."""
    return epochs * (averages // BATCH)


def augmented(images):
    """Images turned by any angle, mirrored, a little scaled, shifted and noisy."""
    import torch

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
    import torch

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
    """The temperature with the least cross-entropy."""
    import torch

    tried = torch.linspace(0.3, 5, 95)
    loss = [torch.nn.functional.binary_cross_entropy_with_logits(logits / t, labels) for t in tried]
    return float(tried[int(torch.stack(loss).argmin())])


def auc(scores, labels):
    """Area under the ROC curve."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels.numpy(), scores.numpy())) if 0 < labels.sum() < len(labels) else None


def figures(network, temperature, sets, kinds=None):
    """AUC, of each bad kind too, expected calibration error and counts."""
    import torch

    from cryodl.core.calibration import expected_calibration_error

    images, numbers, labels = sets
    if not len(labels):
        return dict(count=0)
    logits = logits_of(network, images, numbers)
    probability = torch.sigmoid(logits / temperature)
    found = dict(
        count=len(labels),
        good=int(labels.sum()),
        auc=auc(logits, labels),
        calibration_error=float(expected_calibration_error(labels.numpy() > 0.5, probability.numpy())),
        right=float(((probability > 0.5) == (labels > 0.5)).float().mean()),
    )
    for kind in sorted(set(kinds or []) - {"good"}):
        chosen = torch.tensor([k in ("good", kind) for k in kinds])
        found[f"auc {kind}"] = auc(logits[chosen], labels[chosen])
    return found


def fractions(network, temperature, sets):
    """How near the scores come to the fraction of good particles of classified sets."""
    import torch

    images, numbers, good = sets
    score = torch.sigmoid(logits_of(network, images, numbers) / temperature)
    return dict(
        count=len(good),
        error=float((score - good).abs().mean()),
        bias=float((score - good).mean()),
        auc=auc(score, (good > 0.5).float()),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--averages", type=int, default=1200)
    parser.add_argument("--runs", type=int, default=3, help="classifications of each molecule")
    parser.add_argument("--epochs", type=int, default=25)
    arguments = parser.parse_args()
    import torch

    from cryodl.io.model import write_model

    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    count = arguments.averages
    simulated = relabelled(*cached_set(arguments.output, "train", TRAIN, count, 1))
    test = relabelled(*cached_set(arguments.output, "test", TEST, count // 4, 3))
    sets = arguments.output / "sets"
    made, held = (sorted_sets(sets, names, arguments.runs) for names in (TRAIN, CALIBRATE))
    real = real_set("train")
    repeat = REAL_WEIGHT if len(real[2]) else 0
    joined = [
        torch.cat([each[0], *[each[1]] * MADE_WEIGHT, *[each[2]] * repeat]) for each in zip(simulated[:3], made, real)
    ]
    network = train(joined, arguments.epochs)
    temperature = temperature_of(logits_of(network, *held[:2]), held[2])
    found = {
        "simulated, molecules not learnt from": figures(network, temperature, test[:3], test[3]),
        "classified, molecules of the calibration": fractions(network, temperature, held),
        "real, not learnt from": figures(network, temperature, real_set("test")),
    }
    model = arguments.output / "class_ranker"
    model.mkdir(exist_ok=True)
    card = dict(
        kind="class_ranker",
        name="class_ranker",
        network="cnn",
        side=40,
        temperature=round(temperature, 3),
        training=dict(
            command="benchmarks/class_ranker.py",
            averages=len(simulated[2]),
            classified_averages=len(made[2]),
            structures=list(TRAIN),
            calibration_structures=list(CALIBRATE),
            epochs=arguments.epochs,
            steps=steps_of(len(joined[2]), arguments.epochs),
            real_averages=len(real[2]),
        ),
        validation=dict(found, structures=list(TEST)),
    )
    write_model(model, card, network.state_dict())
    (arguments.output / "ranker.json").write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
