# SPDX-License-Identifier: GPL-3.0-or-later
"""The training loop, on a network of a few numbers whose right answer is known."""

import csv
import dataclasses

import pytest
import torch

from cryodl.learning import training
from cryodl.learning.processes import accelerator_for
from cryodl.learning.task import Task
from cryodl.learning.training import NonFiniteLoss, Schedule, fit

GROUND_TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


class Line(Task):
    """Learns y = ground truth . x. `metrics`: scripted validation metrics, else minus the error. `stop_at`: a kill."""

    def __init__(self, metrics=None, stop_at=None, loss_of=None):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            torch.nn.Linear(3, 1, bias=False), torch.nn.BatchNorm1d(1, affine=False), torch.nn.Dropout(0.02)
        )
        self.networks = torch.nn.ModuleDict({"line": network})
        self.optimizers = {"line": torch.optim.AdamW(network.parameters(), lr=1e-3)}
        self.metrics, self.stop_at, self.loss_of, self.steps, self.validations = metrics, stop_at, loss_of, 0, 0

    def batch(self, rng):
        return torch.from_numpy(rng.standard_normal((16, 3))).float()

    def train_step(self, batch, accelerator):
        if self.steps == self.stop_at:
            raise KeyboardInterrupt
        self.steps += 1
        self.optimizers["line"].zero_grad()
        loss = ((self.networks["line"](batch) - batch @ GROUND_TRUTH.T) ** 2).mean()
        loss.backward()
        self.optimizers["line"].step()
        return {"loss": loss.detach() if self.loss_of is None else self.loss_of(self.steps)}

    def validate(self):
        self.validations += 1
        weight = self.networks["line"][0].weight
        error = float((weight / weight.norm() - GROUND_TRUTH / GROUND_TRUTH.norm()).norm())
        figure = self.metrics[self.validations - 1] if self.metrics else 1 / (1 + error)
        return {"metric": figure, "loss": error, "f1": figure, "average_precision": figure}


def train(folder, task=None, log=lambda text: None, **schedule):
    folder.mkdir(exist_ok=True)
    task = task or Line()
    return task, fit(
        task,
        Schedule(**dict(dict(steps=60, every=10, patience=50, learning_rate=0.05, seed=3), **schedule)),
        folder,
        accelerator_for(torch.device("cpu")),
        log,
    )


def rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(task):
    return {k: v.clone() for k, v in task.networks.state_dict().items()}


def test_it_learns(tmp_path):
    task, report = train(tmp_path, steps=150)
    assert report.best["loss"] < 0.1 and report.steps == 150 and "all 150 steps" in report.stop_reason


def test_metrics_are_there_to_follow(tmp_path):
    seen = []
    train(tmp_path, log=lambda text: seen.append((tmp_path / "metrics.csv").exists()))
    assert seen[0]  # written before it is logged, while training goes on
    table = rows(tmp_path)
    assert [int(r["step"]) for r in table] == [10, 20, 30, 40, 50, 60]
    for column in (
        "seconds",
        "train_loss",
        "validation_loss",
        "validation_f1",
        "validation_average_precision",
        "learning_rate",
    ):
        assert all(float(r[column]) >= 0 for r in table)
    assert float(table[-1]["train_loss"]) < float(table[0]["train_loss"])


@pytest.mark.parametrize("kept_every", [training.KEPT_EVERY, 0.0])
@pytest.mark.parametrize("stop_at", [5, 17, 30, 59])
def test_after_an_interruption_the_result_is_exactly_the_same(tmp_path, monkeypatch, stop_at, kept_every):
    monkeypatch.setattr(training, "KEPT_EVERY", kept_every)
    expected, report = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", Line(stop_at=stop_at))
    said = []
    continued, again = train(tmp_path / "killed", log=said.append)
    for (name, a), b in zip(weights(expected).items(), weights(continued).values()):
        assert torch.equal(a, b), name
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(report, seconds=0)
    without_time = lambda folder: [{k: v for k, v in r.items() if k != "seconds"} for r in rows(folder)]
    assert without_time(tmp_path / "whole") == without_time(tmp_path / "killed")
    kept = stop_at // 10 * 10 if kept_every else stop_at
    assert any("Continuing" in text for text in said) == (kept > 0)
    assert continued.steps == 60 - kept  # only what no checkpoint had


@pytest.mark.parametrize("moment", ["_append", "save_checkpoint"])
def test_a_kill_before_or_between_metrics_and_checkpoint_loses_and_doubles_nothing(tmp_path, monkeypatch, moment):
    """They are two files: a row that is newer than the checkpoint must not count twice."""
    expected, report = train(tmp_path / "whole")
    real, calls = getattr(training, moment), []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training, moment, killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed")
    monkeypatch.undo()
    continued, again = train(tmp_path / "killed")
    assert dataclasses.replace(again, seconds=0) == dataclasses.replace(report, seconds=0)
    assert all(torch.equal(a, b) for a, b in zip(weights(expected).values(), weights(continued).values()))
    assert [r["step"] for r in rows(tmp_path / "killed")] == [r["step"] for r in rows(tmp_path / "whole")]


def test_the_same_seed_repeats_and_another_does_not(tmp_path):
    a, b, c = (weights(train(tmp_path / str(i), seed=seed)[0])["line.0.weight"] for i, seed in enumerate((1, 1, 2)))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_it_stops_early_and_says_why(tmp_path):
    task, report = train(tmp_path, Line(metrics=[0.2, 0.9, 0.5, 0.5, 0.5, 0.5]), patience=3)
    assert report.steps == 50 and task.validations == 5 and report.best_step == 20
    assert "3 validations" in report.stop_reason and "30 steps" in report.stop_reason


@pytest.mark.parametrize("figure", [0.0, -1.0])
def test_a_metric_that_stays_at_one_value_ends_by_patience_also_at_zero(tmp_path, figure):
    _, report = train(tmp_path, Line(metrics=[figure] * 6), patience=3)
    assert report.steps == 40 and "3 validations" in report.stop_reason


def test_a_gain_resets_the_patience(tmp_path):
    task, report = train(tmp_path, Line(metrics=[0.2, 0.1, 0.1, 0.5, 0.1, 0.1]), patience=3)
    assert report.steps == 60 and report.best_step == 40


def test_the_weights_of_the_best_validation_are_kept(tmp_path):
    best, _ = train(tmp_path / "best", Line(metrics=[0.2, 0.9]), steps=20, every=10)
    # the learning rate follows the number of steps, so the kept weights are compared with those validated then
    seen = {}

    class Watched(Line):
        def validate(self):
            metrics = super().validate()
            seen[self.validations] = weights(self)
            return metrics

    task, report = train(tmp_path / "watched", Watched(metrics=[0.2, 0.9, 0.1, 0.1, 0.1, 0.1]))
    assert report.best_step == 20
    assert all(torch.equal(a, b) for a, b in zip(weights(task).values(), seen[2].values()))
    assert not torch.equal(weights(task)["line.0.weight"], seen[6]["line.0.weight"])


def test_a_stopped_training_stays_stopped(tmp_path):
    train(tmp_path, Line(metrics=[0.9, 0.1, 0.1, 0.1, 0.1, 0.1]), patience=2)
    task, report = train(tmp_path, Line(metrics=[9.0] * 6), patience=2)
    assert task.steps == 0 and report.best_step == 10 and "2 validations" in report.stop_reason


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_with_advice(tmp_path, value):
    task = Line(loss_of=lambda step: value if step == 13 else 1.0)
    with pytest.raises(NonFiniteLoss) as error:
        train(tmp_path, task)
    for word in (str(value), "step 13", "--learning-rate"):
        assert word in str(error.value)


def test_the_learning_rate_rises_and_falls():
    schedule = Schedule(steps=200, every=10, patience=5, learning_rate=0.01, seed=0)
    rates = [schedule.rate(s) for s in range(200)]
    assert max(rates) == pytest.approx(0.01) and rates.index(max(rates)) <= 11
    assert rates[0] < 0.002 and rates[-1] < 0.0005 and min(rates) > 0
    assert all(a >= b for a, b in zip(rates[11:], rates[12:]))
    assert Schedule(1, 1, 1, 0.01, 0).rate(0) > 0
