# SPDX-License-Identifier: GPL-3.0-or-later
"""STAR files as gemmi reads them, and single columns of theirs."""

import itertools
import os
import re
import typing
from pathlib import Path

import gemmi  # which Scipion's Python has not

from ..contract.reading import check_end, reader

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
            words = f"line {_uneven_row(text.decode(), int(head[1]))}: not as many values as the table has columns"
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
def read_star_column(path: str | os.PathLike[str], column: str) -> list[str]:
    """The texts of one column, from the first loop of a STAR file that has it. Raises ValueError if none has, or if it
    is no STAR file."""
    for block in star_document(path):
        if values := [v for v in block.find_loop(column)]:
            return [gemmi.cif.as_string(v) for v in values]
    raise ValueError(f"{path} has no column {column}.")
