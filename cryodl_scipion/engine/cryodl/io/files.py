# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding input files, and writing output files whole or not at all. Pairing of files by their names."""

import contextlib
import csv
import functools
import glob
import json
import os
import re
import shutil
import typing
import zipfile
from pathlib import Path

import numpy as np

from ..contract.processes import remove_abandoned, temporary_path
from ..contract.reading import fault_of, reader
from .zarr_arrays import is_zarr

MAX_NAMED = 5
BY_HAND = b"\n_cryodlCertain"  # in the head of picks that were made or corrected by hand (byhand/store.py)


def pair_by_name(
    names: typing.Sequence[str], others: typing.Sequence[str], what: tuple[str, str], of_others: tuple[str, str]
) -> tuple[list[int], str]:
    """Which file belongs to which. Names are alike if they are the same, or if one stands in the other as a whole word
    (tomo_1 in tomo_1_labels, not in tomo_12). The others are paired in sorted order (2 before 10), which the warning
    says, unless the alike ones do not lie side by side in that order, numbers contradict it (tomo_2 and tomo_3), or no
    names are alike and have no number in common: then ValueError. One file of each belongs together whatever its name.
    names: each only once. others: as many, each only once. what: (plural, option) of the names, in words; of_others:
    those of the others. Returns the positions of the others that belong to each of the names, and a warning or "".
    Raises ValueError that names what is left over."""
    if len(names) == len(others) == 1:
        return [0], ""
    found: dict[str, list[int]] = {}
    holding = lists_by_key((part, name) for name in names for part in _words(name))
    order = {name: number for number, name in enumerate(names)}
    for position, other in enumerate(others):
        if alike := sorted({*holding.get(other, ()), *(_words(other) & order.keys())}, key=order.__getitem__):
            # the longest name that is in both; the same name before others
            name = max(alike, key=lambda one: (min(len(one), len(other)), one == other))
            found.setdefault(name, []).append(position)
    taken = {name: others[positions[0]] for name, positions in found.items() if len(positions) == 1}
    if len(taken) == len(names):
        return [found[name][0] for name in names], ""
    in_order = dict(zip(sorted(names, key=_natural), sorted(others, key=_natural)))
    positions = [others.index(in_order[name]) for name in names]
    strange = [(name, other) for name, other in in_order.items() if name not in taken]
    doubtful = any(_contradict(*pair, bool(found)) for pair in strange)
    if len(taken) == len(found) and taken.items() <= in_order.items() and not doubtful:
        paired = _listed([f"{name} with {other}" for name, other in strange])
        return positions, (
            f"These names of the {what[0]} ({what[1]}) and the {of_others[0]} ({of_others[1]}) do not match; they "
            f"were paired in sorted order: {paired}. If that is wrong, give them the same names."
        )
    left = [n for n in names if n not in taken], [o for o in others if o not in taken.values()]
    raise ValueError(
        f"{'Only some' if found else 'No'} names of the {what[0]} ({what[1]}) and of the {of_others[0]} "
        f"({of_others[1]}) match. Left over: {_listed(left[0])} of the {what[0]}, {_listed(left[1])} of the "
        f"{of_others[0]}. Give those that belong together, with the same names."
    )


def _words(name: str) -> set[str]:
    """All parts of a name that begin and end with whole words, itself included."""
    edges = (r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])")
    firsts, lasts = ([found.start() for found in re.finditer(edge, name)] for edge in edges)
    return {name[first:last] for first in firsts for last in lasts if first < last}


def _contradict(one: str, other: str, alike: bool) -> bool:
    """Whether each name has a number that the other has not (tomo_3_bin4 and tomo_2_bin4), or they have none in common
    where no names are alike."""
    mine, theirs = ({int(digits) for digits in re.findall(r"\d+", name)} for name in (one, other))
    return bool(mine - theirs and theirs - mine) or not (alike or mine & theirs)


def _natural(name: str) -> list[int | str]:
    """Sorts 2 before 10, however many digits they are written with."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _listed(names: typing.Sequence[str]) -> str:
    return ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")


MICROGRAPH_SUFFIXES = (".mrc", ".mrcs", ".tif", ".tiff", ".map")
_STRIPPED = MICROGRAPH_SUFFIXES + (".rec", ".st", ".star", ".box", ".txt", ".png", ".jpg", ".zarr", ".tomostar")
_PICK_SUFFIXES = ("_autopick", "_manualpick", "_pick", "_extract")


def micrograph_key(name: typing.Any) -> str:
    """The name by which micrographs and coordinates are matched: no folder, no extension, no compression suffix.
    '000001@mics/a.mrc.gz' gives 'a'. A tomogram of a copick project, <run>/VoxelSpacing13.000/wbp.zarr: the run."""
    return copick_run(name) or file_key(name)


def copick_run(name: typing.Any) -> str:
    """The run of a tomogram in a copick project, <run>/VoxelSpacing13.000/wbp.zarr; '' for other files."""
    path = Path(re.sub(r"^\d+@", "", str(name)))
    of_run = path.suffix.lower() == ".zarr" and path.parent.name.startswith("VoxelSpacing")
    return path.parent.parent.name if of_run else ""


def file_key(name: typing.Any) -> str:
    """The file's own name without folder, extension and compression suffix, also in a copick project."""
    return _without_ending(_without_ending(Path(re.sub(r"^\d+@", "", str(name))).name, (".gz", ".bz2")), _STRIPPED)


def names_with_runs(runs: typing.Sequence[str], names: typing.Sequence[str]) -> list[str]:
    """Names of tomograms: the copick run where there is one, <run>__<name> where several are of one run, else the name.
    runs: copick_run of each."""
    return [(f"{run}__{name}" if runs.count(run) > 1 else run) if run else name for run, name in zip(runs, names)]


def name_and_path(text: str) -> tuple[str, str]:
    """('topaz', 'picks/topaz') of 'topaz=picks/topaz'; the name is empty where none is given. A path that exists is
    never cut at its '='."""
    name, sign, path = text.partition("=")
    return (name.strip(), path) if sign and name.strip() and not os.path.exists(text) else ("", text)


def without_pick_suffix(key: str) -> str:
    """The key without the ending that pickers add to it: 'a_autopick' gives 'a'."""
    return _without_ending(key, _PICK_SUFFIXES)


def _without_ending(key: str, endings: typing.Sequence[str]) -> str:
    return next((key[: -len(e)] for e in endings if key.lower().endswith(e) and len(key) > len(e)), key)


def expand_paths(patterns: typing.Iterable[str], names: typing.Sequence[str] = ()) -> list[str]:
    """Files of globs, plain paths and list files, in the order given (globs sorted). patterns: a .txt file holds one
    path per line; a .star file has rlnMicrographName. Relative paths in a list are tried as they are and beside the
    list, those with a folder above it, too; whoever reads a missing file names it if names are given, or others of the
    list are there. Raises FileNotFoundError that names the pattern or list that matches nothing; ValueError for a
    folder."""
    found = []
    for pattern in patterns:
        if os.path.isdir(pattern) and not is_zarr(pattern):
            raise ValueError(f"{pattern} is a folder; give its files, for example '{pattern.rstrip('/')}/*.mrc'.")
        matches = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))
        if not matches and (not names or re.search(r"[*?]|\.(txt|star)$", pattern, re.IGNORECASE)):
            raise FileNotFoundError(
                f"No file matches {pattern!r} (current folder: {os.getcwd()}). "
                "Give a glob in quotes, file names, or a list file."
            )
        for match in matches or [pattern]:
            found += _read_list(match) if match.lower().endswith((".txt", ".star")) else [match]
    return found


@reader
def _read_list(path: str) -> list[str]:
    if path.lower().endswith(".star"):
        from .star import listed_micrographs

        names = listed_micrographs(path)
    else:
        names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    near, above = ["", os.path.dirname(path)], [*map(str, Path(path).absolute().parents[1:])]
    names = list(dict.fromkeys(re.sub(r"^\d+@", "", name) for name in names))
    # RELION's names begin with a folder of its project; a name alone may be that of another file above
    folders = {name: near + above if os.path.dirname(name) else near for name in names}
    files = [next(filter(os.path.exists, (os.path.join(one, name) for one in folders[name])), name) for name in names]
    if not any(map(os.path.exists, files)):
        raise FileNotFoundError(
            f"{path} lists no file that is there, in {os.getcwd()}, beside the list or in a folder above it: "
            f"{', '.join(files[:1]) or 'it is empty'}. Start in the project's folder, or correct the list."
        )
    return files


def check_utf8_name(path: str | os.PathLike[str]) -> None:
    """Raises ValueError for a file whose name is not UTF-8: no table that other programs read could name it."""
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path!a} has a name that is not UTF-8. Rename the file.") from None


@reader
def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file. Raises ValueError that names a file which is not."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text: byte {error.start + 1} is 0x{error.object[error.start]:02x}. Save "
            "it as UTF-8, for example with iconv -f latin1 -t utf-8."
        ) from None


@reader
def read_kept(path: str | os.PathLike[str]) -> typing.Any:
    """What a command noted in its output, to go on there: the value of a JSON file, or the {name: array} of a .npz.
    Raises ValueError that names a damaged file."""
    try:
        if Path(path).suffix == ".npz":
            with np.load(path) as stored:
                return dict(stored)
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        what = fault_of(error) if isinstance(error, ValueError) else "it is incomplete"
        raise ValueError(
            f"{path} is damaged ({what}), as after a power cut. Remove the folder that it is in, or choose another "
            "--output."
        ) from None


def folder_record(path: Path) -> dict[str, typing.Any]:
    """What a JSON file notes of an output folder, with dicts of its `settings` and `tomograms`. Raises ValueError."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return dict(record, settings=dict(record["settings"]), tomograms=dict(record["tomograms"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged, or was written by another program ({error!r}). Remove it, or choose another --output."
        ) from None


def path_within(folder: Path, name: str) -> Path:
    """The path of what a record in a folder names there. Raises ValueError if that is not in the folder: what a record
    names may be removed, and a user's file must not have a say in what else is."""
    path = folder / name
    if Path(os.path.abspath(folder)) not in Path(os.path.abspath(path)).parents:
        raise ValueError(f"A record in {folder} names {name}, which is not in this folder. Choose another --output.")
    return path


def whole_rows(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Rows of a CSV table that a command adds to, none if there is no file. A row cut by a power cut is left out."""
    with contextlib.suppress(FileNotFoundError), open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if all(row.values())]
    return []


def name_micrographs(
    paths: typing.Sequence[str], names: typing.Sequence[str] = (), what: str = "micrograph"
) -> list[tuple[str, str]]:
    """Pairs of unique name and path. names: to take instead of the files' names; none, or as many as paths. Raises
    ValueError if two files have one name (coordinates and outputs could not be told apart), or `names` does not fit."""
    if names and len(names) != len(paths):
        raise ValueError(f"Names (--names) has {len(names)} entries for {len(paths)} {what}s; give one for each.")
    for name in names:
        if name in ("", ".", "..") or "/" in name or "\0" in name or not name.isprintable():
            raise ValueError(
                f"The name {name!r} (--names) cannot be the name of a file in the output folder. Use "
                "letters, digits and signs, without / and line breaks."
            )
    seen, pairs = dict[str, str](), list[tuple[str, str]]()
    own = names or names_with_runs([copick_run(p) for p in paths], [file_key(p) for p in paths])
    for name, path in zip(own, paths):
        if name in seen and os.path.realpath(seen[name]) == os.path.realpath(path):
            raise ValueError(f"The {what} {path} is given twice.")
        if name in seen:
            named = "give a name to each (--names, if the command has it), " if what == "tomogram" else ""
            raise ValueError(
                f"Two {what}s are called {name}: {seen[name]} and {path}. Rename one, {named}or take them in two runs "
                "with different output folders."
            )
        seen[name] = path
        pairs.append((name, path))
    return pairs


def prepare_folder(
    named: typing.Iterable[tuple[str, str]],
    folder: str | os.PathLike[str],
    ending: str,
    mark: bytes,
    known: typing.Collection[str] = (),
) -> None:
    """Make a folder of outputs. Raises ValueError if a file <name><ending> there, which a command would replace or
    remove, is an input itself, was not written by the command, or was corrected by hand since. named: names and files
    of the inputs. mark: stands in the heads of the command's files. known: names of which a record says that the
    command wrote them."""
    for name, path in named:
        file = os.path.join(folder, name + ending)
        if os.path.realpath(path) == os.path.realpath(file):
            raise ValueError(f"The results would replace {path} itself. Choose another --output.")
        with contextlib.suppress(FileNotFoundError), open(file, "rb") as there:
            head = there.read(4096)
            if BY_HAND in head or mark not in head and name not in known:
                what = "was corrected by hand" if BY_HAND in head else "is there, and not of this command"
                raise ValueError(f"{file} {what}: it is not replaced. Choose another --output, or move it away.")
    os.makedirs(folder, exist_ok=True)


name_tomograms = functools.partial(name_micrographs, what="tomogram")


def evenly_spaced(items: typing.Sequence[typing.Any], number: int) -> list[typing.Any]:
    """At most `number` items evenly spread over a list, in its order."""
    if len(items) <= number:
        return list(items)
    if number == 1:
        return [items[len(items) // 2]]
    return [items[round(i * (len(items) - 1) / (number - 1))] for i in range(number)]


def spread_first(items: typing.Sequence[typing.Any], number: int) -> list[typing.Any]:
    """All items, those first that evenly_spaced chooses."""
    chosen = evenly_spaced(range(len(items)), number)
    return [items[i] for i in chosen + sorted(set(range(len(items))) - set(chosen))]


def read_some(read: typing.Callable[[str], typing.Any], paths: typing.Sequence[str], number: int) -> list[typing.Any]:
    """What `read` makes of at most `number` paths, of which those come first that evenly_spaced chooses; those for
    which it raises ValueError or FileNotFoundError are passed over."""
    found = list[typing.Any]()
    for path in spread_first(paths, number):
        if len(found) == number:
            break
        with contextlib.suppress(ValueError, FileNotFoundError):
            found.append(read(path))
    return found


def lists_by_key(pairs: typing.Iterable[tuple[typing.Any, typing.Any]]) -> dict[typing.Any, list[typing.Any]]:
    """{key: values} of pairs (key, value), in their order."""
    lists: dict[typing.Any, list[typing.Any]] = {}
    for key, value in pairs:
        lists.setdefault(key, []).append(value)
    return lists


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> typing.Iterator[Path]:
    """A temporary path to write to; renamed when the block ends well, removed when it does not. What killed processes
    left in the folder is removed when the first file is written there. Raises OSError: disk full, or no permission;
    with the name of the file."""
    path = Path(path)
    temporary = Path(temporary_path(path))
    _tidy(str(path.parent))
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # some writers make files that only their owner can read
        os.replace(temporary, path)
    except OSError as error:
        if getattr(error, "filename", None) not in (None, str(temporary)):
            raise
        kept = "The file that was there before is unchanged" if path.exists() else "Nothing was left there"
        with contextlib.suppress(OSError):
            os.truncate(temporary, 0)  # its writer may be alive: the failure could not be written for want of its space
        # the system's words, not those of a block within this one, of its own file
        raise OSError(
            error.errno, f"Cannot write {path}: {os.strerror(error.errno) if error.errno else error}. {kept}"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text as UTF-8, whole or not at all; parts of file names that are not UTF-8 are escaped."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@functools.lru_cache(maxsize=1024)  # once for each folder and process
def _tidy(folder: str) -> None:
    with contextlib.suppress(OSError):
        remove_abandoned(folder)


@functools.lru_cache(maxsize=1)
def _umask() -> int:
    """The mask of this process. Read from the system: setting it, as os.umask does, is seen by other threads."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8", "replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration, ValueError):
        return 0o077  # no such file system: nobody else may read, which is never too much


def rename_folder(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a finished folder its final name. Raises FileExistsError if there is something already."""
    if os.path.exists(target):
        raise FileExistsError(f"{target} exists already; it is not replaced. Choose another name or remove it.")
    try:
        os.rename(source, target)
    except OSError:
        shutil.move(source, target)


def write_csv(
    path: str | os.PathLike[str], titles: typing.Sequence[str], rows: typing.Iterable[typing.Sequence[typing.Any]]
) -> None:
    """Write a table, whole or not at all. titles: of its columns."""
    with (
        whole_file(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        csv.writer(file).writerows([titles, *rows])
