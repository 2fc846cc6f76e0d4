# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary behind which a user's files are read: a value, or a sentence that names the file.

How tables of STAR files begin, for the engine and for Scipion's side."""

import errno
import functools
import inspect
import json
import numbers
import os
import re
import typing

_ENDED = "# cryodl ends this file with an empty line"


def star_head(block: str, columns: typing.Iterable[str]) -> str:
    """The lines before a table's rows. block: what follows data_; RELION's coordinates have nothing there. columns:
    names without underscore. The text ends with a new line; after its last row a file must have an empty line."""
    lines = "".join(f"_{name} #{number}\n" for number, name in enumerate(columns, 1))
    # RELION takes a table without this line for one of version 3.0
    return f"\n# version 30001\n{_ENDED}\n\ndata_{block}\n\nloop_\n{lines}"


def check_end(path: typing.Union[str, "os.PathLike[str]"]) -> None:
    """Raises ValueError for a STAR file with a star_head that is cut short: it would be read as a smaller table."""
    with open(path, "rb") as file:
        ours = _ENDED.encode() in file.read(4096)
        file.seek(max(0, os.path.getsize(path) - 4))
        if ours and not file.read().replace(b"\r", b"").endswith(b"\n\n"):
            raise ValueError(
                f"{path} is cut short, as after a power cut: cryodl ends its STAR files with an empty line. Remove it "
                "and have it written again, or copy it again. If you have edited it, add the empty line."
            )


# how a word of the format itself begins: a name that begins so must stand in quotes, or the file cannot be read
_RESERVED = re.compile(r"""data_|loop_|save_|stop_|global_|[_#$'"\[\];]""", re.IGNORECASE)


def star_text(value: typing.Any) -> str:
    """A number or text as RELION reads it in a row of a STAR file."""
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        number = float(value)
        return f"{number:.6f}" if number == 0 or abs(number) >= 1e-3 else f"{number:.6e}"
    text = str(value) or "None"  # RELION's word for an empty text; nothing at all would shift the row's other values
    quote = "'" if '"' in text else '"'
    return f"{quote}{text}{quote}" if _RESERVED.match(text) or any(c.isspace() or c in "'\"" for c in text) else text


def fault_of(error: BaseException) -> str:
    """What is wrong with the content of a file, from what Python raised about it."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno} is not as JSON is written"
    if isinstance(error, UnicodeError):
        return "it is no text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, IndexError):
        return "a row has too few values"
    what, _, value = str(error).rpartition(": ")
    return f"{value} is no number" if what.startswith("could not convert") else "a value is not of the kind it must be"


# {name: function} of all readers; the trials with mutated files take their list from here.
READERS: typing.Dict[str, typing.Callable[..., typing.Any]] = {}
Read = typing.TypeVar("Read", bound=typing.Callable[..., typing.Any])


_OF_CONTENT = (errno.EINVAL, errno.ENAMETOOLONG)  # what a place or a name that stands in a damaged file makes it say


def absent(path: typing.Union[str, "os.PathLike[str]"]) -> str:
    """How a file is not there, in words that follow its name: of a link where it points to."""
    gone = f"is a link to {os.readlink(path)}, which is gone" if os.path.islink(path) else "does not exist"
    return "is a folder" if os.path.isdir(path) else gone


class ReadError(ValueError):
    """A file that cannot be read. The message names it."""


def reader(function: Read) -> Read:
    """Decorate a function, or a constructor, whose first argument is the path of a user's file.

    Whatever goes wrong while it reads is a ReadError, or another ValueError that names the file already. The system's
    own errors (FileNotFoundError, no permission), of too little memory and of packages that are not installed pass."""
    in_class = next(iter(inspect.signature(function).parameters)) in ("self", "cls")
    READERS[function.__qualname__.replace(".__init__", "")] = function

    @functools.wraps(function)
    def read(*arguments: typing.Any, **options: typing.Any) -> typing.Any:
        try:
            return function(*arguments, **options)
        except (MemoryError, ModuleNotFoundError):
            raise
        except Exception as error:
            path, words = str(arguments[in_class]), " ".join(str(error).split())
            named = path in words and isinstance(error, (ValueError, OSError))
            of_system = getattr(error, "errno", None) not in (None, *_OF_CONTENT)
            if of_system or named and "\n" not in str(error) or "memory" in words:
                raise
            if named and isinstance(error, FileNotFoundError):
                raise FileNotFoundError(words) from None
            if isinstance(error, ValueError) and not isinstance(error, (UnicodeError, json.JSONDecodeError)):
                raise ReadError(words if named else f"{path} cannot be read: {words}") from None
            raise ReadError(
                f"{path} is damaged, or not what its name says ({type(error).__name__}: {words}). Copy it again, or "
                "write it again with the program that made it."
            ) from None

    return typing.cast("Read", read)
