# SPDX-License-Identifier: GPL-3.0-or-later
"""Output sets that grow while a protocol runs. The caller holds the protocol's lock."""

from typing import Any, Callable, Optional, Sequence

from pwem.objects import Image, SetOfMicrographs
from pyworkflow.object import Pointer, Set

from ..convert.growing import asInItsFile, fileOf


def appendItems(
    protocol: Any,
    outputName: Any,
    source: Pointer,
    items: Sequence[Image],
    SetClass: Any = SetOfMicrographs,
    describe: Optional[Callable[..., Any]] = None,
    info: Any = None,
) -> None:
    """Append items to an output, which is made with the first of them.

    source: the pointer to the set that they come from. describe: called with the new set before its first item. info:
    set whose information the new one takes over, if it is not the source.
    """
    output: Any = getattr(protocol, outputName, None)
    isNew = output is None
    if isNew:
        output = SetClass.create(protocol._getPath(), prefix=outputName)
        output.copyInfo(source.get() if info is None else info)
        if describe is not None:
            describe(output)
    else:
        asInItsFile(output)  # also if a run died before noting it down
        output.enableAppend()
    for item in items:
        output.append(item)
    protocol._updateOutputSet(outputName, output, Set.STREAM_OPEN)
    if isNew:
        protocol._defineSourceRelation(source, output)


def appendGrowingPicks(
    protocol: Any, outputName: str, micrographs: Pointer, sources: Sequence[Pointer], append: Callable[[Any], None]
) -> None:
    """Append to a set of coordinates, which is made with its first micrographs, also where these have no picks.

    micrographs: the pointer to those that it belongs to. sources: pointers to what it is made of. append: describes the
    set, and appends the items.
    """
    output: Any = getattr(protocol, outputName, None)
    if fileOf(output) is None:
        isNew, output = output is None, protocol._createSetOfCoordinates(micrographs)
    else:
        isNew = False
        asInItsFile(output)  # also if a run died before noting it down
        output.enableAppend()
    append(output)
    protocol._updateOutputSet(outputName, output, Set.STREAM_OPEN)
    for source in sources if isNew else ():
        protocol._defineSourceRelation(source, output)
