# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files that are written for an input.

Scipion gives the outputs of a run new object ids whenever a project is refreshed, so a name that is made of such an id
is another one when the run is continued. Files keep their names.
"""

import re
import zlib
from typing import Any

from pwem.objects import SetOfImages


def inputName(kind: str, source: SetOfImages) -> str:
    """Name for files that are written from an input set; another set has another name.

    Parameters
    ----------
    kind : str
        First word of the name.
    source : pyworkflow.object.Set
        The input set.

    Returns
    -------
    str
        Without folder and ending, such as 'particles_1c291ca3_120'.
    """
    return f"{kind}_{checksum(source.getFileName(), source.getPrefix() or '')}_{source.getSize()}"


def checksum(*words: Any) -> str:
    """Eight letters that tell apart what words (paths, numbers) tell apart."""
    text = "\n".join(map(str, words)).encode("utf-8", "surrogateescape")
    return f"{zlib.crc32(text):08x}"


def withoutChecksum(text: str) -> str:
    """A file's name, or a sentence with one, as the user knows it: without the letters that checksum() gave, and
    without what Scipion's import puts before it."""
    text = re.sub(r"\bimport_(?=[^\s/]+\.(mrc|map|pdb|cif)\b)", "", text)
    return re.sub(r"_[0-9a-f]{8}(?=\.(mrc|map|pdb|cif)\b)", "", text)
