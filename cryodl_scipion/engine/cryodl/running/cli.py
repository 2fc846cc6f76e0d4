# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, generated from the contract. torch is imported inside commands, so that --help is quick."""

import argparse
import contextlib
import dataclasses
import errno
import gc
import importlib
import json
import logging
import os
import signal
import sys
import textwrap
import traceback
import typing

from .. import __version__
from ..contract import (
    COMMANDS,
    DEV_COMMANDS,
    EVERY_COMMAND,
    AllSkipped,
    Command,
    Failure,
    Request,
    Result,
    describe_all,
    settings_of,
)
from ..contract.params import ParamInfo
from ..contract.version_0_1_0 import present_command_line
from ..io.memory import memory_sentence
from ..io.messages import HEARD, Line, no_long_silence
from ..io.stopping import Stopped, end_with_parent, held, stoppable
from .distributed import helps, launched

# The commands that people start with, and the others by wing.
START = (
    *("pick", "train-picker", "auto-pick", "evaluate-picks", "extract-particles", "classify-2d", "select-classes"),
    *("assign-orientations", "fit-heterogeneity", "segment", "improve-map", "doctor"),
)
WINGS = {
    "micrographs": "micrographs and picks",
    "particles": "particles",
    "tomograms": "tomograms and subtomograms",
    "maps": "maps, models and reports",
}

ELSEWHERE = (
    "Scipion's projects: cryodl check-project NAME [--mend] finds finished runs that have lost their outputs.",
    "`cryodl dev` lists simulations with a known truth, and what else only developers need.",
)


class UserError(Exception):
    """What the user can mend; shown as one line, without a traceback."""


def main(arguments: typing.Sequence[str] | None = None) -> int:
    """Run one command. arguments: those of the process if None. Returns the exit code: 0 done, 2 the user can mend it,
    128 + n stopped by signal n, 1 anything else."""
    # Waiting OpenMP threads that spin make everything three times slower on a machine that is shared (measured); this
    # must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a home that cannot be written to is no fault
    for stream in (sys.stdout, sys.stderr):  # names and units that the locale's letters do not have
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    end_with_parent()
    words, warnings = present_command_line(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["dev"]:
        if len(words) == 1 or words[1] not in DEV_COMMANDS:
            _print_help(dev=True)
            return 0 if words[1:] in ([], ["--help"], ["-h"]) else 2
        words = words[1:]
    if not words or words[0] in ("-h", "--help"):
        _print_help()
        return 0
    return _answered(build_parser().parse_args(words), warnings)


def _print_help(dev: bool = False) -> None:
    """Also into a pipe that closes early, as that of `head`."""
    try:
        print(_help(dev), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end


def _answered(options: argparse.Namespace, warnings: typing.Sequence[str]) -> int:
    """Run the command of parsed options, and say what went wrong. Returns the exit code."""
    command, failure_path = EVERY_COMMAND[options.command], None
    try:
        if options.result:
            folder = os.path.dirname(os.path.abspath(options.result))
            os.makedirs(folder, exist_ok=True)
            if not os.access(folder, os.W_OK):  # said now, not after hours of work
                raise UserError(f"{folder} (--result) cannot be written to. Choose another folder for the result.")
            failure_path = os.path.join(folder, "failure.json")
            for stale in () if helps() else (options.result, failure_path):
                if os.path.exists(stale):
                    os.remove(stale)
        request = _request(command, options)
        as_json = bool(getattr(options, "as_json", False))
        quiet = as_json or helps() or getattr(request.config, "json", False)
        late = lambda number: os._exit(_stopped(command, Stopped(number), failure_path))
        with no_long_silence(json=quiet), stoppable(late):
            request = dataclasses.replace(request, warnings=(*warnings, *request.warnings))
            _run(command, request, options.result, as_json)
        return 0
    except (UserError, ValueError, OSError) as error:
        kind = "all skipped" if isinstance(error, AllSkipped) else "input"
        return _fail(command, kind, _sentence(error), failure_path, 2, getattr(error, "reasons", {}))
    except KeyboardInterrupt as error:
        return _stopped(command, error if isinstance(error, Stopped) else Stopped(signal.SIGINT), failure_path)
    except Exception as error:  # a mistake of ours: with its traceback, and still with a failure.json
        if full := memory_sentence(error, command):
            return _fail(command, "input", full, failure_path, 2)
        if launched() and "by peer" in str(error):  # gloo's words
            return _fail(command, "internal", "another process of this training has ended.", failure_path, 1)
        _end_progress_bars()
        traceback.print_exc()
        return _fail(command, "internal", f"{type(error).__name__}: {error}", failure_path, 1)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the option that was probably meant."""

    commands: "argparse._SubParsersAction[Parser]"
    command: Command | None = None  # the one whose options are added when they are needed

    def parse_args(  # type: ignore[override]  # argparse's overloads allow classes of other namespaces
        self, args: typing.Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """As argparse's; what the chosen command does not know is told by its own parser, which knows its options."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            chosen = self.commands.choices[options.command] if options.command else self
            chosen.error(f"unrecognized arguments: {' '.join(unknown)}")
        return options

    def parse_known_args(  # type: ignore[override]  # as above
        self, args: typing.Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse's, with all options of the command."""
        self._add_options()
        return super().parse_known_args(args, namespace)

    def format_help(self) -> str:
        """As argparse's, with all options of the command."""
        self._add_options()
        return super().format_help()

    def _add_options(self) -> None:
        """Add the options of the command, once: those of all commands would take a third of the start-up."""
        if self.command is None:
            return
        command, self.command = self.command, None
        infos = describe_all(command.config)
        needed = " ".join(f"{i.flag} {_metavar(i)}" for i in infos if i.required)
        self.usage = f"cryodl {'dev ' if command.dev else ''}{command.name} {needed}{' ' if needed else ''}[options]"
        groups = {}
        for info in infos:
            title = "needed" if info.required else "advanced options" if info.expert else "common options"
            if title not in groups:
                groups[title] = self.add_argument_group(title)
            _add_argument(groups[title], info)
        every = self.add_argument_group("options of every command")
        other = self.add_argument_group("for other programs (Scipion)")
        for info in settings_of(command):
            more = " Several numbers (0,1) share the work." if info.name == "device" and command.several else ""
            _add_argument(other if info.name == "names" else every, dataclasses.replace(info, help=info.help + more))
        other.add_argument("--request", metavar="FILE", help="Read all parameters from this JSON file instead.")
        other.add_argument("--result", metavar="FILE", help="Also write the result to this JSON file, at the end.")
        if all(info.name != "json" for info in infos):
            text = "Print the result as one JSON object, and everything else to standard error."
            other.add_argument("--json", dest="as_json", action="store_true", help=text)

    def error(self, message: str) -> typing.NoReturn:
        """Say what is wrong in one line, and end with exit code 2."""
        from .calls import did_you_mean

        unknown = next((word for word in message.split() if word.startswith("--")), "")
        if message.startswith("unrecognized") and unknown:
            own = [flag[2:] for flag in self._option_string_actions if flag.startswith("--")]  # all begin alike
            message += did_you_mean(unknown[2:].partition("=")[0], own, "--")
        elif "invalid choice: '" in message and self.command is None:
            word = message.split("invalid choice: '")[1].split("'")[0]
            message = f"there is no command {word}{did_you_mean(word, [*COMMANDS, *DEV_COMMANDS])}"
        elif "invalid float value" in message:
            message += ": give the number alone, without a unit and with a point"
        self.exit(2, f"cryodl: error: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """The argparse parser of all commands."""
    parser = Parser(prog="cryodl", add_help=False)
    parser.add_argument("--version", action="version", version=f"cryodl {__version__}")
    subparsers = parser.commands = parser.add_subparsers(dest="command", metavar="<command>")
    for command in EVERY_COMMAND.values():
        sub = subparsers.add_parser(
            command.name,
            description=command.config.__doc__,
            epilog=_example(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.command = command
    return parser


def _example(command: Command) -> str | None:
    lines = [
        line
        for text in command.example.splitlines()
        for line in textwrap.wrap(
            text, 110, initial_indent="  ", subsequent_indent="      ", break_long_words=False, break_on_hyphens=False
        )
    ]
    return "\n".join(["example:", *lines]) if lines else None


def _help(dev: bool = False) -> str:
    width = 2 + max(map(len, EVERY_COMMAND))
    if dev:
        groups = {"for developers: data with a known truth, and the shipped models": list(DEV_COMMANDS)}
    else:
        groups = {"to start with": list(START)}
        for wing, title in WINGS.items():
            mine = [c.name for c in COMMANDS.values() if (c.wing if c.wing in WINGS else "maps") == wing]
            groups[title] = [name for name in mine if name not in START]
    lines = [f"usage: cryodl {'dev ' if dev else ''}<command> [options]", ""]
    lines += [] if dev else ["Deep learning for cryo-EM: pick, denoise, orient, segment, classify, improve maps."]
    for title, names in groups.items():
        lines += ["", f"{title}:"]
        for name in names:
            summary = EVERY_COMMAND[name].summary
            lines += textwrap.wrap(
                f"{name:{width}}{summary}", 110, initial_indent="  ", subsequent_indent=" " * (width + 2)
            )
    lines += ["", "Each command explains itself: cryodl <command> --help."]
    return "\n".join(lines if dev else [*lines, *ELSEWHERE])


def _add_argument(parser: argparse._ArgumentGroup, info: ParamInfo) -> None:
    hidden = info.required or info.default is None or info.default is False or info.default in ((), "")
    default = " ".join(map(str, info.default)) if isinstance(info.default, (tuple, list)) else info.default
    notes = [
        info.unit,
        f"default: {info.none_means}"
        if info.default is None and info.none_means
        else ""
        if hidden
        else f"default: {info.default:g}"
        if info.kind == "float"
        else f"default: {default}",
    ]
    notes = [n for n in notes if n]
    text = (info.help + (f" [{'; '.join(notes)}]" if notes else "")).replace("%", "%%")
    options: dict[str, typing.Any] = dict(dest=info.name, help=text, default=argparse.SUPPRESS)
    if info.kind == "bool":
        # what is on by default needs --no-... to be turned off
        options.update(action=argparse.BooleanOptionalAction if info.default else "store_true")
    else:
        options.update(type={"int": int, "float": float}.get(info.kind, str), metavar=_metavar(info))
        options.update(dict(nargs="+") if info.kind == "paths" else {})
    parser.add_argument(info.flag, **options)


def _metavar(info: ParamInfo) -> str:
    if info.choices:
        return "{" + ",".join(info.choices) + "}"
    return info.path.upper() or {"int": "N", "float": "X", "paths": "TEXT"}.get(info.kind, "TEXT")


def _stopped(command: Command, stopped: Stopped, failure_path: str | None) -> int:
    if helps():
        return 128 + stopped.number  # the first process says it
    return _fail(command, "input", f"stopped by {stopped.words}; {command.stopped}", failure_path, 128 + stopped.number)


def _request(command: Command, options: argparse.Namespace) -> Request:
    """The checked request of parsed options; --device and --threads override those of a request's file."""
    infos, settings = ([i.name for i in known] for known in (describe_all(command.config), settings_of(command)))
    given = {name: getattr(options, name) for name in [*infos, *settings] if hasattr(options, name)}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    where = {name: given.pop(name) for name in ("device", "threads") if name in given and name in settings}
    if options.request:
        request = Request.read(options.request)
        if request.command != command.name:
            raise UserError(f"{options.request} is a request for {request.command}, not for {command.name}.")
        if given:
            raise UserError(f"With --request, only --device and --threads may be given; found {', '.join(given)}.")
        return _checked(dataclasses.replace(request, **where))
    if missing := [i.flag for i in describe_all(command.config) if i.required and i.name not in given]:
        raise UserError(f"{command.name} needs {', '.join(missing)} (see cryodl {command.name} --help).")
    beside = {name: given.pop(name) for name in settings if name in given}
    return _checked(Request(command.name, command.config(**given), **where, **beside))


def _checked(request: Request) -> Request:
    if problems := request.problems():
        raise UserError(" ".join(problems))
    return request


def _run(command: Command, request: Request, result_path: str | None, as_json: bool) -> None:
    shown, module = sys.stdout, f"cryodl.{command.module}"
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        if module not in sys.modules:  # what it imports stays: to look for garbage there costs half a second
            gc.disable()
            try:
                importlib.import_module(module)
                gc.freeze()
            finally:
                gc.enable()
        result = result_of(command, request)
    if result is None:
        return
    if result_path:
        with held():
            result.write(result_path)
    if as_json:
        data = result.as_dict()
        print(json.dumps(dict(data.pop("outputs"), **data), indent=2, ensure_ascii=False), file=shown)


def result_of(command: Command, request: Request) -> Result[typing.Any] | None:
    """The Result of a request, run in this process; None in all but the first of several processes."""
    function = getattr(importlib.import_module(f"cryodl.{command.module}"), command.function)
    settings = {info.name: getattr(request, info.name) for info in settings_of(command)}
    return function(request.config, request.warnings, **settings)


def _sentence(error: Exception) -> str:
    """The message of an error; that of the system's own errors with the file's name and without their number."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        full = {
            **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free space on its disk"),
            errno.EFBIG: "Raise the limit on the size of files (ulimit -f), or write to another file system",
        }
        advice = full.get(error.errno or 0, "Choose another folder, or check its permissions")
        if isinstance(error, FileNotFoundError):
            advice = f"Check its name (current folder: {os.getcwd()})"
        named = where or error.strerror.startswith("Cannot write ")  # in the words of whole_file
        said = (error.errno in full or named) and error.strerror[-1] != "."
        return f"{where}{error.strerror}" + (f". {advice}." if said else "")
    return str(error)


def _end_progress_bars() -> None:
    """A bar that an error interrupts leaves the terminal in the middle of its line, where the sentence would go on."""
    for bar in list(getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())):
        bar.close()


def _fail(
    command: Command, kind: str, message: str, path: str | None, code: int, reasons: typing.Mapping[str, str] = {}
) -> int:
    _end_progress_bars()
    if launched() and path and os.path.exists(path):
        return code  # of several processes the one that failed first has said why; torchrun ended the others
    print(f"cryodl: error: {message}", file=sys.stderr)
    if path:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            Failure(
                command.name, kind, message, dict(reasons), [one for one in HEARD if not isinstance(one, Line)]
            ).write(path)
        except OSError as error:
            print(f"cryodl: the failure could not be written to {path}: {error}", file=sys.stderr)
    return code
