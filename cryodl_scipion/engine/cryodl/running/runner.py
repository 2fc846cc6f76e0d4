# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner around every command: output folder and lock, device, threads, warnings, skipped items, sentences, result.

A command is a function of its config and a Run, decorated with `command`; what it returns are its outputs:

    @command
    def improve_map(config: ImproveMapConfig, run: Run) -> ImproveMapOutputs:

Called with a config alone it gives the Result."""

import contextlib
import functools
import os
import sys
import threading
import time
import typing
from importlib.metadata import version
from pathlib import Path

import torch

from .. import __version__
from ..contract import (
    EVERY_COMMAND,
    AllSkipped,
    Config,
    Outputs,
    Request,
    Result,
    Skipped,
    absent,
    check,
    command_of,
    counted,
    drawn_and_named,
    in_words,
    refuse_if,
    said_skipped,
)
from ..core.devices import choose_device, computing_on, device_name, set_threads
from ..io import memory, messages, stopping, unfinished
from ..io.micrographs import of_other_binning
from ..io.output_lock import output_lock
from ..io.progress import ProgressBar
from .distributed import Helped, helps, launched, run_on, several_devices

PROGRAM = f"cryodl {__version__}"  # for sentences
# Commands of several threads of a process run one after another: locks, warnings and threads are the process's.
_ALONE = threading.RLock()
NAMED = 20  # skipped items that are printed; the result lists all
AskedT = typing.TypeVar("AskedT", bound=Config)
Made = typing.TypeVar("Made", bound=Outputs, covariant=True)
Item = typing.TypeVar("Item")
Named = typing.Sequence[tuple[str, str]]  # names and files of items


def command(function: "typing.Callable[[AskedT, Run[AskedT]], Made]") -> typing.Callable[..., Result[Made]]:
    """Make a command of a function. function: takes a config and its Run, and returns the outputs that the contract
    declares for the config's command. Returns takes a config and the arguments of run_command, and returns the Result.
    device, threads, seed, names: as the options of these names; a command within another one computes where that one
    does. warnings: about the config, for the result. It checks the config (ValueError), locks the output, and gives the
    working folder its name when the function has ended. Of several processes of one training only the first gets a
    Result."""

    @functools.wraps(function)
    def run_command(
        config: AskedT,
        warnings: typing.Sequence[str] = (),
        device: str | None = None,
        threads: int | None = None,
        seed: int = 0,
        names: typing.Sequence[str] = (),
    ) -> Result[Made]:
        refuse_if(check(config))
        row, run = EVERY_COMMAND[command_of(config)], Run(config, seed, names)
        with (
            _ALONE,
            contextlib.ExitStack() as end,
            computing_on(device, threads),
            messages.collected() as said,
            output_lock(row, config, names=run.names),
        ):
            started = time.monotonic()
            run.warn(*warnings)
            if row.fresh and (output := vars(config)["output"]):
                unfinished.check_output(output, row.fresh)
            several = several_devices(device or "") if row.several and not launched() else []
            if several:
                share = max(1, threads // len(several)) if threads else None
                return run_on(several, Request(row.name, config, threads=share, seed=run.seed, names=run.names))
            if launched() and not row.several:
                raise ValueError(
                    f"{row.name} runs in one process, and several were started. Start it without torchrun."
                )
            try:
                with _quiet() if helps() else contextlib.nullcontext():
                    made = function(config, run)
            except Helped:
                return typing.cast("Result[Made]", None)
            except ValueError:
                if not helps():
                    unfinished.remove_unused(getattr(config, row.locks, None))
                raise
            end.enter_context(stopping.held())  # what is complete is not called unfinished
            run.finish()
            return Result(
                row.name,
                made,
                device="none" if run._device is None else run.device_name,  # nothing was computed on it
                seconds=round(time.monotonic() - started, 3),
                skipped=tuple(run.skipped),
                warnings=tuple(said()),
                versions=versions(),
                summary=(*said(lines=True), *run.summary_sentences),
                methods=tuple(run.methods_sentences),
            )

    return run_command


@contextlib.contextmanager
def _quiet() -> typing.Iterator[None]:
    with (
        open(os.devnull, "w", encoding="utf-8") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        yield


class Run(typing.Generic[AskedT]):
    """What a command's function needs beside its config, and where it tells what happened. config: of the command.
    seed: of random numbers. A field of the config of this name counts instead, as for `names`. names: of its items,
    where they are not those of their files."""

    def __init__(self, config: AskedT, seed: int = 0, names: typing.Sequence[str] = ()) -> None:
        self.config = config
        self.command = command_of(config)
        self.seed: int = getattr(config, "seed", seed)
        self.names: tuple[str, ...] = tuple(getattr(config, "names", names))
        self.skipped: list[Skipped] = []
        self.summary_sentences: list[str] = []
        self.methods_sentences: list[str] = []
        self._device: torch.device | None = None
        self._noun = "item"
        self._left_out = 0
        self._folder: Path | None = None
        self._leftovers: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, typing.Any]:
        """Seed and names, of those that the command takes beside its config."""
        return drawn_and_named(self.command, self.seed, self.names)

    # ----- device
    @property
    def device(self) -> torch.device:
        """The device that the user asked for, and with its first use the number of threads."""
        return self._device or self.take_device()

    def take_device(self, device: str | None = None, threads: int | None = None) -> torch.device:
        """Use another device or number of threads than the config's. device: as --device. threads: 0 for all."""
        self._device = choose_device(device if EVERY_COMMAND[self.command].gpu else "cpu")
        set_threads(threads)
        return self._device

    @property
    def device_name(self) -> str:
        """The device in words."""
        return device_name(self.device)

    # ----- what is told
    def warn(self, *sentences: str | None) -> None:
        """Print warnings now, each once; they stand in the result. What is a messages.Line stands in its summary. An
        empty sentence is none."""
        for sentence in filter(None, sentences):
            messages.warn(sentence)

    def summary(self, *sentences: str) -> None:
        """Print sentences about what was made; they stand in the result, for the summary of a form."""
        for sentence in sentences:
            print(sentence, flush=True)
        self.summary_sentences += sentences

    def methods(self, *sentences: str) -> None:
        """Sentences for the methods of a paper; they stand in the result."""
        self.methods_sentences += sentences

    # ----- items
    def items(self, named: Named, noun: str) -> typing.Iterator[tuple[str, str]]:
        """Names and paths of items, with a progress bar if there are any. noun: what an item is: 'micrograph'."""
        self._noun = noun
        yield from ProgressBar(named, unit=noun, mininterval=1.0) if named else ()

    @contextlib.contextmanager
    def item(self, name: str, path: str, undo: typing.Callable[[str], None] | None = None) -> typing.Iterator[None]:
        """Skip an item whose block raises ValueError, has no file to read, or lacks memory. undo: removes its rest."""
        try:
            with memory.one_item(path):
                yield
        except (ValueError, FileNotFoundError, PermissionError) as error:
            gone = isinstance(error, FileNotFoundError) and error.filename
            self.skip(name, path, f"{gone} {absent(gone)}." if gone else error)
            if undo:
                undo(name)

    def skip(self, name: str, path: str, reason: object, noun: str = "") -> None:
        """Leave an input out, and say why, once; of many the first are said. noun: what it is, if none of `items`."""
        self.skipped.append(Skipped(name, str(path), str(reason)))
        self._noun = noun or self._noun
        if len(self.skipped) <= NAMED and in_words(self.skipped[-1]) not in map(in_words, self.skipped[:-1]):
            ProgressBar.write(f"Skipped: {in_words(self.skipped[-1])}")

    def of_one_binning(
        self, named: Named, pixel_size: float, undo: typing.Callable[[str], None]
    ) -> list[tuple[str, str]]:
        """Names and paths of micrographs without those of another binning, which are skipped. undo: as for `item`."""
        odd = of_other_binning([path for _, path in named], pixel_size)
        for name, path in (pair for pair in named if pair[1] in odd):
            self.skip(name, path, odd[path], "micrograph")
            undo(name)
        self._left_out += len(odd)
        return [pair for pair in named if pair[1] not in odd]

    def each(
        self,
        named: Named,
        noun: str,
        done: str,
        work: typing.Callable[[str, str], Item],
        known: dict[str, Item] | None = None,
        undo: typing.Callable[[str], None] | None = None,
        begin: typing.Callable[[], object] | None = None,
    ) -> dict[str, Item]:
        """{name: what `work` makes of its name and path}, without those that are skipped; AllSkipped if all are.
        known: what earlier runs have made. noun, done: 'micrograph', 'picked'. undo: as for `item`. begin: what is
        needed for all, and nothing to be skipped for, if there is work: it loads a model."""
        made = dict(known or {})
        if known is not None:
            print(f"{counted(len(named), noun)}, {len(made)} of them already {done}.")
        todo = [pair for pair in named if pair[0] not in made]
        if todo and begin:
            begin()
        for name, path in self.items(todo, noun):
            with self.item(name, path, undo):
                made[name] = work(name, path)
        self.require_some(named, noun, done)
        return {name: made[name] for name, _ in named if name in made}

    def require_some(self, named: typing.Sequence[object], noun: str, done: str) -> None:
        """Raise AllSkipped if all of the items were skipped. noun: 'micrograph'. done: 'picked'."""
        if self.skipped and len(self.skipped) == len(named) + self._left_out:
            error = AllSkipped(
                f"Of {counted(len(self.skipped), noun)}, none could be {done}. The first: {in_words(self.skipped[0])}"
            )
            error.reasons = {one.item: one.reason for one in self.skipped}
            raise error
        self._noun = noun

    def progress(self, total: int, noun: str, done: int = 0, title: str | None = None) -> ProgressBar:
        """A progress bar, to be used in a `with`. done: what an earlier run has finished."""
        return ProgressBar(total=total, initial=done, unit=noun, desc=title, mininterval=1.0)

    # ----- output
    def at(self, name: str) -> str:
        """The path that a file of the output folder will have."""
        return os.path.join(vars(self.config)["output"], name)

    def folder(self, *inputs: str, continues: bool = True, precious: str | None = None) -> Path:
        """The working folder <output>.partial, which gets the output's name when the command has ended. *inputs: files
        whose change makes it another run. continues: whether a stopped run goes on with what it finds there. precious:
        name of a file that stands for hours of work, which is not thrown away for other parameters."""
        self._folder = unfinished.working_folder(self.config, inputs, continues, precious, self.settings)
        return self._folder

    def discard(self, *leftovers: str) -> None:
        """Names of files and folders in the working folder that are removed when the command has ended."""
        self._leftovers += leftovers

    def finish(self) -> None:
        """Give the working folder its name, and count what was skipped. The runner calls it."""
        if self._folder is not None and self._folder.exists():
            unfinished.finish_folder(self._folder, vars(self.config)["output"], *self._leftovers)
        if self.skipped:
            self.warn(*said_skipped(self.skipped, self._noun))


def versions() -> dict[str, str]:
    """Versions of the program, torch and Python, for the result."""
    return {"cryodl": __version__, "torch": version("torch"), "python": sys.version.split()[0]}
