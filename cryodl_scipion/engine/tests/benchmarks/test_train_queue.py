# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of trainings, and the state that travels between pieces on a machine with a GPU."""

import fcntl
import importlib.machinery
import importlib.util
import json
import os

import bench
import gpu_pieces
import pytest
import torch
from safetensors.torch import load_file, save_file

from cryodl.contract import sha256
from cryodl.io.model import write_model
from cryodl.learning.training import CHECKPOINT


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A queue of one training that writes two words, the second when `ready` is there; and its module."""
    loader = importlib.machinery.SourceFileLoader("train_queue", str(bench.ROOT / "scripts" / "train-queue"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("train_queue", loader))
    loader.exec_module(module)
    word = "import sys; open(sys.argv[2], 'a').write(sys.argv[1]); open(sys.argv[3])"
    commands = [
        ["-c", word, text, str(tmp_path / "said"), needed] for text, needed in (("a", os.devnull), ("b", "ready"))
    ]
    commands[1][-1] = str(tmp_path / "ready")
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps([{"name": "words", "commands": commands}]))
    monkeypatch.setattr(module, "LIST", listed)
    monkeypatch.setattr(module, "POLL", 0.05)
    monkeypatch.setattr(module.signal, "signal", lambda *_: None)
    return module.Queue(tmp_path / "state", tmp_path)


def test_a_second_start_goes_on_where_the_first_ended(queue, tmp_path):
    assert queue.run(["words"]) == 1  # the second command found no file
    assert "No such file" in queue.state()["words"]["failed"] and "failed" in queue.status()
    (tmp_path / "ready").touch()
    assert queue.run(["words"]) == 0
    assert (tmp_path / "said").read_text() == "abb"
    assert queue.run(["words"]) == 0 and (tmp_path / "said").read_text() == "abb"
    assert "done" in queue.status()


def test_two_never_run_at_once(queue):
    with open(queue.folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="is running"):
            queue.run(["words"])


def test_a_state_in_parts_comes_back_in_half_precision(tmp_path, monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(gpu_pieces, "PART", 8192)
    training, parts = tmp_path / "training", tmp_path / "parts"
    folder = training / "one" / "model.partial"
    folder.mkdir(parents=True)
    weights = {"denoiser.w": torch.randn(40, 40), "denoiser.n": torch.tensor(3)}
    tensors = {f"network.{k}": v for k, v in weights.items()}
    tensors |= {f"average.module.{k}": v.clone() for k, v in weights.items()}
    tensors |= {f"best.{k}": 2 * v for k, v in weights.items()}
    tensors["optimizer.denoiser.0.exp_avg_sq"] = 1e-9 * torch.rand(40, 40)
    save_file(tensors, folder / CHECKPOINT, {"state": '{"step": 7}'})
    (folder / "metrics.csv").write_text("step\n7\n")
    (training / "one" / "images.mrcs").write_bytes(b"0" * 2 * gpu_pieces.MIB)
    model = training / "one" / "model"
    model.mkdir()
    write_model(model, {"kind": "picker", "name": "m", "network": "unet"}, {"w": weights["denoiser.w"]})
    assert gpu_pieces.write_state(training, parts) == []
    assert len(list(parts.iterdir())) <= gpu_pieces.PARTS
    assert all(part.stat().st_size <= gpu_pieces.PART for part in parts.iterdir())
    gpu_pieces.read_state(parts, training)
    assert (folder / "metrics.csv").exists() and not (training / "one" / "images.mrcs").exists()
    assert json.loads((model / "card.json").read_text())["weights_sha256"] == sha256(model / "weights.safetensors")
    found = load_file(folder / CHECKPOINT)
    assert found.keys() == tensors.keys() and all(found[k].dtype == tensors[k].dtype for k in tensors)
    for key, value in tensors.items():
        torch.testing.assert_close(found[key], value, rtol=4e-3, atol=1e-12)


def test_of_a_large_network_the_running_mean_comes_back_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_pieces, "PART", 6000)
    monkeypatch.setattr(gpu_pieces, "PARTS", 1)
    training = tmp_path / "training"
    (training / "one").mkdir(parents=True)
    mean = torch.full((40, 40), 2.0)
    tensors = {"network.w": torch.ones(40, 40), "best.w": torch.ones(40, 40), "average.module.w": mean}
    save_file(tensors, training / "one" / CHECKPOINT, {})
    assert "optimizer." in gpu_pieces.write_state(training, tmp_path / "parts")[0]
    gpu_pieces.read_state(tmp_path / "parts", training)
    found = load_file(training / "one" / CHECKPOINT)
    assert found.keys() == tensors.keys() and all(torch.equal(value, mean) for value in found.values())
