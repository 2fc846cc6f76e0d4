# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: copied, and listed."""

import os
import shutil
from typing import Dict

from ..engine.cryodl import contract


def copyModel(source: str, target: str) -> None:
    """Copy a checked model folder, whole or not at all; the copy is checked as well.

    Raises FileExistsError if `target` is there, ValueError if the model is not whole, OSError as shutil.
    """
    if os.path.exists(target):
        raise FileExistsError(f"{target} exists already and is not replaced. Choose another folder, or remove it.")
    contract.check_model(source)
    partial = f"{target}.{os.getpid()}.partial"
    try:
        shutil.copytree(source, partial)
        contract.check_model(partial)
        os.rename(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def shippedModels(engineFolder: str, kind: str = "picker") -> Dict[str, str]:
    """{name: folder} of the models of a kind that come with the plugin, in alphabetical order. kind: None for all."""
    return contract.shipped_folders(os.path.join(engineFolder, "cryodl", "models"), kind)
