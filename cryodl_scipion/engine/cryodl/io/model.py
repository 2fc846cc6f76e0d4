# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: card.json (what the model is) and weights.safetensors. Data only: nothing is unpickled."""

import json
import os
import shutil
import tempfile
import typing
from pathlib import Path

from .. import __version__
from ..contract import CARD, FORMAT_VERSION, WEIGHTS, check_model, reader, sha256, shipped_folders, write_json
from .files import rename_folder, whole_file

SHIPPED = Path(__file__).resolve().parent.parent / "models"
LOWER, UNIT = ":lower", ":unit"  # behind the name of a weight that is stored in 12 bits


def shipped_models(kind: str | None = None) -> list[str]:
    """Names of the models that come with the package; of one kind only, if one is given."""
    return list(shipped_folders(str(SHIPPED), kind))


def find_model(name_or_folder: str | os.PathLike[str], kind: str | None = None) -> Path:
    """The folder of a model given by folder or by shipped name. kind: of the models that are wanted. Raises
    FileNotFoundError that lists the names of shipped models (of a kind)."""
    folder, shipped = Path(name_or_folder), shipped_folders(str(SHIPPED), kind)
    # a folder of results may be called as a shipped model: it is not meant
    if folder.is_dir() and ((folder / CARD).is_file() or str(name_or_folder) not in shipped):
        return folder
    if str(name_or_folder) in shipped:
        return Path(shipped[str(name_or_folder)])
    if other := shipped_folders(str(SHIPPED)).get(str(name_or_folder)):
        return Path(other)  # of another kind, which reading its card says
    what = "is a file; a model is a folder" if folder.is_file() else "is neither a folder nor a shipped model"
    raise FileNotFoundError(f"Model {name_or_folder} {what} (shipped: {', '.join(shipped) or 'none'}).")


@reader
def read_model(
    folder: str | os.PathLike[str], kind: str | None = None
) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """Card and weights of a model folder; weights in 12 bits or half precision, as of shipped models, become float32:
    {name: tensor}. Raises ValueError as contract.check_model."""
    import safetensors
    from safetensors.torch import load_file

    card = check_model(folder, kind)

    try:
        weights = _unpacked(load_file(Path(folder) / WEIGHTS))
    except (safetensors.SafetensorError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{Path(folder) / WEIGHTS} has no readable weights: {error}. Get the model from its source again."
        ) from None
    wrong = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if wrong:
        raise ValueError(
            f"{Path(folder) / WEIGHTS} holds numbers that are not finite ({', '.join(wrong[:3])}): its training "
            "failed, or the file is damaged. Train it again, or get it from its source again."
        )
    return card, weights


def _unpacked(stored: dict[str, typing.Any]) -> dict[str, typing.Any]:
    """Weights as they are used, of what scripts/pack_weights.py stored: the upper eight of 12 bits under the weight's
    own name, the lower four of two numbers in a byte, and each row's unit."""
    import torch

    found = {}
    for name, value in stored.items():
        if name + UNIT in stored:
            pairs = stored[name + LOWER]
            lower = torch.stack([pairs & 15, pairs >> 4], 1).flatten()[: value.numel()].view_as(value)
            value = ((16.0 * value + lower).flatten(1) * stored[name + UNIT][:, None]).view_as(value)
        if not name.endswith((LOWER, UNIT)):
            found[name] = value.float() if value.is_floating_point() else value
    return found


def copy_model(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a model folder, whole or not at all, to one that does not exist."""
    parent = Path(target).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copy_", dir=parent) as folder:
        rename_folder(shutil.copytree(source, Path(folder) / "model"), target)


def write_model(folder: str | os.PathLike[str], card: dict[str, typing.Any], tensors: dict[str, typing.Any]) -> None:
    """Write weights, then the card that has their checksum and the versions, into an existing folder. tensors: {name:
    tensor}."""
    import torch

    save_tensors(Path(folder) / WEIGHTS, tensors)
    known = dict(format_version=FORMAT_VERSION, weights_sha256=sha256(Path(folder) / WEIGHTS))
    versions = dict(cryodl=__version__, torch=torch.__version__)
    write_json(os.path.join(folder, CARD), {"versions": versions, **card, **known})


def save_tensors(
    path: str | os.PathLike[str], tensors: dict[str, typing.Any], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all, without a copy of them all in memory. The library's own writer
    leaves a file of a random name behind when it is killed, which nobody could remove. tensors: {name: tensor}. Raises
    TypeError for numbers that the format does not have, such as complex ones."""
    import torch

    header: dict[str, typing.Any] = {"__metadata__": metadata} if metadata else {}
    position = 0
    # widest first, so that each tensor lies at a multiple of its numbers' width
    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    for name, tensor in ordered:
        end = position + tensor.numel() * tensor.element_size()
        header[name] = dict(dtype=_kind(tensor), shape=list(tensor.shape), data_offsets=[position, end])
        position = end
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        file.write(len(words).to_bytes(8, "little") + words)
        for _, tensor in ordered:
            file.write(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())


def _kind(tensor: typing.Any) -> str:
    word = str(tensor.dtype).removeprefix("torch.")
    for name, letters in (("bfloat", "BF"), ("float", "F"), ("uint", "U"), ("int", "I"), ("bool", "BOOL")):
        if word.startswith(name):
            return letters + word.removeprefix(name)
    raise TypeError(f"Tensors of {tensor.dtype} cannot be written.")
