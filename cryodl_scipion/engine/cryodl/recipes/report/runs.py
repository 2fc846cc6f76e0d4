# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of a project or of a folder, as their files tell of them. Nothing here may end with an exception."""

import collections.abc
import contextlib
import dataclasses
import json
import os
import re
import sqlite3
import typing
from pathlib import Path

from ...contract import Config, Failure, Request, Result

RESULT, REQUEST, FAILURE = "result.json", "request.json", "failure.json"
LARGEST = 256 << 20  # bytes of a file that is read
_RUN = re.compile(r"(\d{6})_(\w+)")
# what a damaged or foreign file makes the readers raise
_ERRORS = (ValueError, OSError, KeyError, TypeError, AttributeError, RecursionError)
_COLOURS = re.compile(r"\x1b\[\d*m")
WORKING = ("running", "launched", "scheduled")
STOPPED = {"failed": "failed", "aborted": "was stopped"}  # {status: words}


@dataclasses.dataclass(frozen=True)
class Finished:
    """A result and what was asked for. time: seconds since 1970, when it was written. config: None if it is unknown.
    micrographs: {name: file} of the request. root: folder that relative paths in it are relative to."""

    path: str
    time: float
    result: Result
    config: Config | None
    micrographs: dict[str, str]
    root: str

    def source(self, name: str) -> str:
        """Where a micrograph is; of one whose file is not known, in which folder the result is."""
        path = self.micrographs.get(name)
        return os.path.realpath(self.file(path)) if path else f"results in {os.path.dirname(self.path)}"

    def file(self, path: str) -> str:
        """Where a file is that the result names: below the root, beside the result, or as it is named."""
        paths = [os.path.join(self.root, path), os.path.join(os.path.dirname(self.path), os.path.basename(path))]
        return next((candidate for candidate in paths if os.path.exists(candidate)), path)


@dataclasses.dataclass
class FoundRun:
    """A run of a project, or all results of one command in one folder. name: folder, or folder and command. label: for
    people. status, error: Scipion's words, '' where there are none. results: oldest first. problems: sentences on files
    that could not be read. failures: what stopped it. summary, methods: texts of Scipion or the results. inputs: the
    numbers of runs whose outputs it takes. behind: the run that stopped first, without which it cannot start."""

    name: str
    label: str
    status: str = ""
    error: str = ""
    results: list[Finished] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    summary: list[str] = dataclasses.field(default_factory=list)
    methods: list[str] = dataclasses.field(default_factory=list)
    inputs: list[int] = dataclasses.field(default_factory=list)
    behind: "FoundRun | None" = None

    @property
    def works(self) -> bool:
        """Whether it is under way, or can be."""
        return self.status in WORKING and self.behind is None


def runs_of_folder(folder: str) -> list[FoundRun]:
    """The results below a folder, those of one command in one folder together, in the order of their names."""
    runs: dict[str, FoundRun] = {}
    for path in _files(folder):
        subfolder = os.path.relpath(os.path.dirname(path), folder)
        finished, problem = _read(path, os.curdir)
        command = finished.result.command if finished else os.path.basename(path)
        name = command if subfolder == "." else f"{subfolder}: {command}"
        _add(runs.setdefault(name, FoundRun(name, name)), path, finished, problem)
    for run in _sorted(runs):
        told = [finished.result for finished in run.results]
        run.summary = [line for one in told[-1:] for line in one.summary]
        run.methods = list(dict.fromkeys(line for one in told for line in one.methods))
    return list(runs.values())


def runs_of_project(project: str, words: dict[str, typing.Any]) -> list[FoundRun]:
    """The runs of a Scipion project. words: {folder's name: {label, summary, methods}} from Scipion itself."""
    runs = {}
    top = Path(project, "Runs")
    for folder in sorted(top.iterdir()) if top.is_dir() else []:
        found = _RUN.fullmatch(folder.name)
        if not found or not folder.is_dir():
            continue
        run = runs[folder.name] = FoundRun(folder.name, found.group(2))
        _scipions_words(run, folder, int(found.group(1)))
        told = words.get(folder.name)
        if isinstance(told, dict):
            run.label = str(told.get("label") or run.label)
            lists = [told[key] if isinstance(told.get(key), list) else [] for key in ("summary", "methods")]
            run.summary, run.methods = ([str(text) for text in texts] for texts in lists)
        for path in _files(str(folder)):
            _add(run, path, *_read(path, project))
    _find_those_behind({int(name.split("_")[0]): run for name, run in runs.items()})
    return _sorted(runs)


def _find_those_behind(runs: dict[int, FoundRun]) -> None:
    """Scipion's scheduler keeps a run whose input's run has stopped scheduled, and all that follows; ours fail where an
    output will never be there, and say so."""
    found = True
    while found:
        found = False
        for run in [run for run in runs.values() if run.status in ("scheduled", "failed") and run.behind is None]:
            before = [runs[number] for number in run.inputs if number in runs]
            before = [b for b in before if run.status == "scheduled" or f"'{b.label}' has no output" in run.error]
            run.behind = next((b for b in (one if one.status in STOPPED else one.behind for one in before) if b), None)
            found = found or run.behind is not None
    for run in runs.values():
        while run.behind and run.behind.behind:  # to the first that stopped
            run.behind = run.behind.behind


def read_words(path: str | None) -> tuple[dict[str, typing.Any], list[str]]:
    """The words of Scipion, and sentences if the file is damaged."""
    if path is None:
        return {}, []
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is not of the form {name: ...}")
        return found, []
    except _ERRORS as error:
        return {}, [f"{path} (--words) cannot be read: {error}."]


def _sorted(runs: dict[str, FoundRun]) -> list[FoundRun]:
    for run in runs.values():
        run.results.sort(key=lambda finished: finished.time)
    return list(runs.values())


def _files(folder: str) -> typing.Iterator[str]:
    """Files of results and failures below a folder, without hidden and unfinished ones."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith(".partial"))
        yield from (os.path.join(parent, n) for n in sorted(names) if n.endswith((RESULT, FAILURE)) and n[0] != ".")


def _read(path: str, root: str) -> tuple[Finished | None, str]:
    """(Finished or None, what is wrong or '')."""
    if os.path.basename(path).endswith(FAILURE):
        return None, ""
    try:
        if os.path.getsize(path) > LARGEST:
            raise ValueError("it is larger than any result")
        result, time = _sound(Result.read(path)), os.stat(path).st_mtime
    except _ERRORS as error:
        return None, f"{path} is not a readable result: {_one_line(error)}"
    config: Config | None = None
    named: dict[str, str] = {}
    with contextlib.suppress(*_ERRORS):  # a result tells of itself, also without its request
        asked = Request.read(os.path.join(os.path.dirname(path), REQUEST))
        config, names = asked.config, getattr(asked.config, "names", asked.names)
        named = dict(zip(names, getattr(config, "micrographs", ())))
    return Finished(path, time, result, config, named, root), ""


def _sound(result: Result) -> Result:
    """The result. Raises ValueError if a part of it is of another kind than the page needs."""
    kinds = dict(command=str, outputs=collections.abc.Mapping, versions=dict, device=str)
    wrong = [name for name, kind in kinds.items() if not isinstance(getattr(result, name), kind)]
    wrong += [w for w in ("warnings", "summary", "methods") if not all(isinstance(t, str) for t in getattr(result, w))]
    wrong += ["skipped"] * any(not isinstance(text, str) for s in result.skipped for text in vars(s).values())
    if wrong:
        raise ValueError(f"its {', '.join(wrong)} are not those of a result")
    return result


def _add(run: FoundRun, path: str, finished: Finished | None, problem: str) -> None:
    if finished is not None:
        run.results.append(finished)
    elif problem:
        run.problems.append(problem)
    else:
        try:
            run.failures.append(_one_line(Failure.read(path).message))
        except _ERRORS as error:
            run.problems.append(f"{path} is not a readable failure.json: {_one_line(error)}")


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _scipions_words(run: FoundRun, folder: Path, number: int) -> None:
    """Label, status and error of a run from its database, which is only read."""
    database = folder / "logs" / "run.db"
    if not database.exists():
        run.status = "saved"
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            label = db.execute("SELECT label FROM Objects WHERE id=?", (number,)).fetchone()
            values = dict(db.execute("SELECT name, value FROM Objects WHERE parent_id=?", (number,)))
            pointers = "SELECT value FROM Objects WHERE classname='Pointer' AND name LIKE ?"
            run.inputs = [int(value) for (value,) in db.execute(pointers, (f"{number}.%",)) if str(value).isdigit()]
        run.label = str(label[0]) if label and label[0] else run.label
        run.status = str(values.get(f"{number}.status") or "")
        run.error = _one_line(_COLOURS.sub("", str(values.get(f"{number}._error") or "")))
    except sqlite3.Error as error:
        run.problems.append(f"{database} cannot be read: {error}.")
