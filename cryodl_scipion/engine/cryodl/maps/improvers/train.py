# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of map improvers on boxes of maps and of what their models look like."""

import typing
from pathlib import Path

import numpy as np
import torch

from ...core.devices import fast_dtype, in_memory_format
from ...io.plots import new_figure, save_figure
from ...learning.task import Task
from .blocks import VolumeSwinConvUNet
from .boxes import PRESENT, WANTED
from .losses import atom_scores, box_correlation, distance, presence_loss, shell_loss
from .method import ImproverMethod
from .pairs import MapPairs

PRESENCE = 0.2  # weight of the second output's loss
# Weights of further losses beside the smooth L1: structural similarity, as published, the FSC, in which all resolutions
# count alike, and the Q-score, which compares the density around each atom with that of an atom.
SSIM, SHELLS, ATOMS = 1.0, 1.0, 2.0
SHOWN = 4


class ImproverTask(Task):
    """method: an ImproverMethod. network: of method.build. batch_size: boxes per step, None for the method's own."""

    example_name = "boxes"
    patience = 8

    def __init__(
        self, method: ImproverMethod, network: VolumeSwinConvUNet, pairs: MapPairs, batch_size: int | None = None
    ) -> None:
        self.method, self.pairs = method, pairs
        self.wanted = torch.from_numpy(WANTED).float()
        self.batch_size = batch_size or method.batch_size
        self.networks = torch.nn.ModuleDict({"improver": network})
        in_memory_format(network, torch.channels_last_3d)
        self.optimizers, self.default_steps = {"improver": method.optimizer(network)}, method.default_steps()

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.pairs.draw(rng, self.batch_size)

    def train_step(
        self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], accelerator: typing.Any
    ) -> dict[str, torch.Tensor]:
        network, optimizer = self.network("improver"), self.optimizers["improver"]
        data, target = (x.to(accelerator.device, memory_format=torch.channels_last_3d) for x in batch[:2])
        with accelerator.autocast():
            output = network(data)
        loss = distance(output, target, SSIM)
        losses = {"loss": loss.detach()}
        shells = shell_loss(output, target)
        losses["shells"] = shells.detach()
        # over as many atoms as there may be, so that several processes have the mean of all
        unlike = (1 - self._scores(output, batch)).sum() / batch[2].shape[:2].numel()
        losses["atoms"] = unlike.detach()
        loss = loss + SHELLS * shells + ATOMS * unlike
        if self.method.outputs > 1:
            presence = presence_loss(output, target, PRESENT)
            losses["presence"] = presence.detach()
            loss = loss + PRESENCE * presence
        optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return losses

    def validate(self) -> dict[str, float]:
        """Correlation of improved boxes with their targets and Q-scores (both make the metric), and of the maps as they
        are."""
        after, before, losses, sure, scores = [], [], [], [], []
        for batch in self.pairs.validation_boxes(self.batch_size):
            data, target = batch[:2]
            output = self._output(data)
            scores.append(torch.stack([self._scores(output, batch).cpu(), self._scores(data, batch).cpu()]))
            losses += [float(distance(output, target.to(output.device), SSIM))] * len(data)
            after.append(box_correlation(output[:, :1].cpu(), target))
            before.append(box_correlation(data, target))
            if self.method.outputs > 1:
                sure.append(torch.stack([output[:, 1].sigmoid().cpu().flatten(), (target > PRESENT).float().flatten()]))
        q_score, q_before = torch.cat(scores, dim=1).mean(dim=1).nan_to_num().tolist()  # a few ions have no scores
        agreement = float(torch.cat(after).mean())
        metrics = {
            "metric": agreement + ATOMS * q_score,
            "loss": float(np.mean(losses)),
            "correlation": agreement,
            "correlation_before": float(torch.cat(before).mean()),
            "q_score": q_score,
            "q_score_before": q_before,
        }
        if sure:
            metrics["confidence_error"] = calibration_error(*torch.cat(sure, dim=1))
        return metrics

    def _scores(
        self, output: torch.Tensor, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> torch.Tensor:
        positions, weights = (x.to(output.device) for x in batch[2:])
        return atom_scores(output, positions, weights, self.wanted.to(output.device))

    def _output(self, data: torch.Tensor) -> torch.Tensor:
        device = next(self.networks.parameters()).device
        dtype = fast_dtype(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            return self.networks["improver"](data.to(device, memory_format=torch.channels_last_3d)).float()

    def show(self, step: int, folder: Path) -> None:
        data, target = next(iter(self.pairs.validation_boxes(SHOWN)))[:2]
        shown = [("map", data), ("improved", self._output(data)[:, :1].cpu()), ("target", target)]
        figure, axes = new_figure(len(data), 3, (6, 2 * len(data)))
        for row in range(len(data)):
            for column, (name, boxes) in enumerate(shown):
                axes[row][column].imshow(
                    boxes[row, 0, boxes.shape[2] // 2], cmap="gray", vmin=0, vmax=0.6, origin="lower"
                )
                axes[row][column].set_axis_off()
                if row == 0:
                    axes[row][column].set_title(name, fontsize=10)
        (folder / "samples").mkdir(exist_ok=True)
        save_figure(figure, folder / "samples" / f"step_{step:07d}.png")


def calibration_error(probability: torch.Tensor, present: torch.Tensor, bins: int = 10) -> float:
    """Expected calibration error: how far, in the mean, the part of voxels with density is from what was promised."""
    index = (probability * bins).long().clamp(max=bins - 1)
    count = torch.bincount(index, minlength=bins).float()
    promised = torch.bincount(index, probability.double(), bins).float()
    return float(((promised - torch.bincount(index, present.double(), bins).float()).abs() / count.sum()).sum())
