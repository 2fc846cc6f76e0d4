# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of STAR files as texts."""

import os
import re
import typing

import numpy as np

from ..contract.reading import reader
from ..contract.star import star_head
from .cryosparc import cryosparc_tables, is_cryosparc
from .files import whole_file
from .star_columns import star_document
from .star_rows import plain_tables
from .texts import Texts

# how a word of the format itself begins: a name that begins so must stand in quotes, or the file cannot be read
_RESERVED = re.compile(r"""data_|loop_|save_|stop_|global_|[_#$'"\[\];]""", re.IGNORECASE)


@reader
def read_tables(path: str | os.PathLike[str]) -> dict[str, dict[str, Texts]]:
    """The tables of a STAR file, columns without their leading underscore. Single values count as tables of one row.

    A .cs file of cryoSPARC has RELION's tables (cryosparc.py).

    Returns
    -------
    dict
        {block name: {column: Texts}}.

    Raises
    ------
    FileNotFoundError
        If the file is not there, or cannot be read.
    ValueError
        If it is no STAR file.
    """
    if is_cryosparc(path):
        return cryosparc_tables(path)
    try:
        tables = plain_tables(path)
        return _tables_of(star_document(path)) if tables is None else tables
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; a STAR file is needed.") from None
    except OSError:
        raise FileNotFoundError(f"{path} does not exist or cannot be read.") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _tables_of(document: typing.Any) -> dict[str, dict[str, Texts]]:
    """The tables of gemmi's document."""
    import gemmi

    tables: dict[str, dict[str, Texts]] = {}
    for block in document:
        table = tables.setdefault(block.name, {})
        for item in block:
            if item.pair:
                table[item.pair[0].lstrip("_")] = Texts.of([gemmi.cif.as_string(item.pair[1])])
            elif item.loop:
                for tag in item.loop.tags:
                    table[tag.lstrip("_")] = Texts.of(gemmi.cif.as_string(word) for word in block.find_loop(tag))
    return tables


def write_tables(path: str | os.PathLike[str], tables: dict[str, dict[str, typing.Any]]) -> None:
    """Write a STAR file of loops, whole or not at all.

    Parameters
    ----------
    tables : dict
        {block name: {column: values}}; values are texts or numbers.
    """
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for block, columns in tables.items():
            file.write(star_head(block, columns))
            texts = [map(star_text, values) for values in columns.values()]
            file.writelines("  ".join(row) + "\n" for row in zip(*texts, strict=True))
            file.write("\n")


def star_text(value: typing.Any) -> str:
    """A number or text as RELION reads it."""
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return f"{number:.6f}" if number == 0 or abs(number) >= 1e-3 else f"{number:.6e}"
    text = str(value)
    if not text:
        return "None"  # RELION's word for an empty text
    import gemmi

    return gemmi.cif.quote(text) if _RESERVED.match(text) or any(c.isspace() or c in "'\"" for c in text) else text
