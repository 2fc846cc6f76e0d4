#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mean of two models of one network, of which the second started from the first (Wortsman et al. 2022), in half
precision:   PYTHON scripts/average_models.py FIRST SECOND OUTPUT

PYTHON is the engine's. OUTPUT must not exist; its card is that of SECOND, and names FIRST.
"""
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine"))

from cryodl.io.model import read_model, write_model  # noqa: E402


def main():
    first, second, output = (Path(argument) for argument in sys.argv[1:])
    (earlier, one), (card, other) = read_model(first), read_model(second)
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        sys.exit(f"{first} and {second} are not of one network.")
    output.mkdir()
    card = {k: v for k, v in card.items() if k not in ("format_version", "weights_sha256")}
    card["name"] = output.name
    card["validation_of"] = second.name  # the mean itself was not validated
    card["training"]["averaged_with"] = f"{first.name}, {earlier['training']['steps']} steps"
    for name in ("metrics.csv", "learning_curve.png"):
        shutil.copy(second / name, output)
    write_model(output, card, {name: ((one[name].float() + other[name].float()) / 2).half() for name in other})


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
