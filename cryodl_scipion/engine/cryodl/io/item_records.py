# SPDX-License-Identifier: GPL-3.0-or-later
"""<name>.json beside what a command made of one input: of what kind it is, and with which settings it was made."""

import json
import typing
from pathlib import Path

REMEDY = "Choose another --output."


def earlier_record(
    file: Path,
    kind: str,
    settings: typing.Mapping[str, typing.Any],
    foreign: str,
    otherwise: str,
    remedy: str = REMEDY,
    absent: typing.Mapping[str, typing.Any] | None = None,
) -> dict[str, typing.Any] | None:
    """The record of an earlier run.

    Parameters
    ----------
    file : Path
        <name>.json; its entries `kind` and `settings` are compared.
    kind : str
        Of the record that is wanted.
    settings : dict
        {name: value} of this run.
    foreign : str
        What a file of another kind is told to be: 'is not the fit of a CTF'.
    otherwise : str
        What the folder is told to hold if the settings differ: 'holds fits with other parameters'.
    remedy : str
        What to do then.
    absent : dict, optional
        {name: value} that records of earlier versions, which lack the name, were made with.

    Returns
    -------
    dict or None
        None if there is no record.

    Raises
    ------
    ValueError
        The file is of another kind, or was made with other settings.
    """
    if not file.exists():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("kind") != kind:
        raise ValueError(f"{file} {foreign}. {REMEDY}")
    before = {**(absent or {}), **record["settings"]}
    other = [
        f"{name.replace('_', ' ')} {before.get(name)} (now {value})"
        for name, value in settings.items()
        if before.get(name) != value
    ]
    if other:
        raise ValueError(f"{file.parent} {otherwise}: {'; '.join(other)}. {remedy}")
    return record
