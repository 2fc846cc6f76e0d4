# SPDX-License-Identifier: GPL-3.0-or-later
"""How tables of STAR files begin, for the engine and for Scipion's side."""

import typing


def star_head(block: str, columns: typing.Iterable[str]) -> str:
    """The lines before a table's rows.

    Parameters
    ----------
    block : str
        What follows data_; RELION's coordinates have nothing there.
    columns : iterable of str
        Names without underscore.

    Returns
    -------
    str
        It ends with a new line.
    """
    lines = "".join(f"_{name} #{number}\n" for number, name in enumerate(columns, 1))
    # RELION takes a table without this line for one of version 3.0
    return f"\n# version 30001\n\ndata_{block}\n\nloop_\n{lines}"
