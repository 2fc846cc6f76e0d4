# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of denoisers on pairs of particle images and projections, validated by Fourier ring correlation.

Losses of denoisers: distances of the output from its target, and the adversarial loss.
Sample triplets of a training as a picture: as they came, denoised, and as they should be.
Model card of a denoiser, and warnings about the training."""

import hashlib
import os
import typing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ...contract import TrainDenoiserConfig
from ...core import devices, fourier
from ...core.fourier import frc, mean_frc
from ...io.particle_sets import ParticleSet
from ...io.plots import new_figure, save_figure
from ...learning.recipe import TrainingRun
from ...learning.task import Task
from ...likelihood.observed import prepare
from ...simulate.particle_images import noise_images
from .discriminator import PatchDiscriminator
from .method import DenoiserMethod, DenoiserNetwork
from .pairs import Pairs

STEEPEST = 3.0  # difference from which the exponential loss goes on as a straight line: its slope there is 20
DISTANCE_WEIGHT = 100.0  # of the distance, beside which the adversarial weight stands (Isola et al. 2017)
FEW_PARTICLES = 20  # validation particles
POOR_GAIN = 1.05  # mean FRC over the raw images' below which nothing was learnt
TARGETS = 64  # kept beside the model, for the noise control


def l1(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference."""
    return (output - target).abs().mean()


def exponential(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean of exp|d| - 1 over the differences d: small ones count as in l1, large ones exponentially more.

    From STEEPEST on it goes on as a straight line: one wild pixel would otherwise outweigh a batch. The method's
    authors name an 'exponential loss function' and give no formula; this one is ours."""
    difference = (output - target).abs()
    near = difference.clamp(max=STEEPEST)
    return (torch.expm1(near) + (difference - near) * torch.exp(near)).mean()


LOSSES = {"l1": l1, "exponential": exponential}


def verdict(logits: torch.Tensor, genuine: bool) -> torch.Tensor:
    """Cross-entropy of a discriminator's logits with what it should have said. genuine: bool."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(genuine)))


PER_ROW = 3  # triplets
COLUMNS = ("raw", "denoised", "ground truth")


def draw_triplets(
    raw: torch.Tensor, denoised: torch.Tensor, ground_truth: torch.Tensor, path: str | os.PathLike[str]
) -> None:
    """A PNG of triplets, side by side. raw, denoised, ground_truth: (n, box, box) tensors.

    Raw images span +-3 standard deviations of their own. Denoised image and ground truth of a particle share one grey
    scale, so that what is too faint looks faint."""
    rows = -(-len(raw) // PER_ROW)
    figure, axes = new_figure(rows, 3 * PER_ROW, (1.5 * 3 * PER_ROW, 1.5 * rows + 0.3))
    for axis in axes.flat:
        axis.set_axis_off()
    for index, images in enumerate(zip(raw.numpy(), denoised.numpy(), ground_truth.numpy())):
        panels, noise = axes[index // PER_ROW, 3 * (index % PER_ROW) :], float(images[0].std())
        low, high = np.percentile(images[2], (0.5, 99.8))
        for axis, image, (bottom, top) in zip(panels, images, ((-3 * noise, 3 * noise), (low, high), (low, high))):
            axis.imshow(image, cmap="gray", vmin=bottom, vmax=max(top, bottom + 1e-6), interpolation="nearest")
    for axis, title in zip(axes[0], COLUMNS * PER_ROW):
        axis.set_title(title, fontsize=8)
    save_figure(figure, path)


MAX_VALIDATION = 1024  # particles; the mean FRC of so many is known to about 0.003
SHOWN = 6  # sample triplets


class DenoiserTask(Task):
    """One denoiser, perhaps with a discriminator, on pairs.

    method: a DenoiserMethod. network: of method.build, its scale learnt. pairs: a Pairs. amplitude: see
    scales.Statistics. loss: name in LOSSES. batch_size: particles per step."""

    example_name, patience = "particles", 6

    def __init__(
        self,
        method: DenoiserMethod,
        network: DenoiserNetwork,
        pairs: Pairs,
        amplitude: float,
        loss: str = "l1",
        batch_size: int | None = None,
    ) -> None:
        self.method, self.pairs, self.distance = method, pairs, LOSSES[loss]
        self.batch_size = batch_size or method.batch_size
        self.amplitude = amplitude
        self.networks = torch.nn.ModuleDict({"denoiser": network})
        self.optimizers = {"denoiser": method.optimizer(network)} if method.learns else {}
        if method.adversarial:
            self.networks["discriminator"] = PatchDiscriminator(pairs.box)
            self.optimizers["discriminator"] = method.discriminator_optimizer(self.networks["discriminator"])

    @property
    def denoiser(self) -> DenoiserNetwork:
        """The network that learns."""
        return typing.cast("DenoiserNetwork", self.networks["denoiser"])

    @property
    def default_steps(self) -> int:
        """Training steps where the user asks for none."""
        return self.method.default_steps(sum(len(rows) for rows in self.pairs.training))

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pairs, the early ones with a stronger signal, and some of them blank: noise alone, nothing to be found."""
        noisy, ctf, target = self.pairs.draw(rng, self.batch_size)
        if self.progress < self.method.boosted:
            # amplitudes of signal to add; the largest falls linearly as the training goes on
            maximum = 1 + (self.method.boost - 1) * (1 - self.progress / self.method.boosted)
            more = self.amplitude * torch.from_numpy(maximum ** rng.random(len(noisy)) - 1).float()
            noisy = noisy + more[:, None, None, None] * fourier.filtered(target, ctf)
        blank = rng.random(len(noisy)) < self.method.blanks
        if blank.any():
            spectrum = self.pairs.spectra[rng.integers(len(self.pairs.spectra))]
            noise = prepare(noise_images(int(blank.sum()), self.pairs.box, rng, spectrum), self.pairs.diameter_px)
            noisy, target = noisy.clone(), target.clone()
            noisy[torch.from_numpy(blank)], target[torch.from_numpy(blank)] = noise[:, None], 0.0
        return noisy, ctf, target

    def train_step(
        self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor], accelerator: typing.Any
    ) -> dict[str, torch.Tensor]:
        network = self.denoiser
        noisy, ctf, target = (x.to(accelerator.device) for x in batch)
        condition, target = network.prepare(noisy, ctf), network.working(target)
        with accelerator.autocast():
            output = self.network("denoiser")(condition)
        losses = self._judge(condition, output, target, accelerator) if self.method.adversarial else {}
        distance = self.distance(output.float(), target)
        # published: 100 x L1 + verdict; here divided by 100, so that learning rates do not depend on the discriminator
        verdicts = self.method.adversarial / DISTANCE_WEIGHT * losses.pop("adversarial", torch.zeros(()))
        self._update("denoiser", distance + verdicts, accelerator)
        return {"loss": distance.detach(), **losses}

    def _judge(
        self, condition: torch.Tensor, output: torch.Tensor, target: torch.Tensor, accelerator: typing.Any
    ) -> dict[str, torch.Tensor]:
        """Teach the discriminator, then ask it. 'adversarial' has a gradient for the network."""
        discriminator = self.networks["discriminator"]
        with accelerator.autocast():
            images = torch.cat([target, output.detach().to(target.dtype)])  # one look at both is faster than two
            genuine, made = self.network("discriminator")(torch.cat([condition, condition]), images).chunk(2)
        loss = 0.5 * (verdict(genuine, True) + verdict(made, False))
        self._update("discriminator", loss, accelerator)
        discriminator.requires_grad_(False)  # the network's gradient goes through it, not into it
        with accelerator.autocast():
            adversarial_loss = verdict(discriminator(condition, output), True)
        discriminator.requires_grad_(True)
        return {"adversarial": adversarial_loss, "verdict": adversarial_loss.detach(), "discriminator": loss.detach()}

    def _update(self, name: str, loss: torch.Tensor, accelerator: typing.Any) -> None:
        self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.networks[name].parameters(), 1.0)
        self.optimizers[name].step()

    def validate(self) -> dict[str, float]:
        network, curves, raw, losses = self.denoiser, list[torch.Tensor](), list[torch.Tensor](), list[float]()
        for noisy, ctf, target in self.pairs.validation_batches(self.batch_size, MAX_VALIDATION):
            noisy, ctf, target = (x.to(self.device) for x in (noisy, ctf, target))
            output = self._output(network.prepare(noisy, ctf))
            losses += [float(self.distance(output, network.working(target)).detach())] * len(noisy)
            curves.append(mean_frc(frc(network.finished(output), target)).flatten())
            raw.append(mean_frc(frc(noisy, target)).flatten())
        figure = float(torch.cat(curves).mean())
        return dict(metric=figure, loss=float(np.mean(losses)), frc=figure, frc_raw=float(torch.cat(raw).mean()))

    def _output(self, condition: torch.Tensor) -> torch.Tensor:
        with devices.autocast(self.device):
            return self.networks["denoiser"](condition).float()

    def show(self, step: float, folder: Path) -> None:
        """Sample triplets of validation particles, as a picture."""
        noisy, ctf, target = next(iter(self.pairs.validation_batches(SHOWN, SHOWN * len(self.pairs.particles))))
        network = self.denoiser
        output = network.finished(self._output(network.prepare(noisy.to(self.device), ctf.to(self.device))))
        (folder / "samples").mkdir(exist_ok=True)
        draw_triplets(noisy[:, 0], output.cpu()[:, 0], target[:, 0], folder / "samples" / f"step_{step:07d}.png")

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(iter(self.networks["denoiser"].state_dict().values())).device

    def state(self) -> typing.Any:
        return self.pairs.state()

    def restore(self, values: typing.Any) -> None:
        self.pairs.restore(values)


def model_card(
    config: TrainDenoiserConfig, pairs: Pairs, diameter: float, task: DenoiserTask, run: TrainingRun
) -> dict[str, typing.Any]:
    """The model card: all that denoising and a reader need to know. pairs: Pairs. diameter: Å. task: DenoiserTask after
    training. run: after it."""
    structures = list(config.structure) * (len(config.particles) if len(config.structure) == 1 else 1)
    sets = [
        dict(
            particles=str(one.path),
            structure=str(structure),
            number=len(one),
            training=len(training),
            validation=len(validation),
            sha256=names_digest(one, training),
            contrast=contrast,
            snr=round(float(snr), 5),
            ctf_state=fit.ctf_state,
        )
        for one, structure, training, validation, contrast, snr, fit in zip(
            pairs.particles, structures, pairs.training, pairs.validation, pairs.contrasts, pairs.snrs, pairs.fits
        )
    ]
    training = dict(
        particles=sum(s["training"] for s in sets),
        validation_particles=sum(s["validation"] for s in sets),
        simulated=config.simulated_fraction,
        **run.record(),
        batch_size=task.batch_size,
        loss=config.loss,
        adversarial=task.method.adversarial,
    )
    return dict(
        kind="denoiser",
        name=Path(config.output).name,
        network=config.network,
        pixel_size=pairs.pixel_size,
        box=pairs.box,
        particle_diameter=round(diameter, 1),
        structures=[Path(s).name for s in dict.fromkeys(structures)],
        ctf="wiener" if task.method.uses_ctf else "none",
        scales=[float(s) for s in pairs.scales],
        training=training,
        training_particles=sets,
        validation=run.metrics(),
    )


def names_digest(particles: ParticleSet, rows: typing.Iterable[int]) -> str:
    """sha256 of the training particles' names, a line each in the file's order: tells whether others are the same."""
    return hashlib.sha256("\n".join(particles.names[row] for row in sorted(rows)).encode()).hexdigest()


def card_warnings(card: typing.Mapping[str, typing.Any]) -> typing.Iterator[str]:
    """Sentences for the user about a finished training."""
    metrics, training = card["validation"], card["training"]
    if training["validation_particles"] < FEW_PARTICLES:
        yield (
            f"Only {training['validation_particles']} particles were held out for validation, so its metrics are "
            "uncertain."
        )
    elif metrics["frc"] < POOR_GAIN * metrics["frc_raw"]:
        yield (
            f"The mean FRC with the projections is {metrics['frc']:.3f} on the validation data, and "
            f"{metrics['frc_raw']:.3f} for the raw images: the network has learnt nothing. Check that structure, "
            "angles and pixel size belong to these particles, and check the sample pictures."
        )
