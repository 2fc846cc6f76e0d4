# SPDX-License-Identifier: GPL-3.0-or-later
"""Output sets of micrographs that grow while a protocol runs. The caller holds the protocol's lock."""
from pwem.objects import SetOfMicrographs
from pyworkflow.object import Set


def appendMicrographs(protocol, outputName, source, micrographs):
    """Append micrographs to an output, which is made with the first of them.

    source: the pointer to the set that they come from.
    """
    output = getattr(protocol, outputName, None)
    isNew = output is None
    if isNew:
        output = SetOfMicrographs.create(protocol._getPath(), prefix=outputName)
        output.copyInfo(source.get())
    else:
        output.loadAllProperties()  # as the file has it, also if a run died before noting it down
        output.enableAppend()
    for micrograph in micrographs:
        output.append(micrograph)
    protocol._updateOutputSet(outputName, output, Set.STREAM_OPEN)
    if isNew:
        protocol._defineSourceRelation(source, output)


def micrographsIn(protocol, outputNames):
    """Set of the micNames that outputs have by now."""
    names = set()
    for outputName in outputNames:
        output = getattr(protocol, outputName, None)
        if output is not None:
            output.loadAllProperties()
            names.update(output.getUniqueValues('_micName') if output.getSize() else [])
            output.close()
    return names
