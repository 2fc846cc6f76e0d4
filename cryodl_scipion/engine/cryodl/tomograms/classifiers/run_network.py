# SPDX-License-Identifier: GPL-3.0-or-later
"""Classification with a trained network."""

from __future__ import annotations

import typing

import torch

from ...core.devices import in_memory_format
from .feature_statistics import typicality
from .method import Prediction
from .prepare import prepared
from .train import network_output

if typing.TYPE_CHECKING:
    import numpy as np

    from ...io.subtomograms import SubtomogramSet
    from .method import ClassifierMethod


class NetworkPredictor:
    """A network with its weights, on a device. See method.ClassifierMethod.predictor."""

    def __init__(
        self,
        method: ClassifierMethod,
        card: typing.Mapping[str, typing.Any],
        weights: typing.Mapping[str, torch.Tensor],
        device: torch.device,
    ) -> None:
        self.card = card
        network = method.build(len(card["classes"]), card["box"])
        self.known = {name: value for name, value in weights.items() if name.startswith("known.")}
        try:
            network.load_state_dict({name: value for name, value in weights.items() if name not in self.known})
        except RuntimeError:
            raise ValueError(
                f"The weights of the model {card['name']} do not fit the network {method.name} for "
                f"{len(card['classes'])} classes in this version of cryodl. Train the model again, or use "
                "the version that its card.json names."
            ) from None
        self.network = network.to(device).eval()
        in_memory_format(self.network, torch.channels_last_3d)

    def predict(
        self, subtomograms: SubtomogramSet, rows: np.ndarray, contrast: str, batch_size: int = 32
    ) -> Prediction:
        """Prediction of some rows. The confidence is that of feature_statistics.typicality."""
        card, found = self.card, [(torch.zeros(0, len(self.card["classes"])), torch.zeros(0))]
        for start in range(0, len(rows), batch_size):
            volumes = subtomograms.volumes(rows[start : start + batch_size])
            logits, features = network_output(
                self.network, prepared(volumes, subtomograms.pixel_size, card["pixel_size"], card["box"], contrast)
            )
            found.append((logits, typicality(features, self.known)))
        logits, confidence = (torch.cat(parts) for parts in zip(*found))
        return Prediction(logits, confidence)
