# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary behind which a user's files are read: a value, or a sentence that names the file."""

import functools
import inspect
import typing

# {name: function} of all readers; the trials with mutated files take their list from here.
READERS: typing.Dict[str, typing.Callable[..., typing.Any]] = {}
Read = typing.TypeVar("Read", bound=typing.Callable[..., typing.Any])


class ReadError(ValueError):
    """A file that cannot be read. The message names it."""


def reader(function: Read) -> Read:
    """Decorate a function, or a constructor, whose first argument is the path of a user's file.

    Whatever goes wrong while it reads is a ReadError, or another ValueError that names the file already. The system's
    own errors (FileNotFoundError, no permission) and those of too little memory pass.
    """
    in_class = next(iter(inspect.signature(function).parameters)) in ("self", "cls")
    READERS[function.__qualname__.replace(".__init__", "")] = function

    @functools.wraps(function)
    def read(*arguments: typing.Any, **options: typing.Any) -> typing.Any:
        try:
            return function(*arguments, **options)
        except MemoryError:
            raise
        except Exception as error:
            path, words = str(arguments[in_class]), " ".join(str(error).split())
            named = path in words and isinstance(error, (ValueError, OSError))
            of_system = isinstance(error, OSError) and (named or error.errno)
            if of_system or named and "\n" not in str(error) or "memory" in words:
                raise
            if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
                raise ReadError(words if named else f"{path} cannot be read: {words}") from None
            raise ReadError(
                f"{path} is damaged, or not what its name says ({type(error).__name__}: {words}). Copy it again, or "
                "write it again with the program that made it."
            ) from None

    return typing.cast("Read", read)
