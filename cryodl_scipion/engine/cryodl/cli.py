# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, generated from the contract. torch is imported inside commands, so that --help is quick."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import traceback
import typing

from . import __version__
from .contract import COMMANDS, AllSkipped, Command, Failure, Request, check, describe_all
from .contract.params import ParamInfo
from .contract.version_0_1_0 import present_command_line
from .io.memory import memory_sentence
from .io.output_lock import output_lock
from .io.parent import end_with_parent
from .io.silence import no_long_silence
from .io.stopping import stopped_sentence
from .io.warn import begin, unsaid, warn, with_said

# The examples are what most people need from --help.
EPILOGS = {
    None: "Each command explains itself: cryodl <command> --help.",
    "annotate": "example:\n  cryodl annotate --tomograms 'tomograms/*.mrc' --annotations annotations/ --feature "
    "membrane --annotator anna\n",
    "import-annotations": "example:\n  cryodl import-annotations --tomograms 'tomograms/*.mrc' --labels 'labels/*.mrc' "
    "--label 1\n      --feature membrane --annotations annotations/\n",
    "join-annotations": "example:\n  cryodl join-annotations --folders anna/ ben/ --annotations together/\n",
    "train-segmenter": "example:\n  cryodl train-segmenter --annotations annotations/ --feature membrane --output "
    "models/membrane\n",
    "denoise-tomograms": "example:\n  cryodl denoise-tomograms --even 'halves/*_EVN.mrc' --odd 'halves/*_ODD.mrc' "
    "--output denoised",
    "segment": "examples:\n  cryodl segment --tomograms 'tomograms/*.mrc' --model membrane ribosome --output scores/\n"
    "  cryodl segment --tomograms 'tomograms/*.mrc' --model models/mine --output scores/\n",
    "pick-filaments": "example:\n  cryodl pick-filaments --micrographs 'mics/*.mrc' --pixel-size 1.2 "
    "--filament-diameter 250 --output segments/\n",
    "pick-templates": "examples:\n  cryodl pick-templates --micrographs 'mics/*.mrc' --pixel-size 1.2 --structure "
    "1abc.cif --output picks/\n  cryodl pick-templates --micrographs 'mics/*.mrc' --pixel-size 1.2 "
    "--particle-diameter 180 --output picks/\n",
    "train-micrograph-denoiser": "example:\n  cryodl train-micrograph-denoiser --structures 'structures/*.pdb' "
    "--output models/denoiser\n",
    "train-filament-picker": "example:\n  cryodl train-filament-picker --output models/filaments\n",
    "merge-features": "example:\n  cryodl merge-features --scores scores/ --minimum-size 500 "
    "--surfaces --output merged/\n",
    "pick-features": "example:\n  cryodl pick-features --segmentations 'merged/*.mrc' --label 2 --shape particles "
    "--diameter 250\n      --output picked/\n",
    "measure-membranes": "example:\n  cryodl measure-membranes --segmentations 'merged/*.mrc' --label 1 --spacing 60 "
    "--output membranes/\n",
    "train-detector": "example:\n  cryodl train-detector --tomograms 'tomograms/*.mrc' --coordinates labels.star "
    "--diameter ribosome=300 ferritin=120\n      --output models/particles\n",
    "detect-particles": "examples:\n  cryodl detect-particles --tomograms 'tomograms/*.mrc' --template ribosome.mrc "
    "--output found/\n  cryodl detect-particles --tomograms 'tomograms/*.mrc' --model models/particles "
    "--output found/\n",
    "evaluate-segmentation": "example:\n  cryodl evaluate-segmentation --segmentations 'merged/*.mrc' --labels "
    "'labels/*.mrc' --output evaluated/\n",
    "simulate-tomograms": "example:\n  cryodl simulate-tomograms --structures ribosome.cif proteasome.pdb "
    "--copies 40 30 --count 2\n      --output simulated/\n",
    "simulate-subtomograms": "example:\n  cryodl simulate-subtomograms --structures 'structures/*.pdb' --snr 0.1 "
    "--output simulated.star\n",
    "train-classifier": "example:\n  cryodl train-classifier --subtomograms labelled.star --output models/classes\n",
    "classify-subtomograms": "example:\n  cryodl classify-subtomograms --subtomograms all.star --model models/classes "
    "--output classified.star\n",
    "cluster-subtomograms": "example:\n  cryodl cluster-subtomograms --subtomograms aligned.star --classes 4 --output "
    "grouped.star\n",
    "fit-subtomogram-heterogeneity": "example:\n  cryodl fit-subtomogram-heterogeneity --subtomograms aligned.star "
    "--latent 2 --output latent/\n",
    "improve-map": "example:\n  cryodl improve-map --map map.mrc --half-maps half1.mrc half2.mrc --output "
    "improved.mrc\n",
    "evaluate-map": "example:\n  cryodl evaluate-map --map improved.mrc --before map.mrc --structure model.pdb "
    "--output evaluated/\n",
    "compare-models": "example:\n  cryodl compare-models --structure built.pdb --reference deposited.cif\n",
    "simulate-half-maps": "example:\n  cryodl simulate-half-maps --structure 6vxx.cif --resolution 4 --output "
    "simulated/spike\n",
    "list-pairs": "example:\n  cryodl list-pairs --ids emdb.csv --output pairs/\n  cd pairs && wget -c -i "
    "addresses.txt\n",
    "train-map-improver": "example:\n  cryodl train-map-improver --structures 'structures/*.cif' --pairs pairs.csv "
    "--output models/improver\n",
    "train-picker": "example:\n  cryodl train-picker --micrographs 'mics/*.mrc' --coordinates picks/ --pixel-size 1.77 "
    "--particle-diameter 190 --output models/betagal\nWith a few good boxes and boxes on background:\n"
    "  cryodl train-picker ... --coordinates good/ --background bad/ --output models/quick",
    "pick": "example:\n  cryodl pick --micrographs 'mics/*.mrc' --pixel-size 1.77 --model models/betagal --output "
    "picks/\nTo change the threshold, repeat the command with --threshold. It is fast, because the candidates "
    "are kept in picks/candidates.",
    "evaluate-picks": "example:\n  cryodl evaluate-picks --coordinates picks/ --reference manual/ --pixel-size 1.77 "
    "--particle-diameter 190",
    "export-relion": "example:\n  cryodl export-relion --coordinates picks/ --micrographs "
    "'mics/*/*.mrc' --pixel-size 1.77\n      --particle-diameter 190 --output cryodl/picks\n",
    "export-tomograms": "example:\n  cryodl export-tomograms --tomograms 'tomograms/*.mrc' --coordinates "
    "picked/particles.star --output exported/\nLabels for napari: --tomograms 'merged/*.mrc' --labels",
    "compare-picks": "example:\n  cryodl compare-picks --picks unet=picks/unet topaz=picks/topaz --reference manual/ "
    "--pixel-size 1.77 --particle-diameter 190 --output comparison/",
    "compare-maps-of-picks": "example:\n  cryodl compare-maps-of-picks --picks general=picks/general blobs=picks/blobs "
    "--reference manual/\n      --micrographs 'mics/*.mrc' --pixel-size 1.77 --ctf ctf.star --structure 1abc.cif "
    "--symmetry D2\n      --output maps/",
    "consensus-picks": "example:\n  cryodl consensus-picks --picks unet=picks/unet topaz=picks/topaz other/ "
    "--minimum-sets 2 --pixel-size 1.77 --particle-diameter 190 --output picks/consensus",
    "estimate-ctf": "example:\n  cryodl estimate-ctf --micrographs 'mics/*.mrc' --pixel-size 1.06 --voltage 300 "
    "--spherical-aberration 2.7 --output ctf.star",
    "report": "example:\n  cryodl report --folder results/ --output report.html\nFor a Scipion project: cryodl report "
    "--project ScipionUserData/projects/mine --output report.html",
    "extract-particles": "example:\n  cryodl extract-particles --coordinates picks/ --micrographs 'mics/*.mrc' "
    "--ctf ctf.star --pixel-size 1.06 --particle-diameter 190 --output particles.star",
    "assess-micrographs": "example:\n  cryodl assess-micrographs --micrographs 'mics/*.mrc' --coordinates picks/ "
    "--pixel-size 1.77 --particle-diameter 190 --output assessment/\n"
    "Then: cryodl pick --micrographs assessment/good.txt ...",
    "auto-pick": "example:\n  cryodl auto-pick --micrographs 'mics/*.mrc' --pixel-size 1.77 --particle-diameter 190 "
    "--output picks/",
    "pick-by-hand": "example:\n  cryodl pick-by-hand --micrographs 'mics/*.mrc' --pixel-size 1.77 "
    "--particle-diameter 190 --coordinates labels/\nTo correct picks: --start-from picks/",
    "labels-from-classes": "example:\n  cryodl labels-from-classes --kept good/particles.star --classified "
    "classes/particles.star --coordinates picks/candidates --minimum-score 0.5 --micrographs 'mics/*.mrc' --pixel-size "
    "1.77 --particle-diameter 190 --output labels/\nThen: cryodl train-picker --coordinates labels/ --start-from "
    "general ...",
    "propose-boxes": "example:\n  cryodl propose-boxes --micrographs 'mics/*.mrc' --coordinates good/ "
    "--pixel-size 1.77 --particle-diameter 190 --output proposed/",
    "simulate-micrographs": "example:\n  cryodl simulate-micrographs --structure map.mrc --pixel-size 1.77 --count 10 "
    "--output simulated/",
    "train-general-segmenter": "example:\n  cryodl train-general-segmenter --ribosomes 70S.mrc --others '*.pdb' "
    "--output models/tomograms",
    "train-general-picker": "example:\n  cryodl train-general-picker --structures 'structures/*.cif' --output general",
    "simulate-particles": "example:\n  cryodl simulate-particles --structure map.mrc --pixel-size 3.5 --box 64 "
    "--count 1000 --snr 0.05 --output particles.star",
    "train-denoiser": "example:\n  cryodl train-denoiser --particles refined.star --structure map.mrc --output "
    "denoiser\nTwo molecules: --particles one.star other.star --structure one.mrc other.mrc",
    "denoise": "example:\n  cryodl denoise --particles raw.star --model denoiser --output denoised.star\n"
    "Without a known structure: --model general_denoiser",
    "evaluate-denoiser": "example:\n  cryodl evaluate-denoiser --particles held_out.star --model denoiser "
    "--structure map.mrc --output evaluation/",
    "assign-orientations": "example:\n  cryodl assign-orientations --particles raw.star --structure map.mrc "
    "--symmetry D2 --output oriented.star",
    "reconstruct": "example:\n  cryodl reconstruct --particles oriented.star --output map.mrc",
    "fit-heterogeneity": "example:\n  cryodl fit-heterogeneity --particles refined.star --reference map.mrc --output "
    "latent/",
    "select-latent": "example:\n  cryodl select-latent --particles latent/particles.star --region 1:-2:0.5 --output "
    "open.star",
    "latent-volumes": "example:\n  cryodl latent-volumes --particles latent/particles.star --maps 10 --output movie/",
    "classify-2d": "examples:\n  cryodl classify-2d --particles particles.star --classes 50 --output classes\n"
    "  cryodl classify-2d --particles later.star --classes-from classes --output classes2\n",
    "select-classes": "example:\n  cryodl select-classes --classes classes/classes.star --threshold 0.5 --output "
    "good\n",
    "assess-integrity": "example:\n  cryodl assess-integrity --particles raw.star --structures whole.pdb core.pdb "
    "--names whole core --output integrity/",
    "denoise-micrographs": "example:\n  cryodl denoise-micrographs --micrographs 'mics/*.mrc' --pixel-size 1.77 "
    "--even 'even/*.mrc' --odd 'odd/*.mrc' --output denoised/\nTo denoise further micrographs or continue an "
    "interrupted run, repeat the command; it uses the model in denoised/model.",
}


class UserError(Exception):
    """What the user can mend; shown as one line, without a traceback."""


def main(arguments: typing.Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process if None.

    Returns
    -------
    int
        The exit code: 0 done, 2 the user can mend it, 1 anything else.
    """
    # Waiting OpenMP threads that spin make everything three times slower on a machine that is shared (measured); this
    # must be set before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):  # names and units that the locale's letters do not have
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
    end_with_parent()
    words, warnings = present_command_line(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(words)
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
        config = _config(command, options, warnings)
        with no_long_silence(json=getattr(config, "json", False)):
            _run(command, config, options.result, warnings)
        return 0
    except (UserError, ValueError, OSError) as error:
        kind = "all skipped" if isinstance(error, AllSkipped) else "input"
        return _fail(command, kind, _sentence(error), failure_path, 2)
    except KeyboardInterrupt:
        return _fail(command, "input", stopped_sentence(command.name), failure_path, 130)
    except Exception as error:  # a mistake of ours: with its traceback, and still with a failure.json
        full = memory_sentence(error, command)
        if full:
            return _fail(command, "input", full, failure_path, 2)
        _end_progress_bars()
        traceback.print_exc()
        return _fail(command, "internal", f"{type(error).__name__}: {error}", failure_path, 1)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the option that was probably meant."""

    commands: argparse._SubParsersAction[Parser]
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
        self.usage = f"cryodl {command.name} {needed}{' ' if needed else ''}[options]"
        groups = {}
        for info in infos:
            title = "needed" if info.required else "advanced options" if info.expert else "common options"
            if title not in groups:
                groups[title] = self.add_argument_group(title)
            _add_argument(groups[title], info)
        other = self.add_argument_group("for other programs (Scipion)")
        other.add_argument("--request", metavar="FILE", help="Read all parameters from this JSON file instead.")
        other.add_argument("--result", metavar="FILE", help="Also write the result to this JSON file, at the end.")

    def error(self, message: str) -> typing.NoReturn:
        """Say what is wrong in one line, and end with exit code 2."""
        unknown = next((word for word in message.split() if word.startswith("--")), "")
        if message.startswith("unrecognized") and unknown:
            import difflib

            own = [flag[2:] for flag in self._option_string_actions if flag.startswith("--")]  # all begin alike
            near = difflib.get_close_matches(unknown[2:].partition("=")[0], own, 1)
            message += f"; did you mean --{near[0]}?" if near else ""
        self.exit(2, f"cryodl: error: {message} (see {self.prog} --help)\n")


def build_parser() -> Parser:
    """The argparse parser of all commands."""
    parser = Parser(
        prog="cryodl",
        description="Deep learning for cryo-EM: pick, denoise, orient, segment, classify, improve maps.",
        epilog=EPILOGS[None],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"cryodl {__version__}")
    subparsers = parser.commands = parser.add_subparsers(dest="command", metavar="<command>")
    for command in COMMANDS.values():
        sub = subparsers.add_parser(
            command.name,
            help=command.summary,
            description=command.config.__doc__,
            epilog=EPILOGS.get(command.name),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.command = command
    return parser


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


def _config(command: Command, options: argparse.Namespace, warnings: list[str]) -> typing.Any:
    """The checked config of parsed options; --device and --threads override a request's. warnings: about a request of
    another version are added."""
    given = {i.name: getattr(options, i.name) for i in describe_all(command.config) if hasattr(options, i.name)}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    if options.request:
        request = Request.read(options.request)
        warnings += request.warnings
        if request.command != command.name:
            raise UserError(f"{options.request} is a request for {request.command}, not for {command.name}.")
        others = sorted(set(given) - {"device", "threads"})
        if others:
            raise UserError(f"With --request, only --device and --threads may be given; found {', '.join(others)}.")
        from dataclasses import replace

        return _checked(replace(request.config, **given))
    missing = [i.flag for i in describe_all(command.config) if i.required and i.name not in given]
    if missing:
        raise UserError(f"{command.name} needs {', '.join(missing)} (see cryodl {command.name} --help).")
    return _checked(command.config(**given))


def _checked(config: typing.Any) -> typing.Any:
    problems = check(config)
    if problems:
        raise UserError(" ".join(problems))
    return config


def _run(command: Command, config: typing.Any, result_path: str | None, warnings: typing.Sequence[str]) -> None:
    start = time.monotonic()
    begin()
    for warning in warnings:
        warn(warning)
    with output_lock(command, config):
        try:
            result = importlib.import_module(f".{command.module}", __package__).run(config)
        except ValueError:
            from .io.unfinished import remove_unused

            remove_unused(getattr(config, "output", None))
            raise
    if result is None:
        return
    for warning in unsaid(result.warnings):
        print(f"Warning: {warning}", file=sys.stderr)
    from dataclasses import replace

    result = replace(
        result, warnings=with_said(result.warnings), seconds=round(time.monotonic() - start, 3), versions=_versions()
    )
    if result_path:
        result.write(result_path)


def _versions() -> dict[str, str]:
    from importlib.metadata import version  # importing torch for its version would double the time of short commands

    return {"cryodl": __version__, "torch": version("torch"), "python": sys.version.split()[0]}


def _sentence(error: Exception) -> str:
    """The message of an error; that of the system's own errors with the file's name and without their number."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}" + (". Choose another folder, or check its permissions." if where else "")
    return str(error)


def _end_progress_bars() -> None:
    """A bar that an error interrupts leaves the terminal in the middle of its line, where the sentence would go on."""
    for bar in list(getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ())):
        bar.close()


def _fail(command: Command, kind: str, message: str, path: str | None, code: int) -> int:
    _end_progress_bars()
    print(f"cryodl: error: {message}", file=sys.stderr)
    if path:
        try:
            Failure(command.name, kind, message).write(path)
        except OSError as error:
            print(f"cryodl: the failure could not be written to {path}: {error}", file=sys.stderr)
    return code
