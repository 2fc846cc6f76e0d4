# SPDX-License-Identifier: GPL-3.0-or-later
"""Two processes (gloo) learn what one learns from batches of the same size, and end together."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from denoiser_task_data import task_of
from safetensors.torch import load_file
from segmenter_task_data import examples
from synthetic import ENGINE, environment
from test_training import GROUND_TRUTH
from tiny_trials import BENCHMARKS, trials

from cryodl.contract import EVERY_COMMAND
from cryodl.io import stopping
from cryodl.learning.processes import OneProcess, SeveralProcesses
from cryodl.learning.task import NetworkTask
from cryodl.learning.training import Schedule, fit
from cryodl.running.distributed import several_devices
from cryodl.tomograms.segmenters import segmenter_method
from cryodl.tomograms.segmenters.train import SegmenterTask

TRAININGS = [trial for trial, (words, _) in trials.COMMANDS.items() if EVERY_COMMAND[words.split()[0]].several]
CPU = torch.device("cpu")


class Line(NetworkTask):
    """Learns y = ground truth . x. asked: step in which a signal reaches this process."""

    asked = None

    def __init__(self):
        torch.manual_seed(0)
        self.learn(
            "line",
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 1)),
            lambda net: torch.optim.AdamW(net.parameters(), lr=1e-3),
            torch.channels_last,
        )
        self.steps = 0

    def batch(self, rng):
        x = torch.from_numpy(rng.standard_normal((16, 3, 1, 1))).float()
        return x, x[:, :, 0, 0] @ GROUND_TRUTH.T

    def loss(self, output, *batch):
        self.steps += 1
        if self.steps == self.asked:
            os.kill(os.getpid(), signal.SIGTERM)
        return (output - batch[1]).square().mean()

    def validate(self):
        error = float((self.networks["line"][1].weight - GROUND_TRUTH).norm())
        return {"metric": -error, "loss": error}


def segmenter():
    method = segmenter_method("unet")
    torch.manual_seed(0)
    made = examples(method)
    return SegmenterTask(method, method.build(), made[:4], made[4:], batch_size=4)


# One of each way in which a step is taken: of one network, and of two that judge each other.
TASKS = {
    "line": Line,
    "normalised": segmenter,  # over the batch, of which each process has half
    "denoiser": lambda: task_of("swinconv", batch_size=2),
    "adversarial": lambda: task_of("swinconv", batch_size=2, adversarial=3.0),
}
STEPS = 3


def trained(name, folder, accelerator, steps=STEPS, seed=0):
    """A task after some steps, and the rows of its metrics."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    task = TASKS[name]()
    fit(task, Schedule(steps, 1, steps, 1e-3, seed), folder, accelerator, log=lambda text: None)
    return task, rows(folder)


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def work(name, folder):
    """What each of two processes does: a training, and one in which the second process is asked to end."""
    accelerator = SeveralProcesses(CPU, torch.float32)
    task, _ = trained(name, folder / name, accelerator)
    found = dict(weights=size_of(task), stopped=0)
    if name == "line":
        Line.asked = 2 if accelerator.process_index else None
        try:
            with stopping.stoppable():
                trained(name, folder / "stopped", accelerator, 9)
        except stopping.Stopped as stopped:
            found["stopped"] = stopped.number
    (folder / f"{accelerator.process_index}.json").write_text(json.dumps(found))


def size_of(task):
    """The sum of the weights, without their signs."""
    return sum(float(w.double().abs().sum()) for w in task.networks.state_dict().values())


def by_two(name, folder):
    """Let two processes train in a folder. Returns what each of them found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join(filter(None, sys.path))
    common = dict(os.environ, PYTHONPATH=path, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    code = f"import pathlib, test_distributed; test_distributed.work({name!r}, pathlib.Path({str(folder)!r}))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=dict(common, RANK=str(k), LOCAL_RANK=str(k), OMP_NUM_THREADS="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for k in (0, 1)
    ]
    said = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)[-3000:]
    return [json.loads((folder / f"{k}.json").read_text()) for k in (0, 1)]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n != "line" else ()) for n in TASKS])
def test_two_processes_have_the_losses_and_weights_of_one(name, tmp_path):
    task, alone = trained(name, tmp_path / "alone", OneProcess(CPU, torch.float32))
    found, together = by_two(name, tmp_path), rows(tmp_path / name)
    assert len(alone) == len(together) == STEPS and found[0]["weights"] == found[1]["weights"]
    if name == "normalised":
        check_within_seeds(alone, together, tmp_path)
        return
    for step, (one, other) in enumerate(zip(alone, together)):
        losses = {k: v for k, v in one.items() if k.startswith("train_") or k == "validation_loss"}
        # of two networks that judge each other, the rounding of the first step (2e-6) grows some thirtyfold with each
        limit = 1e-2 if name == "adversarial" and step else 1e-3
        assert {k: other[k] for k in losses} == pytest.approx(losses, rel=limit)
    assert found[0]["weights"] == pytest.approx(size_of(task), rel=1e-3)  # of those that are kept
    if name == "line":
        check_stopped(found, tmp_path)


def check_within_seeds(alone, together, folder):
    """Two processes are no further from one than other seeds are."""
    ends = [alone[-1]["validation_loss"]]
    for seed in (1, 2):
        _, found = trained("normalised", folder / f"seed{seed}", OneProcess(CPU, torch.float32), seed=seed)
        ends.append(found[-1]["validation_loss"])
    assert abs(together[-1]["validation_loss"] - ends[0]) <= max(ends) - min(ends)


def check_stopped(found, folder):
    """One of the processes was asked to end in its second step: both did after it, and it is kept."""
    assert [one["stopped"] for one in found] == [signal.SIGTERM] * 2 and len(rows(folder / "stopped")) == 1
    _, alone = trained("line", folder / "whole", OneProcess(CPU, torch.float32), 9)
    said = []
    fit(Line(), Schedule(9, 1, 9, 1e-3, 0), folder / "stopped", OneProcess(CPU, torch.float32), said.append)
    assert said[0] == "Continuing the training at step 2 of 9."
    for one, other in zip(alone, rows(folder / "stopped")):
        assert other == pytest.approx(one, rel=1e-5, abs=1e-7)


def test_a_batch_that_cannot_be_shared_out_is_said():
    process = object.__new__(SeveralProcesses)
    process.num_processes, process.process_index = 3, 1
    with pytest.raises(ValueError, match="Batch size is 8, which is not a multiple of the 3 processes"):
        process.part((torch.zeros(8, 2),))
    batch = torch.arange(6)
    assert [part.tolist() for part in process.part([batch, 2 * batch])] == [[2, 3], [4, 6]]


def test_all_trainings_share_their_work_and_nothing_else_does():
    several = {name for name, row in EVERY_COMMAND.items() if row.several}
    assert several == {name for name in EVERY_COMMAND if name.startswith("train-")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with the tiny data of the trials."""
    folder = tmp_path_factory.mktemp("trainings")
    code = "import pathlib, sys; from recipes import trials; trials.make_data(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, folder], cwd=BENCHMARKS, env=environment(), check=True)
    return folder


def train(tiny, trial, processes, *options):
    """Train as the trial does, in batches of two. Returns the rows of its tables, and whether the network normalises
    over batches, of which each process has its own part."""
    folder = trials.fresh_folder(tiny, f"{trial}-{processes}-{''.join(options)}")
    words = trials.arguments_of(trial)
    if "--batch-size" in words:
        words[words.index("--batch-size") + 1] = "2"
    several = "-m torch.distributed.run --standalone --nproc-per-node".split()
    start = [*several, str(processes)] if processes > 1 else []
    arguments = [sys.executable, *start, "-m", "cryodl", *words, *options]
    done = subprocess.run(arguments, env=environment(), capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    weights = sorted(folder.glob("out/**/weights.safetensors"))
    assert weights and not list(folder.glob("out/**/pairs"))
    normalises = any(name.endswith("running_mean") for path in weights for name in load_file(path))
    return [row for path in sorted(folder.glob("out/**/metrics.csv")) for row in rows(path.parent)], normalises


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRAININGS)
def test_every_training_of_two_processes_learns_what_one_does(trial, tiny):
    """Losses to a thousandth where nothing is normalised over the batch, else validation as near as other seeds are."""
    (alone, normalises), (together, _) = (train(tiny, trial, processes) for processes in (1, 2))
    assert len(alone) == len(together) > 0
    if normalises:
        names = sorted(name for name in alone[-1] if name.startswith("validation_"))
        metric = "validation_loss" if "validation_loss" in names else names[0]
        ends = [run[-1][metric] for run in (alone, *(train(tiny, trial, 1, "--seed", seed)[0] for seed in "12"))]
        assert abs(together[-1][metric] - ends[0]) <= max(ends) - min(ends)
        return
    for one, other in zip(alone, together):
        losses = {k: v for k, v in one.items() if k.startswith("train_") or k == "validation_loss"}
        assert {k: other[k] for k in losses} == pytest.approx(losses, rel=1e-3)


def test_every_training_is_tried_by_two_processes():
    assert {trials.COMMANDS[trial][0].split()[0] for trial in TRAININGS} == {
        name for name, row in EVERY_COMMAND.items() if row.several
    }


def test_several_gpus_are_read_from_the_device():
    assert several_devices("0,1") == ["0", "1"] and several_devices("cuda:0 cuda:2") == ["0", "2"]
    assert several_devices("0") == several_devices("auto") == several_devices("cpu") == []


def test_a_command_of_one_process_says_so(tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(ENGINE), WORLD_SIZE="2", RANK="0")
    words = ["simulate-half-maps", "--structure", "none.pdb", "--resolution", "4", "--output", tmp_path / "out"]
    done = subprocess.run([sys.executable, "-m", "cryodl", *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and "simulate-half-maps runs in one process" in done.stderr
