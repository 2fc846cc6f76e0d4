# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: card.json (what the model is) and weights.safetensors. Data only: nothing is unpickled."""

import json
import os
import shutil
import tempfile
from pathlib import Path

from ..contract import CARD, FORMAT_VERSION, WEIGHTS, check_model, sha256
from ..contract.result import write_json
from .files import rename_folder, whole_file

SHIPPED = Path(__file__).resolve().parent.parent / "models"


def shipped_models(kind=None):
    """Names of the models that come with the package; of one kind only, if one is given."""
    every = sorted(p.parent.name for p in SHIPPED.glob(f"*/{CARD}"))
    return [name for name in every if kind in (None, json.loads((SHIPPED / name / CARD).read_text())["kind"])]


def find_model(name_or_folder, kind=None):
    """The folder of a model given by folder or by shipped name.

    Raises FileNotFoundError that lists the names of shipped models (of a kind)."""
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if folder.name == str(name_or_folder) and (SHIPPED / folder / CARD).exists():
        return SHIPPED / folder
    what = "is a file; a model is a folder" if folder.is_file() else "is neither a folder nor a shipped model"
    raise FileNotFoundError(f"Model {name_or_folder} {what} (shipped: {', '.join(shipped_models(kind)) or 'none'}).")


def read_model(folder, kind=None):
    """Card and weights ({name: tensor}) of a model folder. Raises ValueError as contract.check_model."""
    card = check_model(folder, kind)
    from safetensors.torch import load_file

    return card, load_file(Path(folder) / WEIGHTS)


def copy_model(source, target):
    """Copy a model folder, whole or not at all. target must not exist."""
    parent = Path(target).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copy_", dir=parent) as folder:
        copy = shutil.copytree(source, Path(folder) / "model")
        rename_folder(copy, target)


def write_model(folder, card, tensors):
    """Write weights, then the card that has their checksum, into an existing folder."""
    from safetensors.torch import save

    with whole_file(Path(folder) / WEIGHTS) as temporary:
        temporary.write_bytes(save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}))
    write_json(
        os.path.join(folder, CARD),
        dict(format_version=FORMAT_VERSION, **card, weights_sha256=sha256(Path(folder) / WEIGHTS)),
    )
