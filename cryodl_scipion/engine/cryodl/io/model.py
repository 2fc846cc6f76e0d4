# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: card.json (what the model is) and weights.safetensors. Data only: nothing is unpickled."""
import hashlib
import json
import os
from pathlib import Path

from ..contract.result import write_json
from .files import whole_file

FORMAT_VERSION = 1
CARD, WEIGHTS = "card.json", "weights.safetensors"
SHIPPED = Path(__file__).resolve().parent.parent / "models"


def shipped_models():
    """Names of the models that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob(f"*/{CARD}"))


def find_model(name_or_folder):
    """The folder of a model given by folder or by shipped name. Raises FileNotFoundError that lists the names."""
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    if folder.name == str(name_or_folder) and (SHIPPED / folder / CARD).exists():
        return SHIPPED / folder
    what = "is a file; a model is a folder" if folder.is_file() else "is neither a folder nor a shipped model"
    raise FileNotFoundError(f"Model {name_or_folder} {what} (shipped: {', '.join(shipped_models()) or 'none'}).")


def read_card(folder, kind=None):
    """The card of a model folder, a dict.

    kind: 'picker' ..., the kind of model that is wanted. Raises ValueError that names the folder and what is wrong.
    """
    path = Path(folder) / CARD
    if not path.exists():
        raise ValueError(f"{folder} is not a model: it has no {CARD}." + (
            " Its training was not finished; run train-picker again with the same --output to continue."
            if str(folder).endswith(".partial") else ""))
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from None
    if not isinstance(card, dict) or card.get("format_version") != FORMAT_VERSION:
        version = card.get("format_version") if isinstance(card, dict) else None
        raise ValueError(f"{path} has format version {version}; this version of cryodl reads {FORMAT_VERSION}. "
                         "Train or export the model again with this version.")
    if kind and card.get("kind") != kind:
        raise ValueError(f"{folder} is a model of kind {card.get('kind')!r}; a {kind} is needed here.")
    missing = [k for k in ("network", "particle_diameter", "threshold", "minimum_distance", "weights_sha256") if k not in card]
    if card.get("kind") == "picker" and missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it was changed or not written by cryodl.")
    return card


def read_model(folder, kind=None):
    """Card and weights ({name: tensor}) of a model folder. Raises ValueError if the weights are missing or changed."""
    card = read_card(folder, kind)
    path = Path(folder) / WEIGHTS
    if not path.exists():
        raise ValueError(f"{folder} is not complete: it has no {WEIGHTS}.")
    found = sha256(path)
    if found != card["weights_sha256"]:
        raise ValueError(f"{path} is damaged: its checksum is {found[:12]}..., the card says "
                         f"{card['weights_sha256'][:12]}.... Copy the model again.")
    from safetensors.torch import load_file
    return card, load_file(path)


def write_model(folder, card, tensors):
    """Write weights, then the card that has their checksum, into an existing folder."""
    from safetensors.torch import save
    with whole_file(Path(folder) / WEIGHTS) as temporary:
        temporary.write_bytes(save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}))
    write_json(os.path.join(folder, CARD), dict(format_version=FORMAT_VERSION, **card,
                                                weights_sha256=sha256(Path(folder) / WEIGHTS)))


def sha256(path):
    """Checksum of a file as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
