# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of map improvers on boxes of maps and of what their models look like, and the losses: smooth L1, contrast
and structure similarity (He et al. 2023), shell correlation, and the Q-score loss (Pintilie et al. 2020). Model card,
with warnings about the training."""

import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import TrainMapImproverConfig, counted, network_words
from ...core.devices import autocast, in_memory_format
from ...io.plots import new_figure, save_figure
from ...learning.recipe import TrainingRun
from ...learning.task import Task
from ...running.runner import PROGRAM
from .method import ImproverMethod, VolumeSwinConvUNet
from .pairs import WANTED, Batch, MapPairs

FLAT = 1e-9  # of squared variances: keeps constant density from dividing by nothing
SILENT = 1.0  # of a shell's squared power: keeps a box without density from a step that outweighs all others
TINY = 1e-4  # of a scaled map's variance: keeps empty boxes from dividing nothing by nothing
POOR_GAIN = 0.02  # of the correlation with the targets, below which hardly anything was learnt


def ssim_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - contrast x structure similarity of whole boxes, (2 cov + e) / (var + var + e), the mean over the batch.
    output, target: (b, 1, d, h, w)."""
    x, y = output.float().flatten(1), target.float().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (1 - ((2 * (x * y).mean(1) + TINY) / (x.square().mean(1) + y.square().mean(1) + TINY))).mean()


def distance(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Smooth L1 distance plus SSIM times ssim_loss of the first channel."""
    return F.smooth_l1_loss(output[:, :1].float(), target) + SSIM * ssim_loss(output[:, :1], target)


def shell_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - FSC of the first channel of boxes with their targets, the mean of all shells up to Nyquist's frequency but
    the first, and of the batch. Boxes fade out towards their faces. output, target: (b, c, n, n, n)."""
    n = output.shape[-1]
    taper = torch.hann_window(n, periodic=False, device=output.device).sqrt()
    taper = taper[:, None, None] * taper[:, None] * taper
    x, y = (
        torch.fft.rfftn((v[:, 0].float() - v[:, 0].float().mean((1, 2, 3), keepdim=True)) * taper, dim=(1, 2, 3))
        for v in (output, target)
    )
    whole, half = torch.fft.fftfreq(n, 1 / n, device=output.device), torch.arange(n // 2 + 1, device=output.device)
    shell = (whole[:, None, None] ** 2 + whole[:, None] ** 2 + half**2).sqrt().round().long().flatten()
    sums = lambda v: torch.zeros(len(v), int(shell.max()) + 1, device=v.device).index_add_(1, shell, v.flatten(1))
    power = sums(x.real**2 + x.imag**2) * sums(y.real**2 + y.imag**2)
    return 1 - (sums((x * y.conj()).real) / (power + SILENT).sqrt())[:, 1 : n // 2].mean()


def atom_scores(
    output: torch.Tensor, positions: torch.Tensor, weights: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """(k,) Q-scores of the atoms of a batch that can be judged: correlations of the first channel around each atom with
    those of a well-resolved atom. output: (b, c, n, n, n). positions: (b, atoms, p, 3) zyx voxels. weights: (b, atoms,
    p). wanted: (p,)."""
    b, atoms, p, _ = positions.shape
    where = positions / (output.shape[-1] - 1) * 2 - 1  # grid_sample counts xyz from -1 to 1
    where = where.flip(-1).reshape(b, 1, 1, -1, 3)
    found = F.grid_sample(output[:, :1].float().contiguous(), where, align_corners=True).reshape(b, atoms, p)
    judged = weights.sum(-1) > p / 2
    found, weights = found[judged], weights[judged]
    mean = lambda x: (x * weights).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)
    found, wanted = found - mean(found), wanted - mean(wanted.expand_as(found))
    return (mean(found * wanted) / (mean(found.square()) * mean(wanted.square()) + FLAT).sqrt())[:, 0]


def box_correlation(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """(b,) correlation coefficients of boxes (b, 1, d, h, w)."""
    x, y = output.float().flatten(1), target.float().flatten(1)
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    return (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)).clamp(min=1e-9)


# Weights of further losses beside the smooth L1: structural similarity, as published, the FSC, in which all resolutions
# count alike, and the Q-score, which compares the density around each atom with that of an atom.
SSIM, SHELLS, ATOMS = 1.0, 1.0, 2.0
SHOWN = 4


class ImproverTask(Task):
    """method: an ImproverMethod. network: of method.build. batch_size: boxes per step, None for the method's own."""

    example_name, ahead, patience = "boxes", True, 8

    def __init__(
        self, method: ImproverMethod, network: VolumeSwinConvUNet, pairs: MapPairs, batch_size: int | None = None
    ) -> None:
        self.method, self.pairs = method, pairs
        self.wanted = torch.from_numpy(WANTED).float()
        self.batch_size = batch_size or method.batch_size
        self.networks = torch.nn.ModuleDict({"improver": network})
        in_memory_format(network, torch.channels_last_3d)
        adamw = torch.optim.AdamW(network.parameters(), lr=method.learning_rate, betas=(0.9, 0.99), fused=True)
        self.optimizers, self.default_steps = {"improver": adamw}, method.default_steps

    def batch(self, rng: np.random.Generator) -> Batch:
        return self.pairs.draw(rng, self.batch_size)

    def train_step(self, batch: Batch, accelerator: typing.Any) -> dict[str, torch.Tensor]:
        network, optimizer = self.network("improver"), self.optimizers["improver"]
        data, target = (x.to(accelerator.device, memory_format=torch.channels_last_3d) for x in batch[:2])
        with accelerator.autocast():
            output = network(data, batch[4].to(accelerator.device))
        loss = distance(output, target)
        losses, shells = {"loss": loss.detach()}, shell_loss(output, target)
        losses["shells"] = shells.detach()
        # over as many atoms as there may be, so that several processes have the mean of all
        unlike = (1 - self._scores(output, batch)).sum() / batch[2].shape[:2].numel()
        losses["atoms"] = unlike.detach()
        loss = loss + SHELLS * shells + ATOMS * unlike
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        return losses

    def validate(self) -> dict[str, float]:
        """Correlation with the targets and Q-scores (both make the metric), of improved boxes and of the maps."""
        after, before, losses, scores = [], [], [], []
        for batch in self.pairs.validation_boxes(self.batch_size):
            data, target = batch[:2]
            output = self._output(data, batch[4])
            scores.append(torch.stack([self._scores(output, batch).cpu(), self._scores(data, batch).cpu()]))
            losses += [float(distance(output, target.to(output.device)))] * len(data)
            after.append(box_correlation(output[:, :1].cpu(), target))
            before.append(box_correlation(data, target))
        q_score, q_before = torch.cat(scores, dim=1).mean(dim=1).nan_to_num().tolist()  # a few ions have no scores
        agreement = float(torch.cat(after).mean())
        return {
            "metric": agreement + ATOMS * q_score,
            "loss": float(np.mean(losses)),
            "correlation": agreement,
            "correlation_before": float(torch.cat(before).mean()),
            "q_score": q_score,
            "q_score_before": q_before,
        }

    def _scores(self, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        positions, weights = (x.to(output.device) for x in batch[2:4])
        return atom_scores(output, positions, weights, self.wanted.to(output.device))

    def _output(self, data: torch.Tensor, resolution: torch.Tensor) -> torch.Tensor:
        device = next(self.networks.parameters()).device
        with autocast(device):
            data = data.to(device, memory_format=torch.channels_last_3d)
            return self.networks["improver"](data, resolution.to(device)).float()

    def show(self, step: int, folder: Path) -> None:
        data, target, _, _, resolution = next(iter(self.pairs.validation_boxes(SHOWN)))
        shown = [("map", data), ("improved", self._output(data, resolution)[:, :1].cpu()), ("target", target)]
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


def model_card(
    config: TrainMapImproverConfig, pairs: MapPairs, task: ImproverTask, run: TrainingRun
) -> dict[str, typing.Any]:
    """The model card: all that improving and a reader need to know. task and run: after training."""
    resolutions = pairs.resolutions()
    training = dict(
        maps=len(pairs.training),
        validation_maps=len(pairs.validation),
        molecules=sorted(pairs.names["training"]),
        validation_molecules=sorted(pairs.names["validation"]),
        simulated=config.simulated if config.structures else 0,
        real_maps=sum(kind == "real" for kind, _ in pairs.sources),
        **run.record(),
        batch_size=task.batch_size,
        ssim=SSIM,
        shells=SHELLS,
        atoms=ATOMS,
        target_resolution=config.target_resolution,
        started_from=config.start_from and Path(config.start_from).name,
    )
    return dict(
        kind="map_improver",
        name=Path(config.output).name,
        network=config.network,
        working_pixel_size=config.working_pixel_size,
        attention=True,
        width=task.method.width,
        resolutions=[round(float(r), 2) for r in (resolutions.min(), resolutions.max())],
        mean_resolution=round(float(np.mean(resolutions)), 2),
        training=training,
        validation=run.metrics(),
    )


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    metrics = card["validation"]
    if metrics["correlation"] < metrics["correlation_before"] + POOR_GAIN:
        yield (
            f"The correlation with the targets is {metrics['correlation']:.3f} on the validation data, and "
            f"{metrics['correlation_before']:.3f} for the original maps: the network has hardly learnt anything. "
            "Train longer, and check the sample pictures."
        )


def card_lines(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """A trained map improver in lines."""
    training, validation = card["training"], card["validation"]
    yield (
        f"Model {card['name']}, network {card['network']}, for maps of "
        f"{' to '.join(f'{r:.3g}' for r in card['resolutions'])} Å, resampled to {card['working_pixel_size']:g} Å/px."
    )
    yield (
        f"Trained on {counted(training['maps'], 'map')} of {counted(len(training['molecules']), 'molecule')}, "
        f"{counted(training['validation_maps'], 'map')} of {counted(len(training['validation_molecules']), 'other')} "
        f"for validation; {counted(training['steps'], 'step')}, stopped: {training['stop_reason']}."
    )
    yield (
        f"On the validation molecules: correlation with the targets {validation['correlation']:.3f}, of the original "
        f"maps {validation['correlation_before']:.3f}."
    )


def methods_of(card: typing.Mapping[str, typing.Any]) -> str:
    """A training for the methods of a paper."""
    training, validation = card["training"], card["validation"]
    simulated = ", simulated from their atomic models" if training["simulated"] else ""
    if training["real_maps"]:
        simulated = f", {counted(training['real_maps'], 'real map')} (with those for validation)" + (
            " and others simulated from atomic models" if simulated else ""
        )
    return (
        f"The map improver {card['name']}, {network_words('map_improver', card['network'])}, was trained with "
        f"{PROGRAM} in {counted(training['steps'], 'step')} on {counted(training['maps'], 'map')} of "
        f"{counted(len(training['molecules']), 'molecule')}{simulated}; on held-out molecules the correlation with "
        f"the density of the models was {validation['correlation']:.3f}, and {validation['correlation_before']:.3f} "
        "for the original maps."
    )
