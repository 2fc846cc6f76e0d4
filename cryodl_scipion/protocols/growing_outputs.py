# SPDX-License-Identifier: GPL-3.0-or-later
"""Output sets that grow while a protocol runs. The caller holds the protocol's lock."""

from typing import Any, Callable, Optional, Sequence

from pwem.objects import Image, SetOfMicrographs
from pwem.protocols import EMProtocol
from pyworkflow.object import Pointer, Set

from ..convert.arriving import asInItsFile


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


def namesIn(protocol: EMProtocol, outputNames: Sequence[str], attribute: str) -> Any:
    """Set of the names that items of outputs have by now. attribute: that holds the name, such as '_micName'."""
    names = set()
    for outputName in outputNames:
        output = getattr(protocol, outputName, None)
        if output is not None:
            if asInItsFile(output):
                names.update(output.getUniqueValues(attribute) if output.getSize() else [])
            output.close()
    return names
