# SPDX-License-Identifier: GPL-3.0-or-later
"""Topaz 0.3.20, run beside ours on the same micrographs: pretrained, or trained on the same labels."""

from pathlib import Path

from bench import mean, measure, score

from cryodl.io.coordinates import read_coordinates

# Scale at which the particles of a set are about 30 px wide, as Topaz wants them.
SCALES = {"empiar10017": 4, "empiar10028": 2, "empiar10947": 2}
LOWEST = -6  # candidates are kept from here; the default threshold is 0


# From scratch, 20 to 30 times fewer updates than its default, which would take 2.8 CPU hours.
TRAINING = (
    "--no-pretrained",
    "-m",
    "resnet8",
    "--units",
    32,
    "--num-epochs",
    1,
    "--epoch-size",
    300,
    "--minibatch-size",
    128,
)


# pip may bring a torchvision whose operators do not load beside a CPU torch; Topaz only rotates images with it, so the
# two operators that its import wants are declared here.
START_TOPAZ = """
import sys, torch
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
                 "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):
    try:
        library.define(operator)
    except RuntimeError:
        pass
from topaz.main import main
sys.argv[0] = "topaz"
main()
"""


class Topaz:
    """python: of an environment with topaz-em. folder: for preprocessed micrographs."""

    def __init__(self, python, folder):
        self.python, self.folder = python, Path(folder)

    def run(self, *arguments):
        """Returns CPU seconds, wall seconds, memory in MB."""
        return measure([self.python, "-c", START_TOPAZ, *arguments])[1:]

    def preprocess(self, micrographs, scale, name):
        """Paths of scaled and normalised micrographs of folder/<name>, made if they are not there."""
        paths = [self.folder / name / f"{Path(p).stem}.mrc" for p in micrographs]
        if not all(p.exists() for p in paths):
            self.run("preprocess", "-s", scale, "-j", 1, "-d", -1, "-o", f"{self.folder / name}/", *micrographs)
        return paths

    def extract(self, model, images, radius_px, scale, out):
        """Picks of all images in `out`, in px of the original micrographs. radius_px: of the particle there."""
        given = ("-m", model, "-r", round(radius_px / scale), "-t", LOWEST, "-x", scale, "-j", 1, "-d", -1, "-o", out)
        return self.run("extract", *given, *images)

    def score_set(self, real, model, out):
        """Figures of a model on a set's test micrographs, its default threshold 0 included."""
        scale = SCALES[real.name]
        images = self.preprocess(real.micrographs, scale, real.name)
        test = [p for p, original in zip(images, real.micrographs) if original in real.test]
        cpu, *_ = self.extract(model, test, real.diameter_px / 2, scale, out)
        return dict(score(real, out), pick_cpu=cpu)

    def train(self, real, coordinates, folder):
        """Train on the labels of a folder of STAR files. Topaz is told the true number of particles. Returns model,
        cost."""
        scale = SCALES[real.name]
        images = self.preprocess(real.micrographs, scale, real.name)
        folder.mkdir(parents=True)
        chosen = read_coordinates(coordinates).items()
        labels = [f"{name}\t{x / scale:.0f}\t{y / scale:.0f}" for name, (yx, _) in chosen for y, x in yx]
        (folder / "labels.txt").write_text("\n".join(["image_name\tx_coord\ty_coord", *labels]) + "\n")
        images = [f"{p.stem}\t{p}" for p in images[: real.training]]
        (folder / "images.txt").write_text("\n".join(["image_name\tpath", *images]) + "\n")
        given = ("-n", expected_particles(real), "--train-images", folder / "images.txt", "--num-workers", 0, "-j", 1)
        more = ("--save-prefix", folder / "model", "-o", folder / "curve.txt", "-d", -1, *TRAINING)
        cpu, wall, memory = self.run("train", *given, "--train-targets", folder / "labels.txt", *more)
        return max(folder.glob("model*.sav"), key=lambda p: p.stat().st_mtime), dict(cpu=cpu, wall=wall, memory=memory)


def positions(real):
    """{name of a micrograph: (n, 2) yx of its published particles}"""
    return {name: yx for name, (yx, _) in read_coordinates(real.ground_truth).items()}


def expected_particles(real):
    """Particles per training micrograph, of the truth."""
    known = positions(real)
    return round(mean(len(known[Path(p).stem]) for p in real.train))
