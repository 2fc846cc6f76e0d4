# SPDX-License-Identifier: GPL-3.0-or-later
"""Single columns of STAR files, for modules that whole tables rest on."""

import os
import typing


def star_document(path: str | os.PathLike[str]) -> typing.Any:
    """gemmi's document of a STAR file. Raises OSError, or ValueError if it is no STAR file."""
    import gemmi

    try:
        return gemmi.cif.read_file(str(path))
    except (ValueError, RuntimeError) as error:
        words = " ".join(str(error).replace(str(path) + ":", "line ").split())
        raise ValueError(f"not a readable STAR file ({words}).") from None


def read_star_column(path: str | os.PathLike[str], column: str) -> list[str]:
    """The texts of one column, from the first loop of a STAR file that has it. Raises ValueError if none has."""
    for block in star_document(path):
        values = [v for v in block.find_loop(column)]
        if values:
            import gemmi

            return [gemmi.cif.as_string(v) for v in values]
    raise ValueError(f"{path} has no column {column}.")
