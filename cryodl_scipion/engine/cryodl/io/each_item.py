# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of a command, one after the other: what cannot be read is skipped and named, and the others are done."""

import typing

from ..contract import Skipped, in_words
from .memory import one_item


def each_item(
    named: typing.Iterable[tuple[str, str]],
    unit: str,
    work: typing.Callable[[str, str], None],
    skip: typing.Callable[[str], None] = lambda name: None,
) -> list[Skipped]:
    """Do work(name, path) for each item, with a progress bar.

    Parameters
    ----------
    named : iterable of (str, str)
        Names and files of the items.
    unit : str
        What an item is: 'micrograph'.
    work : function of (name, path)
        Its ValueError or FileNotFoundError skips the item.
    skip : function of a name
        Called for an item that is skipped: it removes what an earlier run left of it.
    """
    from tqdm import tqdm

    skipped = []
    for name, path in tqdm(named, unit=unit, mininterval=1.0):
        try:
            with one_item(path):
                work(name, path)
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skipped(name, str(path), str(error)))
            tqdm.write(f"Skipped {in_words(skipped[-1])}")
            skip(name)
    return skipped
