#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Store the weights of model folders in 12 bits, as those that are shipped are; they are read as float32.

    PYTHON scripts/pack_weights.py FOLDER[+OTHER ...] ...

PYTHON is the engine's (`scripts/cryodl doctor` names it). With others of the same network FOLDER gets the mean of the
weights of all: trainings that continue from one another can be better together than alone. Each row of a large matrix
or convolution becomes whole numbers from -2047 to 2047 and the unit that they count;
cryodl_scipion/engine/cryodl/io/model.py puts them together.
Small matrices become float16, for little is won there and answers depend on them most; what has one axis or none, such
as means and variances of normalisations, stays as it is. The card gets the new checksum, and is otherwise as it was.
cryodl_scipion/engine/tests/test_shipped_weights.py compares the answers of the networks with those of float32.
"""

import sys
import typing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "cryodl_scipion" / "engine"))


TOP = 2047  # 12 bits with a sign
FEW = 4096  # numbers up to which a matrix stays in float16


def packed(name: str, tensor: typing.Any) -> typing.Dict[str, typing.Any]:
    """What is stored of a tensor, by name."""
    from cryodl.io.model import LOWER, UNIT

    if not tensor.is_floating_point() or tensor.dim() < 2:
        return {name: tensor}
    if tensor.numel() <= FEW:
        return {name: tensor.half()}
    rows = tensor.float().flatten(1)
    unit = (rows.abs().amax(1) / TOP).clamp(min=1e-30)
    numbers = (rows / unit[:, None]).round().short().flatten()
    lower = numbers.new_zeros(len(numbers) + len(numbers) % 2).byte()
    lower[: len(numbers)] = numbers & 15
    upper = (numbers >> 4).char().view(tensor.shape)
    return {name: upper, name + LOWER: lower[::2] | lower[1::2] << 4, name + UNIT: unit}


def main() -> None:
    from cryodl.contract import CARD, WEIGHTS, sha256
    from cryodl.contract.result import write_json
    from cryodl.io.model import read_model, save_tensors

    for folder, *others in (map(Path, word.split("+")) for word in sys.argv[1:]):
        card, first = read_model(folder)
        every = [first, *(read_model(one)[1] for one in others)]
        means = {name: (sum(one[name].double() for one in every) / len(every)).to(w.dtype) for name, w in first.items()}
        tensors = [packed(name, tensor) for name, tensor in means.items()]
        save_tensors(folder / WEIGHTS, {name: value for one in tensors for name, value in one.items()})
        write_json(folder / CARD, dict(card, weights_sha256=sha256(folder / WEIGHTS)))


if __name__ == "__main__":
    main()
