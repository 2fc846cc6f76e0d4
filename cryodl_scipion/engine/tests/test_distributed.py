# SPDX-License-Identifier: GPL-3.0-or-later
"""Two processes (gloo) learn what one learns from batches of the same size."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from map_data import helix

from cryodl.distributed import several_devices

ENGINE = Path(__file__).resolve().parent.parent


def train(folder, name, processes, *options):
    environment = dict(os.environ, PYTHONPATH=str(ENGINE), OMP_NUM_THREADS="1")
    start = (
        [sys.executable, "-m"]
        if processes == 1
        else [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    )
    return subprocess.run(
        [
            *start,
            "cryodl",
            "train-map-improver",
            "--structures",
            folder / "a.pdb",
            folder / "b.pdb",
            "--simulated",
            "1",
            "--steps",
            "3",
            "--batch-size",
            "2",
            "--device",
            "cpu",
            "--threads",
            "1",
            "--output",
            folder / name,
            *options,
        ],
        env=environment,
        capture_output=True,
        text=True,
        cwd=folder,
    )


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_with_the_same_boxes(tmp_path):
    helix(tmp_path / "a.pdb", 60)
    helix(tmp_path / "b.pdb", 60, name="TRP")
    losses = {}
    for processes in (1, 2):
        done = train(tmp_path, f"by{processes}", processes)
        assert done.returncode == 0, done.stderr[-3000:]
        with open(tmp_path / f"by{processes}" / "metrics.csv", newline="") as file:
            losses[processes] = [
                {k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
            ]
    assert len(losses[1]) == len(losses[2]) == 1
    for name, value in losses[1][0].items():
        assert losses[2][0][name] == pytest.approx(value, rel=2e-2, abs=2e-3), name
    assert not (tmp_path / "by2" / "pairs").exists() and (tmp_path / "by2" / "weights.safetensors").exists()


def test_several_gpus_are_read_from_the_device():
    assert several_devices("0,1") == ["0", "1"] and several_devices("cuda:0 cuda:2") == ["0", "2"]
    assert several_devices("0") == several_devices("auto") == several_devices("cpu") == []
