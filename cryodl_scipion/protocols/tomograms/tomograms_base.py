# SPDX-License-Identifier: GPL-3.0-or-later
"""What the protocols on tomograms and their masks share: pointers, and links to the files for the engine."""

import os
from typing import List, Optional, Sequence, Tuple

import pyworkflow.utils as pwutils
from tomo.objects import Tomogram

from ...convert.tomograms.tomograms import engineNames, fileOf, idOf
from ..protocol_base import OneRunBase


class TomogramsBase(OneRunBase):
    """Base of the protocols on tomograms, beside EngineProtocol."""

    # ----- files for the engine
    def _linkVolumes(
        self, folder: str, items: Sequence[Tomogram], files: Optional[List[str]] = None
    ) -> Tuple[str, ...]:
        """Links to the files of items, or to others of theirs, named as the engine is to call them. Returns the links
        in the items' order."""
        paths = self._linkPaths(folder, items)
        pwutils.cleanPath(os.path.dirname(paths[0]))
        pwutils.makePath(os.path.dirname(paths[0]))
        for file, path in zip(files or [fileOf(item) for item in items], paths):
            os.symlink(os.path.relpath(os.path.realpath(file), os.path.realpath(os.path.dirname(path))), path)
        return paths

    def _linkPaths(self, folder: str, items: Sequence[Tomogram]) -> Tuple[str, ...]:
        """Where _linkVolumes puts its links. The engine pairs volumes in the order of their names, which are the same
        for a tomogram and its labels."""
        names = engineNames(items)
        return tuple(os.path.join(self._inputFolder(), folder, names[idOf(item)] + ".mrc") for item in items)

    def _inOrder(self, items: Sequence[Tomogram]) -> List[Tomogram]:
        """Items by the names that the engine calls them."""
        names = engineNames(items)
        return sorted(items, key=lambda item: names[idOf(item)])
