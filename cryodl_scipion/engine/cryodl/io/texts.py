# SPDX-License-Identifier: GPL-3.0-or-later
"""A column of strings in little memory: repeated strings are stored once, the rest as bytes."""

import collections.abc
import itertools
import typing

import numpy as np

CHUNK = 10_000  # rows that are made texts at a time
FEW = 64  # texts that may differ in any column, and ...
SHARE = 0.25  # ... texts that may differ for a row, for them to be kept once


class Texts(typing.Sequence[str]):
    """A sequence of str that does not change. Made by TextsMaker, or by Texts.of. positions: (n,) uint32, which of
    `values` each row has, or None: row i has value i. values: (m,) texts in UTF-8, bytes."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, positions: np.ndarray | None, values: np.ndarray) -> None:
        self._positions, self._values = positions, values

    @classmethod
    def of(cls, words: typing.Iterable[str]) -> "Texts":
        """The Texts of some str."""
        maker, every = TextsMaker(), iter(words)
        while part := [word.encode() for word in itertools.islice(every, CHUNK)]:
            maker.add(part)
        return maker.made()

    def __len__(self) -> int:
        return len(self._values if self._positions is None else self._positions)

    def __getitem__(self, rows: typing.Any) -> typing.Any:
        """The str of a row; of a slice, or an array of rows or of bool, Texts."""
        if isinstance(rows, (int, np.integer)):
            return self._values[rows if self._positions is None else self._positions[rows]].decode()
        return (
            Texts(None, self._values[rows]) if self._positions is None else Texts(self._positions[rows], self._values)
        )

    def __iter__(self) -> typing.Iterator[str]:
        if self._positions is not None:
            words = [value.decode() for value in self._values.tolist()]
            for start in range(0, len(self), CHUNK):
                yield from [words[position] for position in self._positions[start : start + CHUNK].tolist()]
            return
        for start in range(0, len(self), CHUNK):
            yield from [value.decode() for value in self._values[start : start + CHUNK].tolist()]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, collections.abc.Sequence) or isinstance(other, (str, bytes)):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other))

    def __array__(self, dtype: typing.Any = None, copy: bool | None = None) -> np.ndarray:
        """Numbers if dtype asks for them, else an array of str. Raises ValueError for texts that are no such numbers,
        as numpy does for str."""
        if dtype is None or np.dtype(dtype).kind not in "fiu":
            return np.array(list(self), dtype)
        try:
            numbers = self._values.astype(dtype)
        except ValueError:
            return np.array(list(self), dtype)  # the same error, with the text as the user knows it
        return numbers if self._positions is None else numbers[self._positions]


class TextsMaker:
    """Takes the texts of a column as they come."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] | None = {}
        self._parts: list[np.ndarray] = []
        self._count = 0

    def add(self, words: typing.Sequence[bytes]) -> None:
        """Append texts in UTF-8."""
        self._count += len(words)
        if self._known is not None:
            for word in set(words):
                self._known.setdefault(word, len(self._known))
            if len(self._known) <= FEW + SHARE * self._count:
                known = self._known
                self._parts.append(np.fromiter((known[word] for word in words), np.uint32, len(words)))
                return
            values = _bytes(list(self._known))
            self._parts, self._known = [values[part] for part in self._parts], None
        self._parts.append(_bytes(words))

    def made(self) -> Texts:
        """The Texts of all that came; nothing can be added after it."""
        if self._known is not None:
            positions = np.concatenate(self._parts) if self._parts else np.zeros(0, np.uint32)
            return Texts(positions, _bytes(list(self._known)))
        values, start = np.zeros(self._count, max(part.dtype for part in self._parts)), 0
        while self._parts:  # each is let go once it is copied
            part = self._parts.pop(0)
            values[start : start + len(part)] = part
            start += len(part)
        return Texts(None, values)


def rows_of(column: typing.Sequence[typing.Any], rows: np.ndarray) -> typing.Sequence[typing.Any]:
    """Some rows of a column: Texts of Texts, a list of any other sequence."""
    return column[rows] if isinstance(column, Texts) else [column[row] for row in rows]


def _bytes(words: typing.Sequence[bytes]) -> np.ndarray:
    return np.array(words, dtype=np.bytes_) if len(words) else np.zeros(0, "S1")
