# SPDX-License-Identifier: GPL-3.0-or-later
"""Each network that is shipped, and what it makes of one made-up input."""

import numpy as np
import torch

from cryodl.io.model import SHIPPED, read_model
from cryodl.learning.networks import WienerUNet
from cryodl.learning.task import method_of
from cryodl.maps.improvers.run import load_network as improver_network
from cryodl.micrographs.pickers import load_network as picker_network
from cryodl.particles.classes2d.results import RankerNetwork
from cryodl.tomograms.segmenters.slabs import Segmenter

SHAPES = {
    "picker": (1, 1, 192, 192),
    "filament_picker": (1, 1, 192, 192),
    "micrograph_denoiser": (1, 2, 128, 128),
    "class_ranker": (2, 1, 40, 40),
    "segmenter": (1, 1, 128, 128),
    "map_improver": (1, 1, 32, 32, 32),
}


FOLDERS = sorted(card.parent.name for card in SHIPPED.glob("*/card.json"))


def answer_of(name):
    """(n,) float64 numbers that the network of the shipped folder `name` gives for noise with round blobs in it."""
    folder = SHIPPED / name
    card, weights = read_model(folder)
    network = _network(card, weights, folder)
    shape = SHAPES[card["kind"]]
    if card["kind"] == "segmenter":
        shape = (1, method_of("segmenter", card["network"]).slices_in, *shape[2:])
    given = [torch.from_numpy(made_up(shape))]
    if card["kind"] == "class_ranker":
        given.append(torch.tensor([[0.3, -0.2], [1.0, 0.5]]))
    with torch.inference_mode():
        found = network.eval().float()(*given)
    return (found[0] if isinstance(found, (tuple, list)) else found).flatten().double().numpy()


def _network(card, weights, folder):
    kind = card["kind"]
    if kind in ("picker", "filament_picker"):
        method = method_of(kind, card["network"])
        network = picker_network(method, weights, folder).eval()
        return method.dense(network) if kind == "picker" else network
    if kind == "map_improver":
        return improver_network(card, weights, folder)
    if kind == "segmenter":
        return Segmenter(card, weights, torch.device("cpu")).network
    network = RankerNetwork() if kind == "class_ranker" else WienerUNet.like(weights)
    network.load_state_dict(weights)
    return network


def made_up(shape):
    """Noise of variance 1 with blobs of 6 px radius and three times its height."""
    rng = np.random.default_rng(5)
    image = rng.standard_normal(shape).astype(np.float32)
    axes = np.indices(shape[2:])
    for centre in rng.uniform(8, np.array(shape[2:]) - 8, (6, len(shape) - 2)):
        distance = sum((axis - c) ** 2 for axis, c in zip(axes, centre))
        image += 3 * np.exp(-distance / (2 * 6.0**2)).astype(np.float32)
    return image
