# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of version 0.1.0 can still be used. data/models_0_1_0.json was written by that version: the card of a model,
and for each network the number of its tensors and the checksum of their names and shapes."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cryodl.contract import sha256
from cryodl.io.model import read_model
from cryodl.learning.registry import method_of
from cryodl.micrographs.pickers import load_network, picker_method
from cryodl.micrographs.pickers.predict import Picker
from cryodl.particles.denoisers.method import load_network as load_denoiser

OLD = json.loads((Path(__file__).parent / "data" / "models_0_1_0.json").read_text(encoding="utf-8"))
SIZES = {"denoiser": (64,), "classifier": (3, 32)}  # box; classes and box


@pytest.mark.parametrize("network", OLD["networks"])
def test_weights_of_every_network_of_0_1_0_still_fit(network):
    kind, name = network.split()
    method, sizes = method_of(kind, name), SIZES.get(kind, ())
    assert OLD["networks"][network] in [
        layout(build(*sizes)) for build in (method.build, getattr(method, "build_former", None)) if build
    ]


def layout(network):
    """Number of a network's tensors, and the checksum of their names and shapes; None for no network."""
    tensors = {} if network is None else network.state_dict()
    shapes = json.dumps(sorted((key, list(value.shape)) for key, value in tensors.items()))
    return [len(tensors), hashlib.sha256(shapes.encode()).hexdigest()]


def test_a_gan_of_0_1_0_still_denoises():
    """Its generator had other layers than today's; the same weights give an answer of the image's size."""
    method = method_of("denoiser", "cgan")
    weights = method.build_former(64).state_dict()
    network = load_denoiser(method, 64, weights, "old").eval()
    assert layout(network) == OLD["networks"]["denoiser cgan"] != layout(method.build(64))
    noisy = torch.randn(2, 1, 64, 64)
    assert network.finished(network(network.prepare(noisy, None))).shape == noisy.shape


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
