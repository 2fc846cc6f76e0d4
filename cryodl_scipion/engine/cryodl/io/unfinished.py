# SPDX-License-Identifier: GPL-3.0-or-later
"""The working folder of a command, <output>.partial, with a record of the command and parameters that made it. Nothing
is removed there but what the record says to be of the same command: the user may keep anything under that name."""

import contextlib
import glob
import json
import os
import shutil
import typing
from pathlib import Path

from ..contract import Config, command_of, config_to_dict, say_if, write_json
from .files import path_within, rename_folder
from .stamps import file_stamp, input_stamps

RECORD = "unfinished.json"
FREE = ("device", "threads", "output")  # parameters that change nothing of what is made
GROWING = ("cache",)  # folders that a command itself adds to: what lies there may differ when it continues


def check_output(output: str, what: str = "Output folder") -> None:
    """Raises FileExistsError if there is already something under an output's name. what: it is, for the message. An
    empty folder, as that of --result is made, is nothing, and goes: a finished folder gets its name by a rename."""
    with contextlib.suppress(OSError):
        os.rmdir(output)
    if os.path.exists(output):
        _tidy(Path(output))
        raise FileExistsError(
            f"{what} {output} (--output) exists already; it is not replaced. Choose another name or remove it."
        )


def star_stem(output: str, what: str, *beside: str) -> str:
    """Path of a STAR file to be written, without its ending. Makes the folder. what: it holds, for messages. *beside:
    patterns of the names of files that will lie beside it, after that stem. Raises ValueError for another ending;
    FileExistsError if any of these files is there and not of a run that was stopped before its last step."""
    if not output.endswith(".star"):
        raise ValueError(f"Output (--output) is {output}; it must end in .star.")
    check_output(output, what)
    stem = output[: -len(".star")]
    folder, name = Path(stem).parent, glob.escape(Path(stem).name)
    there = sorted(path for pattern in beside for path in folder.glob(name + pattern))
    if there and not (Path(output + ".partial") / RECORD).exists():
        raise FileExistsError(
            f"{there[0]}, which would be written, exists already; it is not replaced. Choose another "
            "--output or remove it."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return stem


def working_folder(
    config: Config,
    files: typing.Sequence[str] = (),
    continues: bool = True,
    precious: str | None = None,
    settings: typing.Mapping[str, typing.Any] | None = None,
) -> Path:
    """The folder <output>.partial, with its record: as a stopped run of the same command and parameters left it, or
    empty. files: inputs whose change makes it another run. continues: False for commands that always begin anew.
    precious: name of a file that stands for hours of work, which is not thrown away for other parameters. settings:
    further parameters: those of the runner that change what is made. Raises ValueError if the folder holds anything
    that is not of this command, or precious work of other parameters."""
    folder, command = Path(str(vars(config)["output"]).rstrip("/") + ".partial"), command_of(config)
    mine, found = _parameters(config, files, settings or {}), _read_record(folder, command)
    other = _differences(found, mine) if found is not None else []
    if found is not None and not (continues and not other):
        if continues and precious and (folder / precious).exists():
            raise ValueError(
                f"{folder} holds an unfinished {command} with other parameters ({', '.join(other)}). Remove it, or "
                "choose another --output."
            )
        _empty(folder, command)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, dict(command=command, parameters=mine))
    return folder


def finish_folder(folder: str | os.PathLike[str], output: str | os.PathLike[str], *leftovers: str) -> None:
    """Give a working folder its final name, and remove its record and the leftovers. *leftovers: names of files or
    folders in it."""
    record = Path(folder) / RECORD
    known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    write_json(record, dict(known, leftovers=leftovers))
    with contextlib.suppress(OSError):  # of a second start, which was refused, with its --result in this folder
        Path(output, "failure.json").unlink(missing_ok=True)
        os.rmdir(output)
    rename_folder(folder, output)
    _tidy(Path(output))  # after the rename: till then a stopped run needs them


def _tidy(folder: Path) -> None:
    """Remove what finish_folder leaves in a folder that has its final name, if it was killed then."""
    try:
        leftovers = json.loads((folder / RECORD).read_text(encoding="utf-8"))["leftovers"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    for name in (*leftovers, RECORD):
        _remove(path_within(folder, name))


def remove_unused(output: str | None) -> None:
    """Remove the working folder of a command that was refused before it had made anything: it holds its record
    alone."""
    folder = Path(str(output or "").rstrip("/") + ".partial")
    if output and (folder / RECORD).is_file() and not any(p.is_file() and p.name != RECORD for p in folder.rglob("*")):
        shutil.rmtree(folder)


def _parameters(
    config: Config, files: typing.Sequence[Path | str], settings: typing.Mapping[str, typing.Any]
) -> dict[str, typing.Any]:
    values = {k: v for k, v in dict(config_to_dict(config), **settings).items() if k not in FREE}
    values["inputs"] = {name: stamp for name, stamp in input_stamps(config).items() if name not in GROWING}
    if files:
        values["files"] = [[str(f), *file_stamp(f).values()] for f in files if os.path.exists(f)]
    return json.loads(json.dumps(values))  # as they come back from the record


def _differences(found: typing.Mapping[str, typing.Any], mine: typing.Mapping[str, typing.Any]) -> list[str]:
    """Words for what differs. Records of earlier versions say nothing of the inputs."""
    words = [k.replace("_", " ") for k in mine if k not in ("inputs", "files") and found.get(k) != mine[k]]
    words += say_if(
        "files" in mine and found.get("files", mine["files"]) != mine["files"], "files that the inputs name"
    )
    before, now = found.get("inputs"), mine["inputs"]
    if before is not None:
        words += [
            f"files of {k.replace('_', ' ')} that have changed"
            for k in {**before, **now}
            if k not in GROWING and before.get(k) != now.get(k) and k.replace("_", " ") not in words
        ]
    return words


def _read_record(folder: Path, command: str) -> dict[str, typing.Any] | None:
    """Parameters of the run that the folder is of; None if there is nothing in it. ValueError if it is not ours."""
    if not folder.exists() or folder.is_dir() and not any(folder.iterdir()):
        return None
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        found, parameters = record["command"], dict(record["parameters"])
    except (OSError, ValueError, KeyError, TypeError):
        found = None
    if found != command:
        what = f"an unfinished {found}" if found else "something else"
        raise ValueError(
            f"{folder}, where the unfinished {command} would be kept, holds {what}. Remove it, or choose "
            "another --output."
        )
    return parameters


def _empty(folder: Path, command: str) -> None:
    # first: stopped half-way, it is ours still, but nobody's to continue
    write_json(folder / RECORD, dict(command=command, parameters={}))
    for path in folder.iterdir():
        if path.name != RECORD:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
