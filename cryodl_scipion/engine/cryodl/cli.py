# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, generated from the contract. torch is imported inside commands, so that --help is quick."""
import argparse
import importlib
import os
import sys
import time
import traceback

from . import __version__
from .contract import AllSkipped, COMMANDS, Failure, Request, check, describe_all
from .contract.params import REQUIRED

# The examples are what most people need from --help.
EPILOGS = {
    None: "Each command explains itself: cryodl <command> --help.",
    "train-picker": "example:\n  cryodl train-picker --micrographs 'mics/*.mrc' --coordinates picks/ --pixel-size 1.77 "
                    "--particle-diameter 190 --output models/betagal\nWith a few good boxes and boxes on background:\n"
                    "  cryodl train-picker ... --coordinates good/ --background bad/ --output models/quick",
    "pick": "example:\n  cryodl pick --micrographs 'mics/*.mrc' --pixel-size 1.77 --model models/betagal --output picks/\n"
            "Another threshold costs nothing: repeat the command with --threshold; the candidates are kept in "
            "picks/candidates.",
    "evaluate-picks": "example:\n  cryodl evaluate-picks --coordinates picks/ --reference manual/ --pixel-size 1.77 "
                      "--particle-diameter 190",
}


class UserError(Exception):
    """What the user can mend; shown as one line, without a traceback."""


def main(arguments=None):
    """Run one command. Returns the exit code: 0 done, 2 the user can mend it, 1 anything else."""
    # Waiting OpenMP threads that spin make everything three times slower on a machine that is shared (measured); this
    # must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    options = build_parser().parse_args(arguments)
    if not options.command:
        build_parser().print_help()
        return 0
    command = COMMANDS[options.command]
    failure_path = None
    try:
        if options.result:
            folder = os.path.dirname(os.path.abspath(options.result))
            os.makedirs(folder, exist_ok=True)
            failure_path = os.path.join(folder, "failure.json")
            for stale in (options.result, failure_path):
                if os.path.exists(stale):
                    os.remove(stale)
        _run(command, _config(command, options), options.result)
        return 0
    except (UserError, ValueError, OSError) as error:
        kind = "all skipped" if isinstance(error, AllSkipped) else "input"
        return _fail(command, kind, str(error), failure_path, 2)
    except KeyboardInterrupt:
        return _fail(command, "input", "stopped by the user; the same command continues.", failure_path, 130)
    except Exception as error:  # a mistake of ours: with its traceback, and still with a failure.json
        traceback.print_exc()
        return _fail(command, "internal", f"{type(error).__name__}: {error}", failure_path, 1)


def build_parser():
    """The argparse parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="cryodl", description="Deep learning for cryo-EM: particle picking (more methods follow).",
        epilog=EPILOGS[None], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"cryodl {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="<command>")
    for command in COMMANDS.values():
        sub = subparsers.add_parser(command.name, help=command.summary, description=command.config.__doc__,
                                    epilog=EPILOGS.get(command.name),
                                    formatter_class=argparse.RawDescriptionHelpFormatter)
        for info in describe_all(command.config):
            _add_argument(sub, info)
        sub.add_argument("--request", metavar="FILE", help="Read all values from this JSON file instead (Scipion does).")
        sub.add_argument("--result", metavar="FILE", help="Also write what was made to this JSON file, last.")
    return parser


def _add_argument(parser, info):
    notes = [f"default: {info.none_means}" if info.default is None else
             f"default: {info.default}" if info.default not in (REQUIRED, (), "", False) else
             "required" if info.required else ""]
    notes = [n for n in ([info.unit] + notes) if n]
    text = (info.help + (f" [{'; '.join(notes)}]" if notes else "")).replace("%", "%%")
    options = dict(dest=info.name, help=text, default=argparse.SUPPRESS)
    if info.kind == "bool":
        parser.add_argument(info.flag, action="store_true", **options)
    elif info.kind == "paths":
        parser.add_argument(info.flag, nargs="+", metavar="FILE", **options)
    else:
        metavar = {"int": "N", "float": "X"}.get(info.kind, "TEXT")
        parser.add_argument(info.flag, type={"int": int, "float": float}.get(info.kind, str),
                            metavar="{" + ",".join(info.choices) + "}" if info.choices else metavar, **options)


def _config(command, options):
    """The checked config of parsed options; --device and --threads override a request's."""
    given = {i.name: getattr(options, i.name) for i in describe_all(command.config) if hasattr(options, i.name)}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if options.request:
        request = Request.read(options.request)
        if request.command != command.name:
            raise UserError(f"{options.request} is a request for {request.command}, not for {command.name}.")
        others = sorted(set(given) - {"device", "threads"})
        if others:
            raise UserError(f"With --request only --device and --threads may be given; found {', '.join(others)}.")
        from dataclasses import replace
        return _checked(replace(request.config, **given))
    missing = [i.flag for i in describe_all(command.config) if i.required and i.name not in given]
    if missing:
        raise UserError(f"{command.name} needs {', '.join(missing)} (see cryodl {command.name} --help).")
    return _checked(command.config(**given))


def _checked(config):
    problems = check(config)
    if problems:
        raise UserError(" ".join(problems))
    return config


def _run(command, config, result_path):
    start = time.monotonic()
    result = importlib.import_module(f".commands.{command.module}", __package__).run(config)
    if result is None:
        return
    for warning in result.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    from dataclasses import replace
    result = replace(result, seconds=round(time.monotonic() - start, 3), versions=_versions())
    if result_path:
        result.write(result_path)


def _versions():
    from importlib.metadata import version  # importing torch for its version would double the time of short commands
    return {"cryodl": __version__, "torch": version("torch"), "python": sys.version.split()[0]}


def _fail(command, kind, message, path, code):
    print(f"cryodl: error: {message}", file=sys.stderr)
    if path:
        try:
            Failure(command.name, kind, message).write(path)
        except OSError as error:
            print(f"cryodl: the failure could not be written to {path}: {error}", file=sys.stderr)
    return code
