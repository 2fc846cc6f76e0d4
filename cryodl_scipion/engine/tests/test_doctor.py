# SPDX-License-Identifier: GPL-3.0-or-later
"""doctor says what is there and what to do about what is not."""

import hashlib
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from cryodl.contract import DoctorConfig
from cryodl.running import doctor

ENGINE = Path(doctor.__file__).parents[2]


def make_model(folder, weights=b"weights", **changes):
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(weights)
    card = {
        "format_version": 2,
        "kind": "picker",
        "name": folder.name,
        "network": "unet",
        "particle_diameter": 180.0,
        "pixel_sizes": [1.5],
        "threshold": 0.5,
        "minimum_distance": 0.5,
        "validation": {"f1": 0.9},
        "weights_sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


def test_json_report_names_versions_devices_threads_and_no_problem(capsys):
    doctor.doctor(DoctorConfig(json=True), device="cpu")
    report = json.loads(capsys.readouterr().out)
    assert set(report["versions"]) >= {"cryodl", "python", "torch", "numpy"}
    assert report["devices"][-1]["device"] == "cpu" and report["threads"] >= 1
    assert report["problems"] == []


def test_text_report_ends_with_the_verdict(capsys):
    doctor.doctor(DoctorConfig(), device="cpu")
    assert capsys.readouterr().out.strip().endswith("No problems found.")


def test_a_gpu_that_is_absent_is_a_problem_with_the_choices(capsys):
    with pytest.raises(SystemExit) as stop:
        doctor.doctor(DoctorConfig(), device="0 97")
    assert stop.value.code == 1
    printed = capsys.readouterr().out
    assert "97" in printed and "is not available" in printed and "cpu" in printed


def test_gpus_are_listed_and_one_that_does_not_compute_is_named(monkeypatch):
    """Two GPUs stand in for real ones; the second fails at its first sum, as one too old for the torch build does."""
    torch = pytest.importorskip("torch")
    properties = types.SimpleNamespace(name="Fake 9000", total_memory=24e9)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 6))
    make_ones = torch.ones

    def ones(size, device):
        if device == "cuda:1":
            raise RuntimeError("no kernel image is available\nmore lines")
        return make_ones(size)

    monkeypatch.setattr(torch, "ones", ones)
    report = doctor.examine("0")
    assert [(g["device"], g.get("memory_gb")) for g in report["devices"]] == [("0", 24.0), ("1", 24.0), ("cpu", None)]
    assert len(report["problems"]) == 1 and "GPU 1" in report["problems"][0]
    assert "is not available" in doctor.examine("2")["problems"][-1]
    assert doctor.examine("cuda:0")["problems"] == report["problems"]


def test_python_without_torch_is_told_what_to_install(tmp_path):
    """-S -I hides site-packages: a Python with the standard library only."""
    code = (
        f"import sys; sys.path.insert(0, {str(ENGINE)!r}); "
        "from cryodl.running import doctor; from cryodl.contract import DoctorConfig; doctor.doctor(DoctorConfig())"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "scipion installb cryodl" in done.stdout
    missing = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("PROBLEM: ")]
    required = (ENGINE.parent / "install" / "requirements.in").read_text().split("\n")
    assert set(missing) >= {line.split("==")[0] for line in required if line and line[0] != "#"}


def test_shipped_models_are_listed_from_their_cards(tmp_path):
    make_model(tmp_path / "ribosomes")
    models, problems = doctor.find_models(tmp_path)
    assert problems == []
    assert [(m["name"], m["particle_diameter"]) for m in models] == [("ribosomes", 180.0)]


@pytest.mark.parametrize("damage", [{"weights": b"other"}, {"weights_sha256": None}])
def test_a_model_whose_weights_differ_from_its_card_is_named(tmp_path, damage):
    make_model(tmp_path / "bad", **damage)
    models, problems = doctor.find_models(tmp_path)
    assert models == [] and len(problems) == 1 and "bad" in problems[0]


def test_a_card_that_is_no_json_is_named(tmp_path):
    make_model(tmp_path / "bad")
    (tmp_path / "bad" / "card.json").write_text("{")
    assert "damaged" in doctor.find_models(tmp_path)[1][0]
