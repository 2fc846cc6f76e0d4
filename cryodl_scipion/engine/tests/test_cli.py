# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: quick, explained, strict; result.json last, failure.json when it fails."""

import dataclasses
import importlib
import inspect
import io
import json
import logging
import os
import re
import resource
import subprocess
import sys
import typing
from types import SimpleNamespace

import mrcfile
import pytest
from synthetic import ENGINE, environment, run_cryodl

from cryodl import __version__
from cryodl.contract import (
    COMMANDS,
    DEV_COMMANDS,
    EVERY_COMMAND,
    Config,
    Failure,
    PickConfig,
    Request,
    Result,
    describe_all,
    param,
)
from cryodl.io import progress
from cryodl.io.progress import ProgressBar
from cryodl.running import cli
from cryodl.running.cli import build_parser, main
from cryodl.running.runner import Run

PICK = ["pick", "--pixel-size", "4", "--model", "model", "--output", "out"]


def help_of(command):
    return next(a for a in build_parser()._actions if a.dest == "command").choices[command].format_help()


def test_help_is_there_at_once(tmp_path):
    """Within five times the processor time in which Python imports three modules of its own (a tenth of a second), so
    that a slow machine is no fault; the best of three calls of compiled modules, which pip leaves."""
    compiled = dict(environment(), PYTHONPYCACHEPREFIX=str(tmp_path))
    del compiled["PYTHONDONTWRITEBYTECODE"]

    def used():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def seconds(*words):
        before = used()
        done = subprocess.run([sys.executable, *words], env=compiled, capture_output=True, text=True)
        assert done.returncode == 0 and all(name in done.stdout for name in COMMANDS if "--help" in words)
        return used() - before

    imports, help_ = ("-c", "import asyncio, inspect, unittest"), ("-m", "cryodl", "--help")
    pairs = [(seconds(*imports), seconds(*help_)) for _ in range(4)][1:]  # the first compiles
    assert min(second for _, second in pairs) < 5 * min(first for first, _ in pairs)


def test_help_says_nothing_more_into_a_pipe_that_is_closed():
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "cryodl", "--help"]
    done = subprocess.run(words, env=environment(), stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--help"], ["pick", "--help"], ["--version"], ["pick"]])
def test_help_and_usage_errors_import_neither_torch_nor_numpy(arguments):
    code = (
        f"import sys; from cryodl.running.cli import main\ntry: main({arguments!r})\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_matplotlib_says_nothing_of_a_home_that_cannot_be_written_to(capsys):
    """Its two lines stood between the results."""
    main(["--help"])
    assert not logging.getLogger("matplotlib.anything").isEnabledFor(logging.WARNING)


def test_version_and_plain_call(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and capsys.readouterr().out == f"cryodl {__version__}\n"
    assert main([]) == 0 and "train-picker" in capsys.readouterr().out


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_every_parameter_is_explained_with_unit_and_default(name):
    text = " ".join(help_of(name).split())
    command = EVERY_COMMAND[name]
    assert command.summary in text
    for info in describe_all(command.config):
        assert info.flag in text
        assert " ".join(info.help.split())[:40].replace("- ", "-") in text.replace("- ", "-"), info.name
        if info.unit:
            assert f"[{info.unit}" in text or f"{info.unit};" in text or f"{info.unit}]" in text, info.name
        if info.required:
            assert f"{info.flag} " in text.split("[options]")[0]
        elif info.none_means:
            assert " ".join(info.none_means.split())[:25] in text, info.name


def test_zero_is_shown_as_a_default():
    for name, flag in (("pick", "--border"), ("evaluate-picks", "--border")):
        assert "default: 0]" in " ".join(help_of(name).split(f"  {flag} ")[1].split("  --")[0].split())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["pick", "--pixel-size", "5,36"], ("--pixel-size", "5,36", "with a point", "cryodl pick --help")),
        (["pick", "--pixel-size", "1.06 A"], ("--pixel-size", "1.06 A", "without a unit")),
        (["pick", "--diameter", "90"], ("did you mean --particle-diameter or --keep-diameter?",)),
        (["ctf"], ("there is no command ctf; did you mean estimate-ctf?",)),
        (["template-match"], ("there is no command template-match (see",)),
        (["pick-particles"], ("did you mean pick?",)),
        (["pick", "--treshold", "0.5"], ("--treshold", "did you mean --threshold?", "cryodl pick --help")),
        (["pick", "--treshold=0.5"], ("did you mean --threshold?",)),
        (["--versoin"], ("did you mean --version?",)),
    ],
)
def test_a_slip_on_the_command_line_is_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    message = capsys.readouterr().err
    assert stop.value.code == 2 and len(message.splitlines()) == 1 and all(word in message for word in words)


@pytest.mark.parametrize(
    "command, option, proposed",
    [("pick", "--scores", ""), ("segment", "--micrographs", "--tomograms"), ("doctor", "--shape", "")],
)
def test_options_of_other_commands_are_not_proposed(command, option, proposed, capsys):
    with pytest.raises(SystemExit):
        main([command, option, "0.5"])
    message = capsys.readouterr().err
    assert option in message and message.partition("did you mean ")[2].partition("?")[0] == proposed


def test_fixed_names_of_options_are_there():
    """Scripts rely on these."""
    for command, flags in {
        "train-picker": "--micrographs --coordinates --pixel-size --particle-diameter --background --network --output",
        "pick": "--micrographs --pixel-size --model --particle-diameter --output",
        "evaluate-picks": "--coordinates --reference --pixel-size --particle-diameter --micrographs --border "
        "--tolerance --json",
    }.items():
        assert set(flags.split()) <= {i.flag for i in describe_all(COMMANDS[command].config)} | {"--json"}


def test_missing_options_are_named(capsys):
    assert main(["pick", "--pixel-size", "4"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cryodl: error: pick needs --micrographs, --output") and error.count("\n") == 1


def test_a_value_out_of_range_is_named(capsys):
    assert main(PICK + ["--micrographs", "x.mrc", "--threshold", "3"]) == 2
    assert "--threshold) is 3; it must be between 0 and 1" in capsys.readouterr().err


def test_a_word_for_a_number_and_an_unknown_command_are_usage_errors(capsys):
    for arguments in (["pick", "--pixel-size", "four"], ["paint"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
    assert "four" in (error := capsys.readouterr().err) and "paint" in error


def request(folder, **values):
    config = dict(
        micrographs=(str(folder / "mics/mic0.mrc"),),
        pixel_size=4.0,
        model=str(folder / "model"),
        output=str(folder / "out"),
    )
    Request("pick", PickConfig(**dict(config, **values))).write(folder / "request.json")
    return ["pick", "--request", str(folder / "request.json"), "--result", str(folder / "result.json")]


def test_a_request_gives_a_result_with_all_its_parts(project):
    assert main(request(project)) == 0
    result = Result.read(project / "result.json")
    assert result.command == "pick" and result.seconds > 0 and result.device.startswith("CPU")
    assert set(result.versions) == {"cryodl", "torch", "python"} and result.versions["cryodl"] == __version__
    assert set(result.outputs["coordinates"]) == {"mic0"} and not (project / "failure.json").exists()


def test_result_is_written_last(project, monkeypatch):
    """When it appears, everything that it names is there."""
    real = Result.write

    def watched(self, path):
        assert all((project / "out" / f"{n}.star").exists() for n in self.outputs["coordinates"])
        assert not (project / "result.json").exists()
        real(self, path)

    monkeypatch.setattr(Result, "write", watched)
    assert main(request(project)) == 0 and (project / "result.json").exists()


def test_the_folder_of_the_result_is_made(project):
    arguments = request(project)
    arguments[-1] = str(project / "new" / "folder" / "result.json")
    assert main(arguments) == 0 and (project / "new/folder/result.json").exists()


def test_a_folder_that_cannot_hold_the_result_is_said_before_the_work(project, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    assert main(request(project)) == 2 and not (project / "out").exists()
    assert f"{project} (--result) cannot be written to." in capsys.readouterr().err


def test_a_failure_tells_what_was_warned_of_before(project):
    with mrcfile.open(project / "mics/mic0.mrc", "r+") as mrc:  # a wrong pixel size may be why nothing could be used
        mrc.voxel_size = 3.0
    with open(project / "mics/mic0.mrc", "r+b") as file:
        file.truncate(2000)
    assert main(request(project)) == 2
    failure = Failure.read(project / "failure.json")
    assert failure.kind == "all skipped" and "says 3 Å/px; 4 Å/px" in failure.warnings[0]


def test_a_users_error_leaves_failure_json_and_no_stale_result(project, capsys):
    assert main(request(project)) == 0
    assert main(request(project, model="no such model", output=str(project / "out2"))) == 2
    assert not (project / "result.json").exists()
    failure = Failure.read(project / "failure.json")
    assert failure.command == "pick" and failure.kind == "input" and "no such model" in failure.message
    assert capsys.readouterr().err.splitlines()[-1] == f"cryodl: error: {failure.message}"
    assert main(request(project)) == 0
    assert not (project / "failure.json").exists()


@pytest.mark.parametrize(
    "error", [KeyError("card"), RuntimeError("shape"), TypeError("x")], ids=lambda e: type(e).__name__
)
def test_a_mistake_of_ours_shows_its_traceback_and_leaves_failure_json(project, monkeypatch, capsys, error):
    def broken(config, *more, **settings):
        raise error

    monkeypatch.setattr("cryodl.micrographs.commands.pick.pick", broken)
    assert main(request(project)) == 1
    failure = Failure.read(project / "failure.json")
    assert failure.kind == "internal" and type(error).__name__ in failure.message
    assert "Traceback" in capsys.readouterr().err


def test_device_and_threads_override_the_request_and_nothing_else_may(project, capsys):
    arguments = request(project)
    assert main(arguments + ["--device", "cpu", "--threads", "1"]) == 0
    assert "CPU (1 threads" in Result.read(project / "result.json").device
    assert main(arguments + ["--threshold", "0.1"]) == 2
    assert "only --device and --threads may be given; found threshold" in capsys.readouterr().err
    assert main(arguments + ["--threads", "-3"]) == 2
    assert "--threads) is -3" in capsys.readouterr().err


def test_a_sentence_on_what_is_left_out_is_printed_once(capsys):
    run = Run(EVERY_COMMAND["pick"].config(micrographs=("a.mrc",), pixel_size=1.0, model="general", output="picks"))
    for number in range(30):
        run.skip(f"{number}@a.mrcs", "a.mrcs", "a.mrcs is no stack" if number < 15 else f"a.mrcs has no image {number}")
    assert len(run.skipped) == 30
    assert list(run.items([], "micrograph")) == []  # all were done before: no bar of 0
    said = capsys.readouterr()
    assert [line for line in (said.out + said.err).splitlines() if line] == [
        "Skipped: a.mrcs is no stack",
        *(f"Skipped: a.mrcs has no image {number}" for number in range(15, 20)),
    ]


def test_the_seed_is_given_beside_the_config_and_another_one_begins_anew(tmp_path, capsys):
    row = EVERY_COMMAND["train-map-improver"]
    words = ["train-map-improver", "--structures", "a.pdb", "--output", str(tmp_path / "model")]
    asked = cli._request(row, cli.build_parser().parse_args([*words, "--seed", "7"]))
    assert asked.seed == 7 and asked.decisive()["seed"] == 7 and "seed" not in vars(asked.config)
    asked.write(str(tmp_path / "request.json"))
    assert Request.read(str(tmp_path / "request.json")) == asked
    assert main([*words, "--seed", "-1"]) == 2 and "Random seed (--seed) is -1" in capsys.readouterr().err
    assert main([row.name, "--request", str(tmp_path / "request.json"), "--seed", "1"]) == 2
    assert "found seed" in capsys.readouterr().err
    folder = Run(asked.config, seed=7).folder()
    (folder / "kept").touch()
    assert (Run(asked.config, seed=7).folder() / "kept").exists()
    assert not (Run(asked.config, seed=8).folder() / "kept").exists()


def test_names_of_items_are_given_beside_the_config(project, monkeypatch):
    class Bare(Config):
        "A command whose config has no names."

        micrographs: typing.Tuple[str, ...] = param("", default=())  # noqa: UP006  # as configs are

    monkeypatch.setitem(COMMANDS, "pick", dataclasses.replace(COMMANDS["pick"], config=Bare, named=True))
    Request("pick", Bare(("a.mrc",)), names=("m 1",)).write(str(project / "request.json"))
    assert json.loads((project / "request.json").read_text())["names"] == ["m 1"]
    asked = Request.read(str(project / "request.json"))
    assert asked.names == ("m 1",) and Run(asked.config, names=asked.names).names == ("m 1",)
    data = dict(contract_version=1, command="pick", config=dict(micrographs=["a.mrc"], names=["m 2"]))
    (project / "request.json").write_text(json.dumps(data))  # as 0.1.0 wrote it
    assert Request.read(str(project / "request.json")).names == ("m 2",)


def test_a_request_for_another_command_or_with_wrong_fields_is_refused(project, capsys):
    arguments = request(project)
    assert main(["train-picker"] + arguments[1:]) == 2
    assert "is a request for pick, not for train-picker" in capsys.readouterr().err
    data = json.loads((project / "request.json").read_text())
    data["config"]["colour"] = "red"
    del data["config"]["pixel_size"]
    (project / "request.json").write_text(json.dumps(data))
    assert main(arguments) == 2
    message = Failure.read(project / "failure.json").message
    assert "unknown parameters ['colour']" in message and "missing parameters ['pixel_size']" in message
    (project / "request.json").unlink()
    assert main(arguments) == 2 and "request.json" in Failure.read(project / "failure.json").message


def test_several_gpus_as_one_argument_are_refused_with_words(project, capsys):
    """Scipion passes %(GPU)s as it is."""
    assert main(request(project) + ["--device", "0 1"]) == 2
    assert "'0 1'" in capsys.readouterr().err


def test_a_module_run_behaves_as_main(project):
    done = run_cryodl(request(project, model="nothing"), project)
    assert done.returncode == 2 and done.stderr.startswith("cryodl: error: Model nothing")
    assert "Traceback" not in done.stderr


def test_stopping_by_hand_is_no_traceback(project, monkeypatch, capsys):
    def stopped(config, *more, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("cryodl.micrographs.commands.pick.pick", stopped)
    assert main(request(project)) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_an_error_begins_a_line_of_its_own_below_a_progress_bar(project, monkeypatch, capsys):
    def stopped(config, *more, **settings):
        for number in ProgressBar(range(3), mininterval=0):
            if number:
                raise ValueError("the disk is full")

    monkeypatch.setattr("cryodl.micrographs.commands.pick.pick", stopped)
    assert main(request(project)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "cryodl: error: the disk is full" and "| 1/3 [" in lines[-2]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_file_gets_lines_and_a_terminal_a_bar(terminal, monkeypatch):
    class Stream(io.StringIO):
        isatty = lambda self: terminal

    stream, clock = Stream(), iter(range(0, 1000, 20))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    for number in ProgressBar(range(4), file=stream, mininterval=0, miniters=1):
        if number == 2:
            ProgressBar.write("Skipped b", file=stream)
    lines = stream.getvalue().splitlines()
    assert ("\r" in stream.getvalue()) == terminal and "4/4" in lines[-1] and "Skipped b" in stream.getvalue()
    assert terminal or [line.split("[")[0].split("|")[-1] for line in lines] == [" 2/4 ", "Skipped b", " 3/4 ", " 4/4 "]


def test_no_module_draws_a_bar_of_its_own():
    users = [p for p in (ENGINE / "cryodl").rglob("*.py") if "import tqdm" in p.read_text(encoding="utf-8")]
    assert [path.name for path in users] == ["progress.py"]


def test_every_command_has_its_module():
    for command in EVERY_COMMAND.values():
        assert (ENGINE / "cryodl" / (command.module.replace(".", "/") + ".py")).exists()


def test_every_command_has_a_function_of_its_config_and_outputs():
    for command in EVERY_COMMAND.values():
        module = importlib.import_module(f"cryodl.{command.module}")
        hints = typing.get_type_hints(inspect.unwrap(getattr(module, command.function)))
        assert hints["config"] is command.config, command.name
        made = (hints["return"], *typing.get_args(hints["return"]))
        assert (command.outputs or type(None)) in made, command.name


@pytest.mark.parametrize("command", sorted(set(EVERY_COMMAND) - {"doctor"}))
def test_help_ends_with_an_example_that_the_command_takes(command):
    row = EVERY_COMMAND[command]
    example = row.example
    assert example.splitlines()[0].startswith(f"cryodl {'dev ' if row.dev else ''}{command} ")
    assert " ".join(help_of(command).split()).endswith(" ".join(example.split()))


def test_help_shows_every_command_once_in_five_groups(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert len(re.findall(r"^[a-z, ]+:$", text, re.M)) == 5 and "cryodl check-project NAME" in text
    assert main(["dev"]) == 0
    shown = re.findall(r"^  ([a-z0-9-]+)  ", text + capsys.readouterr().out, re.M)
    assert sorted(shown) == sorted(EVERY_COMMAND)
    assert shown[0] == "pick" and shown.index("doctor") == len(cli.START) - 1 == 11


def test_commands_for_developers_are_no_commands_of_users():
    assert not set(DEV_COMMANDS) & set(COMMANDS) and {"compare-models", "simulate-particles"} <= set(DEV_COMMANDS)


@pytest.mark.parametrize("words", [["compare-models", "--help"], ["dev", "compare-models", "--help"]])
def test_a_command_for_developers_is_also_found_without_dev(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0 and "--reference" in capsys.readouterr().out


def test_a_command_that_is_not_there_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pik", "--help"])
    assert ended.value.code == 2
    assert "there is no command pik; did you mean pick?" in capsys.readouterr().err


def test_json_is_all_that_is_printed_on_standard_output(project, capsys):
    assert main([*request(project), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    result = Result.read(project / "result.json")
    assert shown["picks"] == result.outputs.picks and shown["command"] == "pick"
    assert list(result.summary) == shown["summary"] and f"{shown['picks']} picks in" in shown["summary"][0]


def test_help_shows_defaults_of_several_values_as_they_are_typed(capsys):
    with pytest.raises(SystemExit):
        main(["simulate-tomograms", "--help"])
    text = capsys.readouterr().out
    assert "[default: 30]" in text and "default: (" not in text
