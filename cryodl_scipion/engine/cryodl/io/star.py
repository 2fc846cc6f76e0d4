# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files: gemmi's documents, single columns, and tables as texts."""

import itertools
import os
import re
import typing
from pathlib import Path

import gemmi  # which Scipion's Python has not

from ..contract import some_names
from ..contract.reading import absent, check_end, reader, star_head, star_text
from . import cryosparc, files
from .texts import Texts, TextsMaker

SAME_SIZE = 0.02  # relative difference of pixel sizes up to which they are taken to be the same
# a word in quotes, or a plain one
_TEXT_WORD = re.compile(r"""'[^'\n]*'(?=\s|$)|"[^"\n]*"(?=\s|$)|\S+""")


def star_document(path: str | os.PathLike[str]) -> typing.Any:
    """gemmi's document of a STAR file. Raises OSError, or ValueError if it is none or one of ours that is cut short."""
    check_end(path)
    try:
        text = Path(path).read_bytes()
        if text.isascii():
            return gemmi.cif.read_file(str(path))
        return gemmi.cif.read_string(_other_letters_quoted(text.decode()))
    except UnicodeDecodeError as error:
        kinds = {
            b"\x1f\x8b": "it is gzip: unpack it",
            b"MAP": "it is an image stack or map: give the STAR file of its images",
        }
        what = kinds.get(text[:2]) or kinds.get(text[208:211], f"byte {error.start} is not UTF-8 text")
        raise ValueError(f"not a readable STAR file ({what}).") from None
    except (ValueError, RuntimeError) as error:
        words = " ".join(re.sub(f"{re.escape(str(path))}:|^string:", "line ", str(error)).split())
        if head := re.match(r"line (\d+).*Wrong number of values", words):  # gemmi names the table's first line
            row = _uneven_row(text.decode(), int(head[1]))
            words = f"line {row}: not as many values as the table has columns; names with spaces need quotes"
        raise ValueError(f"not a readable STAR file ({words}).") from None


def _uneven_row(text: str, head: int) -> int:
    """Line of the first row that has not as many words as the table has columns. head: line of its loop_."""
    lines = text.split("\n")[head:]
    columns = sum(1 for _ in itertools.takewhile(lambda line: line.startswith("_"), lines))
    rows = enumerate(lines[columns:], head + columns + 1)
    return next((number for number, line in rows if len(_TEXT_WORD.findall(line)) != columns), head)


def _other_letters_quoted(text: str) -> str:
    """A STAR file's text, its plain words with letters outside of ASCII in quotes, without which gemmi refuses them."""

    def quoted(match: re.Match[str]) -> str:
        word = match.group()
        if word.isascii() or word[0] in "'\"#_":
            return word
        return f'"{word}"' if "'" in word else f"'{word}'"

    lines, in_text = text.split("\n"), False
    for number, line in enumerate(lines):
        in_text ^= line.startswith(";")  # texts of several lines stay as they are
        if not in_text and not line.isascii() and not line.lstrip().startswith("#"):
            lines[number] = _TEXT_WORD.sub(quoted, line)
    return "\n".join(lines)


@reader
def listed_micrographs(path: str | os.PathLike[str]) -> list[str]:
    """The names in a list of micrographs: of a STAR file's first table with rows that has rlnMicrographName. Raises
    ValueError if none has, if it is no STAR file, or if its optics groups have several pixel sizes: a command takes
    one."""
    tables = read_tables(path)
    listed = next((table for table in tables.values() if len(table.get("rlnMicrographName", ()))), None)
    if listed is None:
        raise ValueError(f"{path} has no column _rlnMicrographName.")
    optics = tables.get("optics", {})
    stated = dict(zip(optics.get("rlnOpticsGroup", ()), optics.get("rlnMicrographPixelSize", ())))
    words = {stated.get(group, "") for group in listed.get("rlnOpticsGroup", ())}
    sizes = sorted(size for size in map(gemmi.cif.as_number, words) if size > 0)  # others are unknown
    if sizes and sizes[-1] > (1 + SAME_SIZE) * sizes[0]:
        raise ValueError(
            f"{path} lists micrographs of {' and '.join(f'{size:g}' for size in sizes)} Å/px (rlnMicrographPixelSize), "
            "but all micrographs of a command must have one pixel size (--pixel-size). Write a list for each."
        )
    return list(listed["rlnMicrographName"])


@reader
def read_tables(path: str | os.PathLike[str]) -> dict[str, dict[str, Texts]]:
    """The tables of a STAR file, columns without their leading underscore. Single values count as tables of one row. A
    .cs file of cryoSPARC has RELION's tables (cryosparc.py). Returns {block name: {column: Texts}}. Raises
    FileNotFoundError, or ValueError if it is no STAR file."""
    if cryosparc.is_cryosparc(path):
        return cryosparc.cryosparc_tables(path)
    try:
        check_end(path)
        tables = plain_tables(path)
        return _tables_of(star_document(path)) if tables is None else tables
    except IsADirectoryError:
        inside = some_names(name for name in os.listdir(path) if name.endswith(".star"))
        raise ValueError(f"{path} is a folder; a STAR file is needed.{inside and f' It has {inside}.'}") from None
    except OSError:
        raise FileNotFoundError(f"{path} {absent(path)} or cannot be read.") from None


def _tables_of(document: typing.Any) -> dict[str, dict[str, Texts]]:
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
    """Write a STAR file of loops, whole or not at all. tables: {block: {column: values}}, texts or numbers."""
    with files.whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for block, columns in tables.items():
            file.write(star_head(block, columns))
            texts = [map(star_text, values) for values in columns.values()]
            file.writelines("  ".join(row) + "\n" for row in zip(*texts, strict=True))
            file.write("\n")


# ----- STAR files as programs write them, a row in a line, read line by line: a million rows take little memory.
# What is written otherwise (texts or rows of several lines, comments within rows) is left to gemmi.
ROWS = 20_000  # that are kept as words at a time
# words in quotes, and plain ones; a quote within a word is none
_WORD = re.compile(rb"""'[^']*'(?=\s|$)|"[^"]*"(?=\s|$)|[^\s'"]\S*""")
# what a word after the first cannot begin with, unless it stands in quotes
_FORMAT = tuple(b" " + word for word in (b"_", b"#", b"$", b"data_", b"loop_", b"save_", b"stop_", b"global_"))


class NotPlain(Exception):
    """The file is not written a row in a line."""


def plain_tables(path: str | os.PathLike[str]) -> dict[str, dict[str, Texts]] | None:
    """The tables of star.read_tables, or None if the file is not written a row in a line. Raises OSError."""
    reader = _Reader()
    try:
        with open(path, "rb") as file:
            for line in file:
                reader.take(line)
        return reader.finished()
    except (NotPlain, UnicodeDecodeError):
        return None  # gemmi reads it, or says what is wrong with it


class _Reader:
    """What was read so far: the tables, and the loop that is being read."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Texts]] = {}
        self.table: dict[str, Texts] | None = None
        self.tags: list[str] | None = None  # of the loop that is being read
        self.rows: list[list[bytes]] = []
        self.makers: list[TextsMaker] = []

    def take(self, line: bytes) -> None:
        stripped = line.strip()
        if not stripped or stripped.startswith(b"#"):
            return
        lower = stripped[:7].lower()
        if lower.startswith(b"data_"):
            self._end_loop()
            name = stripped[5:].decode() or " "  # as gemmi calls it
            if len(name.split()) > 1 or name in self.tables:
                raise NotPlain
            self.table = self.tables[name] = {}
        elif lower.startswith(b"loop_"):
            self._end_loop()
            if len(stripped) > 5 or self.table is None:
                raise NotPlain
            self.tags = []
        elif stripped.startswith(b"_"):
            self._tag(stripped)
        else:
            self._row(line, stripped)

    def finished(self) -> dict[str, dict[str, Texts]]:
        """The tables, once all lines were read."""
        self._end_loop()
        if not self.tables:
            raise NotPlain
        return self.tables

    def _tag(self, stripped: bytes) -> None:
        words = stripped.split()
        if self.tags is not None and not (self.rows or self.makers):
            if len(words) > 1 and not words[1].startswith(b"#") or _name(words[0]) in self.tags:
                raise NotPlain
            self.tags.append(_name(words[0]))
            return
        self._end_loop()
        value = _words(stripped)
        if len(value) != 2 or self.table is None or _name(value[0]) in self.table:
            raise NotPlain
        self.table[_name(value[0])] = Texts.of([value[1].decode()])

    def _row(self, line: bytes, stripped: bytes) -> None:
        # a text of several lines begins with a semicolon at the very beginning of a line
        if not self.tags or line.startswith(b";"):
            raise NotPlain
        words = _words(stripped)
        if len(words) != len(self.tags):
            raise NotPlain
        self.rows.append(words)
        if len(self.rows) == ROWS:
            self._keep_rows()

    def _keep_rows(self) -> None:
        self.makers = self.makers or [TextsMaker() for _ in self.tags or ()]
        for maker, column in zip(self.makers, zip(*self.rows)):
            maker.add(column)
        self.rows = []

    def _end_loop(self) -> None:
        if self.tags is None or self.table is None:
            return
        if not (self.rows or self.makers):
            raise NotPlain  # a loop without rows
        if self.rows:
            self._keep_rows()
        for tag, maker in zip(self.tags, self.makers):
            if tag in self.table:
                raise NotPlain
            self.table[tag] = maker.made()
        self.tags, self.makers = None, []


def _name(tag: bytes) -> str:
    return tag.decode().lstrip("_")


def _words(stripped: bytes) -> list[bytes]:
    """Words of a row without their quotes; those that mean 'no value' are empty, as gemmi gives them."""
    if not stripped.isascii():
        stripped.decode()  # names may have any letters, in UTF-8
    quoted = b"'" in stripped or b'"' in stripped
    words = _WORD.findall(stripped) if quoted else stripped.split()
    if quoted and _WORD.sub(b"", stripped).strip():
        raise NotPlain  # a quote that does not end, or that ends within a word
    low = stripped.lower().replace(b"\t", b" ")
    if any(word in low for word in _FORMAT):
        raise NotPlain
    if quoted:
        return [word[1:-1] if word[:1] in (b"'", b'"') else _value(word) for word in words]
    return [_value(word) for word in words] if b"." in words or b"?" in words else words


def _value(word: bytes) -> bytes:
    return b"" if word in (b".", b"?") else word
