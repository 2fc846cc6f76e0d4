# SPDX-License-Identifier: GPL-3.0-or-later
"""ASPIRE's 2-D classification of the particles of classes2d.py, by the same measures.

    PYTHON benchmarks/classes2d_aspire.py FOLDER --aspire VENV/bin/python --classes 16

FOLDER is that of a mixture (`make_mixture`): particles.star and truth.npz. ASPIRE has no partition: it finds the
nearest neighbours of each image, mirrored ones too. Of its documented steps (phase flip, normalised background,
whitening, RIRClass2D, BFTAverager2D) the classes are K images that are no neighbours of each other, the ones of the
least varied neighbours (NeighborVarianceWithRepulsionClassSelector), each with --neighbours members, n / K by default.
Purity counts the members of these classes, views are those of the averages of the noise-free images in ASPIRE's
alignment. One thread.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")}


def classify(star, classes, each, clean, output):
    """Run in ASPIRE's Python: members (k, m), mirrored (k, m) and averages of the images in `clean` (k, box, box)."""
    import mrcfile
    from aspire.classification import BFTAverager2D, NeighborVarianceWithRepulsionClassSelector, RIRClass2D
    from aspire.source import ArrayImageSource, RelionSource

    source = RelionSource(star, data_folder=str(Path(star).parent)).phase_flip().normalize_background().whiten().cache()
    classifier = RIRClass2D(
        source, fspca_components=400, bispectrum_components=300, n_nbor=each, nn_implementation="sklearn", seed=0
    )
    members, mirrored, distances = classifier.classify()
    selector = NeighborVarianceWithRepulsionClassSelector()
    chosen = selector.select(members, mirrored, distances)[:classes]
    members, mirrored = members[chosen], mirrored[chosen]
    averager = BFTAverager2D(classifier.pca_basis.basis, source)
    aligned = averager.align(members, mirrored)
    truth = ArrayImageSource(mrcfile.read(clean).astype(source.dtype), pixel_size=source.pixel_size)
    again = BFTAverager2D(classifier.pca_basis.basis, truth)
    again.align = lambda *arguments, **options: aligned
    means = again.average(members, mirrored).asnumpy()
    np.savez(output, members=members, mirrored=mirrored, means=means)


def main():
    """Classify and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--aspire", required=True, help="Python of an environment with ASPIRE")
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--neighbours", type=int, help="members of each class (particles / classes)")
    options = parser.parse_args()

    import mrcfile
    import torch
    from classes2d_measures import HALF, PURE, clean_aligned, distinct
    from common import measure

    truth = dict(np.load(options.folder / "truth.npz"))
    count = len(truth["molecule"])
    images = clean_aligned(truth, np.zeros(count), np.zeros((count, 2))).numpy()
    clean, output = options.folder / "noise_free.mrcs", options.folder / "aspire.npz"
    mrcfile.write(clean, images, overwrite=True)
    each = options.neighbours or count // options.classes
    command = [options.aspire, __file__, "--run", options.folder / "particles.star", options.classes, each]
    _, cpu, wall, memory = measure([*command, clean, output], dict(os.environ, **THREADS))
    found = np.load(output)
    most = [np.bincount(truth["molecule"][members]).max() / len(members) for members in found["members"]]
    power = (found["means"] ** 2).sum((1, 2))
    good = [k for k, share in enumerate(most) if share >= PURE and power[k] >= HALF]
    row = dict(
        program="ASPIRE", particles=count, classes=len(most), each=int(found["members"].shape[1]),
        purity=float(np.mean(most)), explained=float(power.mean()),
        views=distinct(torch.from_numpy(found["means"][good]).float()) if good else 0,
        cpu_seconds=cpu, wall_seconds=wall, megabytes=memory,
    )  # fmt: skip
    print(json.dumps(row))
    (options.folder / "aspire.json").write_text(json.dumps(row))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        classify(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], sys.argv[6])
    else:
        main()
