# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that a window starts: what was chosen with a slider or a lasso becomes a set of its own. No windows here."""

import itertools
import os
from typing import Any, Sequence

from pwem.protocols import ProtUserSubSet

from ..convert.latent import writeSelection
from ..engine.cryodl.contract import counted


def outputName(protocol: Any, chosen: Any) -> Any:
    """The name of an output of a run; None where there is no run, or the object is not its output."""
    if protocol is None or chosen is None:
        return None
    return next((n for n, o in protocol.iterOutputAttributes() if o.getObjId() == chosen.getObjId()), None)


def startRun(source: Any, output: str, field: str, protocolClass: type, label: str, **values: Any) -> Any:
    """Start a run on an output of another one. Returns (the run, what is wrong with it in words or '')."""
    project = source.getProject()
    protocol = project.newProtocol(protocolClass, **values)
    protocol.setObjLabel(label)
    pointer = getattr(protocol, field)
    pointer.set(source)
    pointer.setExtended(output)
    errors = protocol.validate()
    if not errors:
        project.launchProtocol(protocol)
    return protocol, " ".join(errors)


def startedRun(protocol: Any, errors: str, what: str) -> str:
    """One sentence about a run that startRun gave. what: is made, in words."""
    return errors or f"{what} is made by the run *{protocol.getRunName()}*."


def startSubset(source: Any, output: str, ids: Sequence[int], what: str, kind: str) -> Any:
    """Start pwem's protocol that makes a set of some items of an output. Returns (the run, one sentence). what: of its
    name, 'region'. kind: of item, 'particle'."""
    whole = getattr(source, output)
    path = _newFile(source, len(ids))
    writeSelection(whole, ids, path)
    protocol, errors = startRun(
        source,
        output,
        "inputObject",
        ProtUserSubSet,
        f"{what} of {source.getRunName()}",
        other="",
        sqliteFile=path + ",",
        outputClassName=whole.getClassName(),
    )
    return protocol, startedRun(protocol, errors, f"The set of {counted(len(ids), kind)}")


def itemsSubset(viewer: Any, collection: Any, kind: str) -> Any:
    """Function that starts a run which makes a set of the items with some ids, and says so in one sentence; None where
    the set is no output of the viewer's run. kind: of item, 'particle'."""
    source = viewer.protocol
    output = outputName(source, collection)
    return None if output is None else lambda ids: startSubset(source, output, ids, "part", kind)[1]


def imagesSubset(viewer: Any, classes: Any, kind: str) -> Any:
    """As itemsSubset, of the set that was classified."""
    pointer = classes.getImagesPointer()
    if pointer is None or not pointer.hasExtended() or viewer.getProject() is None:
        return None
    source = viewer.getProject().getProtocol(pointer.getObjValue().getObjId())
    return lambda ids: startSubset(source, pointer.getExtended(), ids, "part", kind)[1]


def _newFile(source: Any, count: int) -> str:
    """Path of a selection that no other run reads, now or when it is run again."""
    names = (source._getExtraPath(f"chosen_{count}_{n}.sqlite") for n in itertools.count(1))
    return next(name for name in names if not os.path.exists(name))
