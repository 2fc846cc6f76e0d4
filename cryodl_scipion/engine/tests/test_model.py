# SPDX-License-Identifier: GPL-3.0-or-later
"""Model folders: what is written is read, and what is not a sound model is refused with the reason."""

import json
import multiprocessing

import pytest
import torch
from denoiser_data import write_untrained_denoiser
from safetensors import safe_open
from synthetic import write_untrained_model

from cryodl.contract import read_card, sha256
from cryodl.io import model as models
from cryodl.io.model import copy_model, find_model, read_model, save_tensors, shipped_models, write_model


@pytest.fixture
def model(tmp_path):
    return write_untrained_model(tmp_path / "a model 50%")


def change_card(folder, **values):
    path = folder / "card.json"
    card = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in {**card, **values}.items() if v is not None}))


def test_weights_and_card_survive(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b.c": torch.tensor(3)}
    write_model(
        tmp_path,
        dict(
            kind="picker",
            network="unet",
            particle_diameter=150.0,
            threshold=0.4,
            minimum_distance=0.5,
            pixel_sizes=[1.5],
            name="é",
        ),
        tensors,
    )
    card, found = read_model(tmp_path, "picker")
    assert card["particle_diameter"] == 150.0 and card["format_version"] == 2 and card["name"] == "é"
    assert set(found) == set(tensors) and all(torch.equal(found[k], tensors[k]) for k in tensors)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "weights.safetensors"]


def test_tensors_that_share_memory_or_are_not_contiguous_are_written(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    write_model(
        tmp_path,
        dict(kind="other", name="o", network="n"),
        {"a": base.T, "b": base, "c": base.to(memory_format=torch.contiguous_format)},
    )
    assert torch.equal(read_model(tmp_path)[1]["a"], base.T)


@pytest.mark.parametrize("kind", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"])
def test_every_kind_of_numbers_is_read_by_the_formats_own_library(tmp_path, kind):
    tensors = {
        "some": torch.tensor([[0, 1], [1, 0], [1, 1]]).to(getattr(torch, kind)).T,
        "none": torch.zeros(0, 3),
        "small": torch.tensor([True]),
        "one": torch.tensor(2.5, dtype=torch.float64),
    }
    save_tensors(tmp_path / "t.safetensors", tensors, {"word": "é"})
    with safe_open(tmp_path / "t.safetensors", "pt") as file:
        assert file.metadata() == {"word": "é"}
        found = {name: file.get_tensor(name) for name in file.keys()}
    assert {name: t.dtype for name, t in found.items()} == {name: t.dtype for name, t in tensors.items()}
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_killed_while_it_writes_tensors_it_leaves_what_the_next_one_removes(tmp_path):
    big = {"a": torch.zeros(1 << 24)}
    child = multiprocessing.get_context("fork").Process(target=save_tensors, args=(tmp_path / "t.safetensors", big))
    child.start()
    while not list(tmp_path.iterdir()):
        pass
    child.kill()
    child.join()
    assert len(list(tmp_path.iterdir())) == 1
    save_tensors(tmp_path / "t.safetensors", {"a": torch.zeros(1)})
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"]


def test_one_changed_byte_of_the_weights_is_noticed(model):
    path = model / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="weights.safetensors is damaged: its checksum"):
        read_model(model)


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda m: change_card(m, format_version=1), ("format version 1", "reads 2", "again")),
        (lambda m: change_card(m, format_version=None), ("format version None",)),
        (lambda m: change_card(m, kind="sharpener"), ("kind 'sharpener'", "a picker is needed")),
        (lambda m: change_card(m, network="transformer"), ("'transformer'", "knows: unet")),
        (
            lambda m: change_card(m, particle_diameter=None, threshold=None),
            ("damaged", "particle_diameter, threshold missing"),
        ),
        (lambda m: change_card(m, picking_scales=[0]), ("damaged", "picking_scales is [0]")),
        (lambda m: change_card(m, picking_scales=[]), ("picking_scales is []; it must be a list of 1 to 9",)),
        (
            lambda m: change_card(m, calibration=1.5),
            ("card.json is damaged: calibration is 1.5; it", "list of 2 numbers"),
        ),
        (lambda m: change_card(m, narrow=[1.0, 2.0]), ("narrow is [1.0, 2.0]; it must be a list of 3 numbers",)),
        (lambda m: (m / "card.json").write_text("{"), ("card.json is damaged",)),
        (lambda m: (m / "card.json").write_text("[]"), ("format version None",)),
        (lambda m: (m / "card.json").unlink(), ("is not a model", "no card.json")),
        (lambda m: (m / "weights.safetensors").unlink(), ("incomplete", "no weights.safetensors")),
        (lambda m: (m / "weights.safetensors").write_bytes(b""), ("damaged",)),
    ],
    ids=[
        "newer",
        "no version",
        "kind",
        "network",
        "lacks",
        "scales",
        "no scales",
        "calibration",
        "narrow",
        "cut",
        "list",
        "no card",
        "no readable weights",
        "empty weights",
    ],
)
def test_what_is_not_a_sound_model_is_refused_with_the_reason(model, harm, words):
    harm(model)
    with pytest.raises(ValueError) as error:
        read_model(model, "picker")
    assert "a model 50%" in str(error.value)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    "harm, words",
    [
        (dict(box="64", scales=None), "damaged: box, scales missing"),
        (dict(network="unet"), "names the network 'unet'; this version of cryodl knows: "),
        (dict(kind="picker"), "kind 'picker'; a particle denoiser is needed"),
    ],
)
def test_a_denoisers_card_is_checked_like_a_pickers(tmp_path, harm, words):
    write_untrained_denoiser(tmp_path / "model")
    assert read_card(tmp_path / "model", "denoiser")["box"] == 32
    change_card(tmp_path / "model", **harm)
    with pytest.raises(ValueError, match=words):
        read_card(tmp_path / "model", "denoiser")


def test_an_unfinished_training_says_how_to_finish(tmp_path):
    (tmp_path / "m.partial").mkdir()
    with pytest.raises(ValueError, match="not finished; run it again with the same --output"):
        read_card(tmp_path / "m.partial")


def test_models_are_found_by_folder_and_by_shipped_name(tmp_path, monkeypatch, model):
    monkeypatch.setattr(models, "SHIPPED", tmp_path / "shipped")
    write_untrained_model(tmp_path / "shipped" / "ribosome")
    assert shipped_models() == ["ribosome"]
    assert find_model("ribosome") == tmp_path / "shipped" / "ribosome"
    assert find_model(str(model)) == model
    with pytest.raises(
        FileNotFoundError, match=r"Model virus is neither a folder nor a shipped model \(shipped: ribosome\)"
    ):
        find_model("virus")
    assert shipped_models("picker") == ["ribosome"] and shipped_models("denoiser") == []
    with pytest.raises(FileNotFoundError, match=r"\(shipped: none\)"):
        find_model("virus", "denoiser")
    with pytest.raises(FileNotFoundError, match="card.json is a file; a model is a folder"):
        find_model(str(model / "card.json"))


@pytest.mark.parametrize("name", shipped_models() or [pytest.param("", marks=pytest.mark.skip(reason="none shipped"))])
def test_shipped_models_fit_their_networks(name):
    from cryodl.maps.improvers.run import load_network
    from cryodl.micrographs.denoise.run import MicrographDenoiser
    from cryodl.micrographs.filaments.unet import FilamentUNet
    from cryodl.micrographs.pickers import load_network as load_picker
    from cryodl.micrographs.pickers import picker_method
    from cryodl.particles.classes2d.results import load_ranker
    from cryodl.tomograms.segmenters import segmenter_method
    from cryodl.tomograms.segmenters.method import load_network as load_segmenter_network

    card, weights = read_model(find_model(name))
    assert card["name"] == name
    if card["kind"] == "map_improver":
        load_network(card, weights, name)
        assert not {"EMD-30342_7CEC_chainA.model.cif.gz", "1OEL.pdb.gz"} & set(card["training"]["molecules"])
    elif card["kind"] == "class_ranker":
        load_ranker()
    elif card["kind"] == "segmenter":
        load_segmenter_network(segmenter_method(card["network"]), weights, name)
        assert card["feature"] == name and card["threshold"] == 0.5
    elif card["kind"] == "micrograph_denoiser":
        MicrographDenoiser(card, weights, torch.device("cpu"))
        assert card["method"] == "simulated" and card["training"]["left_out"]
    elif card["kind"] == "filament_picker":
        load_picker(FilamentUNet(), weights, name)
        assert 0 < card["threshold"] < 1
    else:
        load_picker(picker_method(card["network"]), weights, name)
        assert card["kind"] == "picker" and 0 < card["threshold"] < 1


def test_models_of_two_kinds_may_have_one_name(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "SHIPPED", tmp_path)
    write_untrained_model(tmp_path / "ribosome")
    from segmenting_data import write_segmenter

    write_segmenter(tmp_path / "segmenter_ribosome", name="ribosome")
    assert shipped_models() == shipped_models("picker") == shipped_models("segmenter") == ["ribosome"]
    assert find_model("ribosome", "picker").name == find_model("ribosome").name == "ribosome"
    assert find_model("ribosome", "segmenter").name == "segmenter_ribosome"


def test_a_copied_model_is_whole_and_nothing_beside_it_is_touched(tmp_path, model):
    (tmp_path / "rounds/0/model.copy").mkdir(parents=True)
    for folder in ("rounds/0/model", "rounds/1/model"):
        copy_model(model, tmp_path / folder)
        assert read_card(tmp_path / folder) == read_card(model)
    assert sorted(p.name for p in (tmp_path / "rounds/0").iterdir()) == ["model", "model.copy"]
    with pytest.raises(FileExistsError, match="exists already"):
        copy_model(model, tmp_path / "rounds/1/model")
    assert [p.name for p in (tmp_path / "rounds/1").iterdir()] == ["model"]


def test_the_checksum_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_weights_that_are_no_numbers_are_refused(model):
    card, weights = read_model(model)
    name = next(name for name, value in weights.items() if value.is_floating_point())
    weights[name].flatten()[0] = float("nan")
    write_model(model, {k: v for k, v in card.items() if k not in ("format_version", "weights_sha256")}, weights)
    with pytest.raises(ValueError, match=f"not finite.*{name}.*Train it again"):
        read_model(model)
