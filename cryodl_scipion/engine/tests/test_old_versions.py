# SPDX-License-Identifier: GPL-3.0-or-later
"""Models, requests, results and command lines of version 0.1.0 can still be used.

data/models_0_1_0.json was written by that version: the card of a model, and for each network the number of its tensors
and the checksum of their names and shapes. data/files_0_1_0.json: a request of each command with every option, and
results of some.
"""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cryodl.contract import EVERY_COMMAND, Request, Result, config_to_dict, settings_of, sha256, version_0_1_0
from cryodl.io.model import read_model
from cryodl.learning.task import method_of
from cryodl.maps.improvers.run import load_network as load_improver
from cryodl.micrographs.pickers import load_network, picker_method
from cryodl.micrographs.pickers.predict import Picker
from cryodl.running.cli import main

DATA = Path(__file__).parent / "data"
OLD = json.loads((DATA / "models_0_1_0.json").read_text(encoding="utf-8"))
FILES = json.loads((DATA / "files_0_1_0.json").read_text(encoding="utf-8"))
SIZES = {"denoiser": (64,), "classifier": (3, 32)}  # box; classes and box
SINCE = {"map_improver fast": {"told"}}  # tensors that a model of 0.1.0 lacks; where read, they answer nothing


@pytest.mark.parametrize("network", OLD["networks"])
def test_weights_of_every_network_of_0_1_0_still_fit(network):
    kind, name = network.split()
    tensors = method_of(kind, name).build(*SIZES.get(kind, ())).state_dict()
    since = SINCE.get(network, set())
    assert since <= set(tensors)
    old = {key: value for key, value in tensors.items() if key not in since}
    assert OLD["networks"][network] == layout(old)
    if kind == "map_improver":
        read = load_improver({"network": name}, old, "old")
        assert all(torch.equal(read.state_dict()[key], old.get(key, torch.zeros_like(tensors[key]))) for key in tensors)


def layout(tensors):
    """Number of a network's tensors, and the checksum of their names and shapes."""
    shapes = json.dumps(sorted((key, list(value.shape)) for key, value in tensors.items()))
    return [len(tensors), hashlib.sha256(shapes.encode()).hexdigest()]


def test_a_model_of_0_1_0_is_read_and_answers(tmp_path):
    torch.manual_seed(0)
    weights = picker_method(OLD["card"]["network"]).build().state_dict()
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / "weights.safetensors")
    card = dict(OLD["card"], weights_sha256=sha256(str(tmp_path / "weights.safetensors")))
    (tmp_path / "card.json").write_text(json.dumps(card))
    read, tensors = read_model(str(tmp_path), "picker")
    assert read["particle_diameter"] == OLD["card"]["particle_diameter"] and read["threshold"] > 0
    method = picker_method(read["network"])
    network = load_network(method, tensors, str(tmp_path))
    assert Picker(method, network, torch.device("cpu")).method is method


@pytest.mark.parametrize("command", FILES["requests"])
def test_a_request_of_0_1_0_is_read_and_what_is_ignored_is_named(tmp_path, command):
    (tmp_path / "request.json").write_text(json.dumps(FILES["requests"][command]))
    request = Request.read(str(tmp_path / "request.json"))
    assert request.command == version_0_1_0.COMMANDS.get(command, command)
    old = FILES["requests"][command]["config"]
    names = {command, request.command}
    renamed = {then: new for one in names for then, new in version_0_1_0.RENAMED.get(one, {}).items()}
    removed = [name for one in names for name in version_0_1_0.REMOVED.get(one, ())]
    now = config_to_dict(request.config)
    beside = {"device", "threads", *(info.name for info in settings_of(EVERY_COMMAND[request.command]))}
    for name, value in old.items():
        if name in beside:  # of every command now
            assert getattr(request, name) == (tuple(value) if name == "names" else value) and name not in now
        elif name == "json" and name not in now:
            pass  # of the command line now
        elif name in removed:
            assert name not in now and f"--{name.replace('_', '-')}" in request.warnings[0]
        else:
            assert now[renamed.get(name, name)] == value
    assert set(now) >= set(renamed.values()) and bool(request.warnings) is any(name in removed for name in old)


@pytest.mark.parametrize("command", FILES["results"])
def test_a_result_of_0_1_0_is_read(tmp_path, command):
    (tmp_path / "result.json").write_text(json.dumps(FILES["results"][command]))
    result = Result.read(str(tmp_path / "result.json"))
    assert type(result.outputs) is EVERY_COMMAND[result.command].outputs and result.versions["cryodl"] == "0.1.0"
    renamed = {**version_0_1_0.OUTPUTS.get(result.command, {}), **version_0_1_0.OUTPUTS.get(command, {})}
    for name, value in FILES["results"][command]["outputs"].items():
        if renamed.get(name, name) in result.outputs:
            assert result.outputs[renamed.get(name, name)] == value


def test_every_name_of_the_table_is_one_of_0_1_0_and_leads_to_one_of_now():
    former = version_0_1_0.COMMANDS
    options = dict[str, set[str]]()
    for command, request in FILES["requests"].items():
        for name in {command, former.get(command, command)}:
            options.setdefault(name, set()).update(request["config"])
    fields = lambda command: set(EVERY_COMMAND[former.get(command, command)].config.__dataclass_fields__)
    for table in (version_0_1_0.RENAMED, version_0_1_0.REMOVED):
        for command, names in table.items():
            assert set(names) <= options[command], command
            assert command in former or not set(names) & fields(command), command
    for command, names in version_0_1_0.RENAMED.items():
        assert set(names.values()) <= fields(command), command
    assert set(former.values()) <= set(EVERY_COMMAND) and not set(former) & set(EVERY_COMMAND)
    assert set(version_0_1_0.GIVEN) <= set(version_0_1_0.COMMANDS)


def test_a_command_line_of_a_merged_command_names_what_it_did():
    present, _ = version_0_1_0.present_command_line(["pick-templates", "--structure", "a.cif"])
    assert present == ["pick", "--method", "templates", "--structure", "a.cif"]


def test_a_command_line_of_0_1_0_is_understood(monkeypatch):
    monkeypatch.setitem(version_0_1_0.COMMANDS, "old-pick", "pick")
    monkeypatch.setitem(version_0_1_0.RENAMED, "pick", {"least_score": "threshold"})
    monkeypatch.setitem(version_0_1_0.REMOVED, "pick", ("tiles", "fast", "offset"))
    words = (
        "old-pick --micrographs a.mrc b.mrc --tiles 3 4 --least-score=0.2 --no-fast --offset=-2 --offset -3 --model m"
    )
    present, warnings = version_0_1_0.present_command_line(words.split())
    assert present == "pick --micrographs a.mrc b.mrc --threshold=0.2 --model m".split()
    assert "--tiles" in warnings[0] and "--offset" in warnings[0]
    with pytest.raises(ValueError, match="threshold is given twice, also as least_score"):
        version_0_1_0.present_options("pick", {"threshold": 0.1, "least_score": 0.1})


def test_a_removed_option_is_named_in_the_result_and_ignored(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(version_0_1_0.REMOVED, "consensus-picks", ("colours",))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.star").write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n10 20\n")
    words = ["consensus-picks", "--picks", str(tmp_path / "a"), str(tmp_path / "b"), "--colours", "7"]
    words += ["--pixel-size", "1", "--particle-diameter", "100", "--output", str(tmp_path / "o")]
    assert main([*words, "--result", str(tmp_path / "result.json")]) == 0
    assert "--colours is ignored" in capsys.readouterr().out
    assert any("--colours" in warning for warning in Result.read(str(tmp_path / "result.json")).warnings)
