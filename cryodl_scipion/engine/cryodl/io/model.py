# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: card.json (what the model is) and weights.safetensors. Data only: nothing is unpickled."""

import errno
import os
import re
import shutil
import tempfile
import typing
from pathlib import Path

from ..contract import CARD, FORMAT_VERSION, WEIGHTS, check_model, sha256, shipped_folders
from ..contract.result import write_json
from .files import rename_folder, whole_file

SHIPPED = Path(__file__).resolve().parent.parent / "models"


def shipped_models(kind: str | None = None) -> list[str]:
    """Names of the models that come with the package; of one kind only, if one is given."""
    return list(shipped_folders(str(SHIPPED), kind))


def find_model(name_or_folder: str | os.PathLike[str], kind: str | None = None) -> Path:
    """The folder of a model given by folder or by shipped name.

    Parameters
    ----------
    name_or_folder : path
    kind : str, optional
        Of the models that are wanted.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        That lists the names of shipped models (of a kind).
    """
    folder = Path(name_or_folder)
    shipped = shipped_folders(str(SHIPPED), kind)
    # a folder of results may be called as a shipped model: it is not meant
    if folder.is_dir() and ((folder / CARD).is_file() or str(name_or_folder) not in shipped):
        return folder
    if str(name_or_folder) in shipped:
        return Path(shipped[str(name_or_folder)])
    other = shipped_folders(str(SHIPPED)).get(str(name_or_folder))
    if other:
        return Path(other)  # of another kind, which reading its card says
    what = "is a file; a model is a folder" if folder.is_file() else "is neither a folder nor a shipped model"
    raise FileNotFoundError(f"Model {name_or_folder} {what} (shipped: {', '.join(shipped) or 'none'}).")


def read_model(
    folder: str | os.PathLike[str], kind: str | None = None
) -> tuple[dict[str, typing.Any], dict[str, typing.Any]]:
    """Card and weights of a model folder.

    Parameters
    ----------
    folder : path
    kind : str, optional
        Of the model that is wanted.

    Returns
    -------
    card : dict
    weights : dict
        {name: tensor}.

    Raises
    ------
    ValueError
        As contract.check_model.
    """
    card = check_model(folder, kind)
    import safetensors
    from safetensors.torch import load_file

    try:
        return card, load_file(Path(folder) / WEIGHTS)
    except (safetensors.SafetensorError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"{Path(folder) / WEIGHTS} has no readable weights: {error}. Get the model from its source again."
        ) from None


def copy_model(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a model folder, whole or not at all.

    Parameters
    ----------
    source : path
    target : path
        It must not exist.
    """
    parent = Path(target).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".copy_", dir=parent) as folder:
        copy = shutil.copytree(source, Path(folder) / "model")
        rename_folder(copy, target)


def write_model(folder: str | os.PathLike[str], card: dict[str, typing.Any], tensors: dict[str, typing.Any]) -> None:
    """Write weights, then the card that has their checksum and the versions, into an existing folder.

    Parameters
    ----------
    folder : path
    card : dict
    tensors : dict
        {name: tensor}.
    """
    import torch

    from .. import __version__

    save_tensors(Path(folder) / WEIGHTS, tensors)
    write_json(
        os.path.join(folder, CARD),
        dict(
            format_version=FORMAT_VERSION,
            **{"versions": dict(cryodl=__version__, torch=torch.__version__), **card},
            weights_sha256=sha256(Path(folder) / WEIGHTS),
        ),
    )


def save_tensors(
    path: str | os.PathLike[str], tensors: dict[str, typing.Any], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors, whole or not at all, without a copy of them all in memory.

    Parameters
    ----------
    path : path
    tensors : dict
        {name: tensor}.
    metadata : dict, optional
        {name: text}.

    Raises
    ------
    OSError
        As a full disk does elsewhere.
    """
    import safetensors
    from safetensors.torch import save_file

    seen, own = set(), {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        position = tensor.untyped_storage().data_ptr()
        own[name] = (
            tensor.clone() if position in seen else tensor
        )  # the format wants each tensor's memory to be its own
        seen.add(position)
    with whole_file(path) as temporary:
        try:
            save_file(own, temporary, metadata)
        except safetensors.SafetensorError as error:
            found = re.search(r"os error (\d+)", str(error))
            number = int(found.group(1)) if found else errno.EIO
            raise OSError(number, os.strerror(number)) from error
