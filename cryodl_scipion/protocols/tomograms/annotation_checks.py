# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of annotations before a run. Each gives sentences for the form; none changes anything."""

import os
from typing import Any, Iterable, List, Optional, Set, Union

from ...engine.cryodl.contract.annotations import check_name, read_tiles


def checkNames(feature: str, annotator: str) -> List[str]:
    """What is wrong with the names on a form."""
    for name, what in ((feature, "feature"), (annotator, "annotator")):
        if not name:
            return [f"{what.capitalize()} is empty. Give a short name."]
        try:
            check_name(name, what)
        except ValueError as error:
            return [str(error)]
    return []


def checkTileStacks(tiles: str, drawings: str) -> List[str]:
    """What is wrong with the paths of stacks of tiles and drawings, '' or None where nothing was given."""
    if not tiles:
        return ["Tiles is empty. Give the stack of tiles (.mrcs)."]
    return [
        f"{path} does not exist. Check the path." for path in (tiles, drawings) if path and not os.path.isfile(path)
    ]


def checkAnnotations(folder: Optional[str], moved: Optional[Union[Iterable[Any], Set[Any]]] = None) -> List[str]:
    """What is wrong with a folder of annotations. moved: names of tomograms at hand; None: they are not looked for."""
    if not folder:
        return ["Folder of annotations is empty. Give the folder that contains annotations.json."]
    try:
        tiles = read_tiles(folder)
    except (ValueError, OSError) as error:
        return [str(error)]
    lost = {
        t.tomogram: t.path
        for t in tiles
        if moved is not None and t.path and t.tomogram not in moved and not os.path.exists(t.path)
    }
    return [
        f"The annotated tomogram {name} is not at {path}, and none of the Tomograms has this name (tsId). Choose a "
        "set that contains it."
        for name, path in sorted(lost.items())[:1]
    ]
