# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a protocol's job: paths that hold anything, devices, results and failures."""

import os
import subprocess
import threading

import pytest
from pyworkflow.protocol import FunctionStep
from pyworkflow.protocol.executor import StepThread
from pyworkflow.utils import Environ, process

from cryodl_scipion.engine.cryodl import contract
from cryodl_scipion.starting import engine_job
from cryodl_scipion.tests.programs import writeProgram


class FakeProtocol:
    """runJob as pyworkflow's executors do it: the GPUs fill the placeholder, then everything goes through a shell."""

    def __init__(self, gpus=(), parallel=True):
        self.gpus, self.parallel = list(gpus), parallel

    def modeParallel(self):
        return self.parallel

    def getGpuList(self):
        return self.gpus

    def runJob(self, program, arguments, env=None, numberOfMpi=1, numberOfThreads=1):
        gpus = self.gpus if "%(GPU)s" in arguments else []
        process.runJob(None, program, arguments, numberOfMpi, numberOfThreads, env=env, gpuList=gpus)


def runEngine(folder, script, gpus=(), useGpu=False, command="pick", parallel=True):
    """Run a shell script as the engine, in the current folder."""
    program = folder / 'it\'s a 100% "python"'
    writeProgram(program, "#!/bin/sh\n" + script)
    return engine_job.run(
        FakeProtocol(gpus, parallel),
        str(program),
        Environ(os.environ),
        command,
        os.path.join("Runs", "request.json"),
        os.path.join("Runs", "result.json"),
        useGpu,
    )


OUTPUTS = {"annotations": "drawn", "counts": {"membrane": {"positive": 7, "negative": 2}}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in a folder with spaces, a % and quotes, as the current folder."""
    folder = tmp_path / '50% of "my" project\'s data %(GPU)s'
    (folder / "Runs").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def writeResult(path):
    contract.Result("annotate", OUTPUTS).write(path)


@pytest.mark.parametrize("gpus, useGpu, device", [((0, 1), True, "0 1"), ((2,), True, "2"), ((0,), False, "cpu")])
def test_engine_runs_in_paths_with_spaces_percent_and_quotes(project, tmp_path, gpus, useGpu, device):
    writeResult(str(tmp_path / "made.json"))
    script = 'for word; do echo "$word"; done >words; cp ../made.json Runs/result.json\n'
    result = runEngine(tmp_path, script, gpus, useGpu)
    assert result.outputs == OUTPUTS
    assert (project / "words").read_text().splitlines() == [
        "-m",
        "cryodl",
        "pick",
        "--request",
        "Runs/request.json",
        "--result",
        "Runs/result.json",
        "--device",
        device,
    ]


def test_engine_is_told_which_process_it_belongs_to(project, tmp_path):
    writeResult(str(tmp_path / "made.json"))
    runEngine(tmp_path, 'echo "$CRYODL_PARENT" >parent; cp ../made.json Runs/result.json\n')
    assert (project / "parent").read_text().strip() == contract.process_name(os.getpid()) != ""


def test_path_outside_the_project_survives_the_shell(project, tmp_path):
    path = str(tmp_path / 'a "b" $HOME `c`' / "request.json")
    echoed = subprocess.check_output(f'printf %s "{engine_job.jobPath(path).replace("%", "%%")}"', shell=True)
    assert os.path.abspath(echoed.decode()) == path


def test_path_outside_the_project_with_percent_is_refused(project, tmp_path):
    with pytest.raises(ValueError, match="% sign"):
        engine_job.jobPath(str(tmp_path / "50%" / "request.json"))


@pytest.mark.parametrize("kind, error", [("input", ValueError), ("internal", RuntimeError)])
def test_failure_is_told_in_the_engines_own_words(project, tmp_path, kind, error):
    contract.Failure("pick", kind, "mic7.mrc is truncated.").write(str(tmp_path / "failure.json"))
    with pytest.raises(error, match="^mic7.mrc is truncated.$"):
        runEngine(tmp_path, "cp ../failure.json Runs; exit 2\n")


def test_what_was_warned_of_before_a_failure_is_told_with_it(project, tmp_path):
    failure = contract.Failure("pick", "all skipped", "None could be picked.", {}, ["The header says 3 Å/px."])
    failure.write(str(tmp_path / "failure.json"))
    with pytest.raises(contract.AllSkipped, match="^None could be picked. Warning: The header says 3 Å/px.$") as told:
        runEngine(tmp_path, "cp ../failure.json Runs; exit 2\n")
    assert list(told.value.warnings) == ["The header says 3 Å/px."]


@pytest.mark.parametrize("inThread", [False, True])
def test_failed_step_logs_the_sentence_without_a_traceback(project, tmp_path, caplog, capfd, inThread):
    caplog.set_level("INFO")

    def killed():
        runEngine(tmp_path, "kill -9 $$\n")

    step = FunctionStep(killed)
    if inThread:
        StepThread(step, threading.Lock()).run()
    else:
        step.run()
    assert "signal 9" in step.getErrorMessage()
    assert "signal 9" in caplog.text
    assert "Traceback" not in caplog.text + "".join(capfd.readouterr())


def test_old_results_are_not_taken_for_new_ones(project, tmp_path):
    writeResult("Runs/result.json")
    with pytest.raises(RuntimeError, match="without a result"):
        runEngine(tmp_path, "exit 0\n")


def test_killed_engine_is_told_as_lack_of_memory(project, tmp_path):
    with pytest.raises(RuntimeError, match="signal 9.*memory"):
        runEngine(tmp_path, "kill -9 $$\n")
