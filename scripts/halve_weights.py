#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Store the weights of model folders in half precision, as those that are shipped are; they are read as float32.

    PYTHON scripts/halve_weights.py FOLDER ...

PYTHON is the engine's (`scripts/cryodl doctor` names it). Convolutions and other matrices become float16; what has one
axis or none, such as means and variances of normalisations, stays float32: it is little, and its range is wide. The
card gets the new checksum, and is otherwise as it was. cryodl_scipion/engine/tests/test_shipped_weights.py compares the
answers of the networks with those of the weights in float32.
"""

from __future__ import annotations

import json
import sys
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine"))


LARGEST = 65504.0  # float16


def halved(tensors: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """The tensors, those with several axes as float16. Raises ValueError if one has numbers beyond its range."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and tensor.abs().max() > LARGEST:
            raise ValueError(f"{name} has numbers beyond the range of float16.")
    return {k: v.half() if v.is_floating_point() and v.dim() > 1 else v for k, v in tensors.items()}


def main() -> None:
    from safetensors.torch import load_file

    from cryodl.contract import CARD, WEIGHTS, sha256
    from cryodl.contract.result import write_json
    from cryodl.io.model import save_tensors

    for folder in map(Path, sys.argv[1:]):
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        save_tensors(folder / WEIGHTS, halved(load_file(folder / WEIGHTS)))
        write_json(folder / CARD, dict(card, weights_sha256=sha256(folder / WEIGHTS)))
        print(f"{folder}: {(folder / WEIGHTS).stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
